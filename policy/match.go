package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// methods is a set of request methods.
type methods uint8

const (
	onRegister methods = 1 << iota
	onInvite
	onMessage
	onSubscribe
	onOptions
	onRefer
	onPublish
	onOther
	onAny = onRegister | onInvite | onMessage | onSubscribe | onOptions | onRefer | onPublish | onOther
)

var methodNames = map[string]methods{
	"register": onRegister, "invite": onInvite, "message": onMessage, "subscribe": onSubscribe,
	"options": onOptions, "refer": onRefer, "publish": onPublish, "any": onAny,
}

func methodOf(name string) methods {
	switch name {
	case "INVITE":
		return onInvite
	case "REGISTER":
		return onRegister
	case "OPTIONS":
		return onOptions
	case "MESSAGE":
		return onMessage
	case "SUBSCRIBE":
		return onSubscribe
	case "REFER":
		return onRefer
	case "PUBLISH":
		return onPublish
	}
	return onOther
}

// matcher is a compiled `match:`: every key that is set must hold; in a list
// one value is enough. It allocates nothing.
type matcher struct {
	on         methods
	directions uint8 // bits by call.Direction; 0: any
	to, from   *party
	cidr       []netip.Prefix
	country    []string // of the source
	peers      []string
	users      []string
	transports []string
	stranger   *bool
	registered *bool
	diverted   *bool // somebody passed the call on
	agent      *agents
}

// party is what is asked of the caller or the callee.
type party struct {
	countries     []string
	classes       []string
	prefixes      []string
	international *bool
	own           *bool
}

func (m *matcher) holds(a *call.Attempt) bool {
	switch {
	case m.on&methodOf(a.Method) == 0,
		m.directions != 0 && m.directions&(1<<a.Direction) == 0,
		m.stranger != nil && *m.stranger != (a.Stranger() && !a.Source.Registered),
		m.registered != nil && *m.registered != a.Source.Registered,
		m.diverted != nil && *m.diverted != (a.Diversion != ""),
		m.peers != nil && !slices.Contains(m.peers, a.Peer),
		m.users != nil && !slices.Contains(m.users, a.User),
		m.transports != nil && !slices.Contains(m.transports, a.Source.Transport),
		m.country != nil && !slices.Contains(m.country, a.Source.Country),
		m.to != nil && !m.to.holds(&a.To),
		m.from != nil && !m.from.holds(&a.From):
		return false
	}
	if m.cidr != nil {
		addr := a.Source.Addr.Addr().Unmap()
		if !slices.ContainsFunc(m.cidr, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return false
		}
	}
	return m.agent == nil || m.agent.match(a.UserAgent)
}

func (p *party) holds(x *call.Party) bool {
	return (p.international == nil || *p.international == (x.Kind == call.International)) &&
		(p.own == nil || *p.own == x.Own) &&
		(p.countries == nil || x.Country != "" && slices.Contains(p.countries, x.Country)) &&
		(p.classes == nil || x.Class != "" && slices.Contains(p.classes, x.Class)) &&
		(p.prefixes == nil || hasPrefix(p.prefixes, x.E164()))
}

func hasPrefix(prefixes []string, number string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(number, p) {
			return true
		}
	}
	return false
}

// evidence says what of an attempt a match looked at.
func (m *matcher) evidence(a *call.Attempt) (out []call.Evidence) {
	add := func(name string, value, threshold any) {
		out = append(out, call.Evidence{Name: name, Value: value, Threshold: threshold})
	}
	if m.agent != nil {
		add("request.user_agent", a.UserAgent, m.agent.which(a.UserAgent))
	}
	if m.cidr != nil {
		add("source.ip", a.Source.Addr.Addr().Unmap().String(), nil)
	}
	if m.country != nil {
		add("source.country", a.Source.Country, nil)
	}
	if m.peers != nil {
		add("peer.name", a.Peer, nil)
	}
	if m.transports != nil {
		add("source.transport", a.Source.Transport, nil)
	}
	side := func(name string, p *party, x *call.Party) {
		if p == nil {
			return
		}
		add(name+".number", x.Number, nil)
		if p.countries != nil {
			add(name+".country", x.Country, nil)
		}
		if p.classes != nil {
			add(name+".class", x.Class, nil)
		}
	}
	side("call.to", m.to, &a.To)
	side("call.from", m.from, &a.From)
	return out
}

type matchYAML struct {
	Direction  []string            `yaml:"direction,single"`
	To         *partyYAML          `yaml:"to"`
	From       *partyYAML          `yaml:"from"`
	Source     *sourceYAML         `yaml:"source"`
	Peer       []string            `yaml:"peer,single"`
	Stranger   *bool               `yaml:"stranger"`
	Registered *bool               `yaml:"registered"`
	Diverted   *bool               `yaml:"diverted"`
	User       []string            `yaml:"user,single"`
	UserAgent  []regexYAML         `yaml:"user_agent,single"`
	Transport  []string            `yaml:"transport,single"`
	Hours      strictyaml.Reserved `yaml:"hours" hint:"times of day come with a later version"`
}

type partyYAML struct {
	Country       []placeYAML         `yaml:"country,single"`
	Class         []string            `yaml:"class,single"`
	Prefix        []placeYAML         `yaml:"prefix,single"`
	International *bool               `yaml:"international"`
	Own           *bool               `yaml:"own"`
	List          strictyaml.Reserved `yaml:"list" hint:"lists come with a later version; write the values into prefix: or country:"`
}

type sourceYAML struct {
	CIDR    []netip.Prefix      `yaml:"cidr,single"`
	Country []placeYAML         `yaml:"country,single"`
	ASN     strictyaml.Reserved `yaml:"asn" hint:"use cidr: or country:"`
}

// regexYAML is a regular expression that takes no notice of case.
type regexYAML struct{ text string }

func (r *regexYAML) UnmarshalScalar(text string, _ bool) error {
	if len(text) > 1024 {
		return fmt.Errorf("the regular expression is longer than 1024 bytes")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return fmt.Errorf("%q is not a regular expression: %w", text, err)
	}
	if re.MatchString("") {
		return fmt.Errorf("%q matches the empty text, so it would match every request", text)
	}
	r.text = text
	return nil
}
