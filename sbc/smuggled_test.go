package sbc_test

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// quietly takes the quoted text out of From and To: a display name may say
// what it likes, between its quotes.
func quietly(b []byte) string {
	var out strings.Builder
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// TestSmuggled sends every trick by a carrier that the gateway knows and by a
// stranger. The carrier is told the code, the stranger nothing; what the PBX
// gets says one thing to every reader, and nothing of what was smuggled.
func TestSmuggled(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	var mu sync.Mutex
	var inside [][]byte
	w.b.tap.Store(func(b []byte) { mu.Lock(); inside = append(inside, b); mu.Unlock() })
	w.b.auto.Store(func(m *siptest.Message) bool {
		switch m.Method {
		case "", "ACK":
		case "INVITE":
			w.b.reply(m, 486, "busy", nil)
		default:
			w.b.reply(m, 200, "fine", nil)
		}
		return true
	})
	stranger, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(publicNet+"77:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	values := func(me netip.AddrPort, id string) map[string]string {
		return map[string]string{"to": "+33123456789", "gw": w.a.gw.String(), "user": "+33199001234", "host": me.Addr().String(), "me": me.String(), "id": id}
	}
	finals := func(id string) (codes []int) {
		for {
			m := w.a.take(func(m *siptest.Message) bool { return m.Code >= 200 && strings.Contains(m.Get("Call-ID"), id) })
			if m == nil {
				return codes
			}
			codes = append(codes, m.Code)
		}
	}
	for _, c := range siptest.Smuggled() {
		if c.Code != 0 && !c.Late { // of what is well-formed the policy says what he is told
			stranger.WriteToUDPAddrPort(c.Bytes(values(netip.MustParseAddrPort(stranger.LocalAddr().String()), unique("s"))), w.a.gw)
		}
		id := unique("trick") + "x"
		if err := w.a.out(c.Bytes(values(w.a.addr(), id))); err != nil {
			t.Fatal(err)
		}
		want := c.Code
		if want == 0 {
			want = 486
		}
		if !c.Response() && (c.Code == 0 || c.Late) {
			m := w.a.expect(c.Name+" to be answered", func(m *siptest.Message) bool { return m.Code >= 200 && strings.Contains(m.Get("Call-ID"), id) })
			if m.Code != want {
				t.Errorf("%s: %d, want %d", c.Name, m.Code, want)
			}
			continue
		}
		// What has no line that could be repeated gets no answer; what comes
		// behind it on the way shows that there is none.
		fence := &siptest.Message{Method: "OPTIONS", URI: "sip:" + w.a.gw.String()}
		fence.Add("Via", w.a.via())
		fence.Add("Max-Forwards", "70")
		fence.Add("From", "<sip:raw@"+w.a.host()+">;tag=x")
		fence.Add("To", "<sip:"+w.a.gw.String()+">")
		fence.Add("Call-ID", unique("fence"))
		fence.Add("CSeq", "1 OPTIONS")
		w.a.send(fence)
		w.a.expect("the answer to OPTIONS", func(m *siptest.Message) bool { return m.Code >= 200 && m.Get("Call-ID") == fence.Get("Call-ID") })
		for _, code := range finals(id) {
			if code != want || c.Response() {
				t.Errorf("%s: %d, want %d", c.Name, code, want)
			}
		}
	}
	stranger.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buf := make([]byte, 2048)
	if n, _, err := stranger.ReadFromUDPAddrPort(buf); err == nil {
		t.Errorf("the stranger was told\n%s", buf[:n])
	}
	mu.Lock()
	defer mu.Unlock()
	invites := 0
	for _, b := range inside {
		if err := siptest.Ambiguous(b); err != nil {
			t.Errorf("the PBX got a message that can be read in two ways: %v\n%s", err, b)
		}
		if text := quietly(b); strings.Contains(text, "smuggled") {
			t.Errorf("the PBX got\n%s", b)
		}
		if bytes.HasPrefix(b, []byte("INVITE ")) {
			invites++
			if want := "INVITE sip:+33123456789@" + domain + " SIP/2.0\r\n"; !bytes.HasPrefix(b, []byte(want)) {
				t.Errorf("Request-URI: %.80s", b)
			}
		}
	}
	if invites < 50 {
		t.Errorf("%d INVITEs came through", invites)
	}
	w.hidden()
}
