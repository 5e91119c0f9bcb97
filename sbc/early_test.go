package sbc_test

import (
	"fmt"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// A PBX tells of new voicemail before it answers the REGISTER, as Asterisk
// does, and repeats it: the phone gets it once, after the 200. What is for a
// contact that is refused, or one too many, is answered by us.
func TestNotifyBeforeRegistered(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.Registrations.AsGiven = true })
	p := w.plug("1001")
	register := func() *siptest.Message {
		m := p.outside("REGISTER", "sip:"+domain)
		m.Set("To", "<sip:1001@"+domain+">")
		m.Add("Expires", "3600")
		p.send(m)
		return w.b.request("REGISTER")
	}
	waiting := func(contact string, n int) *siptest.Message {
		m := w.b.alone("NOTIFY", contact)
		m.Set("CSeq", fmt.Sprint(n, " NOTIFY"))
		m.Set("Contact", "<sip:vm@"+w.b.addr().String()+">")
		m.Set("Event", "message-summary")
		m.Set("Subscription-State", "terminated")
		m.Set("Content-Type", "application/simple-message-summary")
		m.Body = []byte(fmt.Sprintf("Messages-Waiting: yes\r\nVoice-Message: %d/0\r\n", n))
		return m
	}

	in := register()
	contact := siptest.URIOf(in.Get("Contact"))
	first := waiting(contact, 1)
	w.b.send(first)
	w.b.send(first)
	for n := 2; n <= 4; n++ {
		w.b.send(waiting(contact, n))
	}
	w.b.send(waiting(contact, 5)) // there is no place left for it
	if res := w.b.answer("NOTIFY", 480); res == nil {
		t.Fatal("no answer to what may not wait")
	}
	w.granted(in, 3600)
	p.answer("REGISTER", 200)
	for n := 1; n <= 4; n++ {
		got := p.request("NOTIFY")
		if want := fmt.Sprintf("Messages-Waiting: yes\r\nVoice-Message: %d/0\r\n", n); string(got.Body) != want {
			t.Errorf("the phone got %q, want %q", got.Body, want)
		}
		p.reply(got, 200, "", nil)
		w.b.answer("NOTIFY", 200)
	}

	// Refused: the request is let go, and finds nobody.
	other := w.plug("1002")
	m := other.outside("REGISTER", "sip:"+domain)
	m.Set("To", "<sip:1002@"+domain+">")
	other.send(m)
	in = w.b.request("REGISTER")
	w.b.send(waiting(siptest.URIOf(in.Get("Contact")), 9))
	w.b.never("an answer while the REGISTER is open", func(m *siptest.Message) bool { return m.Code == 480 })
	w.b.reply(in, 403, unique("t"), nil)
	other.answer("REGISTER", 403)
	w.b.answer("NOTIFY", 480)
	w.secret(p, other)
}

// A PBX asks by OPTIONS whom it may ring.
func TestOptionsForPhones(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	ask := func(uri string, want int) {
		t.Helper()
		w.b.send(w.b.alone("OPTIONS", uri))
		w.b.answer("OPTIONS", want)
	}
	ask(p.contact, 200)
	ask("sip:"+w.b.gw.String(), 200)
	ask("sip:somebody@"+w.b.gw.String(), 200)
	ask("sip:rp0123456789abcdef01234567@"+w.b.gw.String(), 480)
	p.close()
	eventually(t, "a gateway that has noticed", func() bool {
		w.b.send(w.b.alone("OPTIONS", p.contact))
		return w.b.expect("an answer", func(m *siptest.Message) bool { return m.Code != 0 && m.Code != 100 }).Code == 480
	})
}

// alone builds a request of a dialog of its own.
func (r *raw) alone(method, uri string) *siptest.Message {
	m := &siptest.Message{Method: method, URI: uri}
	m.Add("Via", r.via())
	m.Add("Max-Forwards", "70")
	m.Add("From", "<sip:vm@"+r.host()+">;tag="+unique("f"))
	m.Add("To", "<"+uri+">")
	m.Add("Call-ID", unique("alone"))
	m.Add("CSeq", "1 "+method)
	return m
}
