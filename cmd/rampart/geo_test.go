package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// A rule that asks where a source is, and nothing to say so: a warning with its place.
func TestCheckWarnsWithoutGeo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rampart.yaml", "domain: sip.example.com\npbx: \"sip:127.0.0.1:5060\"\nhome: {country: FR}\ninside: {udp: [\"127.0.0.1:5070\"]}\nmedia: {public: [127.0.0.1], inside: [127.0.0.1]}\npolicy: {files: [a.yaml]}\n")
	write("a.yaml", "version: 1\nrules:\n  - {id: site/abroad, on: register, match: {source: {country: [LV], asn: [64500]}}, then: drop}\n")
	ps := inspect(filepath.Join(dir, "rampart.yaml"), config.ThisHost(), time.Now())
	text := ps.String()
	for _, want := range []string{"a.yaml:3:", "site/abroad asks for source.country, and geoip.country names no database", "site/abroad asks for source.asn, and geoip.asn names no database"} {
		if !strings.Contains(text, want) {
			t.Errorf("no problem says %q:\n%s", want, text)
		}
	}
	if ps.Err() != nil {
		t.Errorf("more than warnings:\n%s", text)
	}
}

// A GeoIP file of another schema takes the place of the one in use; a broken one
// leaves it, with an alert.
func TestChangedGeoIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "country.mmdb")
	put := func(name string) {
		t.Helper()
		b := []byte("junk")
		if name != "" {
			var err error
			if b, err = os.ReadFile(filepath.Join("testdata", name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(db, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("fr.mmdb")
	s := newSite(t, 32, fmt.Sprintf("geoip: {country: %s}\n", db))
	is := func(want string) {
		t.Helper()
		if got, _ := s.g.geo.Lookup(netip.MustParseAddr("203.0.113.7")); got != want {
			t.Errorf("country %q, want %q", got, want)
		}
	}
	is("FR")
	put("de-flat.mmdb")
	s.g.reloadGeo()
	is("DE")
	put("")
	s.g.reloadGeo()
	is("DE")
	s.waitAlert("geoip/not-loaded", "country.mmdb")
}
