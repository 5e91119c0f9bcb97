package sbc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// usersFile has both algorithms for each user and password.
func usersFile(realm string, users map[string]string, algorithms ...string) string {
	if algorithms == nil {
		algorithms = []string{digest.SHA256, digest.MD5}
	}
	var b strings.Builder
	for user, password := range users {
		for _, a := range algorithms {
			fmt.Fprintln(&b, digest.Entry{User: user, Realm: realm, Algorithm: a}.WithPassword(password).Text())
		}
	}
	return b.String()
}

func readUsers(t *testing.T, text string) *digest.Users {
	t.Helper()
	u, faults := digest.ReadUsers([]byte(text), "nobody")
	if faults != nil {
		t.Fatal(faults)
	}
	return u
}

func withUsers(t *testing.T, text string) option {
	return func(c *worldConfig) { c.sbc.Authentication.Users = readUsers(t, text) }
}

const countFailures = `limits:
  - {id: x/failures, on: register, key: [register.user], failures: 3, over: 5m, then: drop}
`

// The gateway asks for the password in the PBX's place; the PBX, which trusts
// it, sees neither strangers nor credentials.
func TestEdgeBeforeATrustingPBX(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), countFailures, withUsers(t, usersFile(domain, passwords)),
		func(c *worldConfig) { c.pbx.Trusts = true })
	for _, who := range []struct{ user, password string }{{"1001", "wrong"}, {"4711", "wrong"}} {
		var refused *siptest.Refused
		p := w.phone("1001", func(c *siptest.PhoneConfig) { c.User, c.Password = who.user, who.password })
		err := p.Register(w.ctx, time.Hour)
		if !errors.As(err, &refused) || refused.Response.Code != 401 {
			t.Fatalf("%v: %v", who, err)
		}
		if v := strings.Join(refused.Response.All("WWW-Authenticate"), " "); strings.Contains(v, "stale") || !strings.Contains(v, "SHA-256") || !strings.Contains(v, "MD5") {
			t.Errorf("%v: a wrong password is answered with %s", who, v)
		}
	}
	if got := w.in.String(); strings.Contains(got, "REGISTER ") {
		t.Fatalf("the PBX saw strangers:\n%s", got)
	}
	a, b := w.registered("1001"), w.registered("1002", tone(880))
	c := w.call(a, "1002")
	c.Bye(w.ctx)
	if err := a.Register(w.ctx, time.Hour); err != nil {
		t.Error("again:", err)
	}
	_ = b
	if strings.Contains(w.in.String(), "Authorization:") {
		t.Error("the PBX saw credentials")
	}
	w.quiet()
	sent := 0
	w.rep.mu.Lock()
	for _, e := range w.rep.events {
		if e.Kind == call.EventRegister && e.Code == 200 && e.Credentials == "" {
			sent++
		}
	}
	w.rep.mu.Unlock()
	if c := &w.gw.Counters; c.Denied.Load() != 2 || c.Accepted.Load() != 3 || c.Challenged.Load() != 5 {
		t.Errorf("%d refused, %d accepted, %d challenged; want 2, 3, 5", c.Denied.Load(), c.Accepted.Load(), c.Challenged.Load())
	}
	if sent != 3 {
		t.Errorf("%d registrations with credentials were told, want 3", sent)
	}
}

// Wrong passwords are counted like those that the PBX refuses; the first
// challenge, an old nonce and the good password are not.
func TestEdgeFailuresCount(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), countFailures, withUsers(t, usersFile(domain, passwords)))
	p := w.phone("1001", func(c *siptest.PhoneConfig) { c.Password = "wrong" })
	for i := range 3 {
		var refused *siptest.Refused
		if err := p.Register(w.ctx, time.Hour); !errors.As(err, &refused) || refused.Response.Code != 401 {
			t.Fatal(i, err)
		}
	}
	var refused *siptest.Refused
	if err := p.Register(w.ctx, time.Hour); err == nil || errors.As(err, &refused) {
		t.Errorf("after three failures: %v", err)
	}
	eventually(t, "the limit is told", func() bool { return has(w.rep.rules(), "x/failures") })
}

// A PBX that challenges all the same is answered by the gateway, which has the
// hash for its realm: registrations, calls, messages. The phone is asked once.
func TestEdgeAnswersForThePhone(t *testing.T) {
	for _, algorithm := range [][]string{nil, {digest.MD5}, {digest.SHA256}} {
		w := newWorld(t, withUsers(t, usersFile(domain, passwords, algorithm...)))
		a := w.registered("1001")
		w.registered("1002", tone(880))
		c := w.call(a, "1002")
		if out := w.pub.String(); strings.Contains(out, "Proxy-Authenticate") || strings.Contains(out, "stale=true") {
			t.Errorf("%v: the phone was asked twice", algorithm)
		}
		c.Bye(w.ctx)
		w.quiet()
		m := a.NewRequest("MESSAGE", "sip:1002@"+domain)
		m.Add("Content-Type", "text/plain")
		m.Body = []byte("hello")
		res, err := a.Do(w.ctx, a.Path(), m)
		if err != nil || res.Code == 407 || res.Code == 401 {
			t.Errorf("a message: %v %v", res, err)
		}
		if err := a.Register(w.ctx, time.Hour); err != nil {
			t.Error("again:", err)
		}
	}
}

// With another password at the PBX the phone answers both challenges, the
// second of which is no refusal of the first.
func TestEdgeLeavesTheRestToThePhone(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), countFailures, withUsers(t, usersFile("edge.example.test", passwords)),
		func(c *worldConfig) { c.sbc.Authentication.Realm = "edge.example.test" })
	a := w.phone("1001")
	for range 6 { // more than are allowed to fail
		if err := a.Register(w.ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(w.in.String(), `nonce="rp`) {
		t.Error("the PBX got credentials that were for the gateway")
	}
}

// What may not be: another's extension, the answer for another method or
// target, one that was used, one for an old nonce.
func TestEdgeProofsAreBound(t *testing.T) {
	w := newWorld(t, withUsers(t, usersFile(domain, passwords)), func(c *worldConfig) { c.pbx.Trusts = true })
	p := w.phone("1001")
	n := 0
	ask := func(user, id, auth string) *siptest.Message {
		t.Helper()
		n++
		m := &siptest.Message{Method: "REGISTER", URI: "sip:" + domain}
		for _, f := range [][2]string{{"Max-Forwards", "70"}, {"From", "<sip:" + user + "@" + domain + ">;tag=a"}, {"To", "<sip:" + user + "@" + domain + ">"}, {"Call-ID", id},
			{"CSeq", fmt.Sprint(n, " REGISTER")}, {"Contact", "<sip:x@192.0.2.1>"}} {
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
	challenge := func(id string) []string { return ask("1001", id, "").All("WWW-Authenticate") }
	stale := func(m *siptest.Message) bool { return strings.Contains(m.Get("WWW-Authenticate"), "stale=true") }
	target := "sip:" + domain
	for name, c := range map[string]struct{ user, auth string }{
		"another's extension": {"1002", siptest.Answer(challenge("i1"), "REGISTER", target, "1001", "one")},
		"another method":      {"1001", siptest.Answer(challenge("i2"), "INVITE", target, "1001", "one")},
		"another target":      {"1001", siptest.Answer(challenge("i3"), "REGISTER", "sip:elsewhere.test", "1001", "one")},
		"no qop":              {"1001", strings.Replace(siptest.Answer(challenge("i4"), "REGISTER", target, "1001", "one"), "qop=auth", "qap=auth", 1)},
		"another realm":       {"1001", strings.Replace(siptest.Answer(challenge("i5"), "REGISTER", target, "1001", "one"), domain, "x."+domain, 1)},
	} {
		id := map[string]string{"another's extension": "i1", "another method": "i2", "another target": "i3", "no qop": "i4", "another realm": "i5"}[name]
		if res := ask(c.user, id, c.auth); res.Code != 401 || stale(res) {
			t.Errorf("%s: %d, stale %v", name, res.Code, stale(res))
		}
	}
	good := siptest.Answer(challenge("i6"), "REGISTER", target, "1001", "one")
	if res := ask("1001", "i7", good); res.Code != 401 || !stale(res) {
		t.Errorf("for another Call-ID: %d", res.Code)
	}
	if strings.Contains(w.in.String(), "REGISTER ") {
		t.Fatal("something reached the PBX")
	}
	if res := ask("1001", "i6", good); res.Code != 200 {
		t.Errorf("the good answer: %d", res.Code)
	}
	if res := ask("1001", "i6", good); res.Code != 401 || !stale(res) {
		t.Errorf("the good answer a second time: %d, stale %v", res.Code, stale(res))
	}
	// Without credentials nothing passes on the strength of what was proven.
	if res := ask("1001", "i6", ""); res.Code != 401 {
		t.Errorf("nothing: %d", res.Code)
	}
	if res := ask("1001", "i6", siptest.Answer([]string{`Digest realm="x", nonce="y", qop="auth"`}, "REGISTER", target, "1001", "one")); res.Code != 401 {
		t.Errorf("somebody's credentials: %d", res.Code)
	}
}

// A rule that lets strangers call lets in those with a password.
func TestEdgeStrangersCall(t *testing.T) {
	rules := "rules:\n  - {id: x/all, on: invite, then: allow}\n"
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), rules, withUsers(t, usersFile(domain, passwords)), func(c *worldConfig) { c.pbx.Trusts = true })
	w.registered("1002", tone(880))
	r := w.refused(w.phone("1001", func(c *siptest.PhoneConfig) { c.Password = "wrong" }), "1002", 407)
	if !strings.Contains(r.Get("Proxy-Authenticate"), `nonce="rp`) || strings.Contains(w.in.String(), "INVITE ") {
		t.Error("a stranger reached the PBX")
	}
	mine := w.phone("1003", at("93"))
	c := w.call(mine, "1002")
	c.Bye(w.ctx)
	w.quiet()
	// What 1003 has shown does not let anybody in as 1001, under the same Call-ID.
	ask := func(method, uri, user, auth string) *siptest.Message {
		t.Helper()
		m := mine.NewRequest(method, uri)
		m.Set("Call-ID", "one-for-both")
		for _, name := range []string{"From", "To"} {
			m.Set(name, "<sip:"+user+"@"+domain+">")
		}
		m.Set("From", m.Get("From")+";tag="+user)
		if auth != "" {
			m.Add("Authorization", auth)
		}
		res, err := mine.Do(w.ctx, mine.Path(), m)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := ask("REGISTER", "sip:"+domain, "1003", "")
	if res := ask("REGISTER", "sip:"+domain, "1003", siptest.Answer(first.All("WWW-Authenticate"), "REGISTER", "sip:"+domain, "1003", "three")); res.Code != 200 {
		t.Fatal(res)
	}
	if res := ask("INVITE", "sip:1002@"+domain, "1001", ""); res.Code < 400 {
		t.Errorf("1001 called: %d", res.Code)
	}
	stranger := w.phone("1003", at("93"))
	mine = stranger
	if res := ask("INVITE", "sip:1002@"+domain, "1001", ""); res.Code != 407 {
		t.Errorf("1001 from the same address: %d", res.Code)
	}
	w.quiet()
}

// Where only the PBX knows passwords, it never hears of who answers nothing.
func TestEdgeBeforeThePBXsChallenge(t *testing.T) {
	w := newWorld(t, func(c *worldConfig) { c.sbc.Authentication.Challenge = true })
	p := w.phone("1001")
	m := p.NewRequest("REGISTER", "sip:"+domain)
	m.Set("To", "<"+p.AOR()+">")
	res, err := p.Do(w.ctx, p.Path(), m)
	if err != nil || res.Code != 401 || !strings.Contains(res.Get("WWW-Authenticate"), `nonce="rp`) {
		t.Fatal(res, err)
	}
	if strings.Contains(w.in.String(), "REGISTER ") {
		t.Fatal("a stranger reached the PBX")
	}
	a := w.registered("1001", at("90"))
	before := strings.Count(w.pub.String(), `nonce="rp`)
	if err := a.Register(w.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if strings.Count(w.pub.String(), `nonce="rp`) != before {
		t.Error("a registered phone was challenged before the PBX")
	}
	w.registered("1002", tone(880))
	c := w.call(a, "1002")
	c.Bye(w.ctx)
	w.quiet()
}

// New users count at once, and those that are gone are gone.
func TestEdgeUsersAreReplaced(t *testing.T) {
	w := newWorld(t, withUsers(t, usersFile(domain, map[string]string{"1001": "one"})), func(c *worldConfig) { c.pbx.Trusts = true })
	a, b := w.phone("1001"), w.phone("1002")
	if err := a.Register(w.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if b.Register(w.ctx, time.Hour) == nil {
		t.Fatal("an unknown user")
	}
	w.gw.SetUsers(readUsers(t, usersFile(domain, map[string]string{"1002": "two"})))
	if err := b.Register(w.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if a.Register(w.ctx, time.Hour) == nil {
		t.Fatal("a user that is gone")
	}
}
