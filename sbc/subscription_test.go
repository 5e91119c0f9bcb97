package sbc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

// lamp is a subscription of a phone, as both sides see it.
type lamp struct {
	sub, ok *siptest.Message // the phone's
	in      *siptest.Message // as the PBX got it
	tag     string           // the PBX's
}

func event(v string) func(*siptest.Message) { return with("Event", v) }

// subscribe makes a subscription of a phone to a user of the PBX.
func (w *rawWorld) subscribe(p *rawPhone, user, pack string, change ...func(*siptest.Message)) lamp {
	w.t.Helper()
	l := lamp{tag: unique("t")}
	l.sub = p.outside("SUBSCRIBE", "sip:"+user+"@"+domain, append([]func(*siptest.Message){event(pack), with("Expires", "600")}, change...)...)
	p.send(l.sub)
	l.in = w.b.request("SUBSCRIBE")
	w.b.accept(l.in, l.tag, "600")
	l.ok = p.answer("SUBSCRIBE", 200)
	return l
}

// accept answers a SUBSCRIBE.
func (r *raw) accept(in *siptest.Message, tag, expires string) {
	r.t.Helper()
	r.reply(in, 200, tag, nil, siptest.Field{Name: "Expires", Value: expires}, siptest.Field{Name: "Contact", Value: "<sip:raw@" + r.addr().String() + ">"})
}

// notify sends a NOTIFY of the PBX in a subscription.
func (w *rawWorld) notify(l lamp, seq int, pack, state, ct, body string) {
	w.t.Helper()
	m := w.b.back("NOTIFY", seq, l.in, l.tag)
	m.Add("Event", pack)
	m.Add("Subscription-State", state)
	m.Add("User-Agent", "PBX/"+insideNet)
	if body != "" {
		m.Add("Content-Type", ct)
		m.Body = []byte(body)
	}
	w.b.send(m)
}

// TestMessageWaiting: the whole life of a subscription, its challenge first.
func TestMessageWaiting(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	sub := p.outside("SUBSCRIBE", "sip:1001@"+domain, event("message-summary;x="+publicNet), with("Expires", "600"), with("Accept", "a/b, application/simple-message-summary"))
	p.send(sub)
	first := w.b.request("SUBSCRIBE")
	w.b.reply(first, 401, "c", nil, siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="` + domain + `", nonce="n", qop="auth,auth-int"`})
	if v := p.answer("SUBSCRIBE", 401).Get("WWW-Authenticate"); !strings.Contains(v, `qop="auth"`) {
		t.Errorf("challenge %q", v)
	}
	if n := w.gw.Tables(); n["subscriptions"] != 0 || n["subscription-ends"] != 0 || n["challenged"] != 1 {
		t.Errorf("after a challenge: %v", n)
	}
	sub.Set("Via", p.via())
	sub.Set("CSeq", "2 SUBSCRIBE")
	sub.Add("Authorization", `Digest username="1001", realm="`+domain+`", nonce="n", uri="sip:1001@`+domain+`", response="0"`)
	p.send(sub)
	l := lamp{sub: sub, in: w.b.request("SUBSCRIBE"), tag: "pbx"}
	if l.in.Get("Call-ID") != first.Get("Call-ID") || l.in.Get("From") != first.Get("From") || l.in.URI != "sip:1001@"+domain ||
		l.in.Get("Event") != "message-summary" || l.in.Get("Accept") != "application/simple-message-summary" || l.in.Get("Expires") != "600" {
		t.Errorf("SUBSCRIBE:\n%s", l.in.Bytes())
	}
	if n := w.gw.Tables()["challenged"]; n != 0 {
		t.Errorf("%d challenged attempts after the answer", n)
	}
	w.b.accept(l.in, "pbx", "300")
	l.ok = p.answer("SUBSCRIBE", 200)
	if l.ok.Get("Expires") != "300" || l.ok.Get("Contact") == "" {
		t.Errorf("answer:\n%s", l.ok.Bytes())
	}
	w.notify(l, 1, "message-summary", "active;expires=300", "application/simple-message-summary",
		"Messages-Waiting: yes\r\nMessage-Account: sip:1001@"+insideNet+"66:5060;transport=udp\r\nVoice-Message: 2/8 (0/2)\r\nX-Server: "+insideNet+"66\r\n\r\nTo: <sip:x@"+insideNet+"66>\r\n")
	n := p.request("NOTIFY")
	want := "Messages-Waiting: yes\r\nMessage-Account: sip:1001@" + domain + "\r\nVoice-Message: 2/8 (0/2)\r\n"
	if string(n.Body) != want || n.Get("Event") != "message-summary" || n.Get("Subscription-State") != "active;expires=300" || n.Get("Call-ID") != sub.Get("Call-ID") ||
		siptest.Param(n.Get("From"), "tag") != tagOf(l.ok) || n.Get("Contact") == "" {
		t.Errorf("NOTIFY:\n%s", n.Bytes())
	}
	p.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	refresh := func(seq int, expires string) *siptest.Message {
		r := p.within("SUBSCRIBE", seq, sub, l.ok)
		r.Add("Event", "message-summary")
		r.Add("Expires", expires)
		p.send(r)
		in := w.b.request("SUBSCRIBE")
		if tagOf(in) != "pbx" || in.Get("Expires") != expires || in.URI != "sip:raw@"+w.b.addr().String() {
			t.Errorf("refresh:\n%s", in.Bytes())
		}
		return in
	}
	w.b.reply(refresh(3, "5"), 423, "", nil, siptest.Field{Name: "Min-Expires", Value: "60"})
	if p.answer("SUBSCRIBE", 423).Get("Min-Expires") != "60" {
		t.Error("no Min-Expires")
	}
	w.b.accept(refresh(4, "600"), "", "600")
	p.answer("SUBSCRIBE", 200)
	w.b.accept(refresh(5, "0"), "", "0")
	p.answer("SUBSCRIBE", 200)
	w.notify(l, 2, "message-summary", "terminated;reason=timeout", "", "")
	n = p.request("NOTIFY")
	p.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	w.noSubscriptions()
	w.notify(l, 3, "message-summary", "active", "", "")
	w.b.answer("NOTIFY", 481)
	w.rep.mu.Lock()
	judged := 0
	for _, d := range w.rep.decisions {
		if d.a.Method == "SUBSCRIBE" && len(d.d.Trace) == 0 && d.a.User == "1001" {
			judged++
		}
	}
	w.rep.mu.Unlock()
	if judged != 2 { // reported for either transaction, see TestSubscribeCountedOnce
		t.Errorf("%d decisions", judged)
	}
	w.secret(p)
}

func (w *rawWorld) noSubscriptions() {
	w.t.Helper()
	eventually(w.t, "no subscription", func() bool {
		n := w.gw.Tables()
		return n["subscriptions"] == 0 && n["subscription-ends"] == 0 && n["subscribers"] == 0
	})
}

// TestNotifyBeforeAnswer: the first NOTIFY makes the dialog; that of another
// fork finds none.
func TestNotifyBeforeAnswer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	l := lamp{tag: "one"}
	l.sub = p.outside("SUBSCRIBE", "sip:1002@"+domain, event("dialog;id=7"), with("Expires", "600"))
	p.send(l.sub)
	l.in = w.b.request("SUBSCRIBE")
	if l.in.Get("Event") != "dialog;id=7" {
		t.Errorf("Event %q", l.in.Get("Event"))
	}
	w.notify(l, 1, "dialog;id=7", "pending", "", "")
	n := p.request("NOTIFY")
	p.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	other := l
	other.tag = "two"
	w.notify(other, 1, "dialog;id=7", "active", "", "")
	w.b.answer("NOTIFY", 481)
	w.b.accept(l.in, "one", "600")
	ok := p.answer("SUBSCRIBE", 200)
	if tagOf(ok) != siptest.Param(n.Get("From"), "tag") {
		t.Errorf("the answer's tag %q, the NOTIFY's From %q", tagOf(ok), n.Get("From"))
	}
	w.notify(l, 1, "dialog;id=7", "active", "", "") // an old CSeq
	w.b.answer("NOTIFY", 500)
	w.notify(l, 2, "dialog", "active", "", "") // not the one asked for
	w.b.answer("NOTIFY", 489)
	w.notify(l, 3, "dialog;id=7", "terminated;reason=noresource", "", "")
	p.reply(p.request("NOTIFY"), 200, "", nil)
	w.b.answer("NOTIFY", 200)
	w.noSubscriptions()
}

// TestSubscriptionEnds: by expiry, by a subscriber that knows nothing of it
// any more, by a connection that is gone.
func TestSubscriptionEnds(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	w.subscribe(p, "1002", "presence")
	w.gw.ExpireSubscriptions(time.Now().Add(630 * time.Second))
	if n := w.gw.Tables()["subscriptions"]; n != 1 {
		t.Fatalf("%d subscriptions before the end", n)
	}
	w.gw.ExpireSubscriptions(time.Now().Add(650 * time.Second))
	w.noSubscriptions()

	l := w.subscribe(p, "1002", "presence")
	w.notify(l, 1, "presence", "active;expires=600", "", "")
	p.reply(p.request("NOTIFY"), 481, "", nil)
	w.b.answer("NOTIFY", 481)
	w.noSubscriptions()

	l = w.subscribe(p, "1002", "presence")
	p.close()
	eventually(t, "the connection is gone", func() bool { return w.gw.Tables()["flows"] == 0 })
	w.notify(l, 1, "presence", "active", "", "")
	w.b.answer("NOTIFY", 480)
	w.noSubscriptions()

	// A phone that comes back gets its NOTIFY over the new connection.
	q := w.desk("1001")
	l = w.subscribe(q, "1002", "presence")
	q.close()
	eventually(t, "the connection is gone", func() bool { return w.gw.Tables()["flows"] == 0 })
	again := w.plug("1001")
	again.local = q.local // the same contact, as with a kept port
	again.register(w)
	w.notify(l, 1, "presence", "active", "", "")
	again.reply(again.request("NOTIFY"), 200, "", nil)
	w.b.answer("NOTIFY", 200)
}

// TestSubscriptionsCapped: of one user, and together.
func TestSubscriptionsCapped(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.MaxSubscriptions, c.sbc.MaxSubscriptionsPerUser = 3, 2 })
	p, q := w.desk("1001"), w.desk("1002")
	refused := func(p *rawPhone, code int, rule string) {
		t.Helper()
		p.send(p.outside("SUBSCRIBE", "sip:1003@"+domain, event("dialog"), with("Expires", "600")))
		res := p.answer("SUBSCRIBE", code)
		if !has(w.rep.rules(), rule) || code == 503 && res.Get("Retry-After") == "" {
			t.Errorf("rules %v, answer:\n%s", w.rep.rules(), res.Bytes())
		}
	}
	first := w.subscribe(p, "1003", "dialog")
	w.subscribe(p, "1003", "dialog")
	refused(p, 480, "base/subscriptions-per-user")
	w.subscribe(q, "1003", "dialog")
	if n := w.gw.Subscriptions(); n != 3 {
		t.Errorf("%d subscriptions", n)
	}
	refused(q, 503, "base/overload")
	w.b.never("SUBSCRIBE", is("SUBSCRIBE"))
	if n := w.gw.Tables(); n["subscriptions"] != 3 || n["subscription-ends"] != 6 || n["subscribers"] != 2 {
		t.Errorf("tables %v", n)
	}
	w.notify(first, 1, "dialog", "terminated", "", "")
	p.reply(p.request("NOTIFY"), 200, "", nil)
	w.b.answer("NOTIFY", 200)
	w.subscribe(p, "1003", "dialog") // there is room again
	if n := w.gw.HoldAttempts(sbc.MaxChallenged+10, time.Now().Add(time.Minute)); n != sbc.MaxChallenged {
		t.Errorf("%d challenged attempts are held, the cap is %d", n, sbc.MaxChallenged)
	}
	w.gw.ForgetAttempts(time.Now().Add(2 * time.Minute))
	if n := w.gw.Tables()["challenged"]; n != 0 {
		t.Errorf("%d challenged attempts are left", n)
	}
}

// TestSubscribeRefused: packages and bodies that are not carried, and who may
// not subscribe.
func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	body := func(ct, b string) func(*siptest.Message) {
		return func(m *siptest.Message) { m.Add("Content-Type", ct); m.Body = []byte(b) }
	}
	const csta = "application/x-as-feature-event+xml"
	for _, x := range []struct {
		method string
		code   int
		header string
		change []func(*siptest.Message)
	}{
		{"SUBSCRIBE", 489, "Allow-Events", []func(*siptest.Message){event("reg")}},
		{"SUBSCRIBE", 489, "Allow-Events", nil},
		{"SUBSCRIBE", 420, "Unsupported", []func(*siptest.Message){event("presence"), with("Require", "eventlist")}},
		{"SUBSCRIBE", 415, "Accept", []func(*siptest.Message){event("presence"), body("application/resource-lists+xml", "<x/>")}},
		{"SUBSCRIBE", 400, "", []func(*siptest.Message){event("as-feature-event"), body(csta, `<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>`)}},
		{"SUBSCRIBE", 403, "", []func(*siptest.Message){event("presence"), with("From", "<sip:1002@"+domain+">;tag=x")}},
		{"SUBSCRIBE", 483, "", []func(*siptest.Message){event("presence"), with("Max-Forwards", "1")}},
		{"NOTIFY", 403, "", []func(*siptest.Message){event("check-sync;reboot=true"), with("Subscription-State", "terminated")}},
		{"NOTIFY", 403, "", []func(*siptest.Message){event("message-summary"), with("Subscription-State", "terminated")}},
		{"PUBLISH", 489, "Allow-Events", []func(*siptest.Message){event("message-summary")}},
		{"PUBLISH", 415, "Accept", []func(*siptest.Message){event("presence"), body("text/xml", "<x/>")}},
		{"PUBLISH", 400, "", []func(*siptest.Message){event("presence"), body("application/pidf+xml", "<presence/>")}},
		{"REFER", 403, "", []func(*siptest.Message){with("Refer-To", "<sip:1003@"+domain+">")}},
	} {
		p.send(p.outside(x.method, "sip:1002@"+domain, x.change...))
		res := p.answer(x.method, x.code)
		if x.header != "" && res.Get(x.header) == "" {
			t.Errorf("%s %d without %s:\n%s", x.method, x.code, x.header, res.Bytes())
		}
	}
	for _, method := range []string{"SUBSCRIBE", "PUBLISH", "NOTIFY"} { // a carrier
		m := w.a.invite("x", func(m *siptest.Message) {
			m.Method, m.URI, m.Body = method, "sip:1002@"+w.a.gw.String(), nil
			m.Set("CSeq", "1 "+method)
			m.Set("Content-Type", "application/pidf+xml")
			m.Add("Event", "presence")
			m.Add("Subscription-State", "active")
		})
		if res := w.a.answer(method, 403); res.Get("Call-ID") != m.Get("Call-ID") {
			t.Errorf("%s of a carrier:\n%s", method, res.Bytes())
		}
	}
	w.b.never("a request", func(m *siptest.Message) bool { return m.Method != "" })
	if n := w.gw.Tables()["subscriptions"]; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestUnsolicitedNotify: what a PBX tells a registered phone that never asked.
func TestUnsolicitedNotify(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	send := func(uri, pack, ct, body string) {
		w.b.invite("x", func(m *siptest.Message) {
			m.Method, m.URI, m.Body = "NOTIFY", uri, nil
			m.Set("CSeq", "1 NOTIFY")
			m.Headers = slices.DeleteFunc(m.Headers, func(f siptest.Field) bool { return f.Name == "Content-Type" })
			if ct != "" {
				m.Add("Content-Type", ct)
			}
			m.Set("From", "<sip:asterisk@"+w.b.addr().String()+">;tag="+unique("f"))
			m.Add("Event", pack)
			m.Add("Subscription-State", "active")
			m.Body = []byte(body)
		})
	}
	send(p.contact, "message-summary", "application/simple-message-summary", "Messages-Waiting: no\r\nMessage-Account: sip:asterisk@"+insideNet+"66\r\nVoice-Message: 0/0 (0/0)\r\n")
	n := p.request("NOTIFY")
	if string(n.Body) != "Messages-Waiting: no\r\nMessage-Account: sip:asterisk@"+domain+"\r\nVoice-Message: 0/0 (0/0)\r\n" || n.Get("Subscription-State") != "active" {
		t.Errorf("NOTIFY:\n%s", n.Bytes())
	}
	p.reply(n, 200, "x", nil)
	w.b.answer("NOTIFY", 200)
	send(p.contact, "check-sync;reboot=true;x="+insideNet, "text/plain", "")
	n = p.request("NOTIFY")
	if n.Get("Event") != "check-sync;reboot=true" {
		t.Errorf("Event %q", n.Get("Event"))
	}
	p.reply(n, 200, "x", nil)
	w.b.answer("NOTIFY", 200)
	send(p.contact, "ua-profile", "application/url", "http://"+insideNet+"66/boot.cfg")
	w.b.answer("NOTIFY", 415)
	send(p.contact, "dialog", "", "")
	w.b.answer("NOTIFY", 489)
	send("sip:1003@"+domain, "check-sync", "", "")
	w.b.answer("NOTIFY", 480)
	p.close()
	eventually(t, "the connection is gone", func() bool { return w.gw.Tables()["flows"] == 0 })
	send(p.contact, "check-sync", "", "")
	w.b.answer("NOTIFY", 430)
	w.secret(p)
}

// TestPublish: entity tags pass, the document is written anew.
func TestPublish(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	pub := p.outside("PUBLISH", "sip:1001@"+domain, event("presence"), with("Expires", "3600"), with("SIP-If-Match", "dx200xyz"))
	pub.Add("Content-Type", "application/pidf+xml")
	pub.Body = []byte(`<?xml version="1.0"?><!-- ` + publicNet + ` --><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:d="urn:ietf:params:xml:ns:pidf:data-model" ` +
		`xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:x="urn:x:` + publicNet + `" entity="sip:1001@` + publicNet + `101"><tuple id="` + publicNet + `"><status><basic>open</basic>` +
		`<x:where>` + publicNet + `</x:where></status><contact>sip:1001@` + publicNet + `101:5060</contact></tuple><d:person id="p"><r:activities><r:on-the-phone/></r:activities></d:person></presence>`)
	p.send(pub)
	in := w.b.request("PUBLISH")
	for _, want := range []string{`entity="sip:1001@` + domain + `"`, "<basic>open</basic>", "<contact>sip:1001@" + domain + "</contact>", "<rpid:on-the-phone></rpid:on-the-phone>"} {
		if !strings.Contains(string(in.Body), want) {
			t.Errorf("no %s in %s", want, in.Body)
		}
	}
	if strings.Contains(string(in.Body), "where") || in.Get("SIP-If-Match") != "dx200xyz" || in.Get("Content-Type") != "application/pidf+xml" {
		t.Errorf("PUBLISH:\n%s", in.Bytes())
	}
	w.b.reply(in, 200, "t", nil, siptest.Field{Name: "SIP-ETag", Value: "kwj449x"}, siptest.Field{Name: "Expires", Value: "1800"})
	if res := p.answer("PUBLISH", 200); res.Get("SIP-ETag") != "kwj449x" || res.Get("Expires") != "1800" {
		t.Errorf("answer:\n%s", res.Bytes())
	}
	p.send(p.outside("PUBLISH", "sip:1001@"+domain, event("presence"), with("SIP-If-Match", "old")))
	w.b.reply(w.b.request("PUBLISH"), 412, "t", nil)
	p.answer("PUBLISH", 412)
	w.secret(p)
}

// TestSubscribeCountedOnce: the answer to a challenge is not judged again.
func TestSubscribeCountedOnce(t *testing.T) {
	t.Parallel()
	g := &counting{}
	w := newRawWorld(t, func(c *worldConfig) { c.deps.Guards = []sbc.Guard{g} })
	p := w.desk("1001")
	for i := range 2 {
		m := p.outside("SUBSCRIBE", "sip:1002@"+domain, event("dialog"), with("Call-ID", "one"), with("From", "<sip:1001@"+domain+">;tag=one"), with("CSeq", fmt.Sprint(i+1, " SUBSCRIBE")))
		if i > 0 {
			m.Add("Authorization", `Digest username="1001", realm="x", nonce="n", uri="sip:x", response="0"`)
		}
		p.send(m)
		w.b.reply(w.b.request("SUBSCRIBE"), 401, "t", nil, siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="x", nonce="n"`})
		p.answer("SUBSCRIBE", 401)
	}
	if n := g.of("SUBSCRIBE"); n != 1 {
		t.Errorf("judged %d times, want once", n)
	}
	w.noSubscriptions()
}
