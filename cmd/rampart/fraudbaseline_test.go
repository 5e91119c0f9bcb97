package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// What was learned can be read on the command line and by the API.
func TestFraudBaseline(t *testing.T) {
	t.Parallel()
	s := newSite(t, 124, "", "admin: {listen: off}", "admin: {listen: \"127.91.124.8:18224\"}")
	s.says(0, []string{"no call to outside"}, "fraud", "baseline")
	paris, err := time.LoadLocation("Europe/Paris") // the site is in France
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().In(paris)
	for i := range 20 {
		at := time.Date(now.Year(), now.Month(), now.Day()-21+i, 9, 30, 0, 0, paris)
		id := fmt.Sprint("past-", i)
		secs := 60.0
		for _, x := range []struct {
			after time.Duration
			ev    call.Event
		}{
			{0, call.Event{Kind: call.EventInvite, ID: id, Direction: call.Outbound.String(), Account: "pbx", User: "1001", From: "+33123450001", To: "+23276000001", SourceCountry: "FR"}},
			{time.Second, call.Event{Kind: call.EventRinging, ID: id}},
			{20 * time.Second, call.Event{Kind: call.EventAnswer, ID: id}},
			{80 * time.Second, call.Event{Kind: call.EventEnd, ID: id, Code: 200, EndedBy: call.ByCaller, Seconds: &secs}},
		} {
			x.ev.At.Time = at.Add(x.after)
			s.g.detectors.Observe(x.ev)
		}
	}
	week := s.g.detectors.Baseline("pbx").Accounts[0].Week
	for d, hours := range week {
		if hours[9] == 0 || hours[8]+hours[10] != 0 {
			t.Errorf("day %d: %v; calls were at half past nine in Paris", d, hours)
		}
	}
	s.says(0, []string{`account "pbx"`, "1001", "SL(", "FR", "fraud/toll-fraud risk_hour", "ALARMS", "Mon"}, "fraud", "baseline", "--week")
	s.says(0, []string{`"usual_usd_a_day"`, `"propose"`}, "fraud", "baseline", "--json", "--account", "pbx")
	s.says(0, []string{"no call to outside"}, "fraud", "baseline", "--account", "nobody")
}
