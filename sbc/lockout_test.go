package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// Somebody behind the address of a phone guesses its password until he is
// refused. The phone goes on, on its connection and when it comes back over
// another; who only knows the password by then does not.
func TestNobodyIsLockedOutFromNextDoor(t *testing.T) {
	const limit = `limits:
  - {id: x/guesses, on: register, key: [source.ip, register.user], failures: 3, over: 5m, then: reject 403}
`
	w := newRawWorld(t, func(c *worldConfig) { rule(t, c, ratelimit.NewBans(ratelimit.BanCaps{}), limit) })
	b := &guarded{w: w, unknown: 404, wrong: 401}
	w.b.auto.Store(b.answer)
	send := func(p *rawPhone, credentials string, change ...func(*siptest.Message)) int {
		t.Helper()
		m := p.outside("REGISTER", "sip:"+domain, change...)
		m.Set("To", "<sip:1001@"+domain+">")
		m.Add("Authorization", `Digest username="1001", realm="pbx", nonce="n", uri="sip:`+domain+`", response="`+credentials+strings.Repeat("0", 32-len(credentials))+`"`)
		p.send(m)
		return p.expect("an answer", func(r *siptest.Message) bool { return r.Code >= 200 && r.Get("Call-ID") == m.Get("Call-ID") }).Code
	}
	sameCall := func(m *siptest.Message) { m.Set("Call-ID", "the-phone-s") }
	elsewhere := func(m *siptest.Message) { m.Set("Contact", "<sip:me@198.51.100.99;transport=tls>") }
	phone := w.plug("1001")
	if code := send(phone, "right", sameCall); code != 200 {
		t.Fatalf("the phone registers: %d", code)
	}
	guesser := w.plug("1001")
	for range 3 {
		send(guesser, "badcafe", elsewhere)
	}
	if code := send(guesser, "right", elsewhere); code != 403 {
		t.Fatalf("the guesser is not refused: %d", code)
	}
	sent := 1
	again := func(m *siptest.Message) {
		sent++
		m.Set("CSeq", strings.Repeat("1", sent)+" REGISTER")
	}
	if code := send(phone, "right", sameCall, again); code != 200 {
		t.Errorf("the phone on its connection gets %d", code)
	}
	if code := send(w.plug("1001"), "right", sameCall, elsewhere, again); code != 200 {
		t.Errorf("the phone on another connection, by its Call-ID, gets %d", code)
	}
	if code := send(w.plug("1001"), "right"); code != 200 {
		t.Errorf("the phone after a restart, by its contact, gets %d", code)
	}
	if code := send(w.plug("1001"), "right", func(m *siptest.Message) { m.Set("Contact", "<sip:me@198.51.100.98;transport=tls>") }); code != 403 {
		t.Errorf("somebody else who knows the password gets %d", code)
	}
}
