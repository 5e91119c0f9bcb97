package kernel_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

func TestNotSIPIsDropped(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		if b.e.Name() != "xdp" {
			return // the table does not look into datagrams
		}
		b.sync(kernel.State{})
		for i, junk := range []string{"", "\x00\x00\x00\x00", "\r\n\r\n", "\x16\x03\x01", "\xff\xfe", "[junk", "{x", "@x", "`x", "12 sip:"} {
			b.send("10.78.3.1", 5060, 1, junk)
			b.send("fd78::3:1", 5060, 1, junk)
			eventually(t, "junk is dropped", func() bool { return b.count(kernel.NotSIP) == uint64(2*i+2) })
		}
		for _, good := range []string{"INVITE sip:x SIP/2.0\r\n", "SIP/2.0 200 OK\r\n", "invite x"} {
			b.send("10.78.3.1", 5060, 1, good)
			if got := read(t, b.c, good); len(got) > 0 {
				t.Errorf("came through: %q", got)
			}
		}
	})
}

// Datagrams that are fragmented arrive, or are judged by their first fragment.
func TestFragments(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		big := "INVITE sip:x SIP/2.0\r\n" + strings.Repeat("x", 1900)
		for _, from := range []string{"10.78.3.1", "fd78:0:0:3::1"} {
			b.sync(kernel.State{})
			b.send(from, 5060, 1, big)
			read(t, b.c, big)
			b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.3.1/32", time.Hour), ban("fd78:0:0:3::/64", time.Hour)}})
			was := b.count(kernel.Banned)
			b.send(from, 5060, 1, big)
			eventually(t, "the first fragment is dropped", func() bool { return b.count(kernel.Banned) == was+1 })
		}
		b.sync(kernel.State{})
		b.arrives("10.78.3.1")
	})
}

// A program that somebody else attached stays.
func TestOtherProgramStays(t *testing.T) {
	w := newWire(t)
	w.in(w.host, func() {
		first, err := kernel.OpenXDP("eth0", kernel.Generic, ports, budget)
		if err != nil {
			t.Error(err)
			return
		}
		defer first.Close()
		for _, mode := range []string{kernel.Auto, kernel.Native, kernel.Generic} {
			second, err := kernel.OpenXDP("eth0", mode, ports, budget)
			if err == nil {
				second.Close()
				t.Errorf("%s: replaced", mode)
			} else if !strings.Contains(err.Error(), "another XDP program") {
				t.Errorf("%s: unclear: %v", mode, err)
			}
		}
		if _, err := first.Stats(); err != nil {
			t.Error(err)
		}
	})
}

func TestNoSuchInterface(t *testing.T) {
	if _, err := kernel.OpenXDP("no-such0", kernel.Auto, ports, budget); err == nil || !strings.Contains(err.Error(), "no-such0") {
		t.Errorf("%v", err)
	}
}
