package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

func text(b string) func(*siptest.Message) {
	return func(m *siptest.Message) {
		m.Set("Content-Type", "text/plain;charset=UTF-8;x="+publicNet)
		m.Body = []byte(b)
	}
}

// said waits for the event of a MESSAGE with that code.
func (w *rawWorld) said(code int) (e call.Event) {
	w.t.Helper()
	eventually(w.t, "the event", func() bool {
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, x := range w.rep.events {
			if x.Kind == call.EventMessage && x.Code == code {
				e = x
				return true
			}
		}
		return false
	})
	return e
}

// TestMessage: phone to PBX to carrier, and back.
func TestMessage(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	m := p.outside("MESSAGE", "sip:0123456789@"+domain, text("hello"), with("Subject", "greetings"))
	p.send(m)
	in := w.b.request("MESSAGE")
	if string(in.Body) != "hello" || in.Get("Content-Type") != "text/plain;charset=utf-8" || in.Get("Subject") != "greetings" || in.Get("Contact") != "" ||
		in.Get("From") == "" || !strings.Contains(in.Get("From"), "sip:1001@"+domain) {
		t.Errorf("MESSAGE:\n%s", in.Bytes())
	}
	w.b.reply(in, 202, "t", nil)
	p.answer("MESSAGE", 202)
	if e := w.said(202); e.User != "1001" || e.Dialled != "0123456789" || e.Direction != "outbound" || e.Verdict != "allow" {
		t.Errorf("event %+v", e)
	}
	message := func(r *raw, uri, from string, change ...func(*siptest.Message)) *siptest.Message {
		m := r.invite("x", append([]func(*siptest.Message){func(m *siptest.Message) {
			m.Method, m.URI = "MESSAGE", uri
			m.Set("CSeq", "1 MESSAGE")
			m.Set("From", from+";tag="+unique("f"))
			text("hi")(m)
		}}, change...)...)
		return m
	}
	message(w.b, "sip:+33123456789@"+w.b.gw.String(), "<sip:1001@"+domain+">") // the PBX sends it on
	out := w.a.request("MESSAGE")
	if out.URI != "sip:+33123456789@"+w.a.addr().Addr().String() || string(out.Body) != "hi" {
		t.Errorf("MESSAGE:\n%s", out.Bytes())
	}
	w.a.reply(out, 200, "t", nil)
	w.b.answer("MESSAGE", 200)
	message(w.a, "sip:+33123456789@"+w.a.gw.String(), "<sip:+33199001234@"+w.a.host()+">") // a carrier brings one
	in = w.b.request("MESSAGE")
	w.b.reply(in, 200, "t", nil)
	w.a.answer("MESSAGE", 200)
	message(w.b, p.contact, "<sip:+33199001234@"+w.b.host()+">") // and the PBX gives it to the phone
	got := p.request("MESSAGE")
	if !strings.Contains(got.Get("From"), "sip:+33199001234@"+domain) || string(got.Body) != "hi" {
		t.Errorf("MESSAGE:\n%s", got.Bytes())
	}
	p.reply(got, 486, "t", nil)
	w.b.answer("MESSAGE", 486)
	// Policy stands before messages as before calls.
	message(w.b, "sip:+18765550100@"+w.b.gw.String(), "<sip:1001@"+domain+">")
	w.b.answer("MESSAGE", 403)
	p.send(p.outside("MESSAGE", "sip:0018765550100@"+domain, text("x")))
	p.answer("MESSAGE", 403)
	if e := w.said(403); e.Rule != "countries/denied" || e.Verdict != "reject" {
		t.Errorf("event %+v", e)
	}
	w.a.never("MESSAGE", is("MESSAGE"))
	w.secret(p)
}

// TestMessageBodies: what may be said, and how much of it.
func TestMessageBodies(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	typed := func(ct, b string) func(*siptest.Message) {
		return func(m *siptest.Message) { m.Set("Content-Type", ct); m.Body = []byte(b) }
	}
	const composing = `<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><contenttype>text/plain</contenttype><x>` + "1" + `</x></isComposing>`
	for _, x := range []struct {
		ct, body string
		code     int
	}{{"text/html", "<b>x</b>", 415}, {"message/cpim", "From: x\r\n\r\nx", 415}, {"multipart/mixed;boundary=x", "--x--", 415},
		{"text/plain", strings.Repeat("x", 60000), 513}, {"application/im-iscomposing+xml", "<x/>", 400}} {
		p.send(p.outside("MESSAGE", "sip:1002@"+domain, typed(x.ct, x.body)))
		p.answer("MESSAGE", x.code)
	}
	w.b.never("MESSAGE", is("MESSAGE"))
	p.send(p.outside("MESSAGE", "sip:1002@"+domain, text(strings.Repeat("x", 1300))))
	w.b.reply(w.b.request("MESSAGE"), 200, "t", nil)
	p.answer("MESSAGE", 200)
	p.send(p.outside("MESSAGE", "sip:1002@"+domain, typed("application/im-iscomposing+xml", composing)))
	in := w.b.request("MESSAGE")
	if !strings.Contains(string(in.Body), "<state>active</state>") || strings.Contains(string(in.Body), "<x>") {
		t.Errorf("body %s", in.Body)
	}
	w.b.reply(in, 200, "t", nil)
	p.answer("MESSAGE", 200)
	// Inside a call.
	c := w.dial(p, "1002")
	m := p.within("MESSAGE", 2, c.inv, c.ok)
	text("inside")(m)
	p.send(m)
	in = w.b.request("MESSAGE")
	if string(in.Body) != "inside" || in.Get("Content-Type") != "text/plain;charset=utf-8" || tagOf(in) != c.tag {
		t.Errorf("MESSAGE:\n%s", in.Bytes())
	}
	w.b.reply(in, 200, "", nil)
	p.answer("MESSAGE", 200)
	back := w.b.back("MESSAGE", 1, c.in, c.tag)
	text("back")(back)
	w.b.send(back)
	p.reply(p.request("MESSAGE"), 202, "", nil)
	w.b.answer("MESSAGE", 202)
	if e := w.said(202); e.From != "1002" || e.To != "1001" || e.Direction != "internal" {
		t.Errorf("event of the answer to it: %+v", e)
	}
	m = p.within("MESSAGE", 3, c.inv, c.ok)
	typed("text/html", "x")(m)
	p.send(m)
	if p.answer("MESSAGE", 415).Get("Accept") == "" {
		t.Error("415 without Accept")
	}
	w.secret(p)
}

// TestMessageNobody: a redirect names hosts of the other side, a PBX that
// says nothing is told of.
func TestMessageNobody(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	p.send(p.outside("MESSAGE", "sip:1002@"+domain, text("x")))
	w.b.reply(w.b.request("MESSAGE"), 302, "t", nil, siptest.Field{Name: "Contact", Value: "<sip:x@" + insideNet + "9>"})
	if res := p.answer("MESSAGE", 480); res.Get("Contact") != "" {
		t.Errorf("answer:\n%s", res.Bytes())
	}
	p.send(p.outside("MESSAGE", "sip:1002@"+domain, text("x")))
	w.b.request("MESSAGE") // and never a word
	p.expect("504", func(m *siptest.Message) bool { return m.Code == 504 })
	w.said(504)
	w.secret(p)
}

// TestMessageFailsOver: a PBX that cannot be reached is passed over, as for
// calls.
func TestMessageFailsOver(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		dead := sbc.PBX{Name: "dead", Host: insideNet + "77", Port: 9, Transport: "tcp", SRTP: sdp.SRTPOff}
		c.sbc.PBXs = append([]sbc.PBX{dead}, c.sbc.PBXs...)
	})
	p := w.desk("1001")
	p.send(p.outside("MESSAGE", "sip:1002@"+domain, text("x")))
	w.b.reply(w.b.request("MESSAGE"), 200, "t", nil)
	p.answer("MESSAGE", 200)
	w.subscribe(p, "1002", "presence")
	w.a.invite("x", func(m *siptest.Message) { // a carrier has no PBX of its own: the first is tried first
		m.Method = "MESSAGE"
		m.Set("CSeq", "1 MESSAGE")
		text("y")(m)
	})
	w.b.reply(w.b.request("MESSAGE"), 200, "t", nil)
	w.a.answer("MESSAGE", 200)
}

// TestMessageForHelp: an emergency number opens the way for calls, not for
// whatever else names it.
func TestMessageForHelp(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, "version: 1\nrules:\n  - {id: x/none, on: [message, refer], match: {direction: outbound}, then: reject 403}\n"))
	p := w.desk("1001")
	p.send(p.outside("MESSAGE", "sip:112@"+domain, text("x")))
	p.answer("MESSAGE", 403)
	w.b.never("MESSAGE", is("MESSAGE"))
	if e := w.said(403); e.Rule != "x/none" {
		t.Errorf("event %+v", e)
	}
}

// packs are shipped packs, with their limits counted.
func packs(t *testing.T, names ...string) option {
	t.Helper()
	return func(c *worldConfig) {
		plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
		if err != nil {
			t.Fatal(err)
		}
		var sources []policy.Source
		for _, name := range names {
			data, ok := rules.Pack(name)
			if !ok {
				t.Fatalf("no pack %s", name)
			}
			sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
		}
		set, ps := policy.Compile(sources, policy.Options{Plan: plan})
		if set == nil {
			t.Fatal(ps)
		}
		c.deps.Guards = guards(t, set)
	}
}
