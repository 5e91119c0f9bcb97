package integration_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// badLines has bad lines before the PBX and the carrier. The gateway knows both
// by the ends of the lines; the scripts have addresses of their own.
type badLines struct {
	*trunks
	bad peers.Trouble
}

func newBadLines(t *testing.T, bad peers.Trouble) *badLines {
	return &badLines{trunks: newTrunks(t, 1, ""), bad: bad}
}

// run has calls made over one line and answered over the other, in or out.
func (w *badLines) run(in bool, caller, callee peers.Scenario) (call *peers.SIPp, lines []*peers.BadLine) {
	w.tb.Helper()
	line := func(c *peers.Scenario, end netip.Addr, gateway netip.AddrPort) {
		bad := w.bad
		bad.Seed += uint64(c.Port)
		c.Addr = w.net.Addr(w.tb)
		c.Line = peers.StartBadLine(w.tb, w.net, netip.AddrPortFrom(end, c.Port), netip.AddrPortFrom(c.Addr, c.Port), gateway, bad)
		lines = append(lines, c.Line)
	}
	caller.Port, callee.Port = 5070, 5060
	if in {
		caller.Service = "+33199001001"
		line(&callee, w.pbxAddr, w.udp())
		line(&caller, w.carriers[0], w.publicUDP())
	} else {
		caller.From, caller.Service = "1001", "+33123456789"
		line(&callee, w.carriers[0], w.publicUDP())
		line(&caller, w.pbxAddr, w.udp())
	}
	peers.StartSIPp(w.tb, w.net, callee)
	return peers.StartSIPp(w.tb, w.net, caller), lines
}

// Every tenth datagram is lost in each direction on both sides, and the
// retransmissions mend it: every call succeeds.
func TestLossOnUDP(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]peers.Trouble{
		"lost":           {Seed: 1, Lost: 0.1},
		"lost and twice": {Seed: 2, Lost: 0.1, Twice: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newBadLines(t, bad)
			call, lines := w.run(true, peers.Scenario{Name: "uac_call", Calls: 40, Rate: 20, Limit: 90 * time.Second}, peers.Scenario{Name: "uas_answer"})
			if st := call.Success(); st.Successful != 40 {
				t.Errorf("of 40 calls: %+v", st)
			}
			for _, l := range lines {
				if did := l.Did(); did["lost"] < 10 || did["twice"] < 10 && bad.Twice > 0 {
					t.Errorf("the line was not bad: %v", did)
				}
			}
			w.idle()
			peers.Eventually(t, soon, "a record of each call", func() bool { return len(w.lines("cdr.jsonl", "code", "200")) == 40 })
		})
	}
}

// Datagrams get lost, come twice and overtake each other. The scripts may lose
// their way then; in the gateway every call ends, with one record, and no port
// stays open.
func TestBadLines(t *testing.T) {
	t.Parallel()
	for i, c := range []struct{ caller, callee string }{
		{"uac_reinvite", "uas_answer"},
		{"uac_wait", "uas_bye"},
		{"uac_call", "uas_early"},
		{"uac_cancel", "uas_noanswer"},
		{"uac_call", "uas_ring"},
		{"uac_any", "uas_busy"},
		{"uac_prack", "uas_prack"},
		{"uac_late", "uas_late"},
	} {
		t.Run(c.caller+" to "+c.callee, func(t *testing.T) {
			t.Parallel()
			const calls = 12 // in, and as many out at the same time
			w := newBadLines(t, peers.Trouble{Seed: uint64(10 + i), Lost: 0.1, Twice: 0.1, Late: 0.1})
			var all []*peers.BadLine
			var callers []*peers.SIPp
			for _, in := range []bool{true, false} {
				call, lines := w.run(in, peers.Scenario{Name: c.caller, Calls: calls, Rate: 4, Limit: 2 * time.Minute}, peers.Scenario{Name: c.callee})
				all, callers = append(all, lines...), append(callers, call)
			}
			for _, call := range callers {
				call.Wait(call.Limit + 5*time.Second)
			}
			// A script that has lost its way is silent: then the gateway waits
			// 64·T1 for an ACK and as long for the answer to its BYE.
			w.idleIn(100 * time.Second)
			peers.Eventually(t, soon, "a record of each call", func() bool { return len(w.lines("cdr.jsonl")) >= 2*calls })
			if in, out := len(w.lines("cdr.jsonl", "direction", "inbound")), len(w.lines("cdr.jsonl", "direction", "outbound")); in != calls || out != calls {
				t.Errorf("%d records of calls in and %d of calls out, want %d of each", in, out, calls)
			}
			for _, l := range all {
				if did := l.Did(); did["lost"] == 0 || did["twice"] == 0 || did["late"] == 0 {
					t.Errorf("the line was not bad: %v", did)
				}
			}
		})
	}
}
