package fraud

import (
	"github.com/rampart-sbc/rampart/call"
)

// A stand is what a finding leaves for calls that begin later: they are judged
// by it while its incident goes on. Whether they are refused, is what the
// detector's `then` says at the time.
type stand struct {
	Detector string
	Incident string
	Reason   string
	Action   call.Action
	Severity call.Severity
	Until    int64
}

// standKey is whom a stand is about.
type standKey struct {
	Kind    standKind
	Account string // of a user; itself
	Value   string
}

type standKind uint8

const (
	concernsUser    standKind = iota + 1 // calls that cost
	concernsAccount                      // the same, of everybody in it
	concernsTo                           // calls to a number or a block
	concernsFrom                         // calls from outside, from a number or a block
	concernsPeer                         // calls that a carrier shall take to a destination: Account has it
)

const maxStands = 4 // detectors that have something against one key

// keyOf is whom a finding stands against.
func keyOf(f *Finding, c *running) (k standKey, ok bool) {
	k.Value = f.Subject.Value
	switch f.Subject.Kind {
	case "user":
		k.Kind, k.Account = concernsUser, f.Account
	case "account":
		k.Kind = concernsAccount
	case "to", "to_prefix":
		k.Kind = concernsTo
	case "from", "from_prefix":
		k.Kind = concernsFrom
	case "peer":
		if c == nil {
			return k, false
		}
		k.Kind, k.Account = concernsPeer, c.far.Code
	}
	return k, k.Kind != 0 && k.Value != ""
}

// stand notes a finding against calls to come. A call that was refused anyhow
// prolongs nothing: who is refused and tries again would never be let go.
func (e *Engine) stand(f *Finding, c *running, incident string) {
	switch f.Detector {
	case IDCallback, IDSpend, IDCostly: // they know by themselves what stands
		return
	}
	k, ok := keyOf(f, c)
	if !ok || c != nil && c.refused {
		return
	}
	long := e.cfg.Incident
	if then := e.cfg.Rules[f.Detector].Then; then.Verdict > call.Allow && then.For > 0 {
		long = then.For
	}
	all := e.standing(k.Kind).get(k, e.now)
	at := 0 // its own, else that which ends first
	for i := range all {
		if all[i].Detector == f.Detector {
			at = i
			break
		}
		if all[i].Until < all[at].Until {
			at = i
		}
	}
	all[at] = stand{Detector: f.Detector, Incident: incident, Reason: f.Reason, Action: f.Action, Severity: f.Severity, Until: e.now + int64(long)}
}

// unstand forgets what stands because of an incident.
func (e *Engine) unstand(incident string) {
	for _, t := range []*table[standKey, [maxStands]stand]{e.stands, e.callers} {
		t.each(func(all *[maxStands]stand) {
			for i := range all {
				if all[i].Incident == incident {
					all[i] = stand{}
				}
			}
		})
	}
}

// standing is the table that has what stands against such a key.
func (e *Engine) standing(k standKind) *table[standKey, [maxStands]stand] {
	if k == concernsFrom {
		return e.callers
	}
	return e.stands
}
