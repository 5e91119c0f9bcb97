package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// suburb is a world of programs of our own, which can be made to do anything:
// a PBX, telephones and one carrier over UDP.
type suburb struct {
	*trunks
	pbx     *siptest.PBX
	carrier *siptest.Phone
	heard   map[string]*tape // by who: what it sent and received
	t       *testing.T
}

// tape keeps messages.
type tape struct {
	mu             sync.Mutex
	sent, received []byte
}

func (p *tape) trace(sent bool, _ netip.AddrPort, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sent {
		p.sent = append(p.sent, b...)
	} else {
		p.received = append(p.received, b...)
	}
}

func (p *tape) text() (sent, received string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.sent), string(p.received)
}

func newSuburb(t *testing.T, more string, files map[string]string, kamailio *peers.PBX) *suburb {
	t.Helper()
	w := &suburb{t: t, trunks: &trunks{world: newWorld(t)}, heard: map[string]*tape{"pbx": {}, "carrier": {}}}
	for name, text := range files {
		w.write(name, text)
	}
	w.pbxAddr = w.net.Addr(t)
	w.carriers = []netip.Addr{w.net.Addr(t)}
	var err error
	if kamailio != nil { // telephones that know no SHA-256 need it
		kamailio.Addr = w.pbxAddr
		kamailio.DIDs = map[string]string{"+33199001001": "1001"}
		w.trunks.world.pbx(*kamailio)
	} else {
		w.pbx, err = siptest.NewPBX(t.Context(), siptest.PBXConfig{Domain: peers.Domain, Users: map[string]string{"1001": "pw1001", "1002": "pw1002"},
			DIDs: map[string]string{"+33199001001": "1001"}, Trunk: w.udp(), Listen: netip.AddrPortFrom(w.pbxAddr, 5060), Trace: w.heard["pbx"].trace})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.pbx.Close)
	}
	w.start(fmt.Sprintf(`"sip:%s:5060;transport=udp"`, w.pbxAddr), fmt.Sprintf(`
listen: {tls: [%q], udp: [%q]}
peers:
  - {name: carrier, identify: {ip: [%s/32]}, uri: "sip:%[3]s:5060;transport=udp", allow_plaintext: true}
routes: [{peers: [carrier]}]
`, w.tls(), w.publicUDP(), w.carriers[0])+more)
	if w.carrier, err = siptest.NewCarrier(t.Context(), siptest.CarrierConfig{Domain: "carrier.example.test", Gateway: w.publicUDP(),
		Listen: netip.AddrPortFrom(w.carriers[0], 5060), Trace: w.heard["carrier"].trace}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.carrier.Close)
	return w
}

// telephone is a registered telephone over TLS.
func (w *suburb) telephone(user string) *siptest.Phone {
	w.t.Helper()
	w.heard[user] = &tape{}
	p, err := siptest.NewPhone(w.t.Context(), siptest.PhoneConfig{User: user, Password: "pw" + user, Domain: peers.Domain, Server: w.tls(), Transport: "tls",
		TLS: w.trust(), Local: netip.MustParseAddr("127.0.0.1"), SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80}, Tone: 400, UserAgent: "Hallway Handset 7", Trace: w.heard[user].trace})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	if err := p.Register(limited(w.t, soon), 3600e9); err != nil {
		w.t.Fatalf("%s registers: %v", user, err)
	}
	return p
}

// dial calls and fails the test when nobody answers.
func (w *suburb) dial(p *siptest.Phone, to string, o ...siptest.Option) *siptest.Call {
	w.t.Helper()
	c, err := p.Invite(limited(w.t, soon), to, o...)
	if err != nil {
		w.t.Fatalf("a call to %s: %v", to, err)
	}
	return c
}

func (w *suburb) hears(c *siptest.Call, hz float64) {
	w.t.Helper()
	c.Media.Forget()
	if err := c.Media.WaitTone(limited(w.t, soon), hz); err != nil {
		w.t.Fatalf("no tone of %v Hz: %v", hz, err)
	}
}

func (w *suburb) must(what string, f func(context.Context) error) {
	w.t.Helper()
	if err := f(limited(w.t, soon)); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// code is how a call that is not answered ends; an answered one is 200.
func (w *suburb) code(p *siptest.Phone, to string, o ...siptest.Option) int {
	w.t.Helper()
	c, err := p.Invite(limited(w.t, soon), to, o...)
	var r *siptest.Refused
	switch {
	case err == nil:
		w.must("BYE", c.Bye)
		return 200
	case errors.As(err, &r):
		return r.Response.Code
	}
	w.t.Fatalf("a call to %s: %v", to, err)
	return 0
}
