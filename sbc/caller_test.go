package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

// identity configures the raw carrier's entry.
func identity(i sbc.Identity) option {
	return func(c *worldConfig) { c.sbc.Peers[0].Identity = i }
}

func header(name string, values ...string) func(*siptest.Message) {
	return func(m *siptest.Message) {
		for _, v := range values {
			m.Add(name, v)
		}
	}
}

func from(v string) func(*siptest.Message) {
	return func(m *siptest.Message) { m.Set("From", v+";tag="+unique("f")) }
}

// seen is what of the caller an INVITE shows.
func seen(m *siptest.Message) string {
	v, _, _ := strings.Cut(m.Get("From"), ";tag=")
	out := []string{v}
	for _, n := range []string{"P-Asserted-Identity", "Remote-Party-ID", "Privacy", "Identity", "Date", "P-Preferred-Identity"} {
		for _, v := range m.All(n) {
			out = append(out, n+": "+v)
		}
	}
	return strings.Join(out, "\n")
}

const tooMany = `<sip:+33199001001@pbx.inside>, <tel:+33199001001>, <sip:+33199001002@pbx.inside>, <tel:+33199001003>`

// TestCallerTowardsCarrier: who is shown to a carrier, by what is agreed with
// it and what the PBX and its user say.
func TestCallerTowardsCarrier(t *testing.T) {
	pai := header("P-Asserted-Identity", `"Alice" <sip:+33199001001@`+insideNet+`66>`)
	alice := from(`"Alice" <sip:1001@` + insideNet + `66>`)
	hidden := from(`"Anonymous" <sip:anonymous@anonymous.invalid>`)
	for _, x := range []struct {
		name   string
		i      sbc.Identity
		change []func(*siptest.Message)
		want   string
	}{
		{"nothing agreed", sbc.Identity{}, []func(*siptest.Message){alice, pai, header("P-Preferred-Identity", "<sip:x@y>")}, `"Alice" <sip:1001@` + domain + `>`},
		{"in From", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){alice, pai}, `"Alice" <sip:+33199001001@` + domain + `>`},
		{"in From, by itself", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){from(`<sip:0199001234@x>`)}, `<sip:+33199001234@` + domain + `>`},
		{"asserted", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){alice, pai},
			`"Alice" <sip:1001@` + domain + ">\nP-Asserted-Identity: \"Alice\" <sip:+33199001001@" + domain + ">"},
		{"asserted by the gateway", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){from(`<sip:0199001234@x>`)},
			`<sip:0199001234@` + domain + ">\nP-Asserted-Identity: <sip:+33199001234@" + domain + ">"},
		{"one sip and one tel at most", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){alice, header("P-Asserted-Identity", tooMany)},
			`"Alice" <sip:1001@` + domain + ">\nP-Asserted-Identity: <sip:+33199001001@" + domain + ">\nP-Asserted-Identity: <tel:+33199001001>"},
		{"old equipment", sbc.Identity{Trust: true, Present: sbc.InRPID}, []func(*siptest.Message){alice, pai},
			`"Alice" <sip:1001@` + domain + ">\nRemote-Party-ID: \"Alice\" <sip:+33199001001@" + domain + ">;party=calling;screen=yes;privacy=off"},
		{"an old PBX", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){alice, header("Remote-Party-ID", `"A" <sip:+33199001001@`+insideNet+`66>;party=calling;privacy=full`)},
			`"Alice" <sip:1001@` + domain + ">\nP-Asserted-Identity: \"A\" <sip:+33199001001@" + domain + ">\nPrivacy: id"},
		{"privacy, not trusted", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){alice, pai, header("Privacy", "id")},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"},
		{"privacy of the user, not trusted", sbc.Identity{}, []func(*siptest.Message){alice, header("Privacy", "user;header;session")},
			`"Anonymous" <sip:anonymous@anonymous.invalid>`},
		{"privacy, trusted", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){hidden, pai, header("Privacy", "id;critical")},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nP-Asserted-Identity: \"Alice\" <sip:+33199001001@" + domain + ">\nPrivacy: id;critical"},
		{"anonymous and no privacy asked, trusted", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){hidden, pai},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nP-Asserted-Identity: \"Alice\" <sip:+33199001001@" + domain + ">\nPrivacy: id"},
		{"anonymous, not trusted", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){hidden, pai},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"},
		{"anonymous old equipment", sbc.Identity{Present: sbc.InRPID}, []func(*siptest.Message){hidden, pai},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"},
		{"no privacy", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){alice, pai, header("Privacy", "none")},
			`"Alice" <sip:+33199001001@` + domain + ">\nPrivacy: none"},
		{"words of the other side", sbc.Identity{Trust: true, Present: sbc.InPAI}, []func(*siptest.Message){from(`<sip:+33199001001;phone-context=pbx.inside;verstat=No-TN-Validation@x>`),
			header("P-Asserted-Identity", `<tel:+33199001001;phone-context=pbx.inside;verstat=TN-Validation-Passed>;host=pbx.inside`), header("Privacy", "id;pbx.inside")},
			`<sip:+33199001001;verstat=No-TN-Validation@` + domain + ">\nP-Asserted-Identity: <tel:+33199001001;verstat=TN-Validation-Passed>\nPrivacy: id"},
		{"a call for help is not anonymous", sbc.Identity{Present: sbc.InFrom}, []func(*siptest.Message){alice, pai, header("Privacy", "id"), func(m *siptest.Message) { m.URI = "sip:112@" + insideNet + "1" }},
			`"Alice" <sip:+33199001001@` + domain + ">\nPrivacy: id"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newRawWorld(t, identity(x.i))
			inv := w.b.invite("+442079460000", x.change...)
			in := w.a.request("INVITE")
			if got := seen(in); got != x.want {
				t.Errorf("the carrier sees\n%s\nwant\n%s", got, x.want)
			}
			w.a.reply(in, 486, "t", nil)
			w.b.ackFailure(inv, w.b.code(486))
			w.quiet()
			w.hidden()
			if s := w.a.saw(); strings.Contains(s, "pbx.inside") {
				t.Errorf("a host of the inside crossed:\n%s", around(s, "pbx.inside"))
			}
		})
	}
}

// TestCallerFromCarrier: whose word the PBX is told.
func TestCallerFromCarrier(t *testing.T) {
	pai := header("P-Asserted-Identity", `"Bob" <sip:+442079460000@`+publicNet+`66;user=phone>`)
	gw := insideNet + "1"
	for _, x := range []struct {
		name   string
		i      sbc.Identity
		change []func(*siptest.Message)
		want   string
	}{
		{"not trusted", sbc.Identity{}, []func(*siptest.Message){from("<sip:+442079460001;verstat=TN-Validation-Passed@x>"), pai, header("Remote-Party-ID", "<sip:1@x>"), header("Privacy", "id"),
			header("Identity", "eyJ;info=<https://c.test/c>;alg=ES256"), header("Date", "Thu, 21 Feb 2002 13:02:03 GMT")},
			"<sip:+442079460001@" + gw + ">\nPrivacy: id"},
		{"trusted", sbc.Identity{Trust: true, Present: sbc.InPAI, STIR: true}, []func(*siptest.Message){from("<sip:+442079460001;verstat=TN-Validation-Passed@x>"), pai,
			header("Identity", "eyJ;info=<https://c.test/c>;alg=ES256"), header("Date", "Thu, 21 Feb 2002 13:02:03 GMT")},
			"<sip:+442079460001;verstat=TN-Validation-Passed@" + gw + ">\nP-Asserted-Identity: \"Bob\" <sip:+442079460000@" + gw +
				">\nIdentity: eyJ;info=<https://c.test/c>;alg=ES256\nDate: Thu, 21 Feb 2002 13:02:03 GMT"},
		{"the short name", sbc.Identity{Trust: true, STIR: true}, []func(*siptest.Message){from("<sip:+442079460001@x>"), header("y", "eyJ;info=<https://c.test/c>;alg=ES256")},
			"<sip:+442079460001@" + gw + ">\nIdentity: eyJ;info=<https://c.test/c>;alg=ES256"},
		{"trusted, signatures stripped", sbc.Identity{Trust: true}, []func(*siptest.Message){from("<sip:+442079460001@x>"), header("Identity", "eyJ"), header("Date", "Thu, 21 Feb 2002 13:02:03 GMT")},
			"<sip:+442079460001@" + gw + ">"},
		{"too many signatures", sbc.Identity{Trust: true, STIR: true}, []func(*siptest.Message){from("<sip:+442079460001@x>"), header("Identity", "1", "2", "3", "4", "5", "6", "7")},
			"<sip:+442079460001@" + gw + ">"},
		{"too long signatures", sbc.Identity{Trust: true, STIR: true}, []func(*siptest.Message){from("<sip:+442079460001@x>"), header("Identity", strings.Repeat("a", 8000), strings.Repeat("b", 8000), strings.Repeat("c", 8000))},
			"<sip:+442079460001@" + gw + ">"},
		{"anonymous", sbc.Identity{Trust: true}, []func(*siptest.Message){from("<sip:anonymous@anonymous.invalid>"), pai, header("Privacy", "id")},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nP-Asserted-Identity: \"Bob\" <sip:+442079460000@" + gw + ">\nPrivacy: id"},
		{"in a tel URI", sbc.Identity{}, []func(*siptest.Message){from("<tel:+442079460001>")}, "<sip:+442079460001@" + gw + ">"},
		{"a default for others", sbc.Identity{Trust: true, Allowed: []string{"+4420"}, Default: "+442079469999"}, []func(*siptest.Message){from(`"Bank" <sip:+18765550100@x>`), pai},
			"<sip:+442079469999@" + gw + ">"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newRawWorld(t, identity(x.i))
			inv := w.a.invite("+33123456789", x.change...)
			in := w.b.request("INVITE")
			if got := seen(in); got != x.want {
				t.Errorf("the PBX sees\n%s\nwant\n%s", got, x.want)
			}
			w.b.reply(in, 486, "t", nil)
			w.a.ackFailure(inv, w.a.code(486))
			w.quiet()
			w.hidden()
		})
	}
}

// TestTrustedCallerIsJudged: the number that a trusted carrier asserts is the
// caller's for rules and records when From hides it.
func TestTrustedCallerIsJudged(t *testing.T) {
	w := newRawWorld(t, identity(sbc.Identity{Trust: true}))
	inv := w.a.invite("+33123456789", from("<sip:anonymous@anonymous.invalid>"), header("P-Asserted-Identity", "<sip:+442079460000@x>"), header("Privacy", "id"))
	w.b.reply(w.b.request("INVITE"), 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	if r := w.rep.lastRecord(t, 1); r.FromE164 != "+442079460000" || r.From != "anonymous" {
		t.Errorf("record %+v", r)
	}
	w.quiet()
}

// TestCallerNotAllowed: numbers that are not the sender's, and that may not be
// shown.
func TestCallerNotAllowed(t *testing.T) {
	forged := func(w *rawWorld, subject string) {
		t.Helper()
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		d := w.rep.decisions[len(w.rep.decisions)-1].d
		if d.Rule != "base/caller-not-allowed" || d.Action != call.IdentityForged || d.Status != 403 || d.Subject.Value != subject {
			t.Errorf("decision %+v", d)
		}
	}
	for name, change := range map[string][]func(*siptest.Message){
		"From":                 {from("<sip:+18765550100@x>")},
		"From, spelled":        {from("<sip:0018765550100@x>")},
		"From beside a PAI":    {from("<sip:+18765550100@x>"), header("P-Asserted-Identity", "<sip:+442079460000@x>")},
		"PAI beside a From":    {from("<sip:+442079460000@x>"), header("P-Asserted-Identity", "<sip:+18765550100@x>")},
		"a name":               {from("<sip:bank@x>")},
		"nobody":               {from("<sip:anonymous@anonymous.invalid>")},
		"who diverted is none": {from("<sip:+18765550100@x>"), header("Diversion", "<sip:+18765550101@x>")},
	} {
		t.Run("from a peer, "+name, func(t *testing.T) {
			w := newRawWorld(t, identity(sbc.Identity{Trust: true, Allowed: []string{"+4420"}}))
			inv := w.a.invite("+33123456789", change...)
			w.a.ackFailure(inv, w.a.code(403))
			forged(w, "raw")
			w.b.never("INVITE", is("INVITE"))
			w.quiet()
		})
	}
	t.Run("diverted by a number of the peer", func(t *testing.T) {
		w := newRawWorld(t, identity(sbc.Identity{Trust: true, Allowed: []string{"+4420"}}))
		inv := w.a.invite("+33123456789", from("<sip:+18765550100@x>"), header("Diversion", "<sip:+442079460000@x>"))
		w.b.reply(w.b.request("INVITE"), 486, "t", nil)
		w.a.ackFailure(inv, w.a.code(486))
		w.quiet()
	})
	t.Run("a word of who is not trusted diverts nothing", func(t *testing.T) {
		w := newRawWorld(t, identity(sbc.Identity{Allowed: []string{"+4420"}}))
		inv := w.a.invite("+33123456789", from("<sip:+18765550100@x>"), header("Diversion", "<sip:+442079460000@x>"))
		w.a.ackFailure(inv, w.a.code(403))
		w.quiet()
	})
	t.Run("to a peer", func(t *testing.T) {
		w := newRawWorld(t, identity(sbc.Identity{Allowed: []string{"+33199001"}}))
		inv := w.b.invite("+442079460000", from("<sip:+18765550100@x>"))
		w.b.ackFailure(inv, w.b.code(403))
		forged(w, "+18765550100")
		inv = w.b.invite("+442079460000")
		w.a.reply(w.a.request("INVITE"), 486, "t", nil)
		w.b.ackFailure(inv, w.b.code(486))
		// Help may be called for with any number.
		inv = w.b.invite("112", from("<sip:+18765550100@x>"))
		w.a.reply(w.a.request("INVITE"), 486, "t", nil)
		w.b.ackFailure(inv, w.b.code(486))
		w.quiet()
	})
	t.Run("a default to a peer", func(t *testing.T) {
		w := newRawWorld(t, identity(sbc.Identity{Trust: true, Present: sbc.InPAI, Allowed: []string{"+33199001"}, Default: "+33199001000"}))
		hidden := w.b.invite("+442079460000", from(`"Anonymous" <sip:anonymous@anonymous.invalid>`))
		in := w.a.request("INVITE")
		if got, want := seen(in), "\"Anonymous\" <sip:anonymous@anonymous.invalid>\nP-Asserted-Identity: <sip:+33199001000@"+domain+">\nPrivacy: id"; got != want {
			t.Errorf("the carrier sees\n%s\nwant\n%s", got, want)
		}
		w.a.reply(in, 486, "t", nil)
		w.b.ackFailure(hidden, w.b.code(486))
		inv := w.b.invite("+442079460000", from(`"Alice" <sip:1001@x>`), header("P-Asserted-Identity", `<sip:1001@x>`))
		in = w.a.expect("the second INVITE", func(m *siptest.Message) bool { return m.Method == "INVITE" && m.Get("Call-ID") != in.Get("Call-ID") })
		if got, want := seen(in), "<sip:+33199001000@"+domain+">\nP-Asserted-Identity: <sip:+33199001000@"+domain+">"; got != want {
			t.Errorf("the carrier sees\n%s\nwant\n%s", got, want)
		}
		w.a.reply(in, 486, "t", nil)
		w.b.ackFailure(inv, w.b.code(486))
		w.quiet()
	})
	t.Run("a user", func(t *testing.T) {
		w := newRawWorld(t, func(c *worldConfig) { c.sbc.Phones.Allowed = map[string][]string{"1042": {"+33199001042"}} })
		as := func(number string, code int) {
			inv := w.b.invite("+442079460000", from("<sip:"+number+"@x>"), header("P-Asserted-Identity", "<sip:1042@x>", "<tel:"+number+">"))
			if code == 486 {
				w.a.reply(w.a.request("INVITE"), 486, "t", nil)
			}
			w.b.ackFailure(inv, w.b.code(code))
		}
		as("+33199001042", 486)
		as("+33199001043", 403)
		w.quiet()
	})
}

// TestOwnNumber: a carrier that brings one of our own numbers is told of, not
// refused.
func TestOwnNumber(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.OwnNumbers = []string{"+33199001"} })
	for _, n := range []string{"+33199001234", "+33199002234"} {
		inv := w.a.invite("+33123456789", from("<sip:"+n+"@x>"))
		w.b.reply(w.b.request("INVITE"), 486, "t", nil)
		w.a.ackFailure(inv, w.a.code(486))
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for i, want := range []bool{true, false} {
		d := w.rep.decisions[i]
		got := len(d.d.Also) == 1 && d.d.Also[0].Rule == "base/own-number" && d.d.Also[0].Action == call.RuleFlagged && d.d.Also[0].Verdict == call.Abstain
		if got != want || d.a.From.Own != want || !d.d.Permits() {
			t.Errorf("call %d: %+v of %+v", i, d.d, d.a.From)
		}
	}
}

// TestCallerTowardsPhone: a phone is a display outside of the trust domain.
func TestCallerTowardsPhone(t *testing.T) {
	for _, x := range []struct {
		name   string
		phones sbc.Phones
		change []func(*siptest.Message)
		want   string
	}{
		{"as it is", sbc.Phones{}, nil, "<sip:+442079460000@" + domain + ">"},
		{"asserted", sbc.Phones{Present: sbc.InPAI, STIR: true}, nil,
			"<sip:+442079460000@" + domain + ">\nP-Asserted-Identity: \"Bob\" <sip:+442079460000@" + domain + ">\nIdentity: eyJ"},
		{"privacy", sbc.Phones{Present: sbc.InPAI}, []func(*siptest.Message){header("Privacy", "id")},
			"\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newRawWorld(t, func(c *worldConfig) { c.sbc.Phones = x.phones })
			got := make(chan string, 1)
			p := w.rawPhone("1001", func(in *siptest.Incoming) { got <- seen(in.Request); in.Reject(486, "Busy") })
			inv := w.b.invite("x", append([]func(*siptest.Message){func(m *siptest.Message) { m.URI = p }, from("<sip:+442079460000@x>"),
				header("P-Asserted-Identity", `"Bob" <sip:+442079460000@x>`), header("Identity", "eyJ")}, x.change...)...)
			if got := <-got; got != x.want {
				t.Errorf("the phone sees\n%s\nwant\n%s", got, x.want)
			}
			w.b.ackFailure(inv, w.b.code(486))
			w.quiet()
			w.hidden()
		})
	}
}

// rawPhone registers a phone with the raw PBX and gives the contact that the
// PBX has of it.
func (w *rawWorld) rawPhone(user string, ring func(*siptest.Incoming)) string {
	w.t.Helper()
	p := w.phone(user, func(c *siptest.PhoneConfig) { c.OnInvite = ring })
	done := make(chan error, 1)
	go func() { done <- p.Register(w.ctx, 3600e9) }()
	reg := w.b.request("REGISTER")
	w.b.reply(reg, 200, "r", nil, siptest.Field{Name: "Contact", Value: reg.Get("Contact") + ";expires=3600"})
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	return siptest.URIOf(reg.Get("Contact"))
}

// TestWhoAnswers: the identity of the callee is for those that are trusted.
func TestWhoAnswers(t *testing.T) {
	for _, trust := range []bool{true, false} {
		w := newRawWorld(t, identity(sbc.Identity{Trust: trust}))
		inv := w.a.invite("+33123456789")
		w.b.reply(w.b.request("INVITE"), 180, "t", nil, siptest.Field{Name: "P-Asserted-Identity", Value: `"Alice" <sip:+33199001001@pbx.inside>`})
		got := w.a.code(180).Get("P-Asserted-Identity")
		if want := `"Alice" <sip:+33199001001@` + domain + ">"; trust && got != want || !trust && got != "" {
			t.Errorf("trust %v: %q", trust, got)
		}
		w.a.cancel(inv)
		w.a.ackFailure(inv, w.a.code(487))
		w.b.reply(w.b.request("CANCEL"), 200, "", nil)
		w.hidden()
	}
}

func TestCriticalPrivacy(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", header("Privacy", "id;moon;critical"))
	w.a.ackFailure(inv, w.a.code(500))
	inv = w.a.invite("+33123456789", header("Privacy", "id;moon"))
	w.b.reply(w.b.request("INVITE"), 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
}

// TestPhoneThatNamesNobody: a phone whose From is anonymous is the user of its
// connection; the PBX is told whose call it is, and that it is private.
func TestPhoneThatNamesNobody(t *testing.T) {
	w := newRawWorld(t)
	p := w.phone("1001")
	w.in(p)
	call := func(opts ...siptest.Option) (*siptest.Message, <-chan error) {
		done := make(chan error, 1)
		go func() {
			_, err := p.Invite(w.ctx, "+442079460000", append(opts, siptest.From("sip:anonymous@anonymous.invalid"))...)
			done <- err
		}()
		return w.b.request("INVITE"), done
	}
	in, done := call()
	if got, want := seen(in), "<sip:1001@"+domain+">\nPrivacy: id"; got != want {
		t.Errorf("the PBX sees\n%s\nwant\n%s", got, want)
	}
	// The PBX drops the wish: the carrier is told nothing all the same.
	back := w.b.invite("+442079460000", from(`"Alice" <sip:+33199001001@x>`), set("Session-ID", in.Get("Session-ID")))
	out := w.a.request("INVITE")
	if got, want := seen(out), "\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"; got != want {
		t.Errorf("the carrier sees\n%s\nwant\n%s", got, want)
	}
	w.a.reply(out, 486, "t", nil)
	w.b.ackFailure(back, w.b.code(486))
	w.b.reply(in, 486, "t", nil)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "486") {
		t.Error(err)
	}
	if r := w.rep.lastRecord(t, 1); r.User != "1001" || r.From != "1001" || len(r.Passes) != 2 {
		t.Errorf("record %+v", r)
	}
	// With two users on the connection it has to say which.
	second := func(m *siptest.Message) {
		m.Set("From", "<sip:1002@"+domain+">;tag=1")
		m.Set("To", "<sip:1002@"+domain+">")
		m.Set("Contact", strings.Replace(m.Get("Contact"), "1001@", "1002@", 1))
	}
	got := w.ask(p, reg(p, second))
	w.granted(w.b.request("REGISTER"), 600)
	<-got
	err := error(nil)
	if _, err = p.Invite(w.ctx, "+442079460000", siptest.From("sip:anonymous@anonymous.invalid")); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("nobody of two: %v", err)
	}
	for _, who := range []string{"1003", "1001"} {
		if _, err = p.Invite(w.ctx, "+442079460000", siptest.From("sip:anonymous@anonymous.invalid"), siptest.Header("P-Preferred-Identity", "<sip:1003@"+domain+">")); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s, which it has not registered: %v", who, err)
		}
	}
	in, done = call(siptest.Header("P-Preferred-Identity", "<sip:1002@"+domain+">"), siptest.Header("Privacy", "id;user"))
	if got, want := seen(in), "<sip:1002@"+domain+">\nPrivacy: user;id"; got != want {
		t.Errorf("the PBX sees\n%s\nwant\n%s", got, want)
	}
	w.b.reply(in, 486, "t", nil)
	<-done
	w.quiet()
	w.hidden()
}

// TestPrivacyIsUndoneByThePBX: the PBX may say that a caller may be named.
func TestPrivacyIsUndoneByThePBX(t *testing.T) {
	w := newRawWorld(t)
	first := w.a.invite("+33123456789", from("<sip:+442079460000@x>"), header("Privacy", "id"))
	in := w.b.request("INVITE")
	for _, none := range []bool{false, true} {
		change := []func(*siptest.Message){from("<sip:+442079460000@x>"), set("Session-ID", in.Get("Session-ID"))}
		want := "\"Anonymous\" <sip:anonymous@anonymous.invalid>\nPrivacy: id"
		if none {
			change = append(change, header("Privacy", "none"))
			want = "<sip:+442079460000@" + domain + ">\nPrivacy: none"
		}
		got := make(chan string, 1)
		user := []string{"1001", "1002"}[map[bool]int{true: 1}[none]]
		contact := w.rawPhone(user, func(in *siptest.Incoming) { got <- seen(in.Request); in.Reject(486, "Busy") })
		inv := w.b.invite("x", append(change, func(m *siptest.Message) { m.URI = contact })...)
		if got := <-got; got != want {
			t.Errorf("the phone sees\n%s\nwant\n%s", got, want)
		}
		w.b.ackFailure(inv, w.b.code(486))
	}
	w.b.reply(in, 486, "t", nil)
	w.a.ackFailure(first, w.a.code(486))
	w.quiet()
}

// TestIdentityThatIsNoAddress: what would be something else when it is written
// again is left out.
func TestIdentityThatIsNoAddress(t *testing.T) {
	for _, v := range []string{`<sip:a b@x>`, `<sip:@x>`, `<http://x>`, `<tel:>`, `sip:1 <sip:2@x>`, `<sip:"a"@x>`, `<sip:a@x`, `"<sip:+33@x>`, `<urn:service:sos>`} {
		w := newRawWorld(t, identity(sbc.Identity{Trust: true, Present: sbc.InPAI}))
		inv := w.a.invite("+33123456789", header("P-Asserted-Identity", v))
		var m *siptest.Message
		refused := false
		eventually(t, "INVITE or a refusal", func() bool {
			m = w.b.take(is("INVITE"))
			refused = refused || w.a.take(func(m *siptest.Message) bool { return m.Code == 400 }) != nil
			return m != nil || refused
		})
		if m == nil {
			continue
		}
		if got := m.All("P-Asserted-Identity"); len(got) > 0 {
			t.Errorf("%s became %q", v, got)
		}
		w.b.reply(m, 486, "t", nil)
		w.a.ackFailure(inv, w.a.code(486))
	}
}

// TestWhoSpeaksNow: a re-INVITE or UPDATE may say that the PBX has put somebody
// else on the line.
func TestWhoSpeaksNow(t *testing.T) {
	for _, x := range []struct {
		i    sbc.Identity
		want string
	}{
		{sbc.Identity{Trust: true, Allowed: []string{"+33199001"}}, `"Carol" <sip:+33199001003@` + domain + ">"},
		{sbc.Identity{Trust: true, Allowed: []string{"+33199002"}, Default: "+33199002000"}, ""},
		{sbc.Identity{}, ""},
	} {
		w := newRawWorld(t, identity(x.i))
		inv := w.b.invite("+442079460000", from("<sip:+33199001001@x>"))
		in := w.a.request("INVITE")
		w.a.reply(in, 200, "t", w.a.sdp())
		ok := w.b.code(200)
		w.b.send(w.b.within("ACK", 1, inv, ok))
		w.a.request("ACK")
		re := withSDP(w.b.within("INVITE", 2, inv, ok), w.b.sdp())
		re.Add("P-Asserted-Identity", `"Carol" <sip:+33199001003@pbx.inside>`)
		w.b.send(re)
		if in = w.a.expect("re-INVITE", func(m *siptest.Message) bool { return m.Method == "INVITE" && siptest.Param(m.Get("To"), "tag") != "" }); in.Get("P-Asserted-Identity") != x.want {
			t.Errorf("%+v: re-INVITE with %q", x.i, in.Get("P-Asserted-Identity"))
		}
		w.a.reply(in, 200, "", w.a.sdp())
		again := w.b.expect("200 to the re-INVITE", func(m *siptest.Message) bool { return m.Code == 200 && m.Get("CSeq") == "2 INVITE" })
		w.b.send(w.b.within("ACK", 2, inv, again))
		w.b.send(w.b.within("BYE", 3, inv, ok))
		w.a.reply(w.a.request("BYE"), 200, "", nil)
		w.b.answer("BYE", 200)
		w.quiet()
		w.hidden()
		if s := w.a.saw(); strings.Contains(s, "pbx.inside") {
			t.Error("a host of the inside crossed")
		}
	}
}

// TestDisplayIsShort: nobody fills a display, and a cut leaves no half of a
// character or escape behind.
func TestDisplayIsShort(t *testing.T) {
	for in, want := range map[string]string{
		strings.Repeat("a", 200):                  strings.Repeat("a", 128),
		strings.Repeat("a", 127) + "ééé":          strings.Repeat("a", 127),
		strings.Repeat("a", 127) + `\"b`:          strings.Repeat("a", 127),
		strings.Repeat("a", 126) + `\\bcd`:        strings.Repeat("a", 126) + `\\`,
		strings.Repeat("é", 64):                   strings.Repeat("é", 64),
		strings.Repeat(`\"`, 63) + `a\"` + "tail": strings.Repeat(`\"`, 63) + "a",
	} {
		if got := sbc.Display(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
