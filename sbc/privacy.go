package sbc

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// privacy is what a caller asked for in Privacy (RFC 3323 §4.2, RFC 3325 §9.3,
// RFC 7044 §10.1). Of header and session the gateway does all there is, for
// every call: Via, Contact, Call-ID and media are its own on each side.
type privacy struct {
	id, user, none, critical, history bool
	unknown                           []string
}

func privacyOf(values []string) (p privacy) {
	for _, v := range values {
		for _, t := range strings.FieldsFunc(v, func(c rune) bool { return c == ';' || c == ',' || c == ' ' || c == '\t' }) {
			switch strings.ToLower(t) {
			case "id":
				p.id = true
			case "user":
				p.user = true
			case "none":
				p.none = true
			case "critical":
				p.critical = true
			case "history":
				p.history = true
			case "header", "session":
			default:
				p.unknown = append(p.unknown, t)
			}
		}
	}
	return p
}

// hides reports whether the caller is not to be named to those that are not
// trusted. "none" is the caller's own word that it may (RFC 3323 §4.2).
func (p privacy) hides() bool { return !p.none && (p.id || p.user) }

// impossible names what the caller insists on and we do not know (RFC 3323 §5).
func (p privacy) impossible() string {
	if !p.critical || len(p.unknown) == 0 {
		return ""
	}
	return p.unknown[0]
}

// value is what is left to do for those behind the next hop, "" when nothing
// is. done: the user has been made anonymous here.
func (p privacy) value(done bool) string {
	var left []string
	for _, t := range []struct {
		name string
		is   bool
	}{{"none", p.none}, {"user", p.user && !done && !p.none}, {"id", p.id && !p.none}, {"history", p.history && !p.none}} {
		if t.is {
			left = append(left, t.name)
		}
	}
	if p.critical && slices.ContainsFunc(left, func(t string) bool { return t != "none" }) {
		left = append(left, "critical")
	}
	return strings.Join(left, ";")
}

// nobody is From of a caller who is not to be named (RFC 3323 §4.1.1.3).
const (
	anonymousHost = "anonymous.invalid"
	nobody        = `"Anonymous" <sip:anonymous@` + anonymousHost + `>`
)

// speaker is the address of record that a phone calls as: From; where that
// names nobody, the one that P-Preferred-Identity names (RFC 3325 §9.2), else
// the only one of its connection. False: none that it has registered.
func (id identity) speaker(r *sipx.Request) (aor, bool) {
	from := r.From()
	if who := aorOf(from.URI); !anonymous(from) || id.has(who) {
		return who, id.has(who)
	}
	for _, n := range assertedIn(r.Headers("P-Preferred-Identity")) {
		if who := aorOf(n.URI); id.has(who) {
			return who, true
		}
	}
	if id.kind != call.Phone {
		return aor{}, false
	}
	return id.who.only(r.At)
}

// anonymous: From names nobody.
func anonymous(n sipx.NameAddr) bool {
	return strings.EqualFold(n.URI.User, "anonymous") || strings.EqualFold(n.URI.Host, anonymousHost)
}
