package integration_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// PRACK, UPDATE and late offers between scripts, in and out, also where every
// tenth datagram is lost.
func TestExchangesOfScripts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ caller, callee string }{{"uac_prack", "uas_prack"}, {"uac_late", "uas_late"}} {
		t.Run(c.caller, func(t *testing.T) {
			t.Parallel()
			w := newTrunks(t, 1, "")
			pbx := w.pbxAnswers(peers.Scenario{Name: c.callee})
			if st := w.in(peers.Scenario{Name: c.caller, Calls: 10}).Success(); st.Successful != 10 {
				t.Errorf("in: %+v", st)
			}
			w.idle()
			pbx.Stop()
			carrier := w.carrierAnswers(0, peers.Scenario{Name: c.callee})
			if st := w.out(peers.Scenario{Name: c.caller, Calls: 10}).Success(); st.Successful != 10 {
				t.Errorf("out: %+v", st)
			}
			w.idle()
			carrier.Stop()
			for _, s := range []*peers.SIPp{pbx, carrier} {
				if st := s.Stats(); st.Unexpected > 0 || st.Failed > 0 {
					t.Errorf("%s: %+v", s.Name(), st)
				}
			}
			peers.Eventually(t, soon, "a record of each call", func() bool { return len(w.lines("cdr.jsonl", "code", "200")) == 20 })
		})
		t.Run(c.caller+" with losses", func(t *testing.T) {
			t.Parallel()
			w := newBadLines(t, peers.Trouble{Seed: 3, Lost: 0.1})
			call, lines := w.run(true, peers.Scenario{Name: c.caller, Calls: 20, Rate: 10, Limit: 90 * time.Second}, peers.Scenario{Name: c.callee})
			// A script may lose its way where the gateway does not.
			call.Wait(100 * time.Second)
			if st := call.Stats(); st.Successful < 15 {
				t.Errorf("of 20 calls: %+v", st)
			}
			for _, l := range lines {
				if did := l.Did(); did["lost"] < 5 {
					t.Errorf("the line was not bad: %v", did)
				}
			}
			w.idleIn(100 * time.Second)
			peers.Eventually(t, soon, "a record of each call", func() bool { return len(w.lines("cdr.jsonl")) == 20 })
		})
	}
}

var ringing = regexp.MustCompile(`SIP/2\.0 180 [^\n]*\n(?:[^\n]+\n)*?To: [^\n]*;tag=([^\s;]+)`)

// Kamailio forks a call to two telephones of one user: the carrier sees a
// dialog for each, and the one that answers is the call.
func TestForkedByKamailio(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	carrier := w.net.Addr(t)
	pbx := w.pbx(peers.PBX{DIDs: map[string]string{"+33199001001": "1002"}})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers:\n"+
		`  - {name: carrier, identify: {ip: [%s/32]}, uri: "sip:%s:5060;transport=udp", allow_plaintext: true}`+"\nroutes: [{peers: [carrier]}]\n",
		w.tls(), w.publicUDP(), carrier, carrier))
	desk := w.registered(peers.Phone{User: "1002", Tone: 700})
	soft := w.registered(peers.Phone{User: "1002", Tone: 900})
	seen := peers.StartCapture(t, w.net)
	call := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_any", Addr: carrier, Port: 5070, To: w.publicUDP(), Service: "+33199001001", Hold: 3 * time.Second})
	desk.Incoming(soon)
	soft.Incoming(soon)
	tags := map[string]bool{}
	peers.Eventually(t, soon, "a dialog for each telephone", func() bool {
		for _, m := range ringing.FindAllStringSubmatch(call.Messages(), -1) {
			tags[m[1]] = true
		}
		return len(tags) == 2
	})
	soft.Answer()
	soft.Established(soon)
	desk.Closed(soon)
	seen.HearsRTP(peers.Received(carrier), 900, soon)
	if st := call.Success(); st.Final[200] != 1 {
		t.Errorf("the carrier got %v", st.Final)
	}
	soft.Closed(soon)
	w.idle()
	w.waitLine("cdr.jsonl", "code", "200", "direction", "inbound", "ended_by", "caller")
}
