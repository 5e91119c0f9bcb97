package integration_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// callers is a world with Kamailio, a carrier that is trusted (+33) and one
// that is not (+44).
type callers struct {
	*trunks
	shown [2]chan *siptest.Message // INVITEs that the carriers got
	lines [2]*siptest.Phone
}

func newCallers(t *testing.T) *callers {
	w := &callers{trunks: &trunks{world: newWorld(t)}}
	k := w.world.pbx(peers.PBX{DIDs: map[string]string{"+33199001001": "1001"}})
	w.pbxAddr = k.Addr.Addr()
	w.carriers = []netip.Addr{w.net.Addr(t), w.net.Addr(t)}
	open := "version: 1\ncountries: {allow: [GB]}\n"
	if err := os.WriteFile(filepath.Join(w.dir, "policy.yaml"), []byte(open), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, k.Addr), fmt.Sprintf(`
listen: {tls: [%q], udp: [%q]}
peers:
  - {name: sure, identify: {ip: [%s/32]}, uri: "sip:%[3]s:5060;transport=udp", allow_plaintext: true, identity: {trust: true, allowed: ["+331990010", "+4420"], default: "+33199001000"}}
  - {name: other, identify: {ip: [%s/32]}, uri: "sip:%[4]s:5060;transport=udp", allow_plaintext: true, identity: {present: from}}
routes: [{match: {to: {country: [FR]}}, peers: [sure]}, {peers: [other]}]
phones: {identity: {allowed: {"1002": ["+33199001002"]}}}
policy: {use: [base, countries, scanners], files: ["policy.yaml"]}
`, w.tls(), w.publicUDP(), w.carriers[0], w.carriers[1]))
	for i := range w.carriers {
		w.shown[i] = make(chan *siptest.Message, 4)
		c, err := siptest.NewCarrier(t.Context(), siptest.CarrierConfig{Domain: "carrier.example.test", Gateway: w.publicUDP(), Listen: netip.AddrPortFrom(w.carriers[i], 5060),
			OnInvite: func(in *siptest.Incoming) { w.shown[i] <- in.Request; in.Answer() }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		w.lines[i] = c
	}
	return w
}

// shows makes a call and compares what of the caller the other end sees.
func shows(t *testing.T, from *siptest.Phone, to string, at <-chan *siptest.Message, want string, opts ...siptest.Option) {
	t.Helper()
	ctx := limited(t, soon)
	c, err := from.Invite(ctx, to, opts...)
	if err != nil {
		t.Fatalf("call to %s: %v", to, err)
	}
	m := <-at
	got, _, _ := strings.Cut(m.Get("From"), ";tag=")
	for _, n := range []string{"P-Asserted-Identity", "Privacy", "Identity", "Date"} {
		for _, v := range m.All(n) {
			got += " " + n + ": " + v
		}
	}
	if got != want {
		t.Errorf("call to %s shows\n%s\nwant\n%s", to, got, want)
	}
	if err := c.Bye(ctx); err != nil {
		t.Errorf("BYE: %v", err)
	}
}

// Who is shown to whom: the PBX asserts its user, a carrier that is trusted
// sees that, one that is not sees From, and nobody when the caller asks for
// privacy.
func TestCallerIsShownByTrust(t *testing.T) {
	t.Parallel()
	w := newCallers(t)
	rang := make(chan *siptest.Message, 4)
	p := w.telephone("1001", func(in *siptest.Incoming) { rang <- in.Request; in.Answer() })
	d := peers.Domain
	// 1001 is no number that may be shown: the default stands for it.
	shows(t, p, "+33145000000", w.shown[0], "<sip:+33199001000@"+d+"> P-Asserted-Identity: <sip:+33199001000@"+d+">")
	shows(t, p, "+442079460000", w.shown[1], "<sip:1001@"+d+">")
	shows(t, p, "+442079460000", w.shown[1], `"Anonymous" <sip:anonymous@anonymous.invalid> Privacy: id`, siptest.Header("Privacy", "id"))
	shows(t, p, "+33145000000", w.shown[0], "<sip:+33199001000@"+d+"> P-Asserted-Identity: <sip:+33199001000@"+d+"> Privacy: id", siptest.Header("Privacy", "id"))
	// A user whose number is not its own goes nowhere.
	q := w.telephone("1002", nil)
	if _, err := q.Invite(limited(t, soon), "+442079460000"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a user with another's number: %v", err)
	}
	w.waitLine("alerts.jsonl", "event.action", "identity-forged", "rule.id", "base/caller-not-allowed", "user.name", "1002")

	// In: the word of the trusted one reaches Kamailio, and no phone.
	says := []siptest.Option{siptest.Header("P-Asserted-Identity", "<sip:+442079460000@carrier.example.test>"), siptest.Suites()}
	shows(t, w.lines[0], "+33199001001", rang, `"Anonymous" <sip:anonymous@anonymous.invalid> Privacy: id`, append(says,
		siptest.From("sip:anonymous@anonymous.invalid"), siptest.Header("Privacy", "id"))...)
	w.waitLine("cdr.jsonl", "peer", "sure", "from_e164", "+442079460000")
	shows(t, w.lines[1], "+33199001001", rang, "<sip:+33199001009@"+d+">", append(says, siptest.From("sip:+33199001009@carrier.example.test"))...)
	w.idle()
}

func (w *world) telephone(user string, ring func(*siptest.Incoming)) *siptest.Phone {
	w.tb.Helper()
	p, err := siptest.NewPhone(w.tb.Context(), siptest.PhoneConfig{User: user, Password: "pw" + user, Domain: peers.Domain, Server: w.tls(), Transport: "tls",
		TLS: w.trust(), Local: w.net.Addr(w.tb), SRTP: []string{siptest.SuiteGCM}, Tone: 400, UserAgent: "siptest", OnInvite: ring})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(p.Close)
	if err := p.Register(w.tb.Context(), time.Hour); err != nil {
		w.tb.Fatalf("%s registers: %v", user, err)
	}
	return p
}
