package sbc_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// reg is a REGISTER written by hand; change it before it is sent.
func reg(p *siptest.Phone, change ...func(*siptest.Message)) *siptest.Message {
	m := p.NewRequest("REGISTER", "sip:"+domain)
	m.Set("To", "<"+p.AOR()+">")
	m.Add("Expires", "600")
	for _, f := range change {
		f(m)
	}
	return m
}

func set(name, value string) func(*siptest.Message) {
	return func(m *siptest.Message) { m.Set(name, value) }
}

// ask sends a request of a phone; the answer comes on the channel, nil when
// none came.
func (w *rawWorld) ask(p *siptest.Phone, m *siptest.Message) <-chan *siptest.Message {
	out := make(chan *siptest.Message, 1)
	go func() {
		res, _ := p.Do(w.ctx, p.Path(), m)
		out <- res
	}()
	return out
}

// granted answers a REGISTER at the PBX with the contacts it asks for.
func (w *rawWorld) granted(in *siptest.Message, seconds int, extra ...siptest.Field) {
	w.t.Helper()
	var fs []siptest.Field
	for _, c := range in.All("Contact") {
		fs = append(fs, siptest.Field{Name: "Contact", Value: fmt.Sprintf("<%s>;expires=%d", siptest.URIOf(c), seconds)})
	}
	w.b.reply(in, 200, unique("t"), nil, append(fs, extra...)...)
}

// in registers a phone with the raw PBX and returns the REGISTER it got.
func (w *rawWorld) in(p *siptest.Phone, change ...func(*siptest.Message)) *siptest.Message {
	w.t.Helper()
	got := w.ask(p, reg(p, change...))
	m := w.b.request("REGISTER")
	w.granted(m, 600)
	if res := <-got; res == nil || res.Code != 200 {
		w.t.Fatalf("REGISTER: %v", res)
	}
	return m
}

func token(m *siptest.Message) string { return siptest.UserOf(siptest.URIOf(m.Get("Contact"))) }

// ring calls a contact from the PBX and returns the INVITE.
func (w *rawWorld) ring(contact string, change ...func(*siptest.Message)) *siptest.Message {
	w.t.Helper()
	return w.b.invite("x", append([]func(*siptest.Message){func(m *siptest.Message) {
		m.URI = contact
		m.Set("To", "<"+contact+">")
		m.Set("From", "<sip:1001@"+domain+">;tag="+unique("f"))
	}}, change...)...)
}

// TestEscapedRegisterUser: guesses of one user's password are counted together,
// however the user is escaped in To and From.
func TestEscapedRegisterUser(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) {
		limit := ratelimit.Limit{ID: "site/guess", Key: []string{"source.ip", "register.user"}, Rate: 0.001, Burst: 1, Verdict: call.Reject, Status: 480,
			Match: func(a *call.Attempt) bool { return a.Method == "REGISTER" }}
		counts, err := ratelimit.New([]ratelimit.Limit{limit}, ratelimit.Caps{})
		if err != nil {
			t.Fatal(err)
		}
		c.deps.Guards = []sbc.Guard{counts}
	})
	p := w.phone("1001")
	w.in(p) // the one that a stranger may send …
	w.in(p) // … and the one of a connection that has registered
	for _, user := range []string{"1001", "%31001", "10%301", "%31%30%30%31"} {
		aor := "<sip:" + user + "@" + domain + ">"
		if res := <-w.ask(p, reg(p, set("To", aor), set("From", aor+";tag="+unique("f")))); res == nil || res.Code != 480 {
			t.Errorf("REGISTER of %s: %v", user, res)
		}
	}
}

// TestRefusedByRule: whom a rule of the site keeps out has guessed nothing. A
// wrong password is a failure.
func TestRefusedByRule(t *testing.T) {
	t.Parallel()
	register := func(a *call.Attempt) bool { return a.Method == "REGISTER" }
	w := newRawWorld(t, func(c *worldConfig) {
		counts, err := ratelimit.New([]ratelimit.Limit{
			{ID: "site/closed", Key: []string{"source.ip"}, Rate: 0.001, Burst: 1, Verdict: call.Reject, Status: 403, Match: func(a *call.Attempt) bool { return register(a) && a.UserAgent == "closed" }},
			{ID: "site/guess", Key: []string{"source.ip"}, Failures: 2, Over: time.Hour, Verdict: call.Reject, Status: 480, Match: register},
		}, ratelimit.Caps{})
		if err != nil {
			t.Fatal(err)
		}
		c.deps.Guards = []sbc.Guard{counts}
	})
	p := w.phone("1001")
	w.in(p, set("User-Agent", "closed"))
	for range 5 {
		if res := <-w.ask(p, reg(p, set("User-Agent", "closed"))); res == nil || res.Code != 403 {
			t.Fatalf("refused by a rule: %v", res)
		}
	}
	for range 2 {
		got := w.ask(p, reg(p, set("Authorization", `Digest username="1001", realm="`+domain+`", nonce="n", uri="sip:`+domain+`", response="0"`)))
		w.b.reply(w.b.request("REGISTER"), 403, "t", nil)
		if res := <-got; res == nil || res.Code != 403 {
			t.Fatalf("the PBX refuses: %v", res)
		}
	}
	if res := <-w.ask(p, reg(p)); res == nil || res.Code != 480 {
		t.Errorf("after two failures: %v", res)
	}
}

// TestLateAnswer: the answer to a REGISTER whose connection is gone must not
// take the phone's new connection away.
func TestLateAnswer(t *testing.T) {
	w := newRawWorld(t)
	instance := func(m *siptest.Message) {
		m.Set("Contact", m.Get("Contact")+`;+sip.instance="<urn:uuid:1>";reg-id=1`)
	}
	old := w.phone("1002")
	w.ask(old, reg(old, instance))
	late := w.b.request("REGISTER")
	old.Close()
	p := w.phone("1002")
	got := w.ask(p, reg(p, instance))
	m := w.b.expect("the new REGISTER", func(m *siptest.Message) bool { // the old one is repeated
		return m.Method == "REGISTER" && m.Get("Call-ID") != late.Get("Call-ID")
	})
	w.granted(m, 600)
	if res := <-got; res == nil || res.Code != 200 {
		t.Fatalf("REGISTER: %v", res)
	}
	if token(m) != token(late) {
		t.Fatalf("tokens %s and %s of one instance", token(m), token(late))
	}
	w.granted(late, 600)
	eventually(t, "the answer is taken", func() bool { return w.gw.Counters.Registered.Load() == 2 })
	in := w.ring(siptest.URIOf(m.Get("Contact")))
	ok := w.b.code(200)
	w.b.send(w.b.within("ACK", 1, in, ok))
	w.b.send(w.b.within("BYE", 2, in, ok))
	w.b.answer("BYE", 200)
	w.quiet()
}

// TestUnregisteredElsewhere: once a binding is gone its connection is a
// stranger's again, whichever connection let it go.
func TestUnregisteredElsewhere(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"contact", "star"} {
		t.Run(how, func(t *testing.T) {
			w := newRawWorld(t)
			p := w.phone("1002")
			m := w.in(p)
			q := w.phone("1002")
			contact := siptest.URIOf(reg(p).Get("Contact"))
			got := w.ask(q, reg(q, func(m *siptest.Message) {
				m.Set("Expires", "0")
				m.Set("Contact", "<"+contact+">")
				if how == "star" {
					m.Set("Contact", "*")
				}
			}))
			in := w.b.request("REGISTER")
			if how == "star" && in.Get("Contact") != "*" || how == "contact" && token(in) != token(m) {
				t.Errorf("unregistration as %q", in.Get("Contact"))
			}
			w.b.reply(in, 200, "t", nil)
			if res := <-got; res.Code != 200 {
				t.Fatal(res)
			}
			w.refused(p, "600", 403)
			w.ring(siptest.URIOf(m.Get("Contact")))
			w.b.code(480)
			if n := w.gw.Tables(); n["bindings"] != 0 || n["flows"] != 0 {
				t.Errorf("tables %v", n)
			}
		})
	}
}

func (w *rawWorld) registerEvents(n int) []call.Event {
	w.t.Helper()
	var out []call.Event
	eventually(w.t, fmt.Sprint(n, " register events"), func() bool {
		out = nil
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, e := range w.rep.events {
			if e.Kind == call.EventRegister {
				out = append(out, e)
			}
		}
		return len(out) >= n
	})
	if len(out) != n {
		w.t.Fatalf("%d register events, want %d: %+v", len(out), n, out)
	}
	return out
}

// TestRegisterEvents: one event for each attempt, the challenge and its
// answer together.
func TestRegisterEvents(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.RetryTimeout = 600 * time.Millisecond })
	p := w.phone("1001")
	challenge := siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="r", nonce="n"`}
	stale := siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="r", nonce="m", stale=true`}
	tag, id := unique("f"), unique("c")
	send := func(seq int, credentials bool, answer func(*siptest.Message)) *siptest.Message {
		t.Helper()
		got := w.ask(p, reg(p, set("From", "<"+p.AOR()+">;tag="+tag), set("Call-ID", id), set("CSeq", fmt.Sprint(seq, " REGISTER")), func(m *siptest.Message) {
			if credentials {
				m.Add("Authorization", `Digest username="1001", realm="r", nonce="n", uri="sip:x", response="0"`)
			}
		}))
		answer(w.b.request("REGISTER"))
		return <-got
	}
	refuse := func(code int, fs ...siptest.Field) func(*siptest.Message) {
		return func(m *siptest.Message) { w.b.reply(m, code, unique("t"), nil, fs...) }
	}
	// Challenged, stale, good: one attempt.
	send(1, false, refuse(401, challenge))
	send(2, true, refuse(401, stale))
	send(3, true, func(m *siptest.Message) { w.granted(m, 600) })
	e := w.registerEvents(1)
	if e[0].Code != 200 || e[0].Credentials != "" || e[0].User != "1001" || e[0].Account != "main" {
		t.Errorf("event %+v", e[0])
	}
	// A wrong password is an attempt each time.
	tag = unique("f")
	send(4, false, refuse(401, challenge))
	send(5, true, refuse(401, challenge))
	send(6, true, refuse(403))
	e = w.registerEvents(3)
	if e[1].Code != 401 || e[1].Credentials != "" || e[2].Code != 403 || e[2].Credentials != "" {
		t.Errorf("events %+v", e[1:])
	}
	// Nobody answers the challenge.
	tag = unique("f")
	send(7, false, refuse(401, challenge))
	w.registerEvents(3)
	send(8, false, refuse(401, challenge)) // begins again: the first was given up
	w.registerEvents(4)
	e = w.registerEvents(5)
	for _, x := range e[3:] {
		if x.Code != 401 || x.Credentials != "none" {
			t.Errorf("event %+v", x)
		}
	}
	for i := 1; i < len(e); i++ {
		if e[i].At.Before(e[i-1].At.Time) {
			t.Errorf("events out of order: %v before %v", e[i-1].At, e[i].At)
		}
	}
	if n := w.gw.HoldChallenges(sbc.MaxChallenges + 10); n != sbc.MaxChallenges {
		t.Errorf("%d challenges held, cap %d", n, sbc.MaxChallenges)
	}
}

// TestRegisterRefused: what never reaches the PBX.
func TestRegisterRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for _, c := range []struct {
		name   string
		code   int
		change func(*siptest.Message)
	}{
		{"another's From", 403, set("From", "<sip:1002@"+domain+">;tag=x")},
		{"another domain", 404, set("To", "<sip:1001@elsewhere.test>")},
		{"a Request-URI elsewhere", 404, func(m *siptest.Message) { m.URI = "sip:elsewhere.test" }},
		{"a Request-URI with maddr", 404, func(m *siptest.Message) { m.URI = "sip:" + domain + ";maddr=192.0.2.9" }},
		{"a Contact in a parameter", 400, func(m *siptest.Message) {
			m.Set("Contact", m.Get("Contact")+`;q="1,<sip:evil@192.0.2.9>"`)
		}},
		{"an expiry that is none", 400, func(m *siptest.Message) { m.Set("Contact", m.Get("Contact")+`;expires="1;x"`) }},
		{"a star with an expiry", 400, set("Contact", "*")},
		{"a Contact that is no SIP URI", 400, set("Contact", "<mailto:1001@"+domain+">")},
		{"no hops left", 483, set("Max-Forwards", "0")},
		{"an extension", 420, set("Require", "teleport")},
		{"outbound", 420, set("Require", "outbound")},
		{"path and gruu", 420, set("Require", "path, gruu")},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := w.phone("1001", func(pc *siptest.PhoneConfig) { pc.Local = netip.MustParseAddr(publicNet + "120") })
			sent := reg(p, c.change)
			res := <-w.ask(p, sent)
			if res == nil || res.Code != c.code {
				t.Fatalf("%v, want %d", res, c.code)
			}
			if c.code == 420 && res.Get("Unsupported") != sent.Get("Require") {
				t.Errorf("Unsupported: %q, want %q", res.Get("Unsupported"), sent.Get("Require"))
			}
			p.Close()
		})
	}
	w.b.never("a REGISTER", is("REGISTER"))
	w.registerEvents(12)
}

// TestRegisterCrossing: what the PBX says about bindings, in the phone's
// terms and nothing more.
func TestRegisterCrossing(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.phone("1001")
	got := w.ask(p, reg(p, set("Expires", "10")))
	m := w.b.request("REGISTER")
	w.b.reply(m, 423, "t", nil, siptest.Field{Name: "Min-Expires", Value: "60"})
	if res := <-got; res.Code != 423 || res.Get("Min-Expires") != "60" {
		t.Errorf("%s", res.Bytes())
	}
	got = w.ask(p, reg(p))
	m = w.b.request("REGISTER")
	if m.URI != "sip:"+domain || !strings.HasPrefix(m.Get("To"), "<"+p.AOR()) {
		t.Errorf("REGISTER\n%s", m.Bytes())
	}
	in := "sip:" + insideNet + "66"
	w.b.reply(m, 200, "t", nil, siptest.Field{Name: "Contact", Value: "<" + siptest.URIOf(m.Get("Contact")) + ">;expires=60, <sip:1001@" + insideNet + "44>;expires=9"},
		siptest.Field{Name: "Path", Value: "<" + in + ";lr>"}, siptest.Field{Name: "Service-Route", Value: "<" + in + ";lr>"},
		siptest.Field{Name: "P-Associated-URI", Value: "<" + in + ">"}, siptest.Field{Name: "Warning", Value: `399 ` + insideNet + `66 "x"`},
		siptest.Field{Name: "Server", Value: "PBX at " + insideNet + "66"}, siptest.Field{Name: "Reason", Value: `SIP;cause=200;text="at ` + insideNet + `66"`})
	res := <-got
	if cs := res.All("Contact"); len(cs) != 1 || siptest.URIOf(cs[0]) != siptest.URIOf(reg(p).Get("Contact")) || siptest.Param(cs[0], "expires") != "60" {
		t.Errorf("Contact %q", cs)
	}
	if s := string(res.Bytes()); strings.Contains(s, insideNet) {
		t.Errorf("the inside is shown:\n%s", s)
	}
	// A query changes nothing.
	got = w.ask(p, reg(p, func(m *siptest.Message) { m.Del("Contact"); m.Del("Expires") }))
	q := w.b.request("REGISTER")
	if q.Get("Contact") != "" {
		t.Errorf("query with Contact %q", q.Get("Contact"))
	}
	w.b.reply(q, 200, "t", nil, siptest.Field{Name: "Contact", Value: "<" + siptest.URIOf(m.Get("Contact")) + ">;expires=55"})
	if res := <-got; len(res.All("Contact")) != 1 {
		t.Errorf("%s", res.Bytes())
	}
	// A PBX that is busy does not silence the phone towards the gateway.
	got = w.ask(p, reg(p))
	w.b.reply(w.b.request("REGISTER"), 503, "t", nil, siptest.Field{Name: "Retry-After", Value: "600"})
	if res := <-got; res.Code != 503 || res.Get("Retry-After") != "" {
		t.Errorf("%s", res.Bytes())
	}
	// A refused refresh leaves the binding as it was.
	w.ring(siptest.URIOf(m.Get("Contact")))
	w.b.code(200)
}

func TestTwoUsersOnOneConnection(t *testing.T) {
	w := newRawWorld(t)
	p := w.phone("1001")
	w.in(p)
	w.in(p, set("From", "<sip:1002@"+domain+">;tag=x"), set("To", "<sip:1002@"+domain+">"), set("Contact", "<sip:1002@"+p.Addr().String()+">"))
	for user, code := range map[string]int{"1001": 486, "1002": 486, "1003": 403} {
		got := make(chan error, 1)
		go func() {
			_, err := p.Invite(w.ctx, "600", siptest.From("sip:"+user+"@"+domain))
			got <- err
		}()
		if code == 486 {
			w.b.reply(w.b.request("INVITE"), 486, "t", nil)
		}
		var r *siptest.Refused
		if err := <-got; !as(err, &r) || r.Response.Code != code {
			t.Errorf("%s: %v, want %d", user, err, code)
		}
	}
	w.quiet()
	users := map[string]bool{}
	eventually(t, "three records", func() bool { w.rep.mu.Lock(); defer w.rep.mu.Unlock(); return len(w.rep.records) == 3 })
	for _, r := range w.rep.records {
		users[r.User] = true
	}
	if !users["1001"] || !users["1002"] {
		t.Errorf("users %v", users)
	}
}

// TestBindingCaps: a full table is told to the phone, and to nobody who has a
// place.
func TestBindingCaps(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.MaxBindings = 1 })
	p := w.phone("1001")
	w.in(p)
	q := w.phone("1002")
	got := w.ask(q, reg(q))
	w.granted(w.b.request("REGISTER"), 600)
	if res := <-got; res.Code != 503 || res.Get("Retry-After") == "" {
		t.Errorf("%s", res.Bytes())
	}
	w.refused(q, "600", 403)
	w.in(p) // a refresh has its place
	if n := w.gw.Bindings(); n != 1 {
		t.Errorf("%d bindings", n)
	}
}

// TestKnownAddresses: as many as there are bindings, and gone with them. A
// user who registers from everywhere lists no more than his share.
func TestKnownAddresses(t *testing.T) {
	w := newRawWorld(t)
	at := func(n int) func(*siptest.PhoneConfig) {
		return func(c *siptest.PhoneConfig) { c.Local = netip.MustParseAddr(fmt.Sprint(publicNet, n)) }
	}
	known := func() int { return w.gw.Tables()["addresses"] }
	full := 0
	for i := range 25 {
		p := w.phone("1001", at(100+i))
		got := w.ask(p, reg(p))
		w.granted(w.b.request("REGISTER"), 600)
		if res := <-got; res != nil && res.Code == 503 {
			full++
		}
	}
	if known() != 20 || full != 5 || w.gw.Bindings() != 20 {
		t.Errorf("%d addresses of one user, %d refused, %d bindings, want 20, 5 and 20", known(), full, w.gw.Bindings())
	}
	p, q := w.phone("1002", at(150)), w.phone("1003", at(150))
	w.in(p)
	w.in(q)
	if known() != 21 {
		t.Errorf("%d addresses, want one more", known())
	}
	p.Close() // it may come back: its address stays
	unregister := func(p *siptest.Phone) {
		got := w.ask(p, reg(p, set("Expires", "0")))
		w.granted(w.b.request("REGISTER"), 0)
		<-got
	}
	unregister(q)
	if known() != 21 {
		t.Errorf("%d addresses; another phone of that address is still registered", known())
	}
	r := w.phone("1003", at(151))
	w.in(r)
	if known() != 22 {
		t.Errorf("%d addresses, want one more", known())
	}
	unregister(r)
	if known() != 21 {
		t.Errorf("%d addresses after unregistering", known())
	}
}

// TestGrantedTooLong: a PBX may grant years; a day is what counts here, and
// what the phone hears.
func TestGrantedTooLong(t *testing.T) {
	w := newRawWorld(t)
	for _, seconds := range []int{1 << 31, 1<<33 - 1, 86401} {
		p := w.phone("1001")
		got := w.ask(p, reg(p))
		w.granted(w.b.request("REGISTER"), seconds, siptest.Field{Name: "Expires", Value: fmt.Sprint(seconds)})
		res := <-got
		if siptest.Param(res.Get("Contact"), "expires") != "86400" || res.Get("Expires") != "86400" {
			t.Errorf("granted %d:\n%s", seconds, res.Bytes())
		}
		p.Close()
	}
	for _, r := range w.gw.Registrations() {
		if left := time.Until(r.Expires); left > 24*time.Hour || left < 23*time.Hour {
			t.Errorf("stands for %v", left)
		}
	}
}

// TestTokenSurvivesRestart: the PBX's bindings stay good (RFC 5626 §4.1).
func TestTokenSurvivesRestart(t *testing.T) {
	var tokens, ids []string
	for range 2 {
		w := newRawWorld(t)
		p := w.phone("1001")
		m := w.in(p, set("Call-ID", "the-same"))
		tokens, ids = append(tokens, token(m)), append(ids, m.Get("Call-ID"))
		if strings.Contains(m.Get("Call-ID"), "the-same") || strings.Contains(token(m), "1001") {
			t.Errorf("the inside sees\n%s", m.Bytes())
		}
		w.gw.Close()
	}
	if tokens[0] != tokens[1] || ids[0] != ids[1] {
		t.Errorf("tokens %v, Call-IDs %v", tokens, ids)
	}
}

// TestExpiry: what the PBX granted ends when it ends.
func TestExpiry(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.phone("1001")
	got := w.ask(p, reg(p))
	m := w.b.request("REGISTER")
	w.granted(m, 1)
	<-got
	in := w.ring(siptest.URIOf(m.Get("Contact")))
	w.b.cancelOrBye(in)
	eventually(t, "the identity has expired", func() bool {
		_, err := p.Invite(w.ctx, "600")
		var r *siptest.Refused
		return as(err, &r) && r.Response.Code == 403
	})
	w.ring(siptest.URIOf(m.Get("Contact")))
	w.b.code(480)
	eventually(t, "its address is nobody's", func() bool { return w.gw.Tables()["addresses"] == 0 })
}

// cancelOrBye ends a call of ours that is answered at once.
func (r *raw) cancelOrBye(inv *siptest.Message) {
	r.t.Helper()
	ok := r.code(200)
	r.send(r.within("ACK", 1, inv, ok))
	r.send(r.within("BYE", 2, inv, ok))
	r.answer("BYE", 200)
}

// TestBehindB2BUA: a PBX with Call-IDs of its own. The passes are one call by
// user, number and 5 s, even where it writes our token into To.
func TestBehindB2BUA(t *testing.T) {
	for _, how := range []string{"token in To", "number in To", "Session-ID"} {
		t.Run(how, func(t *testing.T) {
			w := newRawWorld(t)
			a, b := w.phone("1001"), w.phone("1002")
			w.in(a)
			contact := siptest.URIOf(w.in(b).Get("Contact"))
			got := make(chan *siptest.Call, 1)
			go func() {
				c, err := a.Invite(w.ctx, "1002")
				if err != nil {
					t.Error(err)
				}
				got <- c
			}()
			in := w.b.request("INVITE")
			out := w.ring(contact, func(m *siptest.Message) {
				switch how {
				case "number in To":
					m.Set("To", "<sip:1002@"+domain+">")
				case "Session-ID":
					m.Set("From", "<sip:reception@"+domain+">;tag=q")
					m.Set("Session-ID", in.Get("Session-ID"))
				}
			})
			ok := w.b.code(200)
			w.b.send(w.b.within("ACK", 1, out, ok))
			w.b.reply(in, 200, "t", w.b.sdp())
			w.b.request("ACK")
			c := <-got
			c.Bye(w.ctx)
			w.b.reply(w.b.request("BYE"), 200, "", nil)
			w.b.send(w.b.within("BYE", 2, out, ok))
			w.b.answer("BYE", 200)
			w.quiet()
			r := w.rep.lastRecord(t, 1)
			if len(r.Passes) != 2 || r.Direction != call.Internal || r.User != "1001" || r.To != "1002" {
				t.Errorf("record %+v", r)
			}
			w.rep.mu.Lock()
			defer w.rep.mu.Unlock()
			for _, d := range w.rep.decisions {
				if d.a.Method == "INVITE" && d.a.Pass == 2 && (d.a.User != "1001" || d.a.Direction != call.Internal || d.a.To.Number != "1002") {
					t.Errorf("second pass judged as %+v", d.a)
				}
			}
		})
	}
}

// TestForkToPhones: the PBX calls two phones with one Call-ID and From tag.
func TestForkToPhones(t *testing.T) {
	w := newRawWorld(t)
	silent := make(chan *siptest.Incoming, 1)
	a := w.phone("1001", func(c *siptest.PhoneConfig) {
		c.OnInvite = func(in *siptest.Incoming) { in.Ring(); silent <- in; <-in.Cancelled() }
	})
	b := w.phone("1002")
	one, two := siptest.URIOf(w.in(a).Get("Contact")), siptest.URIOf(w.in(b).Get("Contact"))
	first := w.ring(one)
	w.b.code(180)
	<-silent
	second := w.ring(two, set("Call-ID", first.Get("Call-ID")), set("From", first.Get("From")))
	ok := w.b.code(200)
	w.b.send(w.b.within("ACK", 1, second, ok))
	w.b.cancel(first)
	w.b.answer("CANCEL", 200)
	w.b.ackFailure(first, w.b.code(487))
	eventually(t, "one call", func() bool { return w.gw.Live() == 1 })
	info := w.b.within("INFO", 2, second, ok)
	w.b.send(info)
	w.b.answer("INFO", 200)
	w.b.send(w.b.within("BYE", 3, second, ok))
	w.b.answer("BYE", 200)
	w.quiet()
	if len(b.Answered()) != 1 {
		t.Error("the second phone got no call")
	}
}
