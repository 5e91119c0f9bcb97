package alert

import (
	"math"
	"net/netip"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// What a finding may name in one line.
const (
	maxNumbers = 10
	maxLinked  = 16
	maxActs    = 8
)

// Loss is what an incident costs, estimated from the rates in use.
type Loss struct {
	SoFar     float64 `json:"so_far"`
	PerMinute float64 `json:"per_minute"`
	Currency  string  `json:"currency"`
}

// ActDone is what a detector asked for beside the alert.
type ActDone struct {
	Act     string  `json:"act"`               // hangup | hold
	Who     string  `json:"who,omitempty"`     // of a hold
	Seconds float64 `json:"seconds,omitempty"` // of a hold
	Calls   int     `json:"calls,omitempty"`   // of a hangup: how many
	Mode    string  `json:"mode"`              // enforce | shadow
}

// FromFinding makes the alert for what a detector found. All alerts of one
// incident carry its id; each has its own event.id. A finding decides no
// request, so its verdict is that of no opinion: what became of the call stands
// in the alert of the decision about it.
func FromFinding(f fraud.Finding, m Meta) Event {
	if f.Action == "" || f.Quiet {
		return Event{}
	}
	e := base(f.At.Time, m, f.Action, f.Severity, f.Reason, f.Evidence)
	e.Event.Type = []string{"info"}
	e.setRule(f.Detector, m)
	if ip, err := netip.ParseAddr(f.Source); err == nil {
		e.setSource(call.Source{Addr: netip.AddrPortFrom(ip, 0)})
	}
	if f.User != "" {
		e.User = &User{Name: short(f.User)}
		e.relate(nil, e.User.Name)
	}
	r := &e.Rampart
	r.Verdict, r.Mode = call.Abstain.String(), "enforce"
	r.CallID, r.Account, r.Peer = short(f.CallID), short(f.Account), short(f.Peer)
	if strings.HasPrefix(f.From, "+") {
		r.FromE164 = short(f.From)
	}
	if strings.HasPrefix(f.To, "+") {
		r.ToE164 = short(f.To)
	}
	r.ToNumber = short(f.To)
	e.incident(f)
	if f.Lost != 0 || f.PerMin != 0 {
		r.Loss = &Loss{SoFar: cents(f.Lost), PerMinute: cents(f.PerMin), Currency: m.currency()}
	}
	for _, d := range f.Do[:min(len(f.Do), maxActs)] {
		a := ActDone{Act: d.Act.String(), Seconds: d.For.Seconds(), Calls: len(d.Calls), Mode: "enforce"}
		if d.Key.Shape() != 0 {
			a.Who = short(d.Key.String())
		}
		if d.Shadow {
			a.Mode, r.Mode = "shadow", "shadow"
		}
		r.Acts = append(r.Acts, a)
	}
	e.setSubject(f.Subject)
	e.stranger = f.Subject.Kind == "source" // of limits: addresses are easily forged
	return e
}

// incident says to which incident a finding belongs, and what it names.
func (e *Event) incident(f fraud.Finding) {
	r := &e.Rampart
	r.Incident = short(f.Incident)
	if r.Incident != "" && f.Count > 0 && !f.First.IsZero() {
		r.IncidentCount, r.IncidentFirst = f.Count, &call.Time{Time: millis(f.First.Time)}
	}
	if len(f.Related) > 0 {
		r.Related = cleanList(f.Related, maxLinked)
	}
	if len(f.Numbers) > 0 {
		r.Numbers = cleanList(f.Numbers, maxNumbers)
	}
	if len(f.Calls) > 0 {
		r.Calls = cleanList(f.Calls, maxNumbers)
	}
	for _, m := range f.Missed[max(0, len(f.Missed)-maxNumbers):] {
		r.Missed = append(r.Missed, fraud.Missed{At: call.Time{Time: millis(m.At.Time)}, User: short(m.User), To: short(m.To), From: short(m.From)})
	}
}

// cents rounds money; what is no number is nothing.
func cents(v float64) float64 {
	if v = finite(v); v < 0 {
		return 0
	}
	return math.Round(v*100) / 100
}

func (m Meta) currency() string {
	if m.Currency == "" {
		return "USD"
	}
	return short(m.Currency)
}
