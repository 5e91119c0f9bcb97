package sbc

import (
	"bytes"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/notice"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Event packages (RFC 6665 §4) and what their bodies become on the way.

// eventTypes lists the packages that are carried and the media type of each.
var eventTypes = map[string]string{
	"message-summary":  notice.MessageSummary, // RFC 3842: the lamp for messages
	"dialog":           notice.DialogInfo,     // RFC 4235: lamps for lines
	"presence":         notice.PIDF,           // RFC 3856
	"conference":       notice.ConferenceInfo, // RFC 4575
	"as-feature-event": notice.FeatureEvent,   // do not disturb, forwarding
}

// unsolicited are those that a PBX sends to a registered phone that never
// asked: they make it work, so nobody else may send them.
var unsolicited = []string{"message-summary", "as-feature-event", "check-sync", "resync", "ua-profile"}

// published are those that a phone may publish (RFC 3903).
var published = []string{"presence", "dialog"}

var allowEvents = sipx.HeaderField{Name: "Allow-Events", Value: "as-feature-event, conference, dialog, message-summary, presence, refer"}

// messageTypes are what a MESSAGE may carry.
var messageTypes = []string{"text/plain", notice.IsComposing}

// crossing says what things are called at leg to that leg from told us of.
type crossing struct {
	g        *Gateway
	from, to *leg
}

// URI keeps the user and gives it the host that the other side knows.
func (c crossing) URI(v string) (string, bool) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(v), ":")
	if !ok || len(v) > 256 {
		return "", false
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "sip", "sips", "pres", "im":
	case "tel":
		number, _, _ := strings.Cut(rest, ";")
		return "tel:" + number, number != "" && strings.Trim(number, "0123456789+-.*#()") == ""
	default:
		return "", false
	}
	user, host, ok := strings.Cut(rest, "@")
	if !ok {
		return scheme + ":" + c.g.hostFor(c.to, hostPart(rest)), true
	}
	user, _, _ = strings.Cut(user, ":")
	if user = withoutHosts(user); !plainUser(user) {
		return "", false
	}
	if b, ok := c.g.bindings.named(user); ok {
		user, host = escapeUser(b.aor.user), b.aor.domain
	}
	return scheme + ":" + user + "@" + c.g.hostFor(c.to, hostPart(host)), true
}

// hostPart is the host of what follows the user in a URI.
func hostPart(v string) string {
	if i := strings.IndexAny(v, ":;?"); i >= 0 {
		v = v[:i]
	}
	return v
}

// plainUser: characters of a user part (RFC 3261 §25.1).
func plainUser(v string) bool {
	for i := range len(v) {
		c := v[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.!~*'()&=+$,;?/%", c) < 0 {
			return false
		}
	}
	return v != ""
}

// Dialog names a dialog of the sender for the other side. A phone is told of
// its own calls by the names that it has for them; of others under a seal
// that opens when it comes back in Replaces.
func (c crossing) Dialog(callID, local, remote string) (string, string, string) {
	p := replaces{callID: callID, to: local, from: remote}
	if callID != "" && local != "" && remote != "" {
		near, far, out, ok := c.g.calls.across(c.from.side, p)
		switch {
		case !ok:
		case c.to.side == call.Public && far.kind == c.to.kind && far.aor == c.to.aor && far.name == c.to.name,
			c.to.side == call.Inside && far.side == call.Inside && near.kind == c.from.kind && near.aor == c.from.aor && near.name == c.from.name:
			return out.callID, out.to, out.from
		}
	}
	one := c.g.sealed
	if c.to.side == call.Inside {
		one = func(v string) string {
			if t, ok := c.g.unsealed(v); ok {
				return t
			}
			return c.g.sealed(v)
		}
	}
	return one(callID), one(local), one(remote)
}

// ID stands for an identifier of a document. It begins with a letter, as an
// XML ID must.
func (c crossing) ID(v string) string { return "i" + c.g.mapped("id", v)[:20] }

// content rewrites the body of an event; its media type is the one of the
// package. code is 0, or what the request is refused with.
func (c crossing) content(r *sipx.Request, want string) (b []byte, code int) {
	if len(r.Body()) == 0 {
		return nil, 0
	}
	switch {
	case want == "" || r.ContentType() != want || !identityEncoding(r.Header("Content-Encoding")):
		return nil, 415
	case len(r.Body()) > notice.MaxSize:
		return nil, 413
	}
	b, err := notice.Rewrite(want, r.Body(), c)
	if err != nil {
		c.g.log.Info("body refused", "method", r.Method(), "source", r.Flow.Remote.String(), "error", err)
		return nil, 400
	}
	return b, 0
}

// maxPager is how large a MESSAGE may be where a datagram carries it (RFC
// 3428 §8).
const maxPager = 1300

// text reads the body of a MESSAGE for a flow; code is 0, or what it is
// refused with. What people write to each other crosses as it is.
func (g *Gateway) text(r *sipx.Request, to *sipx.Flow) (b []byte, contentType string, code int) {
	b, t := r.Body(), r.ContentType()
	switch {
	case len(b) > notice.MaxSize:
		return nil, "", 413
	case to != nil && !to.Reliable() && len(b) > maxPager, !r.Flow.Reliable() && len(b) > maxPager:
		return nil, "", 513
	case !slices.Contains(messageTypes, t) || !identityEncoding(r.Header("Content-Encoding")):
		return nil, "", 415
	case t != "text/plain":
		out, err := notice.Rewrite(t, b, crossing{g: g})
		if err != nil {
			return nil, "", 400
		}
		return out, t, 0
	}
	cs := charset(r.Header("Content-Type"))
	if bytes.IndexByte(b, 0) >= 0 && !strings.HasPrefix(cs, "utf-16") && !strings.HasPrefix(cs, "utf-32") {
		return nil, "", 415 // a program that calls itself text
	}
	if cs != "" {
		t += ";charset=" + cs
	}
	return b, t, 0
}

// charset is that of a Content-Type, when it is one to be expected.
func charset(v string) string {
	for _, p := range strings.Split(v, ";")[1:] {
		name, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			val = strings.ToLower(strings.Trim(strings.TrimSpace(val), `"`))
			if isToken(val) {
				return val
			}
		}
	}
	return ""
}

// bodyRefusal: Accept for 415 (RFC 3261 §21.4.13).
func bodyRefusal(code int, types []string) []sipx.HeaderField {
	if code != 415 || len(types) == 0 {
		return nil
	}
	return []sipx.HeaderField{{Name: "Accept", Value: strings.Join(types, ", ")}}
}

// messageEvent writes one MESSAGE into the event stream.
func (g *Gateway) messageEvent(a *call.Attempt, d call.Decision, code int) {
	e := g.event(call.EventMessage, a, newID())
	e.Direction = a.Direction.String()
	e.From, e.To, e.Dialled, e.Code, e.Verdict, e.Rule = a.From.Number, a.To.Number, a.To.User, code, d.Verdict.String(), d.Rule
	g.deps.Reporter.Event(e)
}
