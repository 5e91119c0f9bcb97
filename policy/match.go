package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// methods is a set of request methods.
type methods uint16

const (
	onRegister methods = 1 << iota
	onInvite
	onMessage
	onSubscribe
	onOptions
	onRefer
	onPublish
	onOther
	onConnect  // a connection is made; no request yet
	onProgress // a call is up
	// onAny is any request: who means connections or calls that are up says so.
	// onReach are those that reach a number, or make somebody else call it.
	onReach = onInvite | onMessage | onRefer | onSubscribe | onPublish
	onAny   = onRegister | onInvite | onMessage | onSubscribe | onOptions | onRefer | onPublish | onOther
)

var methodNames = map[string]methods{
	"register": onRegister, "invite": onInvite, "message": onMessage, "subscribe": onSubscribe,
	"options": onOptions, "refer": onRefer, "publish": onPublish, "any": onAny,
	"connect": onConnect, "progress": onProgress,
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
// one value is enough. It allocates nothing. Lists are known by their place in
// the Set, so that a Set with newer lists has the same matchers.
type matcher struct {
	on          methods
	directions  uint8 // bits by call.Direction; 0: any
	to, from    *party
	cidr        []netip.Prefix
	country     []string // of the source
	asn         []uint   // of the source
	sourceLists []int
	peers       []string
	peerKinds   uint8 // bits by call.Kind; 0: any
	users       []string
	userLists   []int // one of these or of users is enough
	transports  []string
	stranger    *bool
	registered  *bool
	diverted    *bool // somebody passed the call on
	transferred *bool
	agent       *agents
	agentLists  []int // one of these or agent is enough
	hours       []hours
	size        *sizes
	content     []mediaType
}

// party is what is asked of the caller or the callee.
type party struct {
	countries     []string
	regions       []string
	classes       []string
	prefixes      []string
	lists         []int
	international *bool
	valid         *bool
	own           *bool
	withheld      *bool
	kinds         uint8 // bits by call.NumberKind; 0: any
}

func (m *matcher) holds(a *call.Attempt, ls []*List) bool {
	switch {
	case m.on&bitOf(a) == 0,
		m.directions != 0 && m.directions&(1<<a.Direction) == 0,
		m.stranger != nil && *m.stranger != (a.Stranger() && !a.Source.Registered),
		m.registered != nil && *m.registered != a.Source.Registered,
		m.diverted != nil && *m.diverted != a.Diverted(),
		m.transferred != nil && *m.transferred != a.Transferred,
		m.peers != nil && !slices.Contains(m.peers, a.Peer),
		m.peerKinds != 0 && m.peerKinds&(1<<a.PeerKind) == 0,
		m.transports != nil && !slices.Contains(m.transports, a.Source.Transport),
		m.country != nil && !slices.Contains(m.country, a.Source.Country),
		m.asn != nil && !slices.Contains(m.asn, a.Source.ASN),
		m.size != nil && !m.size.hold(a.Size),
		m.to != nil && !m.to.holds(&a.To, ls),
		m.from != nil && !m.from.holds(&a.From, ls),
		(m.users != nil || m.userLists != nil) && !m.user(a.User, ls),
		m.cidr != nil && !m.network(a.Source.Addr.Addr()).IsValid(),
		m.sourceLists != nil && m.sourceList(a, ls) == nil,
		m.content != nil && !m.carries(a.ContentTypes),
		(m.agent != nil || m.agentLists != nil) && !m.userAgent(a.UserAgent, ls),
		m.hours != nil && !m.open(a.At):
		return false
	}
	return true
}

func (m *matcher) user(name string, ls []*List) bool {
	if slices.Contains(m.users, name) {
		return true
	}
	for _, i := range m.userLists {
		if name != "" && ls[i].Has(name) {
			return true
		}
	}
	return false
}

func (m *matcher) userAgent(text string, ls []*List) bool {
	if m.agent != nil && m.agent.match(text) {
		return true
	}
	for _, i := range m.agentLists {
		if ls[i].Has(text) {
			return true
		}
	}
	return false
}

func (m *matcher) network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("") // a network holds no address with a zone
	for _, p := range m.cidr {
		if p.Contains(addr) {
			return p
		}
	}
	return netip.Prefix{}
}

func (m *matcher) sourceList(a *call.Attempt, ls []*List) *List {
	for _, i := range m.sourceLists {
		if ls[i].hasSource(&a.Source) {
			return ls[i]
		}
	}
	return nil
}

func (m *matcher) carries(types []string) bool {
	for _, t := range types {
		for _, want := range m.content {
			if want.is(t) {
				return true
			}
		}
	}
	return false
}

func (m *matcher) open(at time.Time) bool {
	for i := range m.hours {
		if m.hours[i].holds(at) {
			return true
		}
	}
	return false
}

func (p *party) holds(x *call.Party, ls []*List) bool {
	return (p.international == nil || *p.international == (x.Kind == call.International)) &&
		(p.valid == nil || *p.valid == (x.Kind != call.Invalid)) &&
		(p.own == nil || *p.own == x.Own) &&
		(p.withheld == nil || *p.withheld == x.Withheld) &&
		(p.kinds == 0 || p.kinds&(1<<x.Kind) != 0) &&
		(p.countries == nil || x.Country != "" && slices.Contains(p.countries, x.Country)) &&
		(p.regions == nil || x.Region != "" && slices.Contains(p.regions, x.Region)) &&
		(p.classes == nil || x.Class != "" && slices.Contains(p.classes, x.Class)) &&
		(p.prefixes == nil || prefixOf(p.prefixes, x.E164()) != "") &&
		(p.lists == nil || p.list(x, ls) != nil)
}

// list returns the list that holds the party.
func (p *party) list(x *call.Party, ls []*List) *List {
	for _, i := range p.lists {
		if ls[i].hasParty(x) {
			return ls[i]
		}
	}
	return nil
}

func prefixOf(prefixes []string, number string) string {
	for _, p := range prefixes {
		if strings.HasPrefix(number, p) {
			return p
		}
	}
	return ""
}

type matchYAML struct {
	Direction   []string    `yaml:"direction,single"`
	To          *partyYAML  `yaml:"to"`
	From        *partyYAML  `yaml:"from"`
	Source      *sourceYAML `yaml:"source"`
	Peer        []string    `yaml:"peer,single"`
	PeerKind    []string    `yaml:"peer_kind,single"`
	Stranger    *bool       `yaml:"stranger"`
	Registered  *bool       `yaml:"registered"`
	Diverted    *bool       `yaml:"diverted"`
	Transferred *bool       `yaml:"transferred"`
	User        *namesYAML  `yaml:"user"`
	UserAgent   *agentsYAML `yaml:"user_agent"`
	Transport   []string    `yaml:"transport,single"`
	Hours       []hoursYAML `yaml:"hours,single"`
	Size        []sizeYAML  `yaml:"size,single"`
	ContentType []string    `yaml:"content_type,single"`
}

type partyYAML struct {
	Country       []placeYAML `yaml:"country,single"`
	Region        []string    `yaml:"region,single"`
	Class         []string    `yaml:"class,single"`
	Prefix        []placeYAML `yaml:"prefix,single"`
	List          []string    `yaml:"list,single"`
	International *bool       `yaml:"international"`
	Valid         *bool       `yaml:"valid"`
	Own           *bool       `yaml:"own"`
	Withheld      *bool       `yaml:"withheld"`
	Kind          []string    `yaml:"kind,single"`
}

type sourceYAML struct {
	CIDR    []netip.Prefix `yaml:"cidr,single"`
	Country []placeYAML    `yaml:"country,single"`
	ASN     []uint         `yaml:"asn,single"`
	List    []string       `yaml:"list,single"`
}

// namesYAML is names, or {list: …}.
type namesYAML struct {
	Names []string
	List  []string
}

type listOfYAML struct {
	List []string `yaml:"list,single,required"`
}

func (y *namesYAML) UnmarshalNode(n strictyaml.Node) {
	switch n.Kind() {
	case strictyaml.Map:
		var l listOfYAML
		n.Decode(&l)
		y.List = l.List
	case strictyaml.List:
		n.Decode(&y.Names)
	default:
		y.Names = make([]string, 1)
		n.Decode(&y.Names[0])
	}
}

// agentsYAML is regular expressions, or {list: …}.
type agentsYAML struct {
	Exprs []regexYAML
	List  []string
}

func (y *agentsYAML) UnmarshalNode(n strictyaml.Node) {
	switch n.Kind() {
	case strictyaml.Map:
		var l listOfYAML
		n.Decode(&l)
		y.List = l.List
	case strictyaml.List:
		n.Decode(&y.Exprs)
	default:
		y.Exprs = make([]regexYAML, 1)
		n.Decode(&y.Exprs[0])
	}
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
	if n, err := regexSize(text); err != nil || n > maxRegexSize {
		return fmt.Errorf("the regular expression has %d steps, at most %d are taken: shorten its repetitions", n, maxRegexSize)
	}
	if re.MatchString("") {
		return fmt.Errorf("%q matches the empty text, so it would match every request", text)
	}
	r.text = text
	return nil
}
