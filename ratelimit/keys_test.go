package ratelimit

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Each part of a key tells requests apart by what it names, and by nothing
// else; a request without it is not counted.
func TestKeyParts(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	base := call.Attempt{At: at, Method: "INVITE", PeerKind: call.Carrier, Peer: "carrier-a", User: "1001",
		Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.1:5060"), Transport: "tls", Country: "FR"},
		From:   call.Party{User: "0044207", Host: "a.example", Number: "+442079460000", Kind: call.International, Country: "GB"},
		To:     call.Party{User: "1001", Host: "sip.example.com", Number: "1001", Kind: call.Extension}}
	change := func(f func(*call.Attempt)) call.Attempt { a := base; f(&a); return a }
	for _, c := range []struct {
		key         string
		same, other call.Attempt
		without     call.Attempt
		subject     call.Subject
	}{
		{"from", change(func(a *call.Attempt) { a.From.User = "+44207" }), change(func(a *call.Attempt) { a.From.Number = "+442079460001" }),
			change(func(a *call.Attempt) { a.From = call.Party{} }), call.Subject{Kind: "from", Value: "+442079460000"}},
		{"from.prefix", change(func(a *call.Attempt) { a.From.Number = "+442079461111" }), change(func(a *call.Attempt) { a.From.Number = "+442079550000" }),
			change(func(a *call.Attempt) { a.From.Kind = call.Invalid }), call.Subject{Kind: "from_prefix", Value: "+44207946"}},
		{"from.country", change(func(a *call.Attempt) { a.From.Number = "+442079461111" }), change(func(a *call.Attempt) { a.From.Country = "JM" }),
			change(func(a *call.Attempt) { a.From.Country = "" }), call.Subject{Kind: "account"}},
		{"to", change(func(a *call.Attempt) { a.To.Host = "SIP.example.com" }), change(func(a *call.Attempt) { a.To.Host = "other.example" }),
			change(func(a *call.Attempt) { a.To = call.Party{} }), call.Subject{Kind: "to", Value: "1001@sip.example.com"}},
		{"source.country", change(func(a *call.Attempt) { a.User = "1" }), change(func(a *call.Attempt) { a.Source.Country = "DE" }),
			change(func(a *call.Attempt) { a.Source.Country = "" }), call.Subject{Kind: "account"}},
	} {
		e, err := New([]Limit{{ID: "a/key", Match: func(*call.Attempt) bool { return true }, Key: []string{c.key}, Rate: 1, Burst: 1,
			Verdict: call.Reject, Status: 480, Severity: call.Medium}}, Caps{})
		if err != nil {
			t.Fatal(err)
		}
		judge := func(a call.Attempt, want call.Verdict) call.Decision {
			t.Helper()
			d := e.Judge(&a)
			if d.Verdict != want {
				t.Errorf("key %s: %s, want %s", c.key, d.Verdict, want)
			}
			return d
		}
		first := base
		judge(first, call.Abstain)
		if d := judge(first, call.Reject); d.Subject != c.subject {
			t.Errorf("key %s: subject %v", c.key, d.Subject)
		}
		judge(c.same, call.Reject)
		judge(c.other, call.Abstain)
		judge(c.without, call.Abstain)
		judge(c.without, call.Abstain)
	}
}
