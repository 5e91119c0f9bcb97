package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// The commands ban, list and lift; what is in force outlives a restart; a peer
// or the PBX is never banned.
func TestBansByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t, 41, `peers:
  - {name: carrier, identify: {ip: [198.51.100.0/24]}, uri: "sip:198.51.100.7;transport=tls"}
`, "admin: {listen: off}", "admin: {listen: \"127.91.41.8:18141\"}")
	var stdout, stderr bytes.Buffer
	run := func(args ...string) (int, string) {
		stdout.Reset()
		stderr.Reset()
		code := execute(append(args, "-c", filepath.Join(s.dir, "rampart.yaml")), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	has := func(code int, out string, want int, texts ...string) {
		t.Helper()
		if code != want {
			t.Errorf("exit %d, want %d: %s", code, want, out)
		}
		for _, x := range texts {
			if !strings.Contains(out, x) {
				t.Errorf("no %q in:\n%s", x, out)
			}
		}
	}
	check := func(want int, texts []string, args ...string) {
		t.Helper()
		code, out := run(args...)
		has(code, out, want, texts...)
	}
	check(0, []string{"nobody is banned"}, "bans", "list")
	check(0, []string{"source.ip=192.0.2.66"}, "bans", "add", "192.0.2.66", "--for", "1d", "--why", "scans at night")
	check(0, []string{"user=1001"}, "bans", "add", "--hold", "--user", "1001")
	check(0, []string{"2001:db8:1:2::/64"}, "bans", "add", "2001:db8:1:2::7")
	check(0, []string{"ban", "192.0.2.66", "scans at night", "admin/ban", "hold", "user=1001"}, "bans", "list")
	check(0, []string{`"total": 3`, `"manual": true`, `"kind": "hold"`}, "bans", "list", "--json")
	check(1, []string{"belongs to a peer"}, "bans", "add", "198.51.100.9")
	check(1, []string{"belongs to a peer"}, "bans", "add", "127.91.41.3") // the PBX
	check(2, []string{"say who"}, "bans", "add")
	check(2, []string{"is no address"}, "bans", "add", "192.0.2.300")
	check(2, []string{"never banned"}, "bans", "add", "--peer", "carrier")
	check(1, []string{"1s to 365d"}, "bans", "add", "192.0.2.1", "--for", "tomorrow")
	check(1, []string{"there is no ban"}, "bans", "remove", "192.0.2.67")
	if !s.g.bans.Shut(netip.MustParseAddr("192.0.2.66"), time.Now()) {
		t.Error("the gate lets it in")
	}
	before := s.g.bans.Remembered()

	s.g.close(time.Second)
	s.start()
	after := s.g.bans.List(time.Now())
	if len(after) != 3 || len(before) != 3 || after[0].Key != before[0].Key || !after[0].Until.Equal(before[0].Until) || after[2].Reason != "scans at night" || !after[2].Manual {
		t.Errorf("after the restart: %+v\nbefore: %+v", after, before)
	}
	if st, err := os.Stat(filepath.Join(s.dir, "state/bans.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	check(0, []string{"lifted: ban", "192.0.2.66"}, "bans", "remove", "192.0.2.66")
	check(0, []string{"lifted: hold"}, "bans", "remove", "--hold", "--user", "1001")
	if s.g.bans.Shut(netip.MustParseAddr("192.0.2.66"), time.Now()) {
		t.Error("it is still shut out")
	}
	const js = "application/json"
	if code, _ := s.ask("POST", "/api/v1/bans", `{"sorce": "192.0.2.1"}`, "Content-Type", js); code != 400 {
		t.Error(code)
	}
	if code, v := s.ask("GET", "/api/v1/bans?limit=0", ""); code != 200 || v["total"] != 1.0 {
		t.Error(code, v)
	}
	if code, _ := s.ask("GET", "/api/v1/bans?limit=many", ""); code != 400 {
		t.Error(code)
	}
}

// What an operator changes is written before the gateway is asked to end: who
// kills it keeps it.
func TestBansByHandAreWrittenAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 46, "", "admin: {listen: off}", "admin: {listen: \"127.91.46.8:18146\"}")
	for i := range 3 {
		who := fmt.Sprintf("192.0.2.%d", i)
		if code, _ := s.ask("POST", "/api/v1/bans", `{"source": "`+who+`"}`, "Content-Type", "application/json"); code != 200 {
			t.Fatal(code)
		}
		for end := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
			b, err := os.ReadFile(filepath.Join(s.dir, "state/bans.json"))
			if err == nil && strings.Contains(string(b), who) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the ban is not in the file")
			}
		}
	}
}

// The more bans there are, the seldomer they are written: an attack is no load
// on the disk.
func TestBansAreWrittenSeldom(t *testing.T) {
	if few, full := banEvery(100), banEvery(65_536+16_384); few != 2*time.Second || full < 30*time.Second || full > time.Minute {
		t.Error(few, full)
	}
}

// A damaged file is put aside and told of; the gateway starts.
func TestDamagedBans(t *testing.T) {
	t.Parallel()
	s := newSite(t, 42, "")
	s.g.close(time.Second)
	for name, text := range map[string]string{"half": `{"version": 1, "bans": [{"kind": "ban", "key": {"sou`, "newer": `{"version": 9, "bans": []}`} {
		s.write("state/bans.json", text)
		s.start()
		if n := len(s.g.bans.List(time.Now())); n != 0 {
			t.Errorf("%s: %d bans", name, n)
		}
		s.waitAlert("bans/not-loaded", "bans.json.damaged-")
		if !asideHas(t, filepath.Join(s.dir, "state/bans.json"), text) {
			t.Errorf("%s: it is not put aside", name)
		}
		s.g.bans.Add(call.Ban{Act: call.ActBan, Key: call.Key{User: name}, Since: time.Now()}, time.Hour)
		s.g.close(time.Second)
		if b, err := os.ReadFile(filepath.Join(s.dir, "state/bans.json")); err != nil || !strings.Contains(string(b), name) {
			t.Errorf("%s: not written anew: %q %v", name, b, err)
		}
		if err := os.Remove(filepath.Join(s.dir, "state/bans.json")); err != nil {
			t.Error(err)
		}
	}
	s.start()
}
