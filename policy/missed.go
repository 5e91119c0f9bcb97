package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// missed says which key of a `match:` did not hold, with the value that was
// there and what was asked for; nil when all hold. It is holds once more, for
// people: a test compares the two.
func (m *matcher) missed(a *call.Attempt, ls []*List) *call.Evidence {
	no := func(name string, value, want any) *call.Evidence {
		return &call.Evidence{Name: name, Value: value, Threshold: want}
	}
	stranger := a.Stranger() && !a.Source.Registered
	switch {
	case m.on&bitOf(a) == 0:
		return no("on", strings.ToLower(a.Method), methodsText(m.on))
	case m.directions != 0 && m.directions&(1<<a.Direction) == 0:
		return no("direction", a.Direction.String(), bitsText(m.directions, call.Internal, call.Outbound))
	case m.stranger != nil && *m.stranger != stranger:
		return no("stranger", stranger, *m.stranger)
	case m.registered != nil && *m.registered != a.Source.Registered:
		return no("registered", a.Source.Registered, *m.registered)
	case m.diverted != nil && *m.diverted != a.Diverted():
		return no("diverted", a.Diverted(), *m.diverted)
	case m.transferred != nil && *m.transferred != a.Transferred:
		return no("transferred", a.Transferred, *m.transferred)
	case m.peers != nil && !slices.Contains(m.peers, a.Peer):
		return no("peer", a.Peer, some(m.peers))
	case m.peerKinds != 0 && m.peerKinds&(1<<a.PeerKind) == 0:
		return no("peer_kind", a.PeerKind.String(), bitsText(m.peerKinds, call.Stranger, call.PBX))
	case m.transports != nil && !slices.Contains(m.transports, a.Source.Transport):
		return no("transport", a.Source.Transport, some(m.transports))
	case m.country != nil && !slices.Contains(m.country, a.Source.Country):
		return no("source.country", a.Source.Country, some(m.country))
	case m.asn != nil && !slices.Contains(m.asn, a.Source.ASN):
		return no("source.asn", a.Source.ASN, some(m.asn))
	case m.size != nil && !m.size.hold(a.Size):
		return no("size", a.Size, m.size.text)
	}
	if m.to != nil {
		if e := m.to.missed("to", &a.To, ls); e != nil {
			return e
		}
	}
	if m.from != nil {
		if e := m.from.missed("from", &a.From, ls); e != nil {
			return e
		}
	}
	addr := a.Source.Addr.Addr()
	switch {
	case (m.users != nil || m.userLists != nil) && !m.user(a.User, ls):
		return no("user", a.User, orLists(some(m.users), m.userLists, ls))
	case m.cidr != nil && !m.network(addr).IsValid():
		return no("source.cidr", addr.Unmap().String(), some(m.cidr))
	case m.sourceLists != nil && m.sourceList(a, ls) == nil:
		return no("source.list", addr.Unmap().String(), orLists("", m.sourceLists, ls))
	case m.content != nil && !m.carries(a.ContentTypes):
		return no("content_type", some(a.ContentTypes), some(m.content))
	case (m.agent != nil || m.agentLists != nil) && !m.userAgent(a.UserAgent, ls):
		var texts []string
		if m.agent != nil {
			texts = m.agent.texts
		}
		return no("user_agent", clip(a.UserAgent), orLists(some(texts), m.agentLists, ls))
	case m.hours != nil && !m.open(a.At):
		return no("hours", a.At.In(m.hours[0].zone).Format("Mon 15:04 MST"), some(m.hours))
	case !m.holds(a, ls):
		return no("match", false, true) // a key that is not told apart here
	}
	return nil
}

func (p *party) missed(side string, x *call.Party, ls []*List) *call.Evidence {
	no := func(name string, value, want any) *call.Evidence {
		return &call.Evidence{Name: side + "." + name, Value: value, Threshold: want}
	}
	switch {
	case p.international != nil && *p.international != (x.Kind == call.International):
		return no("international", x.Kind == call.International, *p.international)
	case p.valid != nil && *p.valid != (x.Kind != call.Invalid):
		return no("valid", x.Kind != call.Invalid, *p.valid)
	case p.own != nil && *p.own != x.Own:
		return no("own", x.Own, *p.own)
	case p.withheld != nil && *p.withheld != x.Withheld:
		return no("withheld", x.Withheld, *p.withheld)
	case p.kinds != 0 && p.kinds&(1<<x.Kind) == 0:
		return no("kind", x.Kind.String(), bitsText(p.kinds, call.Invalid, call.International))
	case p.countries != nil && (x.Country == "" || !slices.Contains(p.countries, x.Country)):
		return no("country", x.Country, some(p.countries))
	case p.regions != nil && (x.Region == "" || !slices.Contains(p.regions, x.Region)):
		return no("region", x.Region, some(p.regions))
	case p.classes != nil && (x.Class == "" || !slices.Contains(p.classes, x.Class)):
		return no("class", x.Class, some(p.classes))
	case p.prefixes != nil && prefixOf(p.prefixes, x.E164()) == "":
		return no("prefix", x.E164(), some(p.prefixes))
	case p.lists != nil && p.list(x, ls) == nil:
		value := x.Number
		if value == "" {
			value = clip(x.User)
		}
		return no("list", value, orLists("", p.lists, ls))
	}
	return nil
}

// orLists adds lists, with their versions, to the values that were asked for.
func orLists(values string, places []int, ls []*List) string {
	var out []string
	if values != "" {
		out = append(out, values)
	}
	for _, i := range places {
		out = append(out, fmt.Sprintf("list %s (version %s, %d values)", ls[i].name, ls[i].version, ls[i].size))
	}
	return strings.Join(out, ", ")
}

func (m mediaType) String() string {
	star := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return star(m.major) + "/" + star(m.minor)
}

func (h hours) String() string { return h.text }

// some lists the first values of a key that may have thousands.
func some[T any](all []T) string {
	const most = 5
	var b strings.Builder
	for i, v := range all {
		if i == most {
			fmt.Fprintf(&b, ", and %d more", len(all)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(clip(fmt.Sprint(v)))
	}
	return b.String()
}

// clip bounds what was written by others.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func methodsText(on methods) string {
	var out []string
	for name, bit := range methodNames {
		if bit&(bit-1) == 0 && on&bit != 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// bitsText names the values that bits stand for.
func bitsText[T interface {
	~uint8
	String() string
}](bits uint8, from, to T) string {
	var out []string
	for v := from; v <= to; v++ {
		if bits&(1<<v) != 0 {
			out = append(out, v.String())
		}
	}
	return strings.Join(out, ", ")
}

// missText is the sentence about a key that did not hold.
func missText(e *call.Evidence) string {
	switch e.Name {
	case "match":
		return "match: does not hold"
	case "when":
		return fmt.Sprint("when: ", e.Value)
	case "expires":
		return fmt.Sprint("expired at ", e.Threshold)
	}
	value := fmt.Sprint(e.Value)
	if value == "" {
		value = "nothing"
	}
	return fmt.Sprintf("%s is %s, not %v", e.Name, value, e.Threshold)
}

// missed says why an entry does not match, nil when its keys do.
func missed(m *matcher, expires time.Time, a *call.Attempt, ls []*List) *call.Evidence {
	if !expires.IsZero() && !a.At.Before(expires) {
		return &call.Evidence{Name: "expires", Value: a.At.UTC().Format(time.RFC3339), Threshold: expires.UTC().Format(time.RFC3339)}
	}
	return m.missed(a, ls)
}
