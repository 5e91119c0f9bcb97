package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// TestSessionTimers: 422 with the least interval, then an interval of both
// ends' own, refreshed by re-INVITE and UPDATE.
func TestSessionTimers(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_timer"})
	w.in(peers.Scenario{Name: "uac_timer"}).Success()
	w.waitLine("cdr.jsonl", "code", "422", "rule", "base/session-interval")
	w.waitLine("cdr.jsonl", "code", "200", "ended_by", "caller")
	w.idle()
	pbx.Stop()
	carrier := w.carrierAnswers(0, peers.Scenario{Name: "uas_timer"})
	w.out(peers.Scenario{Name: "uac_timer"}).Success()
	w.idle()
	carrier.Stop()
	for _, s := range []*peers.SIPp{pbx, carrier} {
		if st := s.Stats(); st.Failed+st.Unexpected > 0 || st.Successful != 1 {
			t.Errorf("%s: %+v", s.Name(), st)
		}
	}
}

// TestFax: T.38 between a PBX and a carrier, and audio afterwards.
func TestFax(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_fax"})
	w.in(peers.Scenario{Name: "uac_fax"}).Success()
	w.idle()
	pbx.Stop()
	if st := pbx.Stats(); st.Failed+st.Unexpected > 0 || st.Successful != 1 {
		t.Errorf("the PBX: %+v", st)
	}
}

// TestFaxTowardsSRTP: a PBX that must have SRTP hears nothing of T.38, and the
// call goes on.
func TestFaxTowardsSRTP(t *testing.T) {
	t.Parallel()
	w := &trunks{world: newWorld(t)}
	w.pbxAddr, w.carriers = w.net.Addr(t), []netip.Addr{w.net.Addr(t)}
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", srtp: required, health: 0s}`, w.pbxAddr),
		fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers:\n  - {name: carrier-0, identify: {ip: [%s/32]}, uri: \"sip:%s:5060;transport=udp\", allow_plaintext: true}\n",
			w.tls(), w.publicUDP(), w.carriers[0], w.carriers[0]))
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_secure"})
	w.in(peers.Scenario{Name: "uac_fax_refused"}).Success()
	w.waitLine("cdr.jsonl", "code", "200", "ended_by", "caller")
	w.idle()
	pbx.Stop()
	if st := pbx.Stats(); st.Failed+st.Unexpected > 0 || st.Successful != 1 {
		t.Errorf("the PBX: %+v", st)
	}
}

// TestMultipart: of a multipart body the description crosses alone.
func TestMultipart(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_single"})
	w.in(peers.Scenario{Name: "uac_multipart"}).Success()
	w.idle()
	pbx.Stop()
	if st := pbx.Stats(); st.Failed+st.Unexpected > 0 || st.Successful != 1 {
		t.Errorf("the PBX: %+v", st)
	}
}

// moving is a world whose carriers redirect: the first is followed, the second
// relayed; numbers that begin with +33199002 are the third's.
func moving(t *testing.T) *trunks {
	w := &trunks{world: newWorld(t)}
	w.pbxAddr = w.net.Addr(t)
	var entries []string
	for i, redirects := range []string{"follow", "relay", "refuse"} {
		a := w.net.Addr(t)
		w.carriers = append(w.carriers, a)
		entries = append(entries, fmt.Sprintf(`  - {name: carrier-%d, identify: {ip: [%s/32]}, uri: "sip:%s:5060;transport=udp", allow_plaintext: true, redirects: %s, identity: {trust: true}}`, i, a, a, redirects))
	}
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr),
		fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers:\n%s\nroutes:\n", w.tls(), netip.AddrPortFrom(w.public, 5060), strings.Join(entries, "\n"))+
			"  - {match: {to: {prefix: [\"+33199002\"]}}, peers: [carrier-2]}\n"+
			"  - {match: {to: {prefix: [\"+33199001\"]}}, peers: [carrier-1]}\n"+
			"  - {peers: [carrier-0]}\n")
	return w
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	w := moving(t)
	// Followed, to another carrier.
	from := w.carrierAnswers(0, peers.Scenario{Name: "uas_moved", Service: "+33199002001"})
	to := w.carrierAnswers(2, peers.Scenario{Name: "uas_answer"})
	w.out(peers.Scenario{Name: "uac_call", Service: "+33123456789"}).Success()
	w.waitLine("cdr.jsonl", "code", "200", "diversion", "+33123456789")
	w.idle()
	from.Stop()
	to.Stop()
	if m := to.Messages(); !strings.Contains(m, "Diversion: <sip:+33123456789@"+peers.Domain+">;reason=unconditional") {
		t.Errorf("the carrier that was called instead is not told who passed the call on:\n%s", m)
	}
	// To a country that policy denies: refused, nobody is called.
	from = w.carrierAnswers(0, peers.Scenario{Name: "uas_moved", Service: "+18765550100"})
	if got := w.out(peers.Scenario{Name: "uac_any", Service: "+33123456789"}).Success().Final; got[403] != 1 {
		t.Errorf("redirected to a denied country: %v", got)
	}
	w.waitLine("alerts.jsonl", "event.action", "call-rejected")
	w.idle()
	from.Stop()
	// Relayed: the PBX hears of it, and not of hosts elsewhere.
	from = w.carrierAnswers(1, peers.Scenario{Name: "uas_moved", Service: "+33199002001"})
	w.out(peers.Scenario{Name: "uac_moved", Service: "+33199001001"}).Success()
	w.waitLine("cdr.jsonl", "code", "302")
	w.idle()
	from.Stop()
}
