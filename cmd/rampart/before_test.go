package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Somebody in an office guesses passwords of many users right after a restart,
// before a phone of the office has come back: the office is not shut out. An
// address that nobody was registered from is.
func TestOfficeIsKnownOverARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := newSite(t, 61, "")
	users := map[string]string{}
	for i := range 8 {
		users[fmt.Sprint(2000+i)] = fmt.Sprint("good-", i)
	}
	pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: users,
		Listen: netip.MustParseAddrPort("127.91.61.3:5060"), Trunk: netip.MustParseAddrPort("127.91.61.2:5060")})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	ours, elsewhere := s.office(50), s.office(51)
	in := func(o *office, when string) {
		t.Helper()
		p, err := o.phone(ctx, "2000", "good-0")
		if err == nil {
			defer p.Close()
			err = p.Register(ctx, time.Hour)
		}
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	guess := func(o *office) {
		for i := 1; i < 8; i++ {
			p, err := o.phone(ctx, fmt.Sprint(2000+i), "wrong")
			if err != nil {
				return // shut out
			}
			for range 5 {
				p.Register(ctx, time.Hour)
			}
			p.Close()
		}
	}
	in(ours, "before")
	s.g.close(time.Second)
	if b, err := os.ReadFile(filepath.Join(s.dir, "state/failures.json")); err != nil || !strings.Contains(string(b), `"address":"127.91.61.50"`) {
		t.Fatalf("%v %.300s", err, b)
	}
	s.start()
	guess(ours)
	if all := s.g.bans.List(time.Now()); len(all) != 0 {
		t.Errorf("the office: %+v", all)
	}
	in(ours, "a phone of the office that was guessed in")
	guess(elsewhere)
	if all := s.g.bans.List(time.Now()); len(all) != 1 || all[0].Key.Source.Addr() != netip.MustParseAddr("127.91.61.51") {
		t.Errorf("who guesses elsewhere: %+v", all)
	}
}
