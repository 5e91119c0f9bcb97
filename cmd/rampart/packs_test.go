package main

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/rules"
)

// TestMessagesPackCounts: the budgets of the pack, in the engine that counts.
func TestMessagesPackCounts(t *testing.T) {
	var limits []ratelimit.Limit
	data, _ := rules.Pack("messages")
	set, ps := policy.Compile([]policy.Source{{Name: "messages", Data: data, Pack: true}}, policy.Options{})
	if set == nil {
		t.Fatal(ps)
	}
	for _, l := range set.Limits() {
		limits = append(limits, ratelimit.Limit(l))
	}
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		kind    call.Kind
		people  int // that are written to, in turn
		passing int // how many get through at once
		rule    string
	}{
		{call.Phone, 1, 40, "messages/per-user"},
		{call.Phone, 1000, 20, "messages/fan-out"},
		{call.Carrier, 1, 20, "messages/per-caller"},
		{call.Carrier, 1000, 10, "messages/fan-out-inbound"},
	} {
		e, err := ratelimit.New(limits, ratelimit.Caps{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.passing + 1 {
			a := &call.Attempt{At: noon.Add(time.Duration(i)), Method: "MESSAGE", PeerKind: c.kind, Direction: call.Internal}
			a.To.User = "u" + string(rune('a'+i%c.people%26)) + string(rune('a'+i%c.people/26))
			if c.kind == call.Phone {
				a.User, a.Source.Registered = "1001", true
			} else {
				a.Peer, a.From.Number, a.From.Kind = "carrier-a", "+442079460000", call.International
			}
			d := e.Judge(a)
			if got := d.Rule; got != "" && (i < c.passing || got != c.rule) || got == "" && i == c.passing {
				t.Errorf("%s to %d: message %d: %q, want %s after %d", c.kind, c.people, i+1, got, c.rule, c.passing)
			}
		}
	}
}
