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
	w := newRawWorld(t)
	p := w.plug("1001")
	register := func() *siptest.Message {
		m := p.outside("REGISTER", "sip:"+domain)
		m.Set("To", "<sip:1001@"+domain+">")
		m.Add("Expires", "3600")
		p.send(m)
		return w.b.request("REGISTER")
	}
	waiting := func(contact string, n int) *siptest.Message {
		m := hop("NOTIFY", w.b.invite("x"), "")
		m.URI = contact
		m.Set("From", "<sip:vm@"+w.b.host()+">;tag="+unique("f"))
		m.Set("To", "<"+contact+">")
		m.Set("Call-ID", unique("early"))
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
