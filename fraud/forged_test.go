package fraud

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Whoever makes ping calls in the name of a number at home, or of one that we
// talk to, has nobody's calls refused, ended or held: whatever the detector is
// configured to do.
func TestForgedCallersAreNoWeapon(t *testing.T) {
	for name, c := range map[string]struct {
		number string
		known  bool // we talked to it on days before
		done   bool // about a call back
	}{
		"a hospital":                    {"+442079460999", false, false},
		"a customer abroad":             {"+21671123456", true, false},
		"nobody's number":               {"+21671123456", false, true},
		"a number that costs, at home":  {"+449098790001", false, true},
		"the same, that is called here": {"+449098790001", true, false},
	} {
		for _, then := range []Then{{Verdict: call.Reject, Status: 403}, {Act: call.ActHangup}, {Act: call.ActHold, For: time.Hour}} {
			s := scripted(t)
			s.e.cfg.Rules[IDCallback] = Rule{Then: then, Mode: Enforce}
			const d = 24 * time.Hour
			for i := range 4 {
				if c.known {
					s.call(dialled{at: time.Duration(i) * d, user: "1001", from: did(1), to: c.number, ring: 8 * second, talk: time.Minute})
				}
			}
			for i := range 8 {
				s.ping(5*d+time.Duration(i)*10*second, c.number, i)
			}
			if got := of(s.play(), IDPing); len(got) == 0 {
				t.Fatalf("%s: no campaign", name)
			}
			verdict := s.dials(5*d+time.Hour, "1004", c.number).Verdict
			s.call(dialled{at: 5*d + time.Hour, user: "1004", from: did(4), to: c.number, ring: second, talk: time.Minute})
			back := of(s.play(), IDCallback)
			if len(back) != 1 {
				t.Fatalf("%s: calls back that are told: %+v", name, back)
			}
			if done := verdict == call.Reject || len(back[0].Do) > 0; done != c.done {
				t.Errorf("%s, %+v: verdict %v, done %+v", name, then, verdict, back[0].Do)
			}
			if x := s.dials(5*d+2*time.Hour, "1004", c.number); !c.done && x.Verdict != call.Abstain {
				t.Errorf("%s: after the call back %+v", name, x)
			}
		}
	}
}
