package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestOddButLegal sends what telephones, trunks and PBXs write by a carrier over
// UDP and by a registered phone over TLS: every spelling passes, calls who is
// called, and reaches the PBX as one message to every reader.
func TestOddButLegal(t *testing.T) {
	t.Parallel()
	w := newTricky(t)
	list := siptest.Odd()
	if len(list) < 150 {
		t.Fatalf("%d spellings", len(list))
	}
	carrier := w.a.addr()
	names := map[string]bool{}
	for _, c := range list {
		if names[c.Name] {
			t.Errorf("%q is there twice", c.Name)
		}
		names[c.Name] = true
		id := unique("odd") + "x"
		if err := w.a.out(c.Bytes(map[string]string{"to": "+33123456789", "gw": w.a.gw.String(), "user": "+33199001234", "host": carrier.Addr().String(), "me": carrier.String(), "id": id})); err != nil {
			t.Fatal(err)
		}
		m := w.a.expect(c.Name, func(m *siptest.Message) bool {
			return m.Code >= 200 && strings.Contains(m.Get("From")+m.Get("Via"), id)
		})
		w.a.ackFailure(&siptest.Message{Method: "INVITE", URI: "sip:+33123456789@" + w.a.gw.String(), Headers: m.Headers}, m)
		if _, tag, ok := strings.Cut(c.Text, "x-route-tag="); ok && !strings.Contains(m.Get("Via"), tag[:strings.IndexByte(tag, ';')]) {
			t.Errorf("%s comes back as %s", c.Name, m.Get("Via"))
		}
		if m.Code != 486 {
			t.Errorf("of a carrier: %s: %d %s", c.Name, m.Code, m.Reason)
		}
		if c.Cut == "close" || strings.Contains(c.Name, "From ") {
			continue
		}
		if codes := w.send(w.phone(), "1001", w.from, c); len(codes) != 1 || codes[0] != 486 {
			t.Errorf("of a phone: %s: %v", c.Name, codes)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.inside {
		if err := siptest.Ambiguous(b); err != nil {
			t.Errorf("the PBX got a message that can be read in two ways: %v\n%s", err, b)
		}
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	calls := 0
	for _, d := range w.rep.decisions {
		if d.a.Method == "INVITE" {
			if calls++; d.a.To.E164() != "+33123456789" {
				t.Errorf("taken for a call to %q: %s", d.a.To.E164(), d.a.RequestURI)
			}
		}
	}
	if calls < len(list) {
		t.Errorf("%d calls were judged", calls)
	}
}

// TestOddRegistrations: every spelling of a registration is granted.
func TestOddRegistrations(t *testing.T) {
	t.Parallel()
	w := newTricky(t)
	for _, c := range siptest.OddRegisters() {
		if codes := w.send(w.phone(), "1001", w.from, c); len(codes) != 1 || codes[0] != 200 {
			t.Errorf("%s: %v", c.Name, codes)
		}
	}
	w.arrived(0)
}

// TestOddAnswers: a PBX answers as PBXs do; each call is up and can be ended by a
// request without Max-Forwards.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for _, c := range siptest.OddAnswers() {
		inv := w.a.invite("+33123456789")
		in := w.b.request("INVITE")
		w.b.change = func(s string) string {
			if !strings.Contains(s, c[0]) {
				t.Errorf("no %q in an answer", c[0])
			}
			return strings.Replace(s, c[0], strings.ReplaceAll(c[1], "\n", "\r\n"), 1)
		}
		w.b.reply(in, 200, unique("t"), w.b.sdp())
		w.b.change = nil
		id := inv.Get("Call-ID")
		ok := w.a.expect("200 as "+c[1], func(m *siptest.Message) bool { return m.Code == 200 && m.Get("Call-ID") == id })
		w.b.request("ACK")
		w.a.send(w.a.within("ACK", 1, inv, ok))
		bye := w.a.within("BYE", 2, inv, ok)
		bye.Del("Max-Forwards")
		w.a.send(bye)
		w.a.answer("BYE", 200)
		w.b.reply(w.b.request("BYE"), 200, "", nil)
	}
	w.quiet()
	w.hidden()
}

// TestOddPings: what devices send to see whether we are there, and to keep a way
// through a NAT open, is answered and harms nothing.
func TestOddPings(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for _, text := range []string{
		"OPTIONS sip:{gw} SIP/2.0\nVia: SIP/2.0/UDP {me};branch=0\nFrom: sip:ping@{gw};tag={id}\nTo: sip:{gw}\nCall-ID: {id}\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
		"OPTIONS sip:ping@{gw} SIP/2.0\nv:SIP/2.0/UDP {me};rport;branch=z9hG4bK{id};alias\nf:sip:sipsak@{host};tag={id}\nt:sip:ping@{gw}\ni:{id}\nCSeq:1 OPTIONS\nm:sip:sipsak@{me}\nl:0\nMax-Forwards:70\nUser-Agent:sipsak 0.9.8.1\nAccept:text/plain\n\n",
		"OPTIONS sip:{gw};transport=udp SIP/2.0\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{id}\nFrom: \"Unknown\" <sip:Unknown@{host}>;tag={id}\nTo: <sip:{gw};transport=udp>\nContact: <sip:Unknown@{me}>\nCall-ID: {id}@{me}\nCSeq: 102 OPTIONS\nUser-Agent: Asterisk PBX\nDate: Sat, 13 Nov 2010 23:29:00 GMT\nSupported: replaces\n\n",
		"NOTIFY sip:{gw} SIP/2.0\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{id}\nFrom: \"1001\" <sip:1001@{host}>;tag={id}\nTo: <sip:{gw}>\nCall-ID: {id}@{host}\nCSeq: 1 NOTIFY\nMax-Forwards: 70\nEvent: keep-alive\nUser-Agent: Linksys/SPA942-6.1.5\nContent-Length: 0\n\n",
		"INFO sip:{gw} SIP/2.0\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{id}\nFrom: <sip:1001@{host}>;tag={id}\nTo: <sip:{gw}>;tag=x\nCall-ID: {id}@{host}\nCSeq: 1 INFO\nContent-Type: application/dtmf-relay\nContent-Length: 24\n\nSignal=1\nDuration=160\n\n\n",
	} {
		for _, ping := range []string{"\r\n\r\n", "\r\n", "\x00\x00\x00\x00", "jaK"} {
			w.a.out([]byte(ping))
		}
		id := unique("ping")
		c := siptest.Trick{Text: strings.ReplaceAll(text, "\n", "\r\n")}
		if err := w.a.out(c.Bytes(map[string]string{"gw": w.a.gw.String(), "me": w.a.addr().String(), "host": w.a.host(), "id": id})); err != nil {
			t.Fatal(err)
		}
		m := w.a.expect("the answer to "+text, func(m *siptest.Message) bool { return m.Code >= 200 && strings.Contains(m.Get("Call-ID"), id) })
		if m.Code == 400 || m.Code >= 500 && m.Code != 501 {
			t.Errorf("%d to %s", m.Code, text)
		}
	}
	w.quiet()
}
