package integration_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// A carrier with a certificate, both ways: once a script without SRTP behind a
// relay, once a program with SRTP. And those who are not let in.
func TestCarrierOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbxAddr, scriptAddr, programAddr, strangerAddr := w.net.Addr(t), w.net.Addr(t), w.net.Addr(t), w.net.Addr(t)
	ca := peers.NewCA(t, "carriers")
	script := ca.Issue(peers.Leaf{URIs: []string{"sip:script.carrier.test"}})
	program := ca.Issue(peers.Leaf{DNS: []string{"program.carrier.test"}})
	wrong := ca.Issue(peers.Leaf{DNS: []string{"somebody.else.test"}})
	foreign := peers.NewCA(t, "foreign").Issue(peers.Leaf{DNS: []string{"program.carrier.test"}})
	w.hosts = map[string]netip.Addr{"script.carrier.test": scriptAddr, "program.carrier.test": programAddr}
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, pbxAddr), fmt.Sprintf(`
listen: {tls: [%q], udp: [%q]}
tls: {client_ca: %[3]q}
peers:
  - {name: script, identify: {certificate: script.carrier.test}, uri: "sip:script.carrier.test:5061;transport=tls", ca: %[3]q, srtp: off}
  - {name: program, identify: {certificate: program.carrier.test}, uri: "sip:program.carrier.test:5061;transport=tls", ca: %[3]q}
  - {name: old, identify: {ip: [192.0.2.0/24]}, uri: "sip:192.0.2.1:5060;transport=udp", allow_plaintext: true}
routes:
  - {match: {to: {prefix: ["+331"]}}, peers: [script]}
  - {match: {to: {prefix: ["+332"]}}, peers: [program]}
`, w.tls(), w.publicUDP(), ca.File))
	pbx := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_tone", Addr: pbxAddr, Tone: 500})
	tr := &trunks{world: w, pbxAddr: pbxAddr}
	seen := peers.StartCapture(t, w.net)

	// In.
	client := peers.TLSClient(t, netip.AddrPortFrom(scriptAddr, 5070), w.tls(), w.trust(script.TLS))
	peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_call", Addr: scriptAddr, Port: 5072, To: client.Addr, TCP: true, Service: "+33199001001"}).Success()
	w.waitLine("cdr.jsonl", "peer", "script", "code", "200", "direction", "inbound")
	carrier, err := siptest.NewCarrier(t.Context(), siptest.CarrierConfig{Domain: "program.carrier.test", Gateway: w.tls(), Transport: "tls",
		TLS: w.trust(program.TLS), Listen: netip.AddrPortFrom(programAddr, 5061), SRTP: []string{siptest.SuiteGCM}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.Close)
	ctx := limited(t, soon)
	call, err := carrier.Invite(ctx, "+33199001001", siptest.Tone(900))
	if err != nil {
		t.Fatalf("the carrier's call: %v", err)
	}
	if err := call.Media.WaitTone(ctx, 500); err != nil {
		t.Errorf("the carrier hears nothing: %v", err)
	}
	seen.HearsRTP(peers.Received(pbxAddr), 900, soon)
	if err := call.Bye(ctx); err != nil {
		t.Errorf("BYE: %v", err)
	}
	w.waitLine("cdr.jsonl", "peer", "program", "code", "200", "direction", "inbound")
	w.idle() // the PBX has answered its BYE
	pbx.Stop()

	// Out.
	peers.TLSServer(t, netip.AddrPortFrom(scriptAddr, 5061), netip.AddrPortFrom(scriptAddr, 5074), w.trust(script.TLS))
	peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_answer", Addr: scriptAddr, Port: 5074, TCP: true})
	tr.out(peers.Scenario{Name: "uac_call", Service: "+33123456789"}).Success()
	w.waitLine("cdr.jsonl", "passes.0.routed_to", "script", "code", "200")
	tr.out(peers.Scenario{Name: "uac_tone", Service: "+33223456789", Hold: 2 * time.Second}).Success()
	w.waitLine("cdr.jsonl", "passes.0.routed_to", "program", "code", "200")
	seen.HearsRTP(peers.Received(pbxAddr), siptest.CarrierTone, soon)

	// A name that is nobody's: 403.
	other := peers.TLSClient(t, netip.AddrPortFrom(strangerAddr, 5070), w.tls(), w.trust(wrong.TLS))
	got := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_any", Addr: strangerAddr, Port: 5072, To: other.Addr, TCP: true, Service: "+33199001001"}).Success()
	if got.Final[403] != 1 {
		t.Errorf("a certificate with a wrong name: %v, want 403", got.Final)
	}
	w.waitLine("alerts.jsonl", "event.action", "peer-identity-mismatch", "rule.id", "base/peer-identity", "source.ip", strangerAddr.String())
	// Another authority: no connection. TLS 1.3 tells with the first read.
	conf := w.trust()
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign.TLS, nil }
	c, err := tls.Dial("tcp", w.tls().String(), conf)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(soon))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("a certificate of a foreign authority: %v", err)
	}
	// No certificate at all: a stranger.
	nobody := peers.TLSClient(t, netip.AddrPortFrom(strangerAddr, 5076), w.tls(), w.trust())
	got = peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_any", Addr: strangerAddr, Port: 5078, To: nobody.Addr, TCP: true, Service: "+33199001001"}).Success()
	if got.Final[403] != 1 {
		t.Errorf("without a certificate: %v, want 403", got.Final)
	}
	// Plaintext of a stranger, where one peer may use it.
	silence := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_any", Addr: strangerAddr, Port: 5080, To: w.publicUDP(), Service: "+33199001001"})
	if silence.Wait(2*soon) == 0 {
		t.Error("a datagram of a stranger was answered")
	}
	w.waitLine("alerts.jsonl", "event.action", "plaintext-refused", "rampart.transport", "udp", "source.ip", strangerAddr.String())
	// Plaintext to the TLS port.
	if peers.Answers("tcp", w.tls(), 2*time.Second) {
		t.Error("the TLS port answers plaintext SIP")
	}
	w.waitLine("alerts.jsonl", "event.action", "plaintext-refused", "rampart.verdict", "drop", "source.ip", "127.0.0.1")
	w.idle()
}

// Kamailio over TLS: telephones register and call; towards it SRTP is
// required, so the inside shows no audio in clear.
func TestPBXOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := peers.NewCA(t, "office")
	addr := w.net.Addr(t)
	cert := ca.Issue(peers.Leaf{DNS: []string{"pbx.office.test"}})
	w.hosts = map[string]netip.Addr{"pbx.office.test": addr}
	hum := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_tone"})
	pbx := w.pbx(peers.PBX{Addr: addr, TLSPort: 5061, TLSCert: cert.CertFile, TLSKey: cert.KeyFile, Services: map[string]string{"602": hum.URI()}})
	w.start(fmt.Sprintf(`{name: main, uri: "sip:pbx.office.test:5061;transport=tls", ca: %q, srtp: required}`, ca.File),
		fmt.Sprintf("inside: {tls: [%q]}\n", netip.AddrPortFrom(w.inside, 5061)))
	seen := peers.StartCapture(t, w.net)
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	b := w.registered(peers.Phone{User: "1002", Tone: 800})
	a.Dial("1002")
	b.Incoming(soon)
	b.Answer()
	a.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	b.Hangup()
	a.Closed(soon)
	b.Closed(soon)
	for _, s := range seen.Streams(peers.Received(w.inside)) {
		if r := s.Audio.Report(); r.Is(440) || r.Is(800) {
			t.Errorf("the tone is heard in clear on the inside: %+v", r)
		}
	}
	if clear := seen.Bytes(func(p peers.Packet) bool {
		return strings.HasPrefix(string(p.Payload), "INVITE") || strings.HasPrefix(string(p.Payload), "REGISTER")
	}); len(clear) > 0 {
		t.Errorf("SIP in clear:\n%s", clear)
	}
	// The tone extension has no SRTP and is refused, which a telephone can show.
	a.Dial("602")
	if got := a.Closed(soon); !strings.HasPrefix(got, "488") {
		t.Errorf("a call to a service without SRTP ends with %q, want 488", got)
	}
	_ = pbx
	w.idle()
}
