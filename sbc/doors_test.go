package sbc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// Attacks through the side doors: whatever makes somebody call a number is
// judged like a first INVITE for it. Jamaica is denied; each test names the
// rule that has to say so.

// judged waits for a decision by a rule and returns it.
func (w *rawWorld) judged(rule string, fits func(*call.Attempt) bool) decided {
	w.t.Helper()
	var out decided
	eventually(w.t, "a decision by "+rule, func() bool {
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, x := range w.rep.decisions {
			if x.d.Rule == rule && fits(&x.a) {
				out = x
				return true
			}
		}
		return false
	})
	return out
}

func method(m string) func(*call.Attempt) bool {
	return func(a *call.Attempt) bool { return a.Method == m }
}

// spellings of one number in Jamaica, as a phone may write them.
var spellings = []string{"0018765550100", "+18765550100", "00018765550100", "%2B18765550100", "%30%30%31876%35550100", "+1-876-555-0100", "+1(876)5550100",
	"5550100;phone-context=+1876", "+18765550100;npdi", "+18765550100;isub=1", "00.1.876.555.0100", "0018765550100;phone-context=+33",
	"0018765550100!", "0018765550100%3Bx", "00%2531%2538765550100", "0018765550100&1001", "_0018765550100", "*670018765550100x1"}

// TestReferSpelt: however the number is written, and whoever is to call it.
func TestReferSpelt(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	seq := 2
	for _, n := range spellings {
		for _, to := range []string{"<sip:" + n + "@" + domain + ">", "<sips:" + n + "@elsewhere.example;user=phone;lr>", "<sip:" + n + "@" + domain + "?Subject=x&From=sip%3A1002%40x>"} {
			r := p.within("REFER", seq, c.inv, c.ok)
			r.Add("Refer-To", to)
			p.send(r)
			p.answer("REFER", 403)
			seq++
		}
	}
	for _, to := range []string{"<tel:+18765550100>", "<tel:+1-876-555-0100;ext=5>", "<tel:5550100;phone-context=+1876>", "<tel:0018765550100;phone-context=" + domain + ">"} {
		r := p.within("REFER", seq, c.inv, c.ok)
		r.Add("Refer-To", to)
		p.send(r)
		p.answer("REFER", 403)
		seq++
	}
	w.b.never("REFER", is("REFER"))
	if rules := w.rep.rules(); slices.ContainsFunc(rules, func(r string) bool { return r != "countries/denied" }) || len(rules) != seq-2 {
		t.Errorf("%d REFERs, rules %v", seq-2, rules)
	}
	p.send(p.within("BYE", seq, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestReferOtherRequests: a REFER asks for calls and for nothing else.
func TestReferOtherRequests(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	for i, m := range []string{"BYE", "MESSAGE", "REGISTER", "SUBSCRIBE", "invite%00", "%49NVITE"} {
		r := p.within("REFER", 2+i, c.inv, c.ok)
		r.Add("Refer-To", "<sip:1003@"+domain+";method="+m+">")
		p.send(r)
		res := p.expect("a refusal", func(x *siptest.Message) bool {
			n, to := x.CSeq()
			return to == "REFER" && n == 2+i && x.Code >= 400
		})
		if res.Code != 403 && res.Code != 400 {
			t.Errorf("method=%s: %d", m, res.Code)
		}
	}
	w.b.never("REFER", is("REFER"))
}

// TestReferKeepsContext: a local number without its context is another one:
// what goes on is what was judged.
func TestReferKeepsContext(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<tel:2079460000;phone-context=+44>")
	p.send(r)
	if in := w.b.request("REFER"); in.Get("Refer-To") != "<sip:+442079460000@"+domain+">" {
		t.Errorf("Refer-To %q", in.Get("Refer-To"))
	}
}

// TestReferIsACall: what is said of calls is said of those that a REFER leads
// to, on the account of who asks for them; a PBX calls under another name.
func TestReferIsACall(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, `version: 1
rules:
  - {id: site/not-1001, on: invite, match: {user: ["1001"], to: {country: [GB]}}, then: reject 403}
  - {id: site/watched, on: invite, match: {user: ["1001"], to: {country: [US]}}, then: flag}
`))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:00442079460000@"+domain+">")
	p.send(r)
	p.answer("REFER", 403)
	if x := w.judged("site/not-1001", method("REFER")); !x.a.Transferred || x.a.User != "1001" || x.d.Action != call.RequestRejected || x.a.To.Country != "GB" {
		t.Errorf("%+v\n%+v", x.a, x.d)
	}
	w.b.never("REFER", is("REFER"))
	r = p.within("REFER", 3, c.inv, c.ok)
	r.Add("Refer-To", "<sip:0016175550100@"+domain+">")
	p.send(r)
	w.b.reply(w.b.request("REFER"), 202, "", nil)
	p.answer("REFER", 202)
	n := 0
	w.rep.mu.Lock()
	for _, x := range w.rep.decisions {
		if x.a.Method == "REFER" && x.d.Permits() {
			n++
			if len(x.d.Also) != 1 || x.d.Also[0].Rule != "site/watched" {
				t.Errorf("beside it: %+v", x.d.Also)
			}
		}
	}
	w.rep.mu.Unlock()
	if n != 1 {
		t.Errorf("%d decisions let a REFER through, want 1", n)
	}
}

// TestTransferredCall: the call that a transfer leads to is known as such: on
// the PBX's way out, and from a phone that was sent.
func TestTransferredCall(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, "version: 1\nrules:\n  - {id: site/no-transfer-abroad, on: invite, match: {transferred: true, to: {international: true}, peer: [main]}, then: reject 403}\n"))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	out := func(to string, change ...func(*siptest.Message)) *siptest.Message {
		return w.b.invite(to, append(change, from("<sip:+33199001234@"+w.b.host()+">"))...)
	}
	// Nobody asked for it: a call.
	inv := out("+442079460000")
	w.a.reply(w.a.request("INVITE"), 486, "t1", nil)
	w.b.ackFailure(inv, w.b.code(486))
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:00442079460000@"+domain+">")
	p.send(r)
	w.b.reply(w.b.request("REFER"), 202, "", nil)
	p.answer("REFER", 202)
	// The PBX obeys, in a dialog of its own and without a word of why.
	inv = out("+442079460000")
	w.b.ackFailure(inv, w.b.code(403))
	if x := w.judged("site/no-transfer-abroad", method("INVITE")); !x.a.Transferred || x.a.Direction != call.Outbound {
		t.Errorf("%+v", x.a)
	}
	// Somebody else's call is his own.
	inv = out("+442079460001")
	w.a.reply(w.a.request("INVITE"), 486, "t2", nil)
	w.b.ackFailure(inv, w.b.code(486))
	// Unless it says what it is.
	for _, h := range [][2]string{{"Referred-By", "<sip:1001@" + domain + ">"}, {"Replaces", "x;to-tag=a;from-tag=b"}} {
		inv = out("+442079460001", func(m *siptest.Message) { m.Add(h[0], h[1]) })
		w.b.ackFailure(inv, w.b.code(403))
	}
	w.a.never("a transfer abroad", w.a.another("INVITE"))
}

// TestTransfersAreBounded: what is remembered of REFERs ends.
func TestTransfersAreBounded(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	now := time.Now()
	for i := range 5000 {
		w.gw.Transferred("1001", fmt.Sprint("+", i), now)
	}
	if n := w.gw.Transfers(); n != 4096 {
		t.Errorf("%d are remembered", n)
	}
	a := call.Attempt{At: now.Add(29 * time.Second), PeerKind: call.Phone, User: "1001", To: call.Party{Number: "+7"}}
	if !w.gw.LedByTransfer(&a) {
		t.Error("forgotten")
	}
	a.User = "1002"
	if w.gw.LedByTransfer(&a) {
		t.Error("somebody else's")
	}
	a.User, a.At = "1001", now.Add(31*time.Second)
	if w.gw.LedByTransfer(&a) {
		t.Error("half a minute later it is another call")
	}
	w.gw.ExpireTransfers(now.Add(time.Minute))
	if n := w.gw.Transfers(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestCarrierTransfersOut: a carrier that is known by its address alone may
// not have the PBX call another carrier for it, whatever its entry allows.
func TestCarrierTransfersOut(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.Peers[0].AllowRefer = true })
	c := w.up()
	r := w.a.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:+33199007777@"+w.a.gw.String()+">")
	w.a.send(r)
	w.a.answer("REFER", 403)
	w.judged("base/ip-peer-route", method("REFER"))
	w.b.never("REFER", is("REFER"))
	w.bye(c, 3)
}

// TestCalleeTransfers: who is called and transfers is who is judged.
func TestCalleeTransfers(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, `version: 1
countries: {default: allow, deny: [JM]}
rules:
  - {id: site/by-1001, on: refer, match: {user: ["1001"], from: {kind: extension}, to: {country: [GB]}}, then: reject 403}
`))
	p := w.desk("1001")
	c := w.rung(p)
	for i, x := range []struct{ to, rule string }{{"0018765550100", "countries/denied"}, {"00442079460000", "site/by-1001"}} {
		r := p.back("REFER", 1+i, c.in, c.tag)
		r.Add("Refer-To", "<sip:"+x.to+"@"+domain+">")
		p.send(r)
		p.answer("REFER", 403)
		if d := w.judged(x.rule, method("REFER")); d.a.User != "1001" || d.a.From.User != "1001" || d.a.From.Number != "1001" {
			t.Errorf("%+v", d.a)
		}
	}
	w.b.never("REFER", is("REFER"))
}

// TestRedirectTold: whom policy denies, a caller is not told of either.
func TestRedirectTold(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.RelayRedirects, sbc.RefuseRedirects), denied(t))
	inv := w.b.invite("+33199007777")
	w.a.reply(w.a.request("INVITE"), 302, "t1", nil, contacts("<sip:+18765550100@"+domain+">", "<tel:+1-876-555-0100>", "<sip:+33199002222@"+domain+">;q=0.5", "<sip:%2B18765550101@"+w.a.host()+">")...)
	res := w.b.code(302)
	w.b.ackFailure(inv, res)
	if got := res.All("Contact"); !slices.Equal(got, []string{"<sip:+33199002222@" + domain + ">;q=0.5"}) {
		t.Errorf("Contact %q", got)
	}
	w.quiet()
	inv = w.b.invite("+33199007777")
	w.a.reply(w.a.request("INVITE"), 302, "t2", nil, contacts("<sip:+18765550100@"+domain+">")...)
	res = w.b.code(403)
	w.b.ackFailure(inv, res)
	if len(res.All("Contact")) > 0 {
		t.Errorf("Contact %q", res.All("Contact"))
	}
	w.quiet()
	if x := w.judged("countries/denied", func(a *call.Attempt) bool { return a.Diversion == "+33199007777" }); x.a.To.Country != "JM" {
		t.Errorf("%+v", x.a)
	}
}

// TestRedirectFollowedJudged: of several targets each is judged.
func TestRedirectFollowedJudged(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.FollowRedirects, sbc.FollowRedirects, sbc.FollowRedirects), denied(t))
	p := w.desk("1001")
	inv := withSDP(p.outside("INVITE", "sip:1002@"+domain), p.srtp())
	p.send(inv)
	var many []siptest.Field
	for _, n := range spellings[:6] {
		many = append(many, contacts("<sip:"+n+"@"+domain+">")...)
	}
	w.b.reply(w.b.request("INVITE"), 302, "t1", nil, many...)
	p.ackFailure(inv, p.code(403))
	w.a.never("a call to Jamaica", is("INVITE"))
	w.judged("countries/denied", func(a *call.Attempt) bool { return a.Diversion != "" && a.PeerKind == call.PBX })
	w.quiet()
}

// TestForwardedOut: a PBX forwards an outside caller to a number that is
// denied, with and without saying so.
func TestForwardedOut(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, `version: 1
countries: {default: allow, deny: [JM]}
rules:
  - {id: site/no-forwarding-abroad, on: invite, match: {diverted: true, to: {country: [GB]}}, then: reject 403}
`))
	inv := w.b.invite("+18765550100", func(m *siptest.Message) { m.Add("Diversion", "<sip:1001@"+domain+">;reason=unconditional") })
	w.b.ackFailure(inv, w.b.code(403))
	if x := w.judged("countries/denied", method("INVITE")); x.a.Diversion != "1001" || x.a.Direction != call.Outbound {
		t.Errorf("%+v", x.a)
	}
	for _, h := range [][2]string{{"Diversion", "<sip:1001@" + domain + ">;reason=unconditional"}, {"History-Info", "<sip:1001@" + domain + ">;index=1,<sip:+442079460000@" + domain + ";cause=302>;index=1.1;mp=1"}} {
		inv = w.b.invite("+442079460000", func(m *siptest.Message) { m.Add(h[0], h[1]) })
		w.b.ackFailure(inv, w.b.code(403))
	}
	inv = w.b.invite("+442079460000") // a call of its own
	w.a.reply(w.a.request("INVITE"), 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	// A call that came in goes out again: the Session-ID says that it is one.
	first := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	inv = w.b.invite("+442079460000", func(m *siptest.Message) { m.Add("Session-ID", in.Get("Session-ID")) }, from("<sip:+33199001234@"+w.b.host()+">"))
	w.b.ackFailure(inv, w.b.code(403))
	if x := w.judged("site/no-forwarding-abroad", func(a *call.Attempt) bool { return a.Forwarded }); x.a.Pass != 2 || x.a.Direction != call.Outbound {
		t.Errorf("%+v", x.a)
	}
	w.b.reply(in, 486, "t", nil)
	w.a.ackFailure(first, w.a.code(486))
	w.quiet()
}

// TestReplacesDenied: taking a call over opens no number.
func TestReplacesDenied(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	mine := w.dial(p, "1003")
	rep := replacing(mine.inv.Get("Call-ID"), tagOf(mine.ok), fromTag(mine.inv))
	for _, n := range spellings {
		inv := withSDP(p.outside("INVITE", "sip:"+n+"@"+domain, with("Replaces", rep)), p.srtp())
		p.send(inv)
		p.ackFailure(inv, p.code(403))
	}
	if x := w.judged("countries/denied", method("INVITE")); !x.a.Transferred {
		t.Errorf("%+v", x.a)
	}
	w.b.never("INVITE", w.b.another("INVITE"))
}

// TestToIsNotAsked: the Request-URI is whom a request is for; To opens nothing
// and reaches nobody.
func TestToIsNotAsked(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	for _, to := range []string{"<sip:1002@" + domain + ">", "<sip:112@" + domain + ">", "<urn:service:sos>"} {
		inv := withSDP(p.outside("INVITE", "sip:0018765550100@"+domain, with("To", to)), p.srtp())
		p.send(inv)
		p.ackFailure(inv, p.code(403))
	}
	inv := withSDP(p.outside("INVITE", "sip:1002@"+domain, with("To", "<sip:0018765550100@"+domain+">")), p.srtp())
	p.send(inv)
	in := w.b.request("INVITE")
	if siptest.UserOf(in.URI) != "1002" || siptest.UserOf(siptest.URIOf(in.Get("To"))) != "1002" {
		t.Errorf("the PBX got\n%s", in.Bytes())
	}
	w.b.reply(in, 486, "t", nil)
	p.ackFailure(inv, p.code(486))
	// To names an emergency number and the call is for a phone: no emergency.
	m := p.outside("MESSAGE", "sip:0018765550100@"+domain, text("x"), with("To", "<sip:112@"+domain+">"))
	p.send(m)
	p.answer("MESSAGE", 403)
}

// TestModifyReachesNobodyElse: a request inside a call goes to the other end of
// it, whatever its Request-URI or Contact names.
func TestModifyReachesNobodyElse(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	c := w.dial(p, "1002")
	re := withSDP(p.within("INVITE", 2, c.inv, c.ok), p.srtp())
	re.URI = "sip:0018765550100@" + domain
	re.Set("Contact", "<sip:0018765550100@"+p.addr().String()+";transport=tls>")
	p.send(re)
	in := w.b.expect("re-INVITE", w.b.another("INVITE"))
	if in.URI != siptest.URIOf("<sip:raw@"+w.b.addr().String()+">") || strings.Contains(string(in.Bytes()), "8765550100") || tagOf(in) != c.tag {
		t.Errorf("the PBX got\n%s", in.Bytes())
	}
	w.b.reply(in, 200, "", w.b.sdp())
	p.code(200)
	p.send(p.within("ACK", 2, c.inv, c.ok))
	up := p.within("UPDATE", 3, c.inv, c.ok)
	up.URI = "sip:0018765550100@" + domain
	p.send(up)
	in = w.b.request("UPDATE")
	if strings.Contains(string(in.Bytes()), "8765550100") || tagOf(in) != c.tag {
		t.Errorf("the PBX got\n%s", in.Bytes())
	}
	w.b.reply(in, 200, "", nil)
	p.answer("UPDATE", 200)
	w.a.never("a call", is("INVITE"))
}

// TestSubscribeDenied: a number that may not be called is not subscribed to.
func TestSubscribeDenied(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	p.send(p.outside("SUBSCRIBE", "sip:0018765550100@"+domain, with("Event", "presence"), with("Expires", "600")))
	p.answer("SUBSCRIBE", 403)
	w.judged("countries/denied", method("SUBSCRIBE"))
	p.send(p.outside("PUBLISH", "sip:0018765550100@"+domain, with("Event", "presence"), with("Expires", "600")))
	p.answer("PUBLISH", 403)
	w.b.never("SUBSCRIBE", is("SUBSCRIBE"))
}

// TestAnswerToAChallenge: what was judged is what is sent again; anything else
// is judged anew.
func TestAnswerToAChallenge(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, "version: 1\nrules:\n  - {id: site/short, on: message, match: {size: \">1200\"}, then: reject 413}\n"))
	p := w.desk("1001")
	challenge := siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="` + domain + `", nonce="n"`}
	authorized := with("Authorization", `Digest username="1001", realm="`+domain+`", nonce="n", uri="sip:x", response="0"`)
	for _, x := range []struct {
		again string
		code  int
	}{{"hello", 200}, {strings.Repeat("x", 1200), 413}} {
		m := p.outside("MESSAGE", "sip:1002@"+domain, text("hello"))
		p.send(m)
		w.b.reply(w.b.request("MESSAGE"), 401, "t", nil, challenge)
		p.answer("MESSAGE", 401)
		m.Set("Via", p.via())
		m.Set("CSeq", "2 MESSAGE")
		authorized(m)
		text(x.again)(m)
		p.send(m)
		if x.code == 200 {
			w.b.reply(w.b.request("MESSAGE"), 200, "t", nil)
		}
		p.answer("MESSAGE", x.code)
	}
	w.judged("site/short", method("MESSAGE"))
}

// TestAnotherCallerAfterAChallenge: a carrier that the PBX challenges answers
// as who it was judged.
func TestAnotherCallerAfterAChallenge(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, identity(sbc.Identity{Allowed: []string{"+33199"}}))
	for i, x := range []struct {
		user string
		code int
	}{{"+33199001234", 486}, {"+33199009999", 403}, {"+33123456789", 403}} {
		inv := w.a.invite("+33123456789")
		w.b.reply(w.b.request("INVITE"), 401, "t", nil, siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="` + domain + `", nonce="n"`})
		w.a.ackFailure(inv, w.a.code(401))
		inv.Set("Via", w.a.via())
		inv.Set("CSeq", "2 INVITE")
		inv.Set("From", "<sip:"+x.user+"@"+w.a.host()+">;tag="+fromTag(inv))
		inv.Set("Authorization", `Digest username="x", realm="`+domain+`", nonce="n", uri="sip:x", response="0"`)
		w.a.send(inv)
		if x.code == 486 {
			w.b.reply(w.b.request("INVITE"), 486, "t", nil)
		}
		w.a.ackFailure(inv, w.a.code(x.code))
		if has(w.rep.rules(), "base/caller-not-allowed") != (i > 0) {
			t.Errorf("%s: rules %v", x.user, w.rep.rules())
		}
	}
	w.b.never("a call", w.b.another("INVITE"))
	w.a.never("a call", is("INVITE"))
}

// TestMessagesOnTheWire: the pack, as a phone and a carrier meet it.
func TestMessagesOnTheWire(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, packs(t, "messages"))
	p := w.desk("1001")
	send := func(to string, code int, change ...func(*siptest.Message)) {
		t.Helper()
		p.send(p.outside("MESSAGE", "sip:"+to+"@"+domain, append([]func(*siptest.Message){text("hello")}, change...)...))
		p.answer("MESSAGE", code)
	}
	typed := func(ct, b string) func(*siptest.Message) {
		return func(m *siptest.Message) { m.Set("Content-Type", ct); m.Body = []byte(b) }
	}
	send("00442079460000", 403)
	w.judged("messages/outside", method("MESSAGE"))
	for _, ct := range []string{"application/x-msdownload", "APPLICATION/X-Sh;name=x", "multipart/mixed;boundary=b"} {
		send("1002", 403, typed(ct, "--b\r\nContent-Type: text/plain\r\n\r\nlook\r\n--b\r\nContent-Type: application/x-dosexec\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQ\r\n--b--\r\n"))
	}
	if x := w.judged("messages/executables", func(a *call.Attempt) bool { return len(a.ContentTypes) == 3 }); x.d.Severity != call.High ||
		!slices.Equal(x.a.ContentTypes, []string{"multipart/mixed", "text/plain", "application/x-dosexec"}) {
		t.Errorf("%v %+v", x.a.ContentTypes, x.d)
	}
	send("1002", 415, typed("text/html", "<b>x</b>"))
	send("1002", 415, typed("text/plain", "MZ\x90\x00\x03\x00\x00")) // a program that calls itself text
	w.judged("base/message-body", method("MESSAGE"))
	send("1002", 413, typed("text/plain", strings.Repeat("x", 9000)))
	w.judged("messages/size", method("MESSAGE"))
	w.b.never("MESSAGE", is("MESSAGE"))
	// Strangers write to nobody.
	s := w.plug("1002")
	s.send(s.outside("MESSAGE", "sip:1001@"+domain, text("hello")))
	s.answer("MESSAGE", 403)
	if x := w.judged("base/stranger", method("MESSAGE")); x.a.User != "" {
		t.Errorf("%+v", x.a)
	}
	w.secret(p)
}

// TestFanOutOnTheWire: one phone writes to one after the other.
func TestFanOutOnTheWire(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, packs(t, "messages"))
	p := w.desk("1001")
	for i := range 22 {
		to := fmt.Sprint("10", 10+i%21) // the last is the first again
		p.send(p.outside("MESSAGE", "sip:"+to+"@"+domain, text("free tickets")))
		if i == 20 {
			p.answer("MESSAGE", 403)
			continue
		}
		w.b.reply(w.b.request("MESSAGE"), 200, "t", nil)
		p.answer("MESSAGE", 200)
	}
	if x := w.judged("messages/fan-out", method("MESSAGE")); x.d.Subject != (call.Subject{Kind: "user", Value: "1001"}) {
		t.Errorf("%+v", x.d)
	}
}

// TestCallersOnTheWire: what a carrier shows as its caller.
func TestCallersOnTheWire(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, packs(t, "callers"), func(c *worldConfig) { c.sbc.OwnNumbers = []string{"+331234567"} }, trusted)
	for _, x := range []struct {
		from, rule string
		refused    bool
		change     func(*siptest.Message)
	}{
		{from: "<sip:+33123456700@x.example>", rule: "callers/own-number", refused: true},
		{from: "<sip:0033123456700@x.example>", rule: "callers/own-number", refused: true},
		{from: "<tel:+33-1-23-45-67-00>", rule: "callers/own-number", refused: true},
		{from: "<sip:+33199001234@x.example>", rule: "callers/own-number", refused: true, change: func(m *siptest.Message) { m.Add("P-Asserted-Identity", "<sip:+33123456700@x.example>") }},
		{from: "<sip:+33123456700@x.example>", rule: "base/own-number", change: func(m *siptest.Message) { m.Add("Diversion", "<sip:+33199005555@x.example>;reason=unconditional") }},
		{from: "<sip:1001@x.example>", rule: "callers/inside-number", refused: true},
		{from: "<sip:+33899123456@x.example>", rule: "callers/premium-number", refused: true},
		{from: "<sip:112@x.example>", rule: "callers/emergency-number"},
		{from: "<sip:+881612345678@x.example>", rule: "callers/costly-number"},
		{from: "<sip:+99999999999@x.example>", rule: "callers/unallocated-number"},
		{from: "<sip:asterisk@x.example>", rule: "callers/no-number"},
		{from: `"Anonymous" <sip:anonymous@anonymous.invalid>`},
		{from: "<sip:+33199001234@x.example>"},
	} {
		before := len(w.told())
		inv := w.a.invite("+33123456789", func(m *siptest.Message) {
			m.Set("From", x.from+";tag="+unique("f"))
			if x.change != nil {
				x.change(m)
			}
		})
		if x.refused {
			w.a.ackFailure(inv, w.a.code(403))
		} else {
			w.b.reply(w.b.request("INVITE"), 486, "t", nil)
			w.a.ackFailure(inv, w.a.code(486))
		}
		told := w.told()[before:]
		if x.rule == "" && len(told) > 0 || x.rule != "" && !has(told, x.rule) {
			t.Errorf("%s: %v, want %q", x.from, told, x.rule)
		}
	}
	w.quiet()
	w.hidden()
}

// told are the rules that refused or flagged, in order.
func (w *rawWorld) told() (out []string) {
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, x := range w.rep.decisions {
		if x.d.Rule != "" && !x.d.Permits() {
			out = append(out, x.d.Rule)
		}
		for _, y := range x.d.Also {
			out = append(out, y.Rule)
		}
	}
	return out
}

// TestAnswersAreOfTheirNumber: the plan of these tests reads the numbers as
// the rules above need them.
func TestAnswersAreOfTheirNumber(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range spellings {
		if got := plan.Normalise(n, number.Dialled); got.Country != "JM" {
			t.Errorf("%s is %s in %s", n, got.Canonical, got.Country)
		}
	}
}

// TestTransferIsEnacted: what rules ask for beside their verdict is carried out
// of a REFER as it is of a call.
func TestTransferIsEnacted(t *testing.T) {
	t.Parallel()
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := newRawWorld(t, func(c *worldConfig) {
		rule(t, c, bans, `rules:
  - {id: x/hold, on: invite, match: {user: ["1001"], to: {country: [JM]}}, then: hold 1h}
  - {id: x/ban, on: refer, match: {to: {country: [CU]}}, then: ban 1h, key: [user]}
`)
	})
	p := w.desk("1001")
	c := w.dial(p, "1002")
	for i, to := range []string{"0018765550100", "0088216123456", "005371234567"} { // Jamaica, a satellite, Cuba
		r := p.within("REFER", 2+i, c.inv, c.ok)
		r.Add("Refer-To", "<sip:"+to+"@"+domain+">")
		p.send(r)
		p.answer("REFER", 403)
	}
	w.b.never("REFER", is("REFER"))
	w.judged(ratelimit.RuleHeld, method("REFER"))
	if held := w.rep.systemsOf(call.AccountHeld); len(held) != 1 || held[0].Rule != "x/hold" || held[0].Subject.Value != "1001" {
		t.Errorf("holds: %+v", held)
	}
	if banned := w.rep.systemsOf(call.SourceBanned); len(banned) != 1 || banned[0].Rule != "x/ban" || banned[0].Subject.Value != "1001" {
		t.Errorf("bans: %+v", banned)
	}
}

// TestReferByTheNewPlan: after a reload what goes on is what was judged, not what
// the old plan would have read.
func TestReferByTheNewPlan(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	gb, err := number.Compile(number.Home{Country: "GB"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.gw.SetPolicy(sbc.Policy{Revision: "gb", Plan: gb})
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<tel:02079460000;phone-context="+domain+">")
	p.send(r)
	if in := w.b.request("REFER"); in.Get("Refer-To") != "<sip:+442079460000@"+domain+">" {
		t.Errorf("Refer-To %q", in.Get("Refer-To"))
	}
}

// TestInviteSpelt: however the number is written, in calls and in messages.
func TestInviteSpelt(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	for _, n := range spellings {
		inv := withSDP(p.outside("INVITE", "sip:"+n+"@"+domain), p.srtp())
		p.send(inv)
		p.ackFailure(inv, p.code(403))
		p.send(p.outside("MESSAGE", "sip:"+n+"@"+domain, text("x")))
		p.answer("MESSAGE", 403)
	}
	if rules := w.rep.rules(); slices.ContainsFunc(rules, func(r string) bool { return r != "countries/denied" }) || len(rules) != 2*len(spellings) {
		t.Errorf("rules %v", rules)
	}
}

// TestReferToACarrier: what a carrier is sent to call must be a number, as for
// calls that go to it.
func TestReferToACarrier(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	c := w.up()
	for i, to := range []string{"0018765550100", "0018765550100!", "*670018765550100", "alice", "1002", "001876555010000000000"} {
		r := w.b.back("REFER", 1+i, c.in, c.tag)
		r.Add("Refer-To", "<sip:"+to+"@"+domain+">")
		w.b.send(r)
		res := w.b.expect("a refusal of "+to, func(m *siptest.Message) bool {
			n, what := m.CSeq()
			return what == "REFER" && n == 1+i && m.Code >= 200
		})
		if want := map[bool]int{true: 403, false: 404}[i == 0 || i == 5]; res.Code != want {
			t.Errorf("%s: %d", to, res.Code)
		}
	}
	w.a.never("REFER", is("REFER"))
}

// TestReferHeaders: conditions see the header fields of a REFER in a call.
func TestReferHeaders(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p, _ := written(t, `version: 1
rules: [{id: site/by-header, on: refer, when: 'request.headers["x-desk"] == "7"', then: reject 403}]
`, nil)
	w.gw.SetPolicy(p)
	d := w.desk("1001")
	c := w.rung(d)
	r := d.back("REFER", 1, c.in, c.tag)
	r.Add("Refer-To", "<sip:1003@"+domain+">")
	r.Add("X-Desk", "7")
	d.send(r)
	d.answer("REFER", 403)
	w.judged("site/by-header", method("REFER"))
}
