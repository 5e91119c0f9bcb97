package sbc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

func redirects(pbx, peer, phones sbc.Redirects) option {
	return func(c *worldConfig) {
		c.sbc.PBXs[0].Redirects, c.sbc.Peers[0].Redirects, c.sbc.Phones.Redirects = pbx, peer, phones
		c.sbc.Peers[0].Identity.Trust = true
	}
}

func contacts(values ...string) (out []siptest.Field) {
	for _, v := range values {
		out = append(out, siptest.Field{Name: "Contact", Value: v})
	}
	return out
}

// TestRedirectRelayed: the caller hears where the callee is, with the domain
// for every host of ours and nothing of hosts elsewhere.
func TestRedirectRelayed(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.RelayRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777")
	in := w.a.request("INVITE")
	w.a.reply(in, 302, "t1", nil, append(contacts("<sip:+33199001111@"+w.a.host()+":5099;x=y>;q=0.3;expires=60, <tel:+33199002222>",
		"<sip:+33199003333@elsewhere.example>", `"Boss" <sip:+33199004444@`+domain+`>;q=0.7`, "<sip:"+w.a.host()+">", "<mailto:x@y>"),
		siptest.Field{Name: "Diversion", Value: "<sip:+33199007777@" + w.a.host() + ">;reason=unconditional"})...)
	res := w.b.code(302)
	w.b.ackFailure(inv, res)
	want := []string{"<sip:+33199002222@" + domain + ">", "<sip:+33199004444@" + domain + ">;q=0.7", "<sip:+33199001111@" + domain + ">;q=0.3"}
	if got := res.All("Contact"); !slices.Equal(got, want) {
		t.Errorf("Contact %q\nwant %q", got, want)
	}
	w.a.request("ACK")
	if r := w.rep.lastRecord(t, 1); r.Code != 302 {
		t.Errorf("record %+v", r)
	}
	// Nothing that may be told: not there.
	inv = w.b.invite("+33199007777")
	w.a.reply(w.a.request("INVITE"), 301, "t2", nil, contacts("<sip:+33199003333@elsewhere.example>")...)
	res = w.b.code(480)
	if len(res.All("Contact")) > 0 {
		t.Errorf("Contact %q", res.All("Contact"))
	}
	w.b.ackFailure(inv, res)
	w.quiet()
	w.hidden()
	if r := w.rep.lastRecord(t, 2); r.Code != 480 {
		t.Errorf("record %+v", r)
	}
}

// TestPhoneRedirectRelayed: the forwarding of a desk phone is the PBX's to
// carry out.
func TestPhoneRedirectRelayed(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.RefuseRedirects, sbc.RelayRedirects))
	p := w.desk("1001")
	inv := w.b.invite(siptest.UserOf(p.contact), from("<sip:1009@"+w.b.host()+">"))
	in := p.request("INVITE")
	p.reply(in, 180, "t1", nil)
	w.b.code(180)
	p.reply(in, 302, "t1", nil, contacts("<sip:1003@"+p.gw.String()+";transport=tls>")...)
	res := w.b.code(302)
	w.b.ackFailure(inv, res)
	if got := res.Get("Contact"); got != "<sip:1003@"+domain+">" {
		t.Errorf("Contact %q", got)
	}
	w.quiet()
}

// TestRedirectFollowed: the gateway goes where the callee is, in the order of
// preference, and says who passed the call on.
func TestRedirectFollowed(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777")
	first := w.a.request("INVITE")
	w.a.reply(first, 183, "t1", w.a.sdp())
	early := w.b.code(183)
	w.a.reply(first, 302, "t1", nil, contacts("<sip:+33199001111@elsewhere.example>;q=0.3", "<sip:+33199002222@"+w.a.host()+">", "<sip:name@elsewhere.example>")...)
	w.a.request("ACK")
	second := w.a.request("INVITE")
	if siptest.UserOf(second.URI) != "+33199002222" || siptest.UserOf(siptest.URIOf(second.Get("To"))) != "+33199002222" {
		t.Errorf("the first target is %s", second.Bytes())
	}
	if got := second.Get("Diversion"); got != "<sip:+33199007777@"+domain+">;reason=deflection;counter=1" {
		t.Errorf("Diversion %q", got)
	}
	w.a.reply(second, 486, "t2", nil)
	w.a.request("ACK")
	third := w.a.request("INVITE")
	if siptest.UserOf(third.URI) != "+33199001111" {
		t.Errorf("the second target is %s", third.Bytes())
	}
	w.a.reply(third, 200, "t3", w.a.sdp())
	ok := w.b.code(200)
	if early.Get("To") == ok.Get("To") {
		t.Error("who answers shares a dialog with who redirected")
	}
	w.a.request("ACK")
	w.b.send(w.b.within("ACK", 1, inv, ok))
	w.confirmed()
	w.b.send(w.b.within("BYE", 2, inv, ok))
	w.b.answer("BYE", 200)
	bye := w.a.request("BYE")
	if siptest.Param(bye.Get("To"), "tag") != "t3" {
		t.Errorf("BYE to %s", bye.Get("To"))
	}
	w.a.reply(bye, 200, "", nil)
	w.quiet()
	w.hidden()
	r := w.rep.lastRecord(t, 1)
	if p := r.Passes[0]; r.Code != 200 || r.Diversion != "+33199007777" || strings.Join(p.ForwardedTo, " ") != "+33199002222 +33199001111" {
		t.Errorf("record %+v", r)
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	var judged []string
	for _, d := range w.rep.decisions {
		judged = append(judged, d.a.To.Number+" by "+d.a.Diversion)
	}
	if !slices.Contains(judged, "+33199002222 by +33199007777") || !slices.Contains(judged, "+33199001111 by +33199007777") {
		t.Errorf("judged %q", judged)
	}
}

// TestRedirectByPhoneFollowed: the phone that forwards is who dials: its
// numbers are judged on its account.
func TestRedirectByPhoneFollowed(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.RefuseRedirects, sbc.FollowRedirects), denied(t))
	p := w.desk("1001")
	inv := w.b.invite(siptest.UserOf(p.contact), from("<sip:1009@"+w.b.host()+">"))
	in := p.request("INVITE")
	p.reply(in, 302, "t1", nil, contacts("<sip:0018765550100@"+domain+">", "<sip:0199007777@"+domain+";user=phone>")...)
	out := w.a.request("INVITE")
	if siptest.UserOf(out.URI) != "+33199007777" {
		t.Errorf("the carrier got %s", out.Bytes())
	}
	w.a.reply(out, 486, "t1", nil)
	w.a.request("ACK")
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	w.rep.mu.Lock()
	for _, d := range w.rep.decisions {
		if d.a.To.Country == "JM" && (d.d.Rule != "countries/denied" || d.d.Permits() || d.a.User != "1001" || d.a.PeerKind != call.Phone || d.a.Direction != call.Outbound) {
			t.Errorf("Jamaica: %+v\n%+v", d.a, d.d)
		}
	}
	w.rep.mu.Unlock()
	// To nobody but the denied: refused with what policy says.
	inv = w.b.invite(siptest.UserOf(p.contact), from("<sip:1009@"+w.b.host()+">"))
	p.reply(p.request("INVITE"), 302, "t2", nil, contacts("<sip:0018765550100@"+domain+">")...)
	w.b.ackFailure(inv, w.b.code(403))
	w.a.never("a call to Jamaica", w.a.another("INVITE"))
	w.quiet()
	if !has(w.rep.rules(), "countries/denied") {
		t.Errorf("rules %v", w.rep.rules())
	}
	// To a colleague who is registered.
	q := w.desk("1002")
	inv = w.b.invite(siptest.UserOf(p.contact), from("<sip:1009@"+w.b.host()+">"))
	p.reply(p.request("INVITE"), 302, "t3", nil, contacts("<sip:1002@"+domain+">")...)
	got := q.request("INVITE")
	q.reply(got, 486, "t4", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
}

// TestRedirectsAreBounded: nobody is called twice, and at most five are.
func TestRedirectsAreBounded(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777")
	w.a.reply(w.a.request("INVITE"), 302, "t0", nil, contacts("<sip:+33199007777@"+domain+">")...) // itself
	res := w.b.code(480)
	w.b.ackFailure(inv, res)
	w.quiet()
	w.rep.lastRecord(t, 1)
	inv = w.b.invite("+33199007777")
	for i := range 6 {
		in := w.a.request("INVITE")
		if want := fmt.Sprintf("+3319900111%d", i-1); i > 0 && siptest.UserOf(in.URI) != want {
			t.Errorf("target %d is %s", i, in.URI)
		}
		w.a.reply(in, 302, unique("t"), nil, contacts(fmt.Sprintf("<sip:+3319900111%d@%s>", i, domain), "<sip:+33199007777@"+domain+">")...)
		w.a.request("ACK")
	}
	w.b.ackFailure(inv, w.b.code(480))
	w.a.never("a sixth target", w.a.another("INVITE"))
	w.quiet()
	if r := w.rep.lastRecord(t, 2); len(r.Passes[0].ForwardedTo) != 5 {
		t.Errorf("record %+v", r.Passes[0])
	}
}

// TestRedirectTowardsAnotherCarrier: a carrier that is known by its address
// alone does not get to another by way of a redirect.
func TestRedirectTowardsAnotherCarrier(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.FollowRedirects, sbc.RefuseRedirects, sbc.RefuseRedirects))
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 302, "t1", nil, contacts("<sip:+33199007777@"+domain+">")...)
	w.a.ackFailure(inv, w.a.code(403))
	w.a.never("a call back out", is("INVITE"))
	w.quiet()
	if !has(w.rep.rules(), "base/ip-peer-route") {
		t.Errorf("rules %v", w.rep.rules())
	}
}

// TestRedirectCancelled: a call that is being passed on can be given up.
func TestRedirectCancelled(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777")
	w.a.reply(w.a.request("INVITE"), 302, "t1", nil, contacts("<sip:+33199002222@"+domain+">")...)
	w.a.request("ACK")
	in := w.a.request("INVITE")
	w.a.reply(in, 180, "t2", nil)
	w.b.code(180)
	w.b.cancel(inv)
	w.b.answer("CANCEL", 200)
	w.b.ackFailure(inv, w.b.code(487))
	w.a.reply(w.a.request("CANCEL"), 200, "", nil)
	w.a.reply(in, 487, "t2", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 487 || r.EndedBy != call.ByCaller {
		t.Errorf("record %+v", r)
	}
}

// TestRedirectWithoutOffer: an INVITE that asks for an offer is passed on as
// one, after early dialogs with offers of their own.
func TestRedirectWithoutOffer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777", bare)
	first := w.a.request("INVITE")
	w.a.reply(first, 180, "t1", nil)
	w.b.code(180)
	w.a.reply(first, 302, "t1", nil, contacts("<sip:+33199002222@"+domain+">")...)
	second := w.a.request("INVITE")
	if len(second.Body) > 0 || siptest.UserOf(second.URI) != "+33199002222" {
		t.Errorf("the target got %s", second.Bytes())
	}
	w.a.reply(second, 200, "t2", w.a.sdp())
	ok := w.b.code(200)
	if !strings.Contains(string(ok.Body), "m=audio") {
		t.Errorf("the PBX got %s", ok.Bytes())
	}
	w.b.send(withSDP(w.b.within("ACK", 1, inv, ok), w.b.sdp()))
	w.a.expect("an ACK with the answer", func(m *siptest.Message) bool {
		return m.Method == "ACK" && siptest.Param(m.Get("To"), "tag") == "t2" && strings.Contains(string(m.Body), "m=audio")
	})
	w.confirmed()
	w.b.send(w.b.within("BYE", 2, inv, ok))
	w.b.answer("BYE", 200)
	w.a.reply(w.a.request("BYE"), 200, "", nil)
	w.quiet()
	w.hidden()
}
