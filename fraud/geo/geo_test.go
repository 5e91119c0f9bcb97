package geo

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"
)

type rows map[string]mmdbtype.Map

// write makes a database of a kind, with documentation and private addresses in it.
func write(t testing.TB, path, kind string, data rows) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IncludeReservedNetworks: true, BuildEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for p, m := range data {
		if err := tree.Insert(netipx.PrefixIPNet(netip.MustParsePrefix(p)), m); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func in(field, code string) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(field): mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

func as(n uint32) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(n)}
}

func files(t testing.TB) (country, asn string) {
	t.Helper()
	dir := t.TempDir()
	country, asn = filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.mmdb")
	write(t, country, "GeoLite2-Country", rows{
		"203.0.113.0/24": in("country", "FR"), "198.51.100.0/24": in("registered_country", "NL"), "192.0.2.0/24": in("country", "A1"),
		"2001:db8::/32": in("country", "GB"), "10.0.0.0/8": in("country", "US"), "127.0.0.0/8": in("country", "US"), "100.64.0.0/10": in("country", "US"),
	})
	write(t, asn, "GeoLite2-ASN", rows{"203.0.113.0/25": as(64500), "2001:db8::/32": as(4200000001)})
	return country, asn
}

func TestLookup(t *testing.T) {
	db, err := Open(files(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, country string
		asn           uint
	}{
		{"203.0.113.77", "FR", 64500},
		{"203.0.113.200", "FR", 0},
		{"::ffff:203.0.113.77", "FR", 64500},
		{"198.51.100.1", "NL", 0}, // registered there
		{"192.0.2.1", "", 0},      // not a country
		{"2001:db8:1::5", "GB", 4200000001},
		{"2001:db9::1", "", 0},
		{"8.8.8.8", "", 0},
		{"10.1.2.3", "", 0}, // although it is in the data
		{"127.0.0.1", "", 0},
		{"::1", "", 0},
		{"100.64.0.1", "", 0},
		{"fe80::1%eth0", "", 0},
		{"fd00::1", "", 0},
		{"224.0.0.1", "", 0},
		{"0.0.0.0", "", 0},
	} {
		if country, asn := db.Lookup(netip.MustParseAddr(c.addr)); country != c.country || asn != c.asn {
			t.Errorf("%s: %q %d, want %q %d", c.addr, country, asn, c.country, c.asn)
		}
	}
	if country, asn := db.Lookup(netip.Addr{}); country != "" || asn != 0 {
		t.Errorf("no address: %q %d", country, asn)
	}
}

func TestHalvesAndNothing(t *testing.T) {
	country, asn := files(t)
	a := netip.MustParseAddr("203.0.113.77")
	for _, c := range []struct {
		name, country, asn, want string
		num                      uint
	}{
		{"none", "", "", "", 0}, {"country", country, "", "FR", 0}, {"asn", "", asn, "", 64500},
	} {
		db, err := Open(c.country, c.asn)
		if err != nil {
			t.Fatal(err)
		}
		if got, n := db.Lookup(a); got != c.want || n != c.num {
			t.Errorf("%s: %q %d", c.name, got, n)
		}
		if err := db.Reload(); err != nil {
			t.Errorf("%s: reload: %v", c.name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	country, asn := files(t)
	dir := t.TempDir()
	junk, other := filepath.Join(dir, "junk.mmdb"), filepath.Join(dir, "other.mmdb")
	if err := os.WriteFile(junk, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, other, "My-Own-Kind", rows{"203.0.113.0/24": {"land": mmdbtype.String("FR")}})
	for _, c := range []struct{ name, country, asn, want string }{
		{"missing", filepath.Join(dir, "no.mmdb"), "", "no such file"},
		{"junk", junk, "", "junk.mmdb"},
		{"unknown kind", other, "", "My-Own-Kind"},
		{"swapped", asn, "", "GeoLite2-ASN"},
		{"swapped the other way", "", country, "GeoLite2-Country"},
	} {
		db, err := Open(c.country, c.asn)
		if err == nil || db != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReloadWhileInUse(t *testing.T) {
	country, asn := files(t)
	db, err := Open(country, asn)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.77")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, _ := db.Lookup(a); c != "FR" && c != "DE" {
					t.Errorf("%q while loading", c)
					return
				}
			}
		})
	}
	write(t, country, "GeoLite2-Country", rows{"203.0.113.0/24": in("country", "DE")})
	if err := db.Reload(); err != nil {
		t.Error(err)
	}
	if c, _ := db.Lookup(a); c != "DE" {
		t.Errorf("%q after reload", c)
	}
	if err := os.WriteFile(asn, nil, 0o600); err != nil {
		t.Error(err)
	}
	write(t, country, "GeoLite2-Country", rows{"203.0.113.0/24": in("country", "ES")})
	if err := db.Reload(); err == nil {
		t.Error("an empty file was loaded")
	}
	if c, n := db.Lookup(a); c != "DE" || n != 64500 {
		t.Errorf("%q %d after a failed reload, want what was there", c, n)
	}
	close(stop)
	wg.Wait()
}

func BenchmarkLookup(b *testing.B) {
	db, err := Open(files(b))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.77")
	b.ReportAllocs()
	for b.Loop() {
		db.Lookup(a)
	}
}

// Free databases: the answer stands at the top of the record, in a type that
// geoip2 has never heard of.
func TestFlatSchema(t *testing.T) {
	dir := t.TempDir()
	text := func(s string) mmdbtype.String { return mmdbtype.String(s) }
	for _, c := range []struct {
		name    string
		record  mmdbtype.Map
		country string
		asn     uint
	}{
		{"code", mmdbtype.Map{"country_code": text("FR")}, "FR", 0},
		{"small letters", mmdbtype.Map{"country_code": text("fr")}, "FR", 0},
		{"camel case", mmdbtype.Map{"countryCode": text("FR")}, "FR", 0},
		{"country is the code", mmdbtype.Map{"country": text("FR"), "asn": text("AS64500")}, "FR", 64500},
		{"name beside code", mmdbtype.Map{"country": text("France"), "country_code": text("FR"), "asn": text("as64500")}, "FR", 64500},
		{"number", mmdbtype.Map{"asn": mmdbtype.Uint32(64500)}, "", 64500},
		{"number as text", mmdbtype.Map{"as_number": text("64500")}, "", 64500},
		{"as_number", mmdbtype.Map{"as_number": mmdbtype.Uint32(4200000001)}, "", 4200000001},
		{"MaxMind's fields", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": text("FR")}, "autonomous_system_number": mmdbtype.Uint32(64500)}, "FR", 64500},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".mmdb")
		write(t, file, "My-Own-Kind", rows{"203.0.113.0/24": c.record, "198.51.100.0/24": {"other": text("x")}})
		open := func(country, asn string, want bool) *DB {
			db, err := Open(country, asn)
			if (err == nil) != want {
				t.Errorf("%s: opened: %v", c.name, err)
			}
			return db
		}
		a := netip.MustParseAddr("203.0.113.77")
		country, _ := open(file, "", c.country != "").Lookup(a)
		_, asn := open("", file, c.asn != 0).Lookup(a)
		if country != c.country || asn != c.asn {
			t.Errorf("%s: %q %d, want %q %d", c.name, country, asn, c.country, c.asn)
		}
		if c.country != "" && c.asn != 0 { // one file for both
			if country, asn := open(file, file, true).Lookup(netip.MustParseAddr("198.51.100.9")); country != "" || asn != 0 {
				t.Errorf("%s: a record without the fields: %q %d", c.name, country, asn)
			}
		}
	}
}

func TestFileIsCapped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.mmdb")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(maxFile+1), f.Close()); err != nil { // no byte of it is on the disk
		t.Fatal(err)
	}
	if _, err := Open(file, ""); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a file of %d bytes: %v", int64(maxFile+1), err)
	}
}
