package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// TestRegistersWithKamailio: a carrier that wants to be registered with and
// challenges every call, with SHA-256 and with MD5. Calls go both ways, and
// nothing but the registration says who the carrier is.
func TestRegistersWithKamailio(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"SHA-256", ""} {
		t.Run("algorithm "+algorithm, func(t *testing.T) {
			t.Parallel()
			w := &trunks{world: newWorld(t)}
			w.pbxAddr = w.net.Addr(t)
			carrier, behind, caller := w.net.Addr(t), w.net.Addr(t), w.net.Addr(t)
			k := peers.StartPBX(t, w.net, peers.PBX{Addr: carrier, Domains: []string{carrier.String(), peers.Domain}, Carrier: true, Algorithm: algorithm,
				Users: map[string]string{"4711": "secret"}, Services: map[string]string{"+33123456789": "sip:" + netip.AddrPortFrom(behind, 5060).String()}, Gateway: caller})
			w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr),
				fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers: [{name: kamailio, uri: \"sip:%s:5060;transport=udp\", allow_plaintext: true, health: 1s, register: {user: \"4711\", password: \"secret\"}}]\nroutes: [{peers: [kamailio]}]\n",
					w.tls(), w.publicUDP(), carrier))
			w.gw.WaitLog(`registered with the carrier.*kamailio`, soon)

			peers.Eventually(t, soon, "the carrier among the peers", func() bool {
				view := w.get("/api/v1/peers")
				return strings.Contains(view, `"registered":true`) && strings.Contains(view, `"state":"up"`)
			})
			answers := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_answer", Addr: behind})
			w.out(peers.Scenario{Name: "uac_call"}).Success()
			w.waitLine("cdr.jsonl", "direction", "outbound", "code", "200", "passes.0.routed_to", "kamailio")
			w.idle()
			answers.Stop()

			pbx := w.pbxAnswers(peers.Scenario{Name: "uas_answer"})
			peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_call", Addr: caller, Port: 5070, To: k.Addr, Service: "4711", From: "+33199001234"}).Success()
			w.waitLine("cdr.jsonl", "direction", "inbound", "code", "200", "peer", "kamailio")
			w.idle()
			pbx.Stop()

			if log := w.gw.Log(); strings.Contains(log, "secret") {
				t.Error("the log shows the password")
			}
			w.gw.Stop()
			peers.Eventually(t, soon, "the registration is taken back", func() bool {
				return strings.Contains(k.Log(), "registered 4711 contact") && strings.Contains(k.Log(), "expires 0")
			})
		})
	}
}

// TestWrongPasswordAtKamailio: an alert, and no second try soon.
func TestWrongPasswordAtKamailio(t *testing.T) {
	t.Parallel()
	w := &trunks{world: newWorld(t)}
	w.pbxAddr = w.net.Addr(t)
	carrier := w.net.Addr(t)
	k := peers.StartPBX(t, w.net, peers.PBX{Addr: carrier, Domains: []string{carrier.String()}, Carrier: true, Users: map[string]string{"4711": "secret"}})
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr),
		fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers: [{name: kamailio, uri: \"sip:%s:5060;transport=udp\", allow_plaintext: true, register: {user: \"4711\", password: \"wrong\"}}]\nroutes: [{peers: [kamailio]}]\n",
			w.tls(), w.publicUDP(), carrier))
	w.waitLine("alerts.jsonl", "event.action", "trunk-registration-lost", "rampart.subject.value", "kamailio")
	if n := strings.Count(k.Log(), "REGISTER"); n > 2 {
		t.Errorf("%d REGISTERs", n)
	}
}
