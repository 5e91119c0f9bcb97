package integration_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// trunks is a world with a scripted PBX and carriers over UDP, which are known
// by their addresses.
type trunks struct {
	*world
	pbxAddr  netip.Addr
	carriers []netip.Addr
}

// newTrunks starts a gateway with a number of carriers, which are routed to in
// their order. Their scripts are started by the tests.
func newTrunks(t *testing.T, carriers int, more string) *trunks {
	w := &trunks{world: newWorld(t)}
	w.pbxAddr = w.net.Addr(t)
	var entries, names []string
	for i := range carriers {
		a := w.net.Addr(t)
		w.carriers = append(w.carriers, a)
		names = append(names, fmt.Sprintf("carrier-%d", i))
		entries = append(entries, fmt.Sprintf(`  - {name: carrier-%d, identify: {ip: [%s/32]}, uri: "sip:%s:5060;transport=udp", allow_plaintext: true}`, i, a, a))
	}
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr),
		fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers:\n%s\nroutes: [{peers: [%s]}]\n%s",
			w.tls(), w.publicUDP(), strings.Join(entries, "\n"), strings.Join(names, ", "), more))
	return w
}

func (w *world) publicUDP() netip.AddrPort { return netip.AddrPortFrom(w.public, 5060) }

func (w *trunks) pbxAnswers(c peers.Scenario) *peers.SIPp {
	c.Addr = w.pbxAddr
	return peers.StartSIPp(w.tb, w.net, c)
}

func (w *trunks) carrierAnswers(i int, c peers.Scenario) *peers.SIPp {
	c.Addr = w.carriers[i]
	return peers.StartSIPp(w.tb, w.net, c)
}

// in is a call of a carrier to a number of the PBX, out one of the PBX.
func (w *trunks) in(c peers.Scenario) *peers.SIPp {
	c.Addr, c.Port, c.To = w.carriers[0], 5070, w.publicUDP()
	if c.Service == "" {
		c.Service = "+33199001001"
	}
	return peers.StartSIPp(w.tb, w.net, c)
}

func (w *trunks) out(c peers.Scenario) *peers.SIPp {
	c.Addr, c.Port, c.To = w.pbxAddr, 5070, w.udp()
	if c.From == "" {
		c.From = "1001"
	}
	if c.Service == "" {
		c.Service = "+33123456789"
	}
	return peers.StartSIPp(w.tb, w.net, c)
}

func TestCarrierCallsIn(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	seen := peers.StartCapture(t, w.net)
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_tone", Tone: 600})
	call := w.in(peers.Scenario{Name: "uac_tone", Tone: 900, Hold: 3 * time.Second})
	seen.HearsRTP(peers.Received(w.pbxAddr), 900, soon)
	seen.HearsRTP(peers.Received(w.carriers[0]), 600, soon)
	if calls := w.get("/api/v1/calls"); !strings.Contains(calls, `"inbound"`) || !strings.Contains(calls, `"carrier-0"`) {
		t.Errorf("/api/v1/calls: %s", calls)
	}
	call.Success()
	w.in(peers.Scenario{Name: "uac_reinvite", Hold: 200 * time.Millisecond}).Success()
	w.waitLine("cdr.jsonl", "direction", "inbound", "peer", "carrier-0", "code", "200", "ended_by", "caller")
	w.idle()
	pbx.Stop()

	for _, c := range []struct{ pbx, call string }{
		{"uas_bye", "uac_wait"}, // BYE of the PBX
		{"uas_early", "uac_call"},
		{"uas_noanswer", "uac_cancel"},
	} {
		pbx := w.pbxAnswers(peers.Scenario{Name: c.pbx})
		w.in(peers.Scenario{Name: c.call}).Success()
		w.idle()
		pbx.Stop()
		if st := pbx.Stats(); st.Unexpected > 0 {
			t.Errorf("%s: unexpected messages: %+v", c.pbx, st)
		}
	}
	w.waitLine("cdr.jsonl", "code", "200", "ended_by", "callee")
	w.waitLine("cdr.jsonl", "code", "487", "ended_by", "caller")
	for script, code := range map[string]int{"uas_busy": 486, "uas_decline": 603, "uas_notfound": 404} {
		pbx := w.pbxAnswers(peers.Scenario{Name: script})
		if got := w.in(peers.Scenario{Name: "uac_any"}).Success().Final; got[code] != 1 {
			t.Errorf("%s: the carrier got %v, want %d", script, got, code)
		}
		w.idle()
		pbx.Stop()
	}
	w.idle()
}

func TestCallOut(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	seen := peers.StartCapture(t, w.net)
	carrier := w.carrierAnswers(0, peers.Scenario{Name: "uas_tone", Tone: 600})
	call := w.out(peers.Scenario{Name: "uac_tone", Tone: 900, Hold: 3 * time.Second})
	seen.HearsRTP(peers.Received(w.carriers[0]), 900, soon)
	seen.HearsRTP(peers.Received(w.pbxAddr), 600, soon)
	call.Success()
	w.out(peers.Scenario{Name: "uac_reinvite", Hold: 200 * time.Millisecond}).Success()
	w.waitLine("cdr.jsonl", "direction", "outbound", "passes.0.routed_to", "carrier-0", "code", "200", "ended_by", "caller")
	w.idle()
	carrier.Stop()
	for _, c := range []struct{ carrier, call string }{
		{"uas_bye", "uac_wait"},
		{"uas_early", "uac_call"},
		{"uas_noanswer", "uac_cancel"},
	} {
		carrier := w.carrierAnswers(0, peers.Scenario{Name: c.carrier})
		w.out(peers.Scenario{Name: c.call}).Success()
		w.idle() // also the other leg's BYE has its answer
		carrier.Stop()
		if st := carrier.Stats(); st.Unexpected > 0 {
			t.Errorf("%s: unexpected messages: %+v", c.carrier, st)
		}
	}
	w.idle()
}

// The first carrier refuses with 503, the second is nobody's address, the third
// answers.
func TestRouteGoesOn(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 3, "")
	w.carrierAnswers(0, peers.Scenario{Name: "uas_unavailable"})
	w.carrierAnswers(2, peers.Scenario{Name: "uas_answer"})
	start := time.Now()
	w.out(peers.Scenario{Name: "uac_call", Limit: 90 * time.Second, Args: []string{"-recv_timeout", "60000"}}).Success()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("the first call took %v; 2 s for the silent carrier, not the 32 s of Timer B", d)
	}
	w.waitLine("cdr.jsonl", "code", "200", "passes.0.routed_to", "carrier-2")
	// The next call does not wait for the silent one again.
	start = time.Now()
	w.out(peers.Scenario{Name: "uac_call"}).Success()
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("the second call took %v", d)
	}
	w.idle()
}

// CANCEL and 200 meet: whatever wins, nothing stays. The callee answers after
// two milliseconds, the caller gives up a bit later each time.
func TestCancelMeetsAnswer(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	w.pbxProgram(func(in *siptest.Incoming) {
		in.Ring()
		select {
		case <-time.After(2 * time.Millisecond):
			_, _ = in.Answer()
		case <-in.Cancelled():
		}
	})
	carrier := w.carrier(0, siptest.CarrierConfig{})
	answered, cancelled := 0, 0
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*80*time.Microsecond+1000*time.Microsecond)
		call, err := carrier.Invite(ctx, "+33199001001")
		cancel()
		if err != nil {
			cancelled++
			continue
		}
		answered++
		if err := call.Bye(t.Context()); err != nil {
			t.Fatalf("call %d: BYE: %v", i, err)
		}
	}
	t.Logf("%d answered, %d cancelled", answered, cancelled)
	if answered == 0 || cancelled == 0 {
		t.Errorf("%d answered and %d cancelled are no race", answered, cancelled)
	}
	peers.Eventually(t, soon, "one record of each call", func() bool { return len(w.lines("cdr.jsonl")) == 60 })
	w.idle()
}

// pbxProgram is a PBX as a program of our own.
func (w *trunks) pbxProgram(onInvite func(*siptest.Incoming)) *siptest.Phone {
	w.tb.Helper()
	p, err := siptest.NewPhone(w.tb.Context(), siptest.PhoneConfig{User: "1001", Domain: peers.Domain, Server: w.udp(), Local: w.pbxAddr,
		Listen: "udp", ListenAt: netip.AddrPortFrom(w.pbxAddr, 5060), OnInvite: onInvite, Tone: 500})
	if err != nil {
		w.tb.Fatalf("a PBX: %v", err)
	}
	w.tb.Cleanup(p.Close)
	return p
}

// carrier is one of the carriers as a program of our own, for what scripts
// cannot do.
func (w *trunks) carrier(i int, c siptest.CarrierConfig) *siptest.Phone {
	w.tb.Helper()
	c.Domain, c.Gateway = peers.Domain, w.publicUDP()
	c.Listen = netip.AddrPortFrom(w.carriers[i], 5080)
	p, err := siptest.NewCarrier(w.tb.Context(), c)
	if err != nil {
		w.tb.Fatalf("a carrier: %v", err)
	}
	w.tb.Cleanup(p.Close)
	return p
}

// Early media is heard before the answer, in both directions of calls.
func TestEarlyMedia(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	seen := peers.StartCapture(t, w.net)
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_early", Tone: 700})
	w.in(peers.Scenario{Name: "uac_call", Hold: time.Second}).Success()
	w.idle()
	pbx.Stop()
	w.carrierAnswers(0, peers.Scenario{Name: "uas_early", Tone: 700})
	w.out(peers.Scenario{Name: "uac_call", Hold: time.Second}).Success()
	for name, caller := range map[string]netip.Addr{"carrier": w.carriers[0], "PBX": w.pbxAddr} {
		seen.HearsRTP(peers.Received(caller), 700, soon)
		early := 0
		for _, p := range seen.Packets(func(p peers.Packet) bool { return !p.TCP && p.To.Addr() == caller }) {
			if strings.HasPrefix(string(p.Payload), "SIP/2.0 200") {
				break
			}
			if len(p.Payload) == 172 {
				early++
			}
		}
		if early < 25 {
			t.Errorf("the %s got %d packets before the answer, want about 50", name, early)
		}
	}
	w.idle()
}
