package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Failed attempts are counted over a restart; a damaged file is put aside and
// told of.
func TestFailuresAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, 47, "")
	guess := func() call.Decision {
		a := &call.Attempt{At: time.Now(), Method: "REGISTER", RegisterUser: "1001", AuthUser: "1001", SIPCallID: "x",
			Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.7:5061"), Transport: "tls"}}
		d := s.g.counts.Judge(a)
		s.g.counts.Outcome(a, 403)
		return d
	}
	for range 5 {
		if d := guess(); d.Rule != "" {
			t.Fatalf("%s: %s", d.Rule, d.Reason)
		}
	}
	s.g.close(time.Second)
	file := filepath.Join(s.dir, "state/failures.json")
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Fatal(i, err)
	}
	s.start()
	for range 5 {
		if d := guess(); d.Rule != "" {
			t.Fatalf("too soon: %s", d.Rule)
		}
	}
	if d := guess(); d.Rule != "base/register-failures" {
		t.Errorf("after ten failures, five of them before the restart: %q", d.Rule)
	}
	s.g.close(time.Second)

	for name, text := range map[string]string{"half": `{"version": 1, "seed": [1, 2], "failures": [{"key":`, "newer": `{"version": 9}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.waitAlert("failures/not-loaded", "failures.json.damaged-")
		if !asideHas(t, file, text) {
			t.Errorf("%s: it is not put aside", name)
		}
		if d := guess(); d.Rule != "" {
			t.Errorf("%s: %s", name, d.Rule)
		}
		s.g.close(time.Second)
	}
	s.start()
}
