package sbc

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// What is wrong with a request outside of calls before anybody judges it:
// who may send which method, packages and bodies.

// ruleMessageBody refuses what is no text, or more of it than is carried.
const ruleMessageBody = "base/message-body"

// unacceptable finds what is wrong with the request whatever the rules say.
func (p *relay) unacceptable() (d call.Decision, hs []sipx.HeaderField, bad bool) {
	r, a := p.r, p.a
	u := r.URI()
	fail := func(code int, rule, reason string, hs ...sipx.HeaderField) (call.Decision, []sipx.HeaderField, bool) {
		return no(code, rule, a.Method+": "+reason, call.Low), hs, true
	}
	switch {
	case !mayForward(r):
		return fail(483, "base/hops", "Max-Forwards is used up")
	case r.Narrow():
		return fail(440, "base/breadth", "Max-Breadth is used up")
	case len(r.UnsupportedTags()) > 0:
		v := strings.Join(r.UnsupportedTags(), ", ")
		return fail(420, "base/extension", "requires "+v, sipx.HeaderField{Name: "Unsupported", Value: v})
	case u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel":
		return fail(416, "base/uri-scheme", "Request-URI scheme "+u.Scheme)
	case u.Scheme == "sips" && !(r.Flow.Secure() && p.g.insideSecure()):
		d, hs, bad = fail(480, "base/sips", "sips: needs TLS on every hop")
		d.Warning = sipsNotAllowed
		return d, hs, bad
	}
	ok := false
	if a.Method != "MESSAGE" && a.Method != "REFER" {
		if p.event, ok = readEvent(r.Header("Event")); !ok || len(r.Headers("Event")) > 1 {
			return fail(489, "base/event", "no event package", allowEvents) // RFC 6665 §7.2
		}
	}
	public := a.Side == call.Public
	switch a.Method {
	case "MESSAGE":
		_, _, code := p.g.text(r, nil)
		if code != 0 {
			return fail(code, ruleMessageBody, "body of type "+r.ContentType(), bodyRefusal(code, messageTypes)...)
		}
		return d, nil, false
	case "REFER":
		if public {
			return fail(403, "base/refer-outside", "only a PBX asks for calls that way")
		}
		t, code := readReferTo(r.Header("Refer-To"))
		if code != 0 || len(r.Headers("Refer-To")) != 1 || t.replaces != "" {
			return fail(max(code, 400), "base/refer-to", "Refer-To that cannot be followed")
		}
		p.refer, p.event = &t, event{pack: "refer"}
		a.To = call.Party{User: t.uri.User, Host: t.uri.Host}
		p.g.number(&a.To, t.uri, call.Phone, "")
		t.as = a.To
		if outside(a.To) {
			a.Direction = call.Outbound
		}
		return d, nil, false
	case "NOTIFY":
		if public {
			d, hs, bad = fail(403, "base/notify-public", "nobody on the public side may send it outside of a subscription")
			d.Severity = call.Medium
			return d, hs, bad
		}
		if !slices.Contains(unsolicited, p.event.pack) {
			return fail(489, "base/event", "package "+p.event.pack, allowEvents)
		}
	case "PUBLISH":
		if a.PeerKind != call.Phone {
			return fail(403, "base/publish", "only phones publish")
		}
		if !slices.Contains(published, p.event.pack) {
			return fail(489, "base/event", "package "+p.event.pack, allowEvents)
		}
	case "SUBSCRIBE":
		if a.PeerKind == call.Carrier {
			return fail(403, "base/subscribe-carrier", "carriers subscribe to nothing")
		}
		if eventTypes[p.event.pack] == "" {
			return fail(489, "base/event", "package "+p.event.pack, allowEvents)
		}
		if len(r.Headers("Contact")) == 0 {
			return fail(400, "base/no-contact", "no Contact")
		}
	}
	// What the body says is looked at where it is known whom it goes to; that
	// it can be read at all is asked now.
	if _, code := (crossing{p.g, &leg{side: a.Side, kind: a.PeerKind}, &leg{}}).content(r, eventTypes[p.event.pack]); code != 0 {
		return fail(code, "base/event-body", "body of type "+r.ContentType(), bodyRefusal(code, []string{eventTypes[p.event.pack]})...)
	}
	return d, nil, false
}
