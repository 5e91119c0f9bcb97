package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// told polls for alerts whose line has all of that, and returns how many there are.
func (s *site) told(want ...string) (n int) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); n == 0 && time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(s.dir, "state/alerts.jsonl"))
		if err != nil {
			s.t.Fatal(err)
		}
	next:
		for line := range strings.Lines(string(b)) {
			for _, w := range want {
				if !strings.Contains(line, w) {
					continue next
				}
			}
			n++
		}
	}
	if n == 0 {
		s.t.Errorf("no alert has %q", want)
	}
	return n
}

// pinged tells the gateway of a call from outside that rang for a second.
func (s *site) pinged(n int, from, to string, at time.Time) {
	id, ring, none := fmt.Sprintf("ping-%d", n), 1.0, 0.0
	ev := call.Event{At: call.Time{Time: at}, Kind: call.EventInvite, ID: id, Direction: call.Inbound.String(), Account: "pbx", Peer: "carrier", From: from, To: to, Verdict: "allow"}
	s.g.rep.Event(ev)
	s.g.rep.Event(call.Event{At: call.Time{Time: at.Add(100 * time.Millisecond)}, Kind: call.EventRinging, ID: id})
	s.g.rep.Event(call.Event{At: call.Time{Time: at.Add(1100 * time.Millisecond)}, Kind: call.EventEnd, ID: id, Code: 487, EndedBy: call.ByCaller, RingSeconds: &ring, Seconds: &none})
}

// What goes through the event stream comes to the detectors, and what they find
// becomes an alert.
func TestFindingsAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, 111, "")
	at := time.Now().Add(-time.Minute)
	for i := range 8 {
		s.pinged(i, "+22507010203", fmt.Sprintf("+3312345%04d", i), at.Add(time.Duration(i)*3*time.Second))
	}
	s.told(`"id":"fraud/ping-call"`, `"action":"ping-call"`, "+22507010203")
}

// What a finding asks for is done, unless it is in shadow; a hold is told once
// and lifted as any other.
func TestFindingsAreActedUpon(t *testing.T) {
	t.Parallel()
	s := newSite(t, 112, "")
	f := fraud.Finding{At: call.Time{Time: time.Now()}, Detector: fraud.IDToll, Action: call.TollFraud, Severity: call.High, Subject: call.Subject{Kind: "user", Value: "1001"}}
	hold := fraud.Do{Act: call.ActHold, Key: call.Key{User: "1001"}, For: time.Hour, Rule: fraud.IDToll, Reason: "costly", Shadow: true}
	f.Do = []fraud.Do{hold}
	s.g.found([]fraud.Finding{f})
	if held := s.g.bans.List(time.Now()); len(held) != 0 {
		t.Errorf("held in shadow: %+v", held)
	}
	hold.Shadow = false
	f.Do = []fraud.Do{hold, {Act: call.ActHold, Key: call.Key{}, For: time.Hour, Rule: fraud.IDToll}, {Act: call.ActHangup, Calls: []string{"gone"}, Rule: fraud.IDToll}}
	s.g.found([]fraud.Finding{f, f})
	held := s.g.bans.List(time.Now())
	if len(held) != 1 || held[0].Key != hold.Key || held[0].Rule != fraud.IDToll || !held[0].Known || held[0].Manual {
		t.Fatalf("held: %+v", held)
	}
	if n := s.told(`"id":"fraud/toll-fraud"`, `"action":"account-held"`, "costly calls of user=1001 are held"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if _, ok := s.g.bans.Remove(call.ActHold, hold.Key, time.Now()); !ok {
		t.Error("it cannot be lifted")
	}
}

// Events that the detectors did not see are told.
func TestLostEventsAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, 113, "")
	s.g.eventsLost(7)
	s.waitAlert("fraud/events-lost", "7 events")
}
