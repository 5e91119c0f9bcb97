package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// What detectors saw until the very end outlives a restart, also the events
// that nobody has read yet. A damaged file is put aside and told of.
func TestDetectorsAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, 123, "")
	at := time.Now().Add(-time.Minute)
	for i := range 8 {
		s.pinged(i, "+22507010203", fmt.Sprintf("+3312345%04d", i), at.Add(time.Duration(i)*3*time.Second))
	}
	s.g.rep.Event(call.Event{At: call.Time{Time: time.Now()}, Kind: call.EventInvite, ID: "up", Direction: call.Outbound.String(), Account: "pbx", User: "1001", From: "1001", To: "+37120000001", Verdict: "allow"})
	s.g.close(time.Second)
	s.start()
	s.g.rep.Event(call.Event{At: call.Time{Time: time.Now()}, Kind: call.EventInvite, ID: "back", Direction: call.Outbound.String(), Account: "pbx", User: "1002", From: "1002", To: "+22507010203", Verdict: "allow"})
	s.told(`"id":"fraud/ping-call-callback"`, "+22507010203", `"related":["`)
	if len(s.alerts()) != 0 {
		t.Errorf("%q", s.alerts())
	}

	file := filepath.Join(s.dir, "state/fraud.state")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	s.g.close(time.Second)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.write("state/fraud.state", string(b[:len(b)/2]))
	s.start()
	s.waitAlert("fraud/not-loaded", "fraud.state.damaged-")
	s.g.close(time.Second)
	if b, err := os.ReadFile(file); err != nil || len(b) == 0 {
		t.Errorf("not written anew: %d bytes, %v", len(b), err)
	}
	s.start()
}

// Writing what detectors know takes a small part of a processor however much
// that is.
func TestDetectorsAreWrittenSeldom(t *testing.T) {
	if few, full := detectorsAtOnce(time.Millisecond), detectorsAtOnce(time.Second); few != time.Second || full < 20*time.Second {
		t.Error(few, full)
	}
}
