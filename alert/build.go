package alert

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// Meta is what is the same in every alert of a running gateway until its policy
// is loaded again.
type Meta struct {
	Node           string
	Version        string // of the program
	PolicyRevision string
	NumberData     string // version of the numbering data
	Currency       string // of the rates, a label; default USD
}

// FromDecision makes the alert for a decision about a request, without what is
// in its Also (see All). It reads both and keeps neither. A Decision without an Action gives a zero Event, which Publish
// ignores: the caller needs no test of its own.
func FromDecision(a *call.Attempt, d call.Decision, m Meta) Event {
	if d.Action == "" {
		return Event{}
	}
	if d.Shadow && d.Action == call.CallRejected {
		d.Action = call.CallWouldReject
	}
	if a.Policy != "" { // it may have been replaced meanwhile
		m.PolicyRevision = a.Policy
	}
	e := base(a.At, m, d.Action, d.Severity, d.Reason, d.Evidence)
	e.Rampart.Verdict = d.Verdict.String()
	e.Rampart.Mode = "enforce"
	if d.Shadow {
		e.Rampart.Mode = "shadow"
	}
	if len(d.Trace) > 0 {
		e.Rampart.Trace = cleanList(d.Trace, maxTrace)
	}
	switch {
	case d.Verdict == call.Abstain:
		e.Event.Outcome, e.Event.Type = "unknown", []string{"info"}
	case d.Verdict == call.Allow || d.Shadow:
		e.Event.Outcome, e.Event.Type = "success", []string{"allowed"}
	default:
		e.Event.Outcome, e.Event.Type = "failure", []string{"denied"}
	}
	e.setRule(d.Rule, m)
	e.setAttempt(a)
	if d.Verdict == call.Reject && d.Status >= 100 && d.Status <= 699 {
		e.SIP.Code = strconv.Itoa(d.Status)
	}
	s := d.Subject
	if s == (call.Subject{}) {
		s = subjectOf(a)
	}
	e.setSubject(s)
	for _, x := range d.Evidence { // a refusal because of what detectors found before
		if id, ok := x.Value.(string); ok && x.Name == "incident" && fraud.IsDetector(d.Rule) {
			e.Rampart.Related = []string{short(id)}
		}
	}
	e.stranger = a.Stranger()
	return e
}

// maxAlso bounds what one request can make the gateway tell.
const maxAlso = 32

// All makes the alerts for a decision and for what it carries in Also: flags and
// shadow refusals. There is none where there is no Action.
func All(a *call.Attempt, d call.Decision, m Meta) []Event {
	var out []Event
	for i := -1; i < min(len(d.Also), maxAlso); i++ {
		x := d
		if i >= 0 {
			x = d.Also[i]
		}
		if e := FromDecision(a, x, m); !e.IsZero() {
			out = append(out, e)
		}
	}
	return out
}

// System makes an alert about the gateway itself. Evidence may be left out.
// With, About and Failed add what is known beyond that.
func System(at time.Time, m Meta, action call.Action, sev call.Severity, reason string, ev ...call.Evidence) Event {
	e := base(at, m, action, sev, reason, ev)
	e.Event.Type = []string{"info"}
	return e
}

// FromSystem makes the alert for an event that is not a decision about one request.
func FromSystem(s call.SystemEvent, m Meta) Event {
	if s.Action == "" {
		return Event{}
	}
	e := base(s.At, m, s.Action, s.Severity, s.Reason, s.Evidence)
	e.Event.Type = []string{"info"}
	e.setRule(s.Rule, m)
	e.Rampart.CallID = short(s.CallID)
	e.setSource(call.Source{Addr: s.Source})
	if s.Subject == (call.Subject{}) && s.Source.IsValid() {
		s.Subject = call.Subject{Kind: "source", Value: s.Source.Addr().Unmap().String()}
	}
	e.setSubject(s.Subject)
	e.stranger = s.Subject.Kind == "source"
	if s.Action == call.Overload && s.Severity == call.Info {
		return e.Succeeded() // it is over
	}
	return e
}

// With adds the request that the event is about: its source, call and parties.
func (e Event) With(a *call.Attempt) Event {
	e.Related = nil
	if e.Rule != nil {
		r := *e.Rule
		e.Rule = &r
	}
	s := e.Rampart.Subject
	e.setAttempt(a)
	if s == nil {
		e.setSubject(subjectOf(a))
	} else {
		e.setSubject(*s)
	}
	return e
}

// From adds the address that the event is about, where there is no request:
// injected media, a failed TLS handshake.
func (e Event) From(src call.Source) Event {
	e.Related = nil
	e.setSource(src)
	if e.Rampart.Subject == nil && src.Addr.IsValid() {
		e.setSubject(call.Subject{Kind: "source", Value: src.Addr.Addr().Unmap().String()})
	}
	return e
}

// About sets whom the event is about.
func (e Event) About(s call.Subject) Event {
	e.Related = e.Related.clone()
	e.setSubject(s)
	return e
}

// InCall ties the event to a call by our id of it.
func (e Event) InCall(id string) Event {
	e.Rampart.CallID = short(id)
	return e
}

// Failed says that what the event is about did not succeed: a reload that left
// the old policy in force.
func (e Event) Failed() Event { return e.outcome("failure") }

// Succeeded is the opposite: a sink that works again.
func (e Event) Succeeded() Event { return e.outcome("success") }

func (e Event) outcome(s string) Event {
	e.Event.Outcome = s
	return e
}

func base(at time.Time, m Meta, action call.Action, sev call.Severity, reason string, ev []call.Evidence) Event {
	info := lookup(action)
	if sev > call.Critical {
		sev = call.Critical
	}
	e := Event{
		Timestamp: call.Time{Time: millis(at)},
		ECS:       ECS{Version: ECSVersion},
		Event: Info{
			Kind: info.Kind, Category: info.Category, Action: action,
			Outcome: info.outcome, Severity: severityNumber(sev),
			Reason: clean(reason, maxReason), Dataset: "rampart.alert", Module: "rampart",
		},
		Observer: Observer{Vendor: "Rampart", Product: "Rampart", Type: "sbc", Name: m.Node, Version: m.Version},
		Rampart: Rampart{
			Severity: sev.String(), Evidence: cleanEvidence(ev),
			Node: m.Node, PolicyRevision: m.PolicyRevision, NumberData: m.NumberData,
			FraudType: info.Fraud,
		},
	}
	if e.Event.Outcome == "" {
		e.Event.Outcome = "unknown"
	}
	if info.Technique != "" {
		e.Threat = &Threat{Framework: "MITRE ATT&CK",
			Technique: Technique{ID: []string{info.Technique}, Name: []string{info.TechniqueName}}}
	}
	return e
}

func (e *Event) setRule(id string, m Meta) {
	if id == "" {
		return
	}
	id = short(id)
	set, name, ok := strings.Cut(id, "/")
	if !ok {
		set, name = "", id
	}
	e.Rule = &Rule{ID: id, Name: name, Ruleset: set, Version: m.PolicyRevision}
}

func (e *Event) setAttempt(a *call.Attempt) {
	e.setSource(a.Source)
	r := &e.Rampart
	r.Side = a.Side.String()
	r.CallID, r.Pass = short(a.ID), max(a.Pass, 0)
	r.Account, r.Peer, r.PeerKind = short(a.Account), short(a.Peer), a.PeerKind.String()
	r.FromE164, r.ToE164 = short(a.From.E164()), short(a.To.E164())
	r.ToNumber, r.ToCountry, r.ToClass = short(a.To.Number), short(a.To.Country), short(a.To.Class)
	r.Diversion = short(a.Diversion)
	r.MediaProfile = short(a.Media.Profile)
	if a.Method == "INVITE" || a.Method == "MESSAGE" {
		r.Direction = a.Direction.String()
	}
	e.SIP = &SIP{
		Type: "request", Method: short(a.Method), CallID: short(a.SIPCallID),
		From: party(a.From), To: party(a.To), MaxForwards: max(a.Hops, 0),
	}
	if a.RequestURI != "" {
		e.SIP.URI = &URI{Original: short(a.RequestURI)}
	}
	if a.UserAgent != "" {
		ua := &Original{Original: short(a.UserAgent)}
		e.SIP.UserAgent, e.UserAgent = ua, ua
	}
	name := a.User
	if name == "" && a.Method == "REGISTER" {
		name = a.RegisterUser
		if name == "" {
			name = a.AuthUser
		}
	}
	if name != "" {
		e.User = &User{Name: short(name)}
	}
	for _, u := range []string{name, a.RegisterUser, a.AuthUser, a.From.User, a.To.User} {
		e.relate(nil, short(u))
	}
}

func (e *Event) setSource(s call.Source) {
	if s.Addr.IsValid() {
		ip := s.Addr.Addr().Unmap()
		e.Source = &Endpoint{IP: ip.String(), Port: s.Addr.Port()}
		if isCountry(s.Country) {
			e.Source.Geo = &Geo{Country: s.Country}
		}
		if s.ASN != 0 {
			e.Source.AS = &AS{Number: s.ASN}
		}
		e.relate(&ip, "")
		if s.Transport != "" {
			n := Network{Transport: "tcp", Protocol: "sip", Type: "ipv6"}
			if s.Transport == "udp" {
				n.Transport = "udp"
			}
			if s.Secure() {
				n.Protocol = "sips"
			}
			if ip.Is4() {
				n.Type = "ipv4"
			}
			e.Network = &n
		}
	}
	if l := s.Local; l.IsValid() && !l.Addr().IsUnspecified() {
		e.Destination = &Endpoint{IP: l.Addr().Unmap().String(), Port: l.Port()}
	}
	e.Rampart.Transport = short(s.Transport)
	if s.TLSVersion != "" {
		e.TLS = &TLS{Established: true, Version: short(s.TLSVersion), Protocol: "tls", Cipher: short(s.TLSCipher)}
		if s.TLSSubject != "" {
			e.TLS.Client = &TLSClient{Subject: short(s.TLSSubject)}
		}
	}
}

// isCountry reports whether s is an ISO 3166-1 alpha-2 code by its form.
func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func (e *Event) setSubject(s call.Subject) {
	if s == (call.Subject{}) {
		return
	}
	s = call.Subject{Kind: short(s.Kind), Value: short(s.Value)}
	e.Rampart.Subject = &s
	switch s.Kind {
	case "source":
		if ip, err := netip.ParseAddr(s.Value); err == nil {
			ip = ip.Unmap()
			e.relate(&ip, "")
		}
	case "user":
		e.relate(nil, s.Value)
	}
}

// relate adds to related, each value once.
func (e *Event) relate(ip *netip.Addr, user string) {
	if ip == nil && user == "" {
		return
	}
	if e.Related == nil {
		e.Related = &Related{}
	}
	if ip != nil && !slices.Contains(e.Related.IP, ip.String()) {
		e.Related.IP = append(e.Related.IP, ip.String())
	}
	if user != "" && !slices.Contains(e.Related.User, user) {
		e.Related.User = append(e.Related.User, user)
	}
}

func (r *Related) clone() *Related {
	if r == nil {
		return nil
	}
	return &Related{IP: slices.Clone(r.IP), User: slices.Clone(r.User)}
}

func party(p call.Party) *Party {
	if p.User == "" && p.Host == "" && p.Display == "" {
		return nil
	}
	out := &Party{DisplayInfo: short(p.Display)}
	if p.User != "" || p.Host != "" {
		out.URI = &URI{Username: short(p.User), Host: short(p.Host)}
	}
	return out
}

// subjectOf is whom an attempt is about when the decision names nobody: the
// identified user, else the peer, else the address.
func subjectOf(a *call.Attempt) call.Subject {
	switch {
	case a.User != "":
		return call.Subject{Kind: "user", Value: a.User}
	case a.Peer != "":
		return call.Subject{Kind: "peer", Value: a.Peer}
	case a.Source.Addr.IsValid():
		return call.Subject{Kind: "source", Value: a.Source.Addr.Addr().Unmap().String()}
	}
	return call.Subject{}
}
