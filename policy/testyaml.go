package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

type testYAML struct {
	Pos      strictyaml.Pos `yaml:"-"`
	Name     string         `yaml:"name,required"`
	At       time.Time      `yaml:"at"`
	Own      []placeYAML    `yaml:"own_numbers,single"`
	Requests requestsYAML   `yaml:",inline"`
	Events   []eventYAML    `yaml:"events"`
	Expect   expectsYAML    `yaml:"expect"`
}

type eventYAML struct {
	Pos      strictyaml.Pos `yaml:"-"`
	At       whenYAML       `yaml:"at"`
	Every    time.Duration  `yaml:"every"`
	Times    *int           `yaml:"times"`
	Requests requestsYAML   `yaml:",inline"`
	Code     int            `yaml:"code"`
	Ring     *time.Duration `yaml:"ring"`
	Hangup   *time.Duration `yaml:"hangup"`
	EndedBy  string         `yaml:"ended_by"`
	Expect   expectsYAML    `yaml:"expect"`
}

func (y *testYAML) one() []methodYAML  { return y.Requests.given() }
func (y *eventYAML) one() []methodYAML { return y.Requests.given() }

// requestsYAML are the requests that a test may send.
type requestsYAML struct {
	Invite    *requestYAML `yaml:"invite"`
	Register  *requestYAML `yaml:"register"`
	Message   *requestYAML `yaml:"message"`
	Options   *requestYAML `yaml:"options"`
	Subscribe *requestYAML `yaml:"subscribe"`
	Publish   *requestYAML `yaml:"publish"`
	Refer     *requestYAML `yaml:"refer"`
	Connect   *requestYAML `yaml:"connect"`
	Progress  *requestYAML `yaml:"progress"`
}

type methodYAML struct {
	method string
	y      *requestYAML
}

func (r *requestsYAML) given() (out []methodYAML) {
	for _, m := range []methodYAML{{"invite", r.Invite}, {"register", r.Register}, {"message", r.Message}, {"options", r.Options},
		{"subscribe", r.Subscribe}, {"publish", r.Publish}, {"refer", r.Refer},
		{"connect", r.Connect}, {"progress", r.Progress}} {
		if m.y != nil {
			out = append(out, m)
		}
	}
	return out
}

type requestYAML struct {
	Pos         strictyaml.Pos    `yaml:"-"`
	From        string            `yaml:"from"`
	To          string            `yaml:"to"`
	Display     string            `yaml:"display"`
	Peer        string            `yaml:"peer"`
	PBX         string            `yaml:"pbx"`
	Stranger    bool              `yaml:"stranger"`
	Registered  *bool             `yaml:"registered"`
	User        string            `yaml:"user"`
	Account     string            `yaml:"account"`
	Source      testSourceYAML    `yaml:"source"`
	Transport   string            `yaml:"transport"`
	TLSVersion  string            `yaml:"tls_version"`
	TLSSubject  string            `yaml:"tls_subject"`
	UserAgent   string            `yaml:"user_agent"`
	Headers     map[string]string `yaml:"headers"`
	Size        int               `yaml:"size"`
	Hops        int               `yaml:"hops"`
	Types       []string          `yaml:"content_types,single"`
	Profile     string            `yaml:"profile"`
	SRTP        *bool             `yaml:"srtp"`
	Diverted    string            `yaml:"diverted"`
	Transferred bool              `yaml:"transferred"`
	AuthUser    string            `yaml:"auth_user"`
	Expires     *int              `yaml:"expires"`
	Route       string            `yaml:"route"`
	Call        string            `yaml:"call"`
}

// described makes a request of what a test says.
func (c *compiler) described(at string, m methodYAML) *Described {
	y, at := m.y, at+"."+m.method
	request := m.method != "connect" && m.method != "progress"
	kinds := 0
	for _, set := range []bool{y.Peer != "", y.PBX != "", y.Stranger} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		c.problem(at, "keep one of them; without any it is a registered phone", "a request comes from a peer, a pbx or a stranger")
	case m.method == "progress" && y.Call == "":
		c.problem(at, "add call: a, here and in the invite", "which call is it?")
	case request && y.From == "" && y.Peer == "" && y.PBX == "" && !y.Stranger && m.method != "register" && m.method != "options":
		c.problem(at, `add from: "1001"`, "which phone is it?")
	case request && y.To == "" && m.method != "options":
		c.problem(at, `add to: "+442079460000"`, "the request goes to nobody")
	case y.Registered != nil && !*y.Registered && kinds == 0 && m.method != "register":
		c.problem(at+".registered", "write stranger: true", "a phone that is not registered is a stranger")
	case y.Size < 0, y.Hops < 0 || y.Hops > 255:
		c.problem(at, "", "size is not negative, and hops are 0 to 255")
	}
	if y.Transport != "" && !slices.Contains(transports, y.Transport) {
		c.unknown(at+".transport", "transport", y.Transport, transports)
	}
	d := &Described{Method: strings.ToUpper(m.method), From: y.From, To: y.To, Display: y.Display, Peer: y.Peer, PBX: y.PBX,
		Stranger: y.Stranger, Registered: y.Registered, User: y.User, Account: y.Account,
		Source: y.Source.addr, Net: y.Source.net, Port: y.Source.port, Country: y.Source.country, ASN: y.Source.asn,
		Transport: y.Transport, TLSVersion: y.TLSVersion, TLSSubject: y.TLSSubject, UserAgent: y.UserAgent, Size: y.Size, Hops: y.Hops,
		Profile: y.Profile, SRTP: y.SRTP, Diverted: y.Diverted, Transferred: y.Transferred, AuthUser: y.AuthUser, Expires: -1,
		Route: y.Route, Call: y.Call}
	switch m.method {
	case "connect":
		d.Method, d.On = "", call.Connection
	case "progress":
		d.On = call.Progress
	}
	if y.Expires != nil {
		d.Expires = *y.Expires
	}
	for _, t := range y.Types {
		d.Types = append(d.Types, strings.ToLower(t))
	}
	for _, name := range slices.Sorted(maps.Keys(y.Headers)) {
		d.Headers = append(d.Headers, call.Header{Name: name, Value: y.Headers[name]})
	}
	return d
}

type sourceBodyYAML struct {
	IP      netip.Addr   `yaml:"ip"`
	Net     netip.Prefix `yaml:"net"`
	Port    uint16       `yaml:"port"`
	Country string       `yaml:"country"`
	ASN     uint         `yaml:"asn"`
}

// testSourceYAML is an address, or a mapping with what is known of it.
type testSourceYAML struct {
	addr    netip.Addr
	net     netip.Prefix
	port    uint16
	country string
	asn     uint
}

func (s *testSourceYAML) UnmarshalNode(n strictyaml.Node) {
	if n.Kind() != strictyaml.Scalar {
		var y sourceBodyYAML
		n.Decode(&y)
		if y.IP.IsValid() && y.Net.IsValid() {
			n.Problem("keep one of them", "the source is one address, or one of a network after the other")
		}
		*s = testSourceYAML{y.IP, y.Net, y.Port, y.Country, y.ASN}
		return
	}
	text, _ := n.Text()
	if a, err := netip.ParseAddrPort(text); err == nil && a.Addr().Zone() == "" {
		s.addr, s.port = a.Addr().Unmap(), a.Port()
	} else if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		s.addr = a.Unmap()
	} else {
		n.Problem(`write 198.51.100.7, or {ip: 198.51.100.7, country: DE}`, "%q is not an IP address", text)
	}
}

// whenYAML is a time after the begin of the test, or a time.
type whenYAML struct {
	after time.Duration
	abs   time.Time
}

func (w *whenYAML) UnmarshalScalar(text string, _ bool) error {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		w.abs = t
		return nil
	}
	d, err := strictyaml.ParseDuration(strings.TrimPrefix(text, "+"))
	if err != nil {
		return fmt.Errorf("%q is neither a time after the begin of the test, such as \"+10s\", nor a time such as 2026-11-23T10:00:00+01:00", text)
	}
	w.after = d
	return nil
}

// expectsYAML is one expectation or a list of them.
type expectsYAML struct {
	items []expectItem
	list  bool
}

func (e *expectsYAML) UnmarshalNode(n strictyaml.Node) {
	if n.Kind() == strictyaml.List {
		if e.list = true; n.Len() == 0 {
			n.Problem("write allow, or {verdict: reject, rule: …}", "no expectation")
			return
		}
		n.Decode(&e.items)
		return
	}
	e.items = make([]expectItem, 1)
	e.items[0].UnmarshalNode(n)
}

// expectItem is a verdict ("allow", "reject 403") or a mapping.
type expectItem struct {
	Pos   strictyaml.Pos
	y     expectYAML
	times int
}

type expectYAML struct {
	Verdict  string    `yaml:"verdict"`
	Status   int       `yaml:"status"`
	Rule     string    `yaml:"rule"`
	Asked    []string  `yaml:"asked,single"`
	NotRule  []string  `yaml:"not_rule,single"`
	Except   []string  `yaml:"excepted,single"`
	Alerts   *[]string `yaml:"alerts,single"`
	NotAlert []string  `yaml:"not_alert,single"`
	Flags    *[]string `yaml:"flags,single"`
	Shadow   *[]string `yaml:"shadow,single"`
	Effects  *[]string `yaml:"effects,single"`
	Findings *[]string `yaml:"findings,single"`
	Times    int       `yaml:"times"`
}

func (e *expectItem) UnmarshalNode(n strictyaml.Node) {
	e.Pos = n.Pos()
	if n.Kind() != strictyaml.Scalar {
		n.Decode(&e.y)
		e.times = e.y.Times
		return
	}
	text, _ := n.Text()
	word, arg, found := strings.Cut(text, " ")
	e.y.Verdict = word
	if found {
		code, err := strconv.Atoi(arg)
		if err != nil {
			n.Problem("write reject 403, or {verdict: reject, status: 403}", "%q is not a SIP code", arg)
		}
		e.y.Status = code
	}
}

var verdictWords = map[string]call.Verdict{"allow": call.Allow, "challenge": call.Challenge, "reject": call.Reject, "drop": call.Drop}

// knownAlerts reports alerts that no request raises: that they are absent would
// prove nothing.
func (c *compiler) knownAlerts(at string, names []string) {
	for i, name := range names {
		if actions[name] == "" && !slices.Contains(testAlerts, call.Action(name)) {
			all := slices.Collect(maps.Keys(actions))
			for _, a := range testAlerts {
				all = append(all, string(a))
			}
			slices.Sort(all)
			c.unknown(at+item("", i), "alert", name, all)
		}
	}
}

// knownDetectors reports detectors that find nothing here.
func (c *compiler) knownDetectors(at string, ids []string) {
	for i, id := range ids {
		k, d := param.Find(id), c.detector(id)
		switch {
		case k == nil || id == param.Everywhere:
			c.unknown(at+item("", i), "detector", id, param.IDs()[1:])
		case d == nil && !c.cur.Profile: // its packs need not all be in use
			c.problem(at+item("", i), "name it in detectors:, or use the pack that does", "detector %s is not in use, so it finds nothing", id)
		case d != nil && d.Off && c.cur.level() >= 2: // a site may switch off what a pack's tests are about
			c.problem(at+item("", i), "take it out of findings:", "detector %s is switched off in %s:%d, so it finds nothing", id, d.File, d.Line)
		}
	}
}

// effectNames are what a decision can ask for beside its verdict.
var effectNames = []string{call.ActBan.String(), call.ActHold.String(), call.ActHangup.String()}

// inside is the place of a key, or of the whole where it is written in short.
func (c *compiler) inside(at, key string) string {
	if c.cur.pos.Has(at + "." + key) {
		return at + "." + key
	}
	return at
}

// expect compiles one expectation.
func (c *compiler) expect(at string, i *expectItem) *Expect {
	y := &i.y
	e := &Expect{Pos: i.Pos, Status: y.Status, Rule: y.Rule, Asked: y.Asked, NotRule: y.NotRule, Except: y.Except, NotAlert: y.NotAlert}
	if y.Verdict != "" {
		v, ok := verdictWords[y.Verdict]
		if !ok {
			c.unknown(c.inside(at, "verdict"), "verdict", y.Verdict, slices.Sorted(maps.Keys(verdictWords)))
		}
		e.Verdict = v
	}
	given := func(ids *[]string) []string {
		switch {
		case ids == nil:
			return nil
		case *ids == nil:
			return []string{}
		}
		return *ids
	}
	e.Alerts, e.Flags, e.Shadow, e.Effects, e.Findings = given(y.Alerts), given(y.Flags), given(y.Shadow), given(y.Effects), given(y.Findings)
	c.knownAlerts(at+".alerts", e.Alerts)
	c.knownAlerts(at+".not_alert", e.NotAlert)
	for i, act := range e.Effects {
		if !slices.Contains(effectNames, act) {
			c.unknown(at+item(".effects", i), "effect", act, effectNames)
		}
	}
	c.knownDetectors(at+".findings", e.Findings)
	switch {
	case i.times < 0 || i.times > maxTestRequests:
		c.problem(at+".times", "", "times is 1 to %d", maxTestRequests)
	case e.Status != 0 && (e.Status < 400 || e.Status > 699):
		c.problem(c.inside(at, "status"), "", "a refusal has a status of 400 to 699, not %d", e.Status)
	case e.Status != 0 && e.Verdict != 0 && e.Verdict != call.Reject:
		c.problem(c.inside(at, "status"), "leave the status out", "only a reject has a status")
	case y.Verdict == "" && y.Status == 0 && y.Rule == "" && y.Asked == nil && y.NotRule == nil && y.Except == nil && y.Alerts == nil && y.NotAlert == nil && y.Flags == nil && y.Shadow == nil && y.Effects == nil && y.Findings == nil:
		c.problem(at, "write allow, or {verdict: reject, rule: …}", "nothing is expected")
	}
	return e
}
