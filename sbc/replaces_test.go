package sbc_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// replacing names the dialog of a call for Replaces, as its far end would: the
// tags are those of who gets it and of the other.
func replacing(callID, to, from string) string {
	return callID + ";to-tag=" + to + ";from-tag=" + from
}

func fromTag(m *siptest.Message) string { return siptest.Param(m.Get("From"), "tag") }

var escapes = strings.NewReplacer("%3B", ";", "%3D", "=", "%40", "@")

// replacesIn is the Replaces inside a Refer-To.
func replacesIn(m *siptest.Message) string {
	_, v, _ := strings.Cut(siptest.URIOf(m.Get("Refer-To")), "?Replaces=")
	return escapes.Replace(v)
}

// TestAttendedTransfer: a phone with two calls joins their far ends. The PBX
// gets the names that it has for the second call.
func TestAttendedTransfer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, q := w.desk("1001"), w.desk("1002")
	one, two := w.dial(p, "1002"), w.dial(p, "1003")
	refer := func(by *rawPhone, seq int, c deskCall, to, rep string) {
		r := by.within("REFER", seq, c.inv, c.ok)
		r.Add("Refer-To", "<"+to+"?Replaces="+strings.NewReplacer(";", "%3B", "=", "%3D").Replace(rep)+"&Require=replaces>")
		by.send(r)
	}
	rep := replacing(two.inv.Get("Call-ID"), tagOf(two.ok), fromTag(two.inv))
	refer(p, 2, one, siptest.URIOf(two.ok.Get("Contact")), rep)
	in := w.b.request("REFER")
	if got, want := replacesIn(in), replacing(two.in.Get("Call-ID"), two.tag, fromTag(two.in)); got != want {
		t.Errorf("Replaces %q, want %q", got, want)
	}
	if !strings.HasPrefix(in.Get("Refer-To"), "<sip:1003@"+domain+"?Replaces=") || strings.Contains(in.Get("Refer-To"), "Require") {
		t.Errorf("Refer-To %q", in.Get("Refer-To"))
	}
	w.b.reply(in, 202, "", nil)
	p.answer("REFER", 202)
	// Somebody else's call cannot be named.
	other := w.dial(q, "1003")
	refer(q, 2, other, "sip:1003@"+domain, rep)
	q.answer("REFER", 400)
	w.b.never("REFER", is("REFER"))
	for _, c := range []deskCall{one, two, other} {
		c.phone.send(c.phone.within("BYE", 9, c.inv, c.ok))
		c.phone.answer("BYE", 200)
		w.b.reply(w.b.request("BYE"), 200, "", nil)
	}
	w.quiet()
	w.secret(p, q)
}

// TestAttendedThroughProxy: the PBX is a proxy, so the REFER reaches the
// other phone, whose INVITE with Replaces reaches the third. Each end gets
// its own names for the same call.
func TestAttendedThroughProxy(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, q, third := w.desk("1001"), w.desk("1002"), w.desk("1003")
	back := w.rung(q) // the PBX's leg of the call p → q
	far := w.rung(third)
	// The PBX passes on what p asked of q: the names are of its own dialog.
	inside := replacing(far.inv.Get("Call-ID"), tagOf(far.ok), fromTag(far.inv))
	r := w.b.within("REFER", 2, back.inv, back.ok)
	r.Add("Refer-To", "<sip:1003@"+domain+"?Replaces="+strings.NewReplacer(";", "%3B", "=", "%3D").Replace(inside)+">")
	w.b.send(r)
	in := q.request("REFER")
	sealed := replacesIn(in)
	if sealed == "" || strings.Contains(sealed, far.inv.Get("Call-ID")+";") || strings.Contains(sealed, tagOf(far.ok)) {
		t.Errorf("REFER:\n%s", in.Bytes())
	}
	q.reply(in, 202, "", nil)
	w.b.answer("REFER", 202)
	inv := withSDP(q.outside("INVITE", "sip:1003@"+domain, with("Replaces", sealed+";early-only"), with("Require", "replaces"),
		with("Referred-By", "<sip:1001@"+publicNet+"101>")), q.srtp())
	q.send(inv)
	got := w.b.request("INVITE")
	if got.Get("Replaces") != inside+";early-only" || got.Get("Require") != "replaces" || got.Get("Referred-By") != "<sip:1001@"+domain+">" {
		t.Errorf("INVITE:\n%s", got.Bytes())
	}
	on := w.b.invite("x", func(m *siptest.Message) {
		m.URI = third.contact
		m.Add("Replaces", inside)
	})
	end := third.request("INVITE")
	if end.Get("Replaces") != replacing(far.in.Get("Call-ID"), far.tag, fromTag(far.in)) {
		t.Errorf("Replaces %q", end.Get("Replaces"))
	}
	third.reply(end, 200, "new", third.accept(end.Body))
	ok := w.b.code(200)
	third.request("ACK")
	w.b.send(w.b.within("ACK", 1, on, ok))
	w.b.reply(got, 200, "new", w.b.sdp())
	res := q.code(200)
	w.b.request("ACK")
	q.send(q.within("ACK", 1, inv, res))
	// The replaced call ends by BYE, the two halves of the new one stand.
	third.send(third.back("BYE", 1, far.in, far.tag))
	third.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	eventually(t, "three passes are up", func() bool { return w.gw.Live() == 3 })
	q.send(q.within("BYE", 2, inv, res))
	q.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.b.send(w.b.within("BYE", 2, on, ok))
	w.b.answer("BYE", 200)
	third.reply(third.request("BYE"), 200, "", nil)
	w.b.send(w.b.within("BYE", 3, back.inv, back.ok))
	w.b.answer("BYE", 200)
	q.reply(q.request("BYE"), 200, "", nil)
	w.quiet()
	eventually(t, "a record of each call", func() bool { w.rep.mu.Lock(); defer w.rep.mu.Unlock(); return len(w.rep.records) == 4 })
	w.rep.mu.Lock()
	for _, r := range w.rep.records {
		if r.Code != 200 || r.Answer == nil {
			t.Errorf("record %+v", r)
		}
	}
	w.rep.mu.Unlock()
	w.secret(p, q, third)
}

// TestReplacesRefused: calls that are not there, or are somebody else's.
func TestReplacesRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, q := w.desk("1001"), w.desk("1002")
	mine := w.dial(p, "1003")
	rep := replacing(mine.inv.Get("Call-ID"), tagOf(mine.ok), fromTag(mine.inv))
	for _, x := range []struct {
		by   *rawPhone
		rep  string
		code int
	}{{q, rep, 481}, {p, "nosuch;to-tag=a;from-tag=b", 481}, {p, "x;to-tag=a", 400}, {p, "x;to-tag=a;to-tag=b;from-tag=c", 400},
		{p, w.gw.Sealed("x") + "A;to-tag=" + w.gw.Sealed("a") + ";from-tag=" + w.gw.Sealed("b"), 481}} {
		x.by.send(withSDP(x.by.outside("INVITE", "sip:1003@"+domain, with("Replaces", x.rep)), x.by.srtp()))
		res := x.by.code(x.code)
		if x.code == 481 && res.Get("Warning") == "" {
			t.Errorf("answer:\n%s", res.Bytes())
		}
	}
	w.b.never("INVITE", is("INVITE"))
	// A phone takes over its own call.
	p.send(withSDP(p.outside("INVITE", "sip:1003@"+domain, with("Replaces", rep)), p.srtp()))
	in := w.b.request("INVITE")
	if in.Get("Replaces") != replacing(mine.in.Get("Call-ID"), mine.tag, fromTag(mine.in)) {
		t.Errorf("Replaces %q", in.Get("Replaces"))
	}
	w.b.reply(in, 481, "t", nil)
	p.code(481)
	// The PBX names a call of another phone.
	far := w.rung(p)
	w.b.invite("x", func(m *siptest.Message) {
		m.URI = q.contact
		m.Add("Replaces", replacing(far.inv.Get("Call-ID"), tagOf(far.ok), fromTag(far.inv)))
	})
	w.b.code(481)
	q.never("INVITE", is("INVITE"))
}

// TestBusyLamp: lamps show who talks; a key picks the call up.
func TestBusyLamp(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, q := w.desk("1001"), w.desk("1002")
	ring := w.b.invite("x", func(m *siptest.Message) { m.URI = q.contact })
	in := q.request("INVITE")
	q.reply(in, 180, "ring", nil)
	ringing := w.b.code(180)
	l := w.subscribe(p, "1002", "dialog")
	info := func(id, local, remote string) string {
		return `<?xml version="1.0"?>` + "\n" + `<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:1002@` + insideNet + `66">` +
			`<dialog id="` + id + `" call-id="` + id + `" local-tag="` + local + `" remote-tag="` + remote + `" direction="recipient"><state>early</state>` +
			`<remote><identity display="Caller &amp; Co">sip:+33199001234@` + insideNet + `66:5060</identity><target uri="sip:` + p.contact[4:] + `"/></remote>` +
			`<local><identity>tel:1002;phone-context=` + insideNet + `66</identity><target uri="` + q.contact + `"><param pname="+sip.rendering" pval="no"/><param pname="x" pval="` + insideNet + `66"/></target>` +
			`<session-description type="application/sdp">` + insideNet + `66</session-description></local><route-set><hop>sip:` + insideNet + `66</hop></route-set></dialog></dialog-info>`
	}
	w.notify(l, 1, "dialog", "active;expires=600", "application/dialog-info+xml", info(ring.Get("Call-ID"), tagOf(ringing), fromTag(ring)))
	n := p.request("NOTIFY")
	p.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	body := string(n.Body)
	for _, want := range []string{`entity="sip:1002@` + domain + `"`, `<target uri="sip:1002@` + domain + `">`, `<target uri="sip:1001@` + domain + `">`, "<identity>tel:1002</identity>",
		`<identity display="Caller &amp; Co">sip:+33199001234@` + domain + "</identity>", `pname="+sip.rendering" pval="no"`, "<state>early</state>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	for _, bad := range []string{"session-description", "route-set", ring.Get("Call-ID") + `"`, `pname="x"`} {
		if strings.Contains(body, bad) {
			t.Errorf("%s in %s", bad, body)
		}
	}
	attr := func(name string) string {
		m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("no %s in %s", name, body)
		}
		return m[1]
	}
	p.send(withSDP(p.outside("INVITE", "sip:1002@"+domain, with("Replaces", replacing(attr("call-id"), attr("local-tag"), attr("remote-tag"))+";early-only")), p.srtp()))
	pick := w.b.request("INVITE")
	if got, want := pick.Get("Replaces"), replacing(ring.Get("Call-ID"), tagOf(ringing), fromTag(ring))+";early-only"; got != want {
		t.Errorf("Replaces %q, want %q", got, want)
	}
	w.b.reply(pick, 486, "t", nil)
	p.code(486)
	// A phone that is told of its own call is told its own names.
	own := w.subscribe(q, "1002", "dialog")
	w.notify(own, 1, "dialog", "active", "application/dialog-info+xml", info(ring.Get("Call-ID"), tagOf(ringing), fromTag(ring)))
	n = q.request("NOTIFY")
	q.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	body = string(n.Body)
	if attr("call-id") != in.Get("Call-ID") || attr("local-tag") != "ring" || attr("remote-tag") != fromTag(in) {
		t.Errorf("own call: %s", body)
	}
	w.secret(p, q)
}

// TestSeal: what was not sealed here does not open.
func TestSeal(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for _, v := range []string{"a", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6@" + insideNet + "66", strings.Repeat("x", 200)} {
		s := w.gw.Sealed(v)
		if got, ok := w.gw.Unsealed(s); !ok || got != v || s != w.gw.Sealed(v) || strings.Contains(s, v) && len(v) > 1 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%q is sealed as %q and opens as %q %v", v, s, got, ok)
		}
		for i := range s {
			b := []byte(s)
			b[i] ^= 1
			if got, ok := w.gw.Unsealed(string(b)); ok && got == v {
				t.Errorf("%q opens", b)
			} else if ok {
				t.Errorf("%q opens as %q", b, got)
			}
		}
	}
	for _, v := range []string{"", "rs", "rsAAAA", "x", "rs" + strings.Repeat("A", 40)} {
		if got, ok := w.gw.Unsealed(v); ok {
			t.Errorf("%q opens as %q", v, got)
		}
	}
	if w.gw.Sealed("") != "" {
		t.Error("nothing is sealed as something")
	}
}

// TestTrunkContext: a user part may have parameters, and those a host of the
// sender's side (RFC 4904).
func TestTrunkContext(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789;npdi;tgrp=a;trunk-context=" + w.a.host())
	in := w.b.request("INVITE")
	if got := siptest.UserOf(in.URI); got != "+33123456789;npdi;tgrp=a" {
		t.Errorf("the PBX is called for %q", got)
	}
	w.b.reply(in, 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	p := w.desk("1001")
	l := w.subscribe(p, "1002", "presence")
	w.notify(l, 1, "presence", "active", "application/pidf+xml", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:1002;tgrp=a;trunk-context=`+insideNet+`66@x"/>`)
	n := p.request("NOTIFY")
	if !strings.Contains(string(n.Body), `"sip:1002;tgrp=a@`+domain+`"`) {
		t.Errorf("NOTIFY:\n%s", n.Bytes())
	}
	p.reply(n, 200, "", nil)
	w.b.answer("NOTIFY", 200)
	w.quiet()
	w.secret(p)
}
