package admission

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// ProveEmergency asks what a policy does with every emergency number of a plan
// and urn:service:sos, from every kind of sender that is identified, in every
// direction, to every peer: each has to be permitted before a guard is asked,
// and no guard may have an opinion on it, should one be asked all the same. It
// returns what is not so, none when the proof holds. The guards count nothing.
func ProveEmergency(guards []Guard, plan *number.Plan, peers []string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, text := range append(plan.Emergency(), "urn:service:sos") {
		for _, as := range []struct {
			in  number.Context
			who string
		}{{number.Dialled, "a phone dials it"}, {number.Trunk, "a PBX or carrier sends it"}} {
			n := plan.Normalise(text, as.in)
			if n.Kind != call.Emergency {
				fault("emergency number %s is read as %s when %s", text, n.Kind, as.who)
				continue
			}
			for kind := call.Phone; kind <= call.PBX; kind++ {
				for d := call.Internal; d <= call.Outbound; d++ {
					a := emergencyAttempt(n, text, kind, d)
					if d := Decide(guards, a); d.Verdict != call.Allow || d.Rule != RuleEmergency {
						fault("an emergency call to %s of a %s is decided by %s: %s", text, kind, d.Rule, d.Verdict)
					}
					for _, gd := range guards {
						if d := judge(gd, a); d.Verdict != call.Abstain || len(d.Effects) > 0 {
							fault("%s has an opinion on an emergency call to %s of a %s: %s %s", gd.Name(), text, kind, d.Verdict, d.Rule)
						}
					}
					for _, p := range peers {
						if d := MayRoute(guards, a, p); d.Verdict != call.Allow {
							fault("an emergency call to %s may not go to peer %s: %s", text, p, d.Rule)
						}
					}
				}
			}
		}
	}
	return faults
}

func emergencyAttempt(n number.Number, text string, kind call.Kind, d call.Direction) *call.Attempt {
	a := &call.Attempt{At: time.Unix(1_700_000_000, 0), Method: "INVITE", PeerKind: kind, Direction: d, ID: "proof", Pass: 1,
		User: "1001", SIPCallID: "proof", RequestURI: "sip:" + text + "@home", Hops: 70,
		Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.1:5061"), Transport: "tls", Registered: kind == call.Phone},
		From:   call.Party{User: "1001", Number: "1001", Kind: call.Extension}, To: call.Party{User: text}}
	n.Fill(&a.To)
	if kind == call.PBX {
		a.Side, a.Account = call.Inside, "main"
	}
	if kind == call.Carrier {
		a.Peer = "carrier"
	}
	return a
}
