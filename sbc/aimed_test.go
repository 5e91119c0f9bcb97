package sbc_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestAimedRoutes: a phone that writes hosts of the inside, and the gateway
// itself, into Contact, Record-Route and Route cannot make it connect there:
// what is for the phone goes to the phone.
func TestAimedRoutes(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	victim, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(insideNet+"88:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	p := w.desk("1001")
	at := victim.LocalAddr().String()
	c := w.dial(p, "1002", func(m *siptest.Message) {
		m.Set("Contact", "<sip:1001@"+at+";transport=udp>")
		m.Add("Record-Route", "<sip:"+at+";lr>")
		m.Add("Record-Route", "<sip:"+w.a.gw.String()+";lr;transport=udp>")
		m.Add("Route", "<sip:"+at+";lr>")
	})
	if text := string(c.in.Bytes()); strings.Contains(text, at) || strings.Contains(text, "Route") {
		t.Errorf("the PBX got\n%s", text)
	}
	w.b.send(w.b.back("BYE", 1, c.in, c.tag))
	bye := p.request("BYE")
	if bye.URI != "sip:1001@"+at+";transport=udp" {
		t.Errorf("BYE to %q", bye.URI)
	}
	p.reply(bye, 200, "", nil)
	w.b.answer("BYE", 200)
	victim.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	buf := make([]byte, 2048)
	if n, from, err := victim.ReadFromUDPAddrPort(buf); err == nil {
		t.Errorf("the gateway was made to send, from %s:\n%s", from, buf[:n])
	}
	w.quiet()
}
