package peers

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
)

// A script with a certificate: caller → TCP → relay → TLS with client
// certificate → relay → TCP → called script.
func TestScriptsOverTLS(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	ca := NewCA(t, "carriers")
	here, there := n.Addr(t), n.Addr(t)
	server := ca.Issue(Leaf{DNS: []string{Domain}, IPs: []netip.Addr{there}})
	client := ca.Issue(Leaf{URIs: []string{"sip:carrier.example"}})
	seen := StartCapture(t, n)

	uas := StartSIPp(t, n, Scenario{Name: "uas_answer", TCP: true, Calls: 2})
	in := TLSServer(t, netip.AddrPortFrom(there, 5061), netip.AddrPortFrom(uas.Addr, uas.Port), &tls.Config{
		Certificates: []tls.Certificate{server.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool})
	out := TLSClient(t, netip.AddrPortFrom(here, 5060), in.Addr, &tls.Config{
		Certificates: []tls.Certificate{client.TLS}, RootCAs: ca.Pool, ServerName: Domain})
	uac := StartSIPp(t, n, Scenario{Name: "uac_call", TCP: true, To: out.Addr, Calls: 2})
	uac.Success()
	uas.Success()
	sent, received := out.Text()
	if strings.Count(sent, "INVITE sip:") != 2 || strings.Count(received, "CSeq: 2 BYE") != 2 {
		t.Errorf("the relay's tap misses text: sent\n%s\nreceived\n%s", sent, received)
	}
	crypt := seen.Bytes(func(p Packet) bool { return p.To == in.Addr || p.From == in.Addr })
	if len(crypt) == 0 || bytes.Contains(crypt, []byte("INVITE")) {
		t.Errorf("%d octets between the relays, with INVITE in clear: %v", len(crypt), bytes.Contains(crypt, []byte("INVITE")))
	}

	// Without a certificate there is no way in.
	bare := TLSClient(t, netip.AddrPortFrom(n.Addr(t), 5060), in.Addr, &tls.Config{RootCAs: ca.Pool, ServerName: Domain})
	lost := StartSIPp(t, n, Scenario{Name: "uac_call", TCP: true, To: bare.Addr})
	if lost.Wait(soon) == 0 {
		t.Error("a call without a certificate went through")
	}
	Eventually(t, soon, "the refusal at the relay", func() bool { return len(bare.Errors()) > 0 })
	in.CloseAll()
}

// Telephones over TLS and SRTP, as they talk to the gateway.
func TestPhoneOverTLS(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	ca := NewCA(t, "office")
	at := n.Addr(t)
	cert := ca.Issue(Leaf{DNS: []string{Domain}, IPs: []netip.Addr{at}})
	seen := StartCapture(t, n)
	pbx := StartPBX(t, n, PBX{Addr: at, TLSCert: cert.CertFile, TLSKey: cert.KeyFile})
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.TLS, Transport: "tls", CAFile: ca.File, MediaEnc: "srtp-mand", Tone: 440})
	b := StartPhone(t, n, Phone{User: "1002", Server: pbx.TLS, Transport: "tls", CAFile: ca.File, MediaEnc: "srtp-mand", Tone: 800})
	a.WaitRegistered(soon)
	b.WaitRegistered(soon)
	a.Dial("1002")
	b.Incoming(soon)
	b.Answer()
	a.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	a.Hangup()
	b.Closed(soon)
	for _, s := range seen.Streams(Received(a.Addr)) {
		if r := s.Audio.Report(); r.Is(800) {
			t.Errorf("the tone is on the wire in clear: %v", r)
		}
	}
	for _, secret := range []string{"inline:", "1002@"} {
		// The farewell in RTCP is not encrypted by this version of baresip.
		for _, p := range seen.Packets(func(p Packet) bool {
			return bytes.Contains(p.Payload, []byte(secret)) && !bytes.HasPrefix(p.Payload, []byte{0x81, 203})
		}) {
			t.Errorf("%q is on the wire in clear, from %v to %v:\n%q", secret, p.From, p.To, p.Payload)
		}
	}
}
