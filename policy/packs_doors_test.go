package policy_test

import (
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// TestCallersPack: what a carrier shows as its caller, home being FR.
func TestCallersPack(t *testing.T) {
	s := shipped(t, "FR")
	off := shipped(t, "FR", file("local.yaml", "version: 1\nrules:\n  - {id: callers/withheld, on: invite, match: {peer_kind: carrier, from: {withheld: true}}, then: reject 433}\n"))
	for _, c := range []struct {
		from   string
		want   string
		change func(*call.Attempt)
	}{
		{"+33123456789", "abstain", nil},
		{"+442079460000", "abstain", nil},
		{"0612345678", "abstain", nil},
		{"+18005550100", "abstain", nil}, // a call centre's free number
		{"+33123456789", "reject 403 callers/own-number", func(a *call.Attempt) { a.From.Own = true }},
		{"+33123456789", "abstain", func(a *call.Attempt) { a.From.Own, a.Diversion = true, "+33123450000" }},
		{"1001", "reject 403 callers/inside-number", nil},
		{"+33899123456", "reject 403 callers/premium-number", nil},
		{"0899123456", "reject 403 callers/premium-number", nil},
		{"+19005550100", "reject 403 callers/premium-number", nil},
		{"112", "abstain + callers/emergency-number", nil},
		{"+881612345678", "abstain + callers/costly-number", nil},
		{"+447012345678", "abstain + callers/costly-number", nil},
		{"+99999999999", "abstain + callers/unallocated-number", nil},
		{"asterisk", "abstain + callers/no-number", nil},
		{"anonymous", "abstain", func(a *call.Attempt) { a.From.Withheld = true }},
		{"", "abstain", func(a *call.Attempt) { a.From.Withheld = true }},
		// The PBX and phones may show what they like here: other rules bind them.
		{"1001", "abstain", func(a *call.Attempt) { a.PeerKind, a.Peer = call.PBX, "main" }},
		{"0899123456", "abstain", func(a *call.Attempt) { a.PeerKind, a.Peer, a.Direction = call.PBX, "main", call.Inbound }},
		{"112", "abstain", func(a *call.Attempt) { a.PeerKind, a.Peer, a.Direction = call.Phone, "", call.Internal }},
	} {
		a := invite(s, "+33123456789")
		a.PeerKind, a.Peer, a.User, a.Direction, a.Source.Registered = call.Carrier, "carrier-a", "", call.Inbound, false
		a.From = call.Party{User: c.from}
		s.Plan().Normalise(c.from, number.Trunk).Fill(&a.From)
		if c.change != nil {
			c.change(a)
		}
		if d := s.Judge(a); show(d) != c.want {
			t.Errorf("%s (%s %s): %s, want %s", c.from, a.From.Kind, a.From.Class, show(d), c.want)
		}
		if a.From.Withheld {
			if d := off.Judge(a); show(d) != "reject 433 callers/withheld" {
				t.Errorf("withheld, switched on: %s", show(d))
			}
		}
	}
}

func TestMessagesPack(t *testing.T) {
	s := shipped(t, "FR")
	open := shipped(t, "FR", file("local.yaml", "version: 1\nrules:\n  - {id: messages/outside, on: message, match: {direction: outbound}, then: reject 403, mode: off}\n"))
	for _, c := range []struct {
		to, want, opened string
		change           func(*call.Attempt)
	}{
		{"1002", "abstain", "abstain", nil},
		{"0612345678", "reject 403 messages/outside", "abstain", nil},
		{"0018765550100", "reject 403 countries/denied", "reject 403 countries/denied", nil},
		{"1002", "reject 413 messages/size", "reject 413 messages/size", func(a *call.Attempt) { a.Size = 8<<10 + 1 }},
		{"1002", "abstain", "abstain", func(a *call.Attempt) { a.Size = 8 << 10 }},
		{"1002", "reject 403 messages/executables", "reject 403 messages/executables", func(a *call.Attempt) { a.ContentTypes = []string{"application/x-msdownload"} }},
		{"1002", "reject 403 messages/executables", "reject 403 messages/executables", func(a *call.Attempt) {
			a.ContentTypes = []string{"multipart/mixed", "text/plain", "application/vnd.android.package-archive"}
		}},
		{"1002", "abstain", "abstain", func(a *call.Attempt) { a.ContentTypes = []string{"text/plain"} }},
		{"1002", "reject 403 messages/executables", "reject 403 messages/executables", func(a *call.Attempt) {
			a.Method, a.ContentTypes = "INVITE", []string{"multipart/mixed", "application/sdp", "application/x-sh"}
		}},
	} {
		a := invite(s, c.to)
		a.Method, a.ContentTypes = "MESSAGE", []string{"text/plain"}
		if !a.To.Outside() {
			a.Direction = call.Internal
		}
		if c.change != nil {
			c.change(a)
		}
		if d := s.Judge(a); show(d) != c.want {
			t.Errorf("%s: %s, want %s", c.to, show(d), c.want)
		}
		if d := open.Judge(a); show(d) != c.opened {
			t.Errorf("%s, messages opened: %s, want %s", c.to, show(d), c.opened)
		}
	}
}
