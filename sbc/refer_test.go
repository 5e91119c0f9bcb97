package sbc_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc"
)

// secret checks that nothing of one side was seen by the other: addresses,
// and what the phones call themselves.
func (w *rawWorld) secret(ps ...*rawPhone) {
	w.t.Helper()
	w.hidden()
	for _, p := range ps {
		if s := p.saw(); strings.Contains(s, insideNet) {
			w.t.Errorf("phone %s saw the inside:\n%s", p.user, around(s, insideNet))
		}
	}
	if s := w.b.saw(); strings.Contains(s, "Desk/") {
		w.t.Errorf("the inside saw a User-Agent:\n%s", around(s, "Desk/"))
	}
}

func with(name, value string) func(*siptest.Message) {
	return func(m *siptest.Message) { m.Set(name, value) }
}

// denied refuses every number in Jamaica, as a pack would.
func denied(t *testing.T) option {
	t.Helper()
	return ruled(t, "version: 1\ncountries: {default: allow, deny: [JM]}\n")
}

// ruled has the rules of one file.
func ruled(t *testing.T, rules string) option {
	t.Helper()
	return func(c *worldConfig) {
		plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
		if err != nil {
			t.Fatal(err)
		}
		set, ps := policy.Compile([]policy.Source{{Name: "p", Data: []byte(rules)}}, policy.Options{Plan: plan})
		if set == nil {
			t.Fatal(ps)
		}
		c.deps.Guards = []sbc.Guard{set}
	}
}

// TestBlindTransfer: a phone transfers its call, the PBX tells how it goes on.
func TestBlindTransfer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:1003@"+p.gw.String()+";transport=tls;method=INVITE?Subject=x&From=sip%3Ax%40"+publicNet+"1>")
	r.Add("Referred-By", `"Me" <sip:boss@`+p.addr().String()+`>;cid="2`+publicNet+`@x"`)
	r.Add("Supported", "norefersub, replaces, foo")
	r.Add("Target-Dialog", "a;local-tag=b;remote-tag=c")
	p.send(r)
	in := w.b.request("REFER")
	if got := in.Get("Refer-To"); got != "<sip:1003@"+domain+">" {
		t.Errorf("Refer-To %q", got)
	}
	if got := in.Get("Referred-By"); got != "<sip:1001@"+domain+">" {
		t.Errorf("Referred-By %q", got)
	}
	if got := in.Get("Supported"); got != "norefersub, replaces" || in.Get("Target-Dialog") != "" || in.Get("Contact") == "" {
		t.Errorf("Supported %q, REFER:\n%s", got, in.Bytes())
	}
	w.b.reply(in, 202, "", nil, siptest.Field{Name: "Contact", Value: "<sip:raw@" + w.b.addr().String() + ">"}, siptest.Field{Name: "Refer-Sub", Value: "true;x=" + insideNet})
	res := p.answer("REFER", 202)
	if res.Get("Refer-Sub") != "true" || res.Get("Contact") == "" {
		t.Errorf("answer:\n%s", res.Bytes())
	}
	seq, _ := in.CSeq()
	n := w.b.back("NOTIFY", 1, c.in, c.tag)
	n.Add("Event", "refer;id="+strconv.Itoa(seq)+";x="+insideNet)
	n.Add("Subscription-State", "active;expires=60;x="+insideNet)
	n.Add("Content-Type", "message/sipfrag;version=2.0")
	n.Body = []byte("SIP/2.0 180 Ringing at " + insideNet + "4\r\nContact: <sip:1003@" + insideNet + "4>\r\n")
	w.b.send(n)
	got := p.request("NOTIFY")
	if got.Get("Event") != "refer;id=2" || got.Get("Subscription-State") != "active;expires=60" || string(got.Body) != "SIP/2.0 180 Trying\r\n" && string(got.Body) != "SIP/2.0 180 OK\r\n" {
		t.Errorf("NOTIFY:\n%s", got.Bytes())
	}
	p.reply(got, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	n = w.b.back("NOTIFY", 2, c.in, c.tag)
	n.Add("Event", "refer")
	n.Add("Subscription-State", "terminated;reason=noresource")
	n.Add("Content-Type", "message/sipfrag")
	n.Body = []byte("SIP/2.0 200 OK\r\n")
	w.b.send(n)
	got = p.request("NOTIFY")
	if string(got.Body) != "SIP/2.0 200 OK\r\n" || got.Get("Subscription-State") != "terminated;reason=noresource" || got.Get("Event") != "refer" {
		t.Errorf("NOTIFY:\n%s", got.Bytes())
	}
	p.reply(got, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	p.send(p.within("BYE", 3, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	w.secret(p)
}

// TestTransferFromThePBX: the PBX asks a phone to call; a token in Refer-To
// says to nobody which phone it stands for.
func TestTransferFromThePBX(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, q := w.desk("1001"), w.desk("1002")
	c := w.rung(p)
	r := w.b.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<"+q.contact+">")
	r.Add("Referred-By", "<sip:1009@"+w.b.addr().String()+">")
	w.b.send(r)
	in := p.request("REFER")
	if in.Get("Refer-To") != "<sip:1002@"+domain+">" || in.Get("Referred-By") != "<sip:1009@"+domain+">" {
		t.Errorf("REFER:\n%s", in.Bytes())
	}
	p.reply(in, 202, "", nil)
	w.b.answer("REFER", 202)
	n := p.back("NOTIFY", 1, c.in, c.tag)
	n.Add("Event", "refer")
	n.Add("Subscription-State", "active")
	n.Add("Content-Type", "message/sipfrag")
	n.Body = []byte("SIP/2.0 100 Trying\r\n")
	p.send(n)
	got := w.b.request("NOTIFY")
	if string(got.Body) != "SIP/2.0 100 Trying\r\n" {
		t.Errorf("NOTIFY:\n%s", got.Bytes())
	}
	w.b.reply(got, 200, "", nil)
	p.answer("NOTIFY", 200)
	w.b.send(w.b.within("BYE", 3, c.inv, c.ok))
	w.b.answer("BYE", 200)
	p.reply(p.request("BYE"), 200, "", nil)
	w.quiet()
	w.secret(p, q)
}

// TestTransferRefused: what is wrong with a REFER, and a number that policy
// denies, whoever asks for it. The call goes on.
func TestTransferRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	for i, x := range []struct {
		to   string
		code int
		rule string
	}{
		{"<sip:0018765550100@" + domain + ">", 403, "countries/denied"},
		{"<tel:+18765550100>", 403, "countries/denied"},
		{"<sip:%2B18765550100@x;user=phone>", 403, "countries/denied"},
		{"<sip:+18765550100;tgrp=a;trunk-context=10.0.0.5@x>", 403, "countries/denied"},
		{"<sip:1003@" + domain + ";method=BYE>", 403, "base/refer-to"},
		{"<http://" + domain + "/x>", 416, "base/refer-to"},
		{"<sip:" + domain + ">", 404, "base/refer-to"},
		{"", 400, "base/refer-to"},
		{"<sip:1003@" + domain + "?Replaces=x>", 400, "base/replaces"},
		{"<sip:1003@" + domain + "?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>", 400, "base/replaces"},
	} {
		m := p.within("REFER", 2+i, c.inv, c.ok)
		if x.to != "" {
			m.Add("Refer-To", x.to)
		}
		before := len(w.rep.rules())
		p.send(m)
		p.answer("REFER", x.code)
		eventually(t, "a decision", func() bool { return len(w.rep.rules()) > before })
		if rules := w.rep.rules()[before:]; len(rules) != 1 || rules[0] != x.rule {
			t.Errorf("%s: decisions %v, want one: %s", x.to, rules, x.rule)
		}
	}
	w.b.never("REFER", is("REFER"))
	w.rep.mu.Lock()
	for _, d := range w.rep.decisions {
		if d.d.Rule == "countries/denied" && (d.a.Method != "REFER" || d.a.User != "1001" || d.a.Direction != call.Outbound || d.d.Action != call.RequestRejected) {
			t.Errorf("attempt %+v, decision %+v", d.a, d.d)
		}
	}
	w.rep.mu.Unlock()
	// The PBX may not send a phone there either: the phone would call by itself.
	r := w.b.back("REFER", 1, c.in, c.tag)
	r.Add("Refer-To", "<sip:0018765550100@"+w.b.addr().String()+">")
	w.b.send(r)
	w.b.answer("REFER", 403)
	p.never("REFER", is("REFER"))
	p.send(p.within("BYE", 30, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestTransferByCarrier: a carrier may not, unless its entry says so; and then
// no further than policy lets it.
func TestTransferByCarrier(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		w := newRawWorld(t, denied(t), func(c *worldConfig) { c.sbc.Peers[0].AllowRefer = allowed })
		c := w.up()
		r := w.a.within("REFER", 2, c.inv, c.ok)
		r.Add("Refer-To", "<sip:1003@"+w.a.gw.String()+">")
		w.a.send(r)
		if !allowed {
			w.a.answer("REFER", 403)
			eventually(t, "the rule", func() bool { return has(w.rep.rules(), "base/refer-carrier") })
			w.b.never("REFER", is("REFER"))
			w.bye(c, 3)
			continue
		}
		in := w.b.request("REFER")
		if in.Get("Refer-To") != "<sip:1003@"+domain+">" {
			t.Errorf("Refer-To %q", in.Get("Refer-To"))
		}
		w.b.reply(in, 202, "", nil)
		w.a.answer("REFER", 202)
		r = w.a.within("REFER", 3, c.inv, c.ok)
		r.Add("Refer-To", "<sip:+18765550100@"+w.a.gw.String()+">")
		w.a.send(r)
		w.a.answer("REFER", 403)
		w.bye(c, 4)
	}
}

// TestReferChallenged: the answer to a challenge is the same attempt.
func TestReferChallenged(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	refer := func(seq int, change ...func(*siptest.Message)) *siptest.Message {
		r := p.within("REFER", seq, c.inv, c.ok)
		r.Add("Refer-To", "<sip:1003@"+domain+">")
		for _, f := range change {
			f(r)
		}
		p.send(r)
		return w.b.request("REFER")
	}
	judged := func() (n int) {
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, d := range w.rep.decisions {
			if d.a.Method == "REFER" {
				n++
			}
		}
		return n
	}
	w.b.reply(refer(2), 401, "", nil, siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="` + domain + `", nonce="n"`})
	if p.answer("REFER", 401).Get("WWW-Authenticate") == "" {
		t.Error("no challenge")
	}
	in := refer(3, with("Authorization", `Digest username="1001", realm="`+domain+`", nonce="n", uri="sip:x", response="0"`))
	if in.Get("Authorization") == "" {
		t.Error("no credentials")
	}
	w.b.reply(in, 202, "", nil)
	p.answer("REFER", 202)
	if n := judged(); n != 1 {
		t.Errorf("%d decisions, want 1", n)
	}
	p.send(p.within("BYE", 4, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestNotifyWithoutRefer: progress of a transfer that nobody asked for, other
// events, and other bodies.
func TestNotifyWithoutRefer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	notify := func(seq int, event, state, ct, body string) {
		n := w.b.back("NOTIFY", seq, c.in, c.tag)
		n.Add("Event", event)
		n.Add("Subscription-State", state)
		if body != "" {
			n.Add("Content-Type", ct)
			n.Body = []byte(body)
		}
		w.b.send(n)
	}
	notify(1, "refer", "active", "message/sipfrag", "SIP/2.0 100 Trying\r\n")
	w.b.answer("NOTIFY", 481)
	notify(2, "presence", "active", "", "")
	w.b.answer("NOTIFY", 489)
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:1003@"+domain+">")
	p.send(r)
	w.b.reply(w.b.request("REFER"), 202, "", nil)
	p.answer("REFER", 202)
	notify(3, "refer;id=77", "active", "message/sipfrag", "SIP/2.0 100 Trying\r\n")
	w.b.answer("NOTIFY", 481)
	notify(4, "refer", "active", "text/plain", "x")
	w.b.answer("NOTIFY", 415)
	notify(5, "refer", "active", "message/sipfrag", "INVITE sip:x SIP/2.0\r\n")
	w.b.answer("NOTIFY", 400)
	notify(6, "refer", "over", "message/sipfrag", "SIP/2.0 100 Trying\r\n")
	w.b.answer("NOTIFY", 400)
	p.never("NOTIFY", is("NOTIFY"))
	notify(7, "talk", "active", "", "") // a key on a desk works the phone
	got := p.request("NOTIFY")
	if got.Get("Event") != "talk" {
		t.Errorf("NOTIFY:\n%s", got.Bytes())
	}
	p.reply(got, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	p.send(p.within("BYE", 3, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestReferOutside: click to dial, where a rule allows it, as far as the
// countries do; never from the public side (TestSubscribeRefused).
func TestReferOutside(t *testing.T) {
	t.Parallel()
	rule := "rules:\n  - {id: own/click-to-dial, on: refer, match: {peer: [main]}, then: allow}\n"
	for _, allowed := range []bool{false, true} {
		w := newRawWorld(t, denied(t), func(c *worldConfig) {
			if !allowed {
				return
			}
			plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
			if err != nil {
				t.Fatal(err)
			}
			set, ps := policy.Compile([]policy.Source{{Name: "p", Data: []byte("version: 1\ncountries: {default: allow, deny: [JM]}\n" + rule)}}, policy.Options{Plan: plan})
			if set == nil {
				t.Fatal(ps)
			}
			c.deps.Guards = []sbc.Guard{set}
		})
		p := w.desk("1001")
		refer := func(to string) *siptest.Message {
			return w.b.invite("x", func(m *siptest.Message) {
				m.Method, m.URI, m.Body = "REFER", p.contact, nil
				m.Headers = slices.DeleteFunc(m.Headers, func(f siptest.Field) bool { return f.Name == "Content-Type" })
				m.Set("CSeq", "1 REFER")
				m.Set("From", "<sip:cti@"+w.b.host()+">;tag="+unique("f"))
				m.Add("Refer-To", "<sip:"+to+"@"+w.b.addr().String()+">")
			})
		}
		sent := refer("1003")
		if !allowed {
			w.b.answer("REFER", 403)
			p.never("REFER", is("REFER"))
			if !has(w.rep.rules(), "base/refer-outside") {
				t.Errorf("rules %v", w.rep.rules())
			}
			continue
		}
		in := p.request("REFER")
		if in.Get("Refer-To") != "<sip:1003@"+domain+">" || in.Get("Contact") == "" || in.Get("Event") != "" {
			t.Errorf("REFER:\n%s", in.Bytes())
		}
		p.reply(in, 202, "phone", nil, siptest.Field{Name: "Contact", Value: "<sip:1001@" + p.addr().String() + ";transport=tls>"})
		ok := w.b.answer("REFER", 202)
		n := p.back("NOTIFY", 1, in, "phone")
		n.Add("Event", "refer")
		n.Add("Subscription-State", "terminated;reason=noresource")
		n.Add("Content-Type", "message/sipfrag")
		n.Body = []byte("SIP/2.0 200 OK\r\nContact: <sip:1003@" + publicNet + "103>\r\n")
		p.send(n)
		got := w.b.request("NOTIFY")
		if string(got.Body) != "SIP/2.0 200 OK\r\n" || got.Get("Call-ID") != sent.Get("Call-ID") || siptest.Param(got.Get("From"), "tag") != tagOf(ok) {
			t.Errorf("NOTIFY:\n%s", got.Bytes())
		}
		w.b.reply(got, 200, "", nil)
		p.answer("NOTIFY", 200)
		w.noSubscriptions()
		refer("0018765550100")
		w.b.answer("REFER", 403)
		p.never("REFER", is("REFER"))
		w.secret(p)
	}
}

// TestPackagesCross: what the ends of a call say of events and INFO packages.
func TestPackagesCross(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002", with("Allow-Events", "talk, refer;x="+publicNet+", vq-rtcpxr"), with("Recv-Info", "dtmf-x;host="+publicNet+"1, "+publicNet+"1"))
	if c.in.Get("Allow-Events") != "talk, refer" || c.in.Get("Recv-Info") != "dtmf-x" {
		t.Errorf("INVITE:\n%s", c.in.Bytes())
	}
	m := p.within("INFO", 2, c.inv, c.ok)
	m.Add("Info-Package", "dtmf-x;host="+publicNet+"1")
	p.send(m)
	in := w.b.request("INFO")
	if in.Get("Info-Package") != "dtmf-x" {
		t.Errorf("INFO:\n%s", in.Bytes())
	}
	w.b.reply(in, 200, "", nil)
	p.answer("INFO", 200)
	w.secret(p)
}

// TestOpenQuote: in free text a quote need not end, folded or not. The call is
// made, and nothing fails inside.
func TestOpenQuote(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	for subject, want := range map[string]string{`"\`: `"\`, "a\r\n \"0": `a "0`, "a \"x\\\r\n b": `a "x\ b`} {
		c := w.dial(p, "1002", with("Subject", subject))
		if got := c.in.Get("Subject"); got != want {
			t.Errorf("%q became %q, want %q", subject, got, want)
		}
		if n := w.gw.Signalling().Panics.Load(); n > 0 {
			t.Fatalf("%q: %d panics", subject, n)
		}
	}
}

// FuzzReferTo: whatever is asked for, what goes on is one URI of a domain of
// ours that the gateway reads the same way again.
func FuzzReferTo(f *testing.F) {
	for _, v := range []string{"<sip:1@10.0.0.1>", "sip:1@10.0.0.1;method=INVITE", "<sip:1;phone-context=x@10.0.0.1;lr?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc&X=10.0.0.1>",
		"<tel:+1876;phone-context=10.0.0.1>", "<sip:a?b:c@10.0.0.1>", `"x" <sip:%31@[2001:db8::1]:5060;user=phone>`} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		out, rep, ok := sbc.ReferTo(v)
		if !ok {
			return
		}
		uri := siptest.URIOf(out)
		if host := siptest.HostOf(uri); host != domain || strings.Count(out, "<") != 1 || strings.Count(out, ">") != 1 {
			t.Fatalf("%q is written as %q, host %q", v, out, host)
		}
		again, rep2, ok := sbc.ReferTo(out)
		if !ok || again != out || rep2 != rep {
			t.Fatalf("%q: %q is read as %q, %q as %q", v, out, again, rep, rep2)
		}
	})
}

func TestReferTo(t *testing.T) {
	for in, want := range map[string]string{
		"<sip:1@10.0.0.1>":                                                            "<sip:1@" + domain + ">",
		"<sips:1:secret@10.0.0.1;transport=tls;lr>":                                   "<sip:1@" + domain + ">",
		"<sip:a?b@10.0.0.1>":                                                          "<sip:a?b@" + domain + ">",
		"<sip:1@10.0.0.1;user=phone;x=10.0.0.1>":                                      "<sip:1@" + domain + ";user=phone>",
		"<tel:+33123456789;phone-context=10.0.0.1>":                                   "<sip:+33123456789@" + domain + ">",
		"<urn:service:sos.police>":                                                    "<sip:112@" + domain + ">",
		"<sip:1@SIP.example.test:5061>":                                               "<sip:1@" + domain + ">",
		"<sip:1@h;lr?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>":                         "<sip:1@" + domain + "?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
		"<sip:1@h?Subject=x&Replaces=a%40h%3Bfrom-tag%3Dc%3Bto-tag%3Db%3Bearly-only>": "<sip:1@" + domain + "?Replaces=a%40h%3Bto-tag%3Db%3Bfrom-tag%3Dc%3Bearly-only>",
		"<sip:1@h?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc%0d%0aX:%20y>":                "",
		"<sip:1@h;method=BYE>":                                                        "",
		"<sip:+1555;tgrp=a;trunk-context=10.0.0.5@h>":                                 "<sip:+1555;tgrp=a@" + domain + ">",
		"<tel::>":      "",
		"<tel:1:2>":    "",
		"<mailto:a@h>": "",
	} {
		if out, _, ok := sbc.ReferTo(in); out != want || ok != (want != "") {
			t.Errorf("%s is written as %q %v, want %q", in, out, ok, want)
		}
	}
}

// TestReferredByOfStrangers: a carrier that is not trusted cannot say that one
// of our users transferred a call, and is not told who did.
func TestReferredByOfStrangers(t *testing.T) {
	t.Parallel()
	for _, trust := range []bool{false, true} {
		w := newRawWorld(t, identity(sbc.Identity{Trust: trust}))
		inv := w.a.invite("+33123456789", header("Referred-By", "<sip:1001@"+w.a.host()+">"))
		in := w.b.request("INVITE")
		if got, want := in.Get("Referred-By"), "<sip:1001@"+domain+">"; trust && got != want || !trust && got != "" {
			t.Errorf("trust %v: the PBX is told %q", trust, got)
		}
		w.b.reply(in, 486, "t", nil)
		w.a.ackFailure(inv, w.a.code(486))
		inv = w.b.invite("+442079460000", header("Referred-By", "<sip:1001@"+w.b.host()+">"))
		out := w.a.request("INVITE")
		if got := out.Get("Referred-By"); trust != strings.Contains(got, "sip:1001@") {
			t.Errorf("trust %v: the carrier is told %q", trust, got)
		}
		w.a.reply(out, 486, "t", nil)
		w.b.ackFailure(inv, w.b.code(486))
		w.quiet()
		w.hidden()
	}
}
