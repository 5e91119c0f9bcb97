package sbc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
)

const askStrangers = `rules:
  - {id: x/ask, on: [register, invite], match: {stranger: true}, then: challenge}
limits:
  - {id: x/rate, on: register, key: [source.ip], rate: 1/h, burst: 1, then: drop}
  - {id: x/failures, on: register, key: [register.user], failures: 1, over: 5m, then: drop}
`

// A phone answers the gateway's challenge and then the PBX's, in one attempt: it
// is counted once, told once, and no failure. The gateway's credentials never
// reach the PBX.
func TestChallenge(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), askStrangers)
	p := w.phone("1001")
	if err := p.Register(w.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if in := w.in.String(); strings.Contains(in, `nonce="rp`) {
		t.Error("the PBX got credentials that were for the gateway")
	}
	if n := w.rep.count(call.EventRegister); n != 1 {
		t.Errorf("%d registrations were told, want one", n)
	}
	out := w.pub.String()
	ours, theirs := 0, 0
	for line := range strings.Lines(out) {
		stale := strings.Contains(line, "stale=true")
		switch {
		case !strings.HasPrefix(line, "WWW-Authenticate:"):
		case strings.Contains(line, `nonce="rp`):
			if ours++; stale {
				t.Error("the first challenge says that a nonce is old: ", line)
			}
		default:
			if theirs++; !stale {
				t.Error("the PBX's challenge reads like a refused password: ", line)
			}
		}
	}
	if ours != 1 || theirs == 0 {
		t.Errorf("%d and %d challenges", ours, theirs)
	}
	for _, id := range w.rep.rules() {
		if id != "x/ask" {
			t.Errorf("refused by %s", id)
		}
	}
	// Registered, nobody asks again; and a wrong password stays wrong.
	w.registered("1002", tone(880), at("90"))
	c := w.call(p, "1002")
	c.Bye(w.ctx)
	w.quiet()
	var refused *siptest.Refused
	if err := w.tries("1003", func(c *siptest.PhoneConfig) { c.Password = "wrong" }, at("91")); !errors.As(err, &refused) || refused.Response.Code != 403 && refused.Response.Code != 401 {
		t.Errorf("a wrong password: %v", err)
	}
}

// Who does not answer goes nowhere, and an answer is good for its sender, its
// Call-ID and its time alone.
func TestChallengeIsBound(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), `rules:
  - {id: x/ask, on: any, match: {stranger: true}, then: challenge}
`)
	ask := func(p *siptest.Phone, id, auth string) *siptest.Message {
		t.Helper()
		m := &siptest.Message{Method: "REGISTER", URI: "sip:" + domain}
		for _, f := range [][2]string{{"Max-Forwards", "70"}, {"From", "<" + p.AOR() + ">;tag=a"}, {"To", "<" + p.AOR() + ">"}, {"Call-ID", id},
			{"CSeq", "1 REGISTER"}, {"Contact", "<sip:x@192.0.2.1>"}} {
			m.Add(f[0], f[1])
		}
		if auth != "" {
			m.Add("Authorization", auth)
		}
		res, err := p.Do(w.ctx, p.Path(), m)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	here, there := w.phone("1001"), w.phone("1001", at("92"))
	first := ask(here, "id-1", "")
	if first.Code != 401 || !strings.Contains(first.Get("WWW-Authenticate"), `nonce="rp`) || strings.Contains(first.Get("WWW-Authenticate"), "stale") {
		t.Fatalf("%d %s", first.Code, first.Get("WWW-Authenticate"))
	}
	good := siptest.Answer(first.All("WWW-Authenticate"), "REGISTER", "sip:"+domain, "1001", "one")
	ours := func(m *siptest.Message) bool { return strings.Contains(m.Get("WWW-Authenticate"), `nonce="rp`) }
	for name, c := range map[string]struct {
		p        *siptest.Phone
		id, auth string
	}{
		"another address":   {there, "id-1", good},
		"another Call-ID":   {here, "id-2", good},
		"another time":      {here, "id-3", strings.Replace(good, `nonce="rp`, `nonce="rp0`, 1)},
		"no response":       {here, "id-4", `Digest username="1001", realm="` + domain + `", nonce="` + "rp" + strings.Repeat("0", 10) + "." + strings.Repeat("0", 32) + `", uri="sip:x", response=""`},
		"an empty username": {here, "id-5", strings.Replace(good, `username="1001"`, `username=""`, 1)},
	} {
		res := ask(c.p, c.id, c.auth)
		if !ours(res) || !strings.Contains(res.Get("WWW-Authenticate"), "stale=true") {
			t.Errorf("%s: %d %s", name, res.Code, res.Get("WWW-Authenticate"))
		}
	}
	if strings.Contains(w.in.String(), "REGISTER") {
		t.Fatal("something reached the PBX")
	}
	if res := ask(here, "id-1", good); ours(res) || !strings.Contains(res.Get("WWW-Authenticate"), "stale=true") {
		t.Errorf("the good answer: %d %s", res.Code, res.Get("WWW-Authenticate"))
	}
	if strings.Contains(w.in.String(), `nonce="rp`) {
		t.Error("the PBX got credentials that were for the gateway")
	}
}

// A call that is challenged and does not answer is written down when its time
// is over, once; one that answers is written down as what it became.
func TestChallengedCall(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), `rules:
  - {id: x/ask, on: invite, match: {user: ["1001"]}, then: challenge}
`, func(c *worldConfig) { c.sbc.RetryTimeout = 2 * time.Second })
	a := w.registered("1001")
	w.registered("1002", tone(880))
	c := w.call(a, "1002")
	c.Bye(w.ctx)
	w.quiet()
	r := w.rep.lastRecord(t, 1)
	if r.Code != 200 || r.Rule != "x/ask" && r.Rule != "" {
		t.Errorf("%+v", r)
	}
	m := a.NewRequest("INVITE", "sip:1002@"+domain)
	res, err := a.Do(w.ctx, a.Path(), m)
	if err != nil || res.Code != 407 {
		t.Fatal(res, err)
	}
	r = w.rep.lastRecord(t, 2)
	if r.Code != 407 || r.Rule != "x/ask" || r.Verdict != call.Challenge {
		t.Errorf("%+v", r)
	}
	w.quiet()
}

// Inside a call nobody is challenged: what such a request leads to passes, or
// is refused by a rule that refuses.
func TestNoChallengeInACall(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, "version: 1\nrules:\n  - {id: x/ask, on: [refer, message], then: challenge}\n"))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:1003@"+domain+">")
	p.send(r)
	w.b.reply(w.b.request("REFER"), 202, "", nil)
	p.answer("REFER", 202)
	p.send(p.within("BYE", 3, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}
