package main

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// Two PBXs that both have an extension 1001: what is found about one of them
// holds nothing of the other.
func TestHoldIsOfTheUserOfOnePBX(t *testing.T) {
	t.Parallel()
	s := newSite(t, 131, "")
	f := fraud.Finding{At: call.Time{Time: time.Now()}, Detector: fraud.IDToll, Action: call.TollFraud, Severity: call.High, Account: "main", Subject: call.Subject{Kind: "user", Value: "1001"},
		Do: []fraud.Do{{Act: call.ActHold, Key: call.Key{User: "1001", Account: "main"}, For: time.Hour, Rule: fraud.IDToll, Reason: "costly"}}}
	s.g.found([]fraud.Finding{f})
	for account, want := range map[string]call.Verdict{"main": call.Reject, "branch": call.Abstain} {
		a := &call.Attempt{At: time.Now(), Method: "INVITE", On: call.Request, Direction: call.Outbound, Account: account, User: "1001",
			To: call.Party{User: "+23276123456", Number: "+23276123456", Kind: call.International}}
		if d := s.g.bans.Judge(a); d.Verdict != want {
			t.Errorf("%s: %v, want %v (%s)", account, d.Verdict, want, d.Reason)
		}
	}
}
