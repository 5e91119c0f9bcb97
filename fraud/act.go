package fraud

import (
	"net/netip"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// The detectors by their ids, as policy files, alerts and CDRs name them.
const (
	IDPing     = "fraud/ping-call"
	IDCallback = "fraud/ping-call-callback"
	IDToll     = "fraud/toll-fraud"
	IDForward  = "fraud/call-forward-fraud"
	IDPump     = "fraud/traffic-pumping"
	IDFree     = "fraud/tollfree-pumping"
	IDAnswer   = "fraud/false-answer"
	IDRobo     = "fraud/robocall"
	IDProbe    = "fraud/number-probing"
	IDTravel   = "fraud/impossible-travel"
	IDCountry  = "fraud/new-country"
	IDCostly   = "fraud/costly-calls-cap"
	IDSpend    = "fraud/spend-cap"
	IDGuessed  = "fraud/guessed-password"
)

// IDs are those of all detectors.
func IDs() []string {
	return []string{IDPing, IDCallback, IDToll, IDForward, IDPump, IDFree, IDAnswer, IDRobo, IDProbe, IDTravel, IDCountry, IDCostly, IDSpend, IDGuessed}
}

// IsDetector tells a detector's id from that of a rule or limit.
func IsDetector(id string) bool { return slices.Contains(IDs(), id) }

// Then is what is done about what a detector finds, beside the alert. The zero
// value only flags.
type Then struct {
	Verdict call.Verdict  // Reject: calls that the finding concerns are refused with Status
	Status  int           // SIP
	Act     call.Act      // ActHangup: calls that run are ended; ActHold: the account makes no costly calls
	For     time.Duration // of a hold
}

// Mode says whether what a detector asks for is carried out.
type Mode uint8

const (
	FirstShadow Mode = iota // withheld for Config.Shadow after the first start, carried out from then on
	Enforce                 // carried out
	Shadow                  // withheld; alerts are sent as always
)

// Rule is what is configured for every detector alike.
type Rule struct {
	Off  bool
	Then Then
	Mode Mode
}

// Do is what a finding asks for. Who runs the Engine carries it out, and tells
// what it would have done when Shadow is set.
type Do struct {
	Act    call.Act // ActHangup or ActHold
	Calls  []string // to be ended: ids of calls
	Key    call.Key // to be held
	For    time.Duration
	Rule   string // who asks
	Reason string
	Shadow bool
}

// shadow reports whether what a detector asks for is withheld now.
func (e *Engine) shadow(id string) bool {
	switch e.cfg.Rules[id].Mode {
	case Enforce:
		return false
	case Shadow:
		return true
	}
	return e.begin == 0 || e.now-e.begin < int64(e.cfg.Shadow)
}

// acts are what the detector of a finding asks for. A hold is on whom the
// finding is about, or on whose call it was; what is ended are the calls that
// cost, of whom it is about, or the call that made it.
func (e *Engine) acts(f *Finding, c *running) []Do {
	switch e.cfg.Rules[f.Detector].Then.Act {
	case call.ActHangup:
		return e.asks(f, e.toEnd(f, c), call.Key{})
	case call.ActHold:
		return e.asks(f, nil, whom(f, c))
	}
	return nil
}

// asks is what the detector of a finding asks for about calls, or about whoever
// makes them.
func (e *Engine) asks(f *Finding, calls []string, who call.Key) []Do {
	then := e.cfg.Rules[f.Detector].Then
	if e.cfg.Excepted != nil {
		calls = slices.DeleteFunc(slices.Clone(calls), func(id string) bool { return e.excepted(f.Detector, e.calls.peek(id, e.now)) })
		if e.excepted(f.Detector, e.calls.peek(f.CallID, e.now)) {
			who = call.Key{}
		}
	}
	d := Do{Act: then.Act, For: then.For, Rule: f.Detector, Reason: f.Reason, Shadow: e.shadow(f.Detector)}
	switch {
	case then.Act == call.ActHangup && len(calls) > 0:
		d.Calls = calls
	case then.Act == call.ActHold && who != (call.Key{}):
		d.Key = who
	default:
		return nil
	}
	return []Do{d}
}

func whom(f *Finding, c *running) call.Key {
	switch {
	case f.Subject.Kind == "user":
		return call.Key{User: f.Subject.Value, Account: f.Account} // another PBX may have a user of that name
	case f.Subject.Kind == "account":
		return call.Key{Account: f.Subject.Value}
	case c == nil || !c.paid:
		return call.Key{}
	case c.user != "":
		return call.Key{User: c.user, Account: c.account}
	}
	return call.Key{Account: c.account}
}

// maxEnded calls are ended because of one finding; the next one has the rest.
const maxEnded = 256

// toEnd looks through all calls that are up: only findings whose detector ends
// calls ask for it, and an index would cost more with every call.
func (e *Engine) toEnd(f *Finding, c *running) (ids []string) {
	user, account := f.Subject.Kind == "user", f.Subject.Kind == "account"
	if user || account {
		e.calls.each(func(r *running) {
			if r.costs() && !r.refused && (user && r.user == f.Subject.Value && r.account == f.Account || account && r.account == f.Subject.Value) {
				ids = append(ids, r.id)
			}
		})
	}
	if c != nil && !c.over && !c.refused && !slices.Contains(ids, c.id) && (c.paid || !user && !account) {
		ids = append(ids, c.id)
	}
	slices.Sort(ids)
	return ids[:min(len(ids), maxEnded)]
}

// excepted reports whether an exception lets a call go past a detector.
func (e *Engine) excepted(detector string, c *running) bool {
	return c != nil && e.cfg.Excepted != nil && e.cfg.Excepted(e.attempt(c), detector)
}

// attempt is a call as exceptions see it: by its parties, its time, and who makes
// it from where.
func (e *Engine) attempt(c *running) *call.Attempt {
	a := &call.Attempt{At: at(e.now).Time, Method: "INVITE", Account: c.account, User: c.user, Peer: c.peer, UserAgent: c.agent,
		Direction: call.Internal, From: e.party(c.from), To: e.party(c.to)}
	if c.inbound {
		a.Direction, a.PeerKind = call.Inbound, call.Carrier
	} else if c.outbound {
		a.Direction, a.PeerKind = call.Outbound, call.Phone
	}
	if addr, err := netip.ParseAddr(c.source); err == nil {
		a.Source.Addr = netip.AddrPortFrom(addr, 0)
	}
	a.Source.Country, a.Source.Registered = c.country, a.PeerKind == call.Phone
	return a
}

func (e *Engine) party(n string) call.Party {
	p := call.Party{User: n, Number: n, Kind: call.Extension}
	if public(n) {
		i := e.rates.data.Lookup(n)
		p.Kind, p.Country, p.Class, p.Region = call.International, i.Country, i.Class, number.Region(i.Country)
		if i.Country == e.rates.home {
			p.Kind = call.National
		}
	}
	return p
}
