package sbc

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// TestTally: each refused call is counted once, of whomever it was; a million
// different callers need no more room than its size, and what was counted is
// given once, when the minute is over.
func TestTally(t *testing.T) {
	t.Parallel()
	var x tally
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := &sipx.Flow{Side: call.Public, Transport: "tls", Remote: netip.MustParseAddrPort("192.0.2.7:4711")}
	q := &request{flow: f, method: "INVITE", uri: []byte("sip:" + strings.Repeat("1", 300) + "@b.example"), from: []byte("sip:1001@a.example"), callID: []byte("c1")}
	peer := identity{kind: call.Carrier, peer: &Peer{Name: "carrier"}}
	for i := range 5 {
		x.refused(q, peer, 77, false, now.Add(time.Duration(i)*time.Second))
	}
	if got := x.take(now.Add(59*time.Second), false); got != nil {
		t.Fatalf("%d before the minute is over", len(got))
	}
	got := x.take(now.Add(time.Minute), false)
	if len(got) != 1 || got[0].n != 5 || got[0].name != "carrier" || got[0].from.String() != "1001" || len(got[0].to.String()) != 120 ||
		got[0].last.Sub(got[0].first) != 4*time.Second || got[0].source != f.Remote {
		t.Fatalf("%+v", got)
	}
	if x.take(now.Add(time.Hour), true) != nil {
		t.Error("given twice")
	}
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	for i := range n {
		x.refused(q, identity{kind: call.Stranger}, uint64(i)*0x9e3779b97f4a7c15|1, true, now)
	}
	sum := 0
	got = x.take(now, true)
	for _, g := range got {
		sum += g.n
	}
	if sum != n || len(got) > tallySlots+1 || len(got) < tallySlots/2 {
		t.Errorf("%d calls in %d records, want %d", sum, len(got), n)
	}
}

// TestTallyAllocs: a call is counted without allocating.
func TestTallyAllocs(t *testing.T) {
	var x tally
	now := time.Now()
	q := &request{flow: &sipx.Flow{Remote: netip.MustParseAddrPort("192.0.2.7:4711")}, method: "INVITE", uri: []byte("sip:600@b.example"), from: []byte("sip:1001@a.example"), callID: []byte("c1")}
	id, n := identity{kind: call.Carrier, peer: &Peer{Name: "carrier"}}, uint64(0)
	if a := testing.AllocsPerRun(10_000, func() {
		n++
		x.refused(q, id, n|1, false, now)
	}); a != 0 {
		t.Errorf("%v allocations a call", a)
	}
}
