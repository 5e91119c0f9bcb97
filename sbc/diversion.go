package sbc

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Who passed a call on: Diversion (RFC 5806) and History-Info (RFC 7044). They
// are believed from, and told to, the trust domain only (the PBX and trusted
// peers; never phones). Hosts become our domain, parameters stay by list.

// maxDiversions bounds the entries of each kind that are read and cross.
const maxDiversions = 10

// diversionParams are those of RFC 5806 §4 and the values that they may have;
// nil is a number of two digits.
var diversionParams = []struct {
	name   string
	values []string
}{
	{"reason", []string{"unknown", "user-busy", "no-answer", "unavailable", "unconditional", "time-of-day", "do-not-disturb", "deflection", "follow-me", "out-of-service", "away"}},
	{"counter", nil},
	{"limit", nil},
	{"privacy", []string{"full", "name", "uri", "off"}},
	{"screen", []string{"yes", "no"}},
}

// headered is a request or a response.
type headered interface{ Headers(name string) []string }

func entries(values []string) (out []sipx.NameAddr) {
	for _, line := range values {
		for _, v := range splitAddresses(line) {
			if len(out) == maxDiversions {
				return out
			}
			if n, err := sipx.ParseNameAddr(v); err == nil && shown(n.URI) {
				out = append(out, n)
			}
		}
	}
	return out
}

// divertedBy is the user of the last one who passed the call on, "" when
// nobody did: the first Diversion (the newest, RFC 5806 §4), else the
// History-Info entry before the one for the present target (RFC 7044 §9.2).
func (g *Gateway) divertedBy(m headered, now time.Time) string {
	if ds := entries(m.Headers("Diversion")); len(ds) > 0 {
		return g.person(ds[0].URI, now)
	}
	if hs := entries(m.Headers("History-Info")); len(hs) > 1 {
		return g.person(hs[len(hs)-2].URI, now)
	}
	return ""
}

// person is the user part of a URI; a registration token of ours becomes the
// user that it stands for.
func (g *Gateway) person(u sipx.URI, now time.Time) string {
	user := userPart(u)
	if b, ok := g.bindings.get(user, now); ok {
		return b.aor.user
	}
	if strings.HasPrefix(user, "rp") && len(user) == 26 {
		return "" // a token that stands for nobody any more
	}
	return unescape(user)
}

// diversions are what crosses of both header fields from one leg to another.
func (g *Gateway) diversions(m headered, from *leg, to call.Kind, name string) (hs []sipx.HeaderField) {
	if !g.trusts(from.kind, from.name) || !g.trusts(to, name) {
		return nil
	}
	now := time.Now()
	for _, n := range entries(m.Headers("Diversion")) {
		if v := g.entry(n, now, g.domainTo(to, name), ""); v != "" {
			hs = append(hs, sipx.HeaderField{Name: "Diversion", Value: v + diversionTail(n)})
		}
	}
	for _, n := range entries(m.Headers("History-Info")) {
		index := n.Get("index")
		if index == "" || len(index) > 40 || strings.Trim(index, "0123456789.") != "" {
			continue // an entry has no meaning without its place
		}
		if v := g.entry(n, now, g.domainTo(to, name), historyHeaders(n.URI)); v != "" {
			hs = append(hs, sipx.HeaderField{Name: "History-Info", Value: v + ";index=" + index + historyTail(n)})
		}
	}
	return hs
}

// domainTo is the domain that stands for us towards a PBX or peer.
func (g *Gateway) domainTo(to call.Kind, name string) string {
	if to == call.PBX {
		return g.hostFor(&leg{kind: to, name: name}, "")
	}
	return g.cfg.Domains[0]
}

// entry writes the address of an entry with our host; "" when it names nobody.
func (g *Gateway) entry(n sipx.NameAddr, now time.Time, host, headers string) string {
	user := g.person(n.URI, now)
	if user == "" {
		return ""
	}
	uri := "tel:" + user
	if n.URI.Scheme != "tel" {
		if g.ours(n.URI.Host) {
			host = n.URI.Host
		}
		uri = sipURI(escapeUser(user), host)
		if c, ok := n.URI.UriParams.Get("cause"); ok && len(c) == 3 && strings.Trim(c, "0123456789") == "" { // RFC 4458
			uri += ";cause=" + c
		}
	} else if strings.Trim(user, "0123456789+-.()*#") != "" {
		return ""
	}
	return nameAddr(n.Display, uri+headers)
}

// escapeUser writes a user part as a URI may have it (RFC 3261 §25.1).
func escapeUser(user string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(user) {
		c := user[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.!~*'()&=+$,/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + hex[c>>4:c>>4+1] + hex[c&15:c&15+1])
		}
	}
	return b.String()
}

func diversionTail(n sipx.NameAddr) (out string) {
	for _, p := range diversionParams {
		v := strings.ToLower(strings.Trim(n.Get(p.name), `"`))
		if p.values == nil && v != "" && len(v) <= 2 && strings.Trim(v, "0123456789") == "" || slices.Contains(p.values, v) {
			out += ";" + p.name + "=" + v
		}
	}
	return out
}

// historyTail keeps how the entry came about: rc, mp or np with an index.
func historyTail(n sipx.NameAddr) string {
	for _, name := range []string{"rc", "mp", "np"} {
		if v := n.Get(name); v != "" && len(v) <= 40 && strings.Trim(v, "0123456789.") == "" {
			return ";" + name + "=" + v
		}
	}
	return ""
}

// historyHeaders are the escaped Reason and Privacy of an entry's URI.
func historyHeaders(u sipx.URI) string {
	var out []string
	if v, ok := u.Headers.Get("Reason"); ok {
		if text, err := url.PathUnescape(v); err == nil {
			if r := reason(text); r != "" {
				out = append(out, "Reason="+url.QueryEscape(r))
			}
		}
	}
	if v, ok := u.Headers.Get("Privacy"); ok && (v == "history" || v == "none") {
		out = append(out, "Privacy="+v)
	}
	if len(out) == 0 {
		return ""
	}
	return "?" + strings.ReplaceAll(strings.Join(out, "&"), "+", "%20")
}
