package policy_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
)

// shipped compiles all packs, as `use:` does, and files after them.
func shipped(t testing.TB, home string, files ...policy.Source) *policy.Set {
	t.Helper()
	plan, err := number.Compile(number.Home{Country: home}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []policy.Source
	for _, name := range rules.Names() {
		data, _ := rules.Pack(name)
		all = append(all, pack(name, string(data)))
	}
	s, ps := policy.Compile(append(all, files...), policy.Options{Plan: plan, Now: noon})
	if s == nil || len(ps) > 0 {
		t.Fatalf("%s", ps)
	}
	return s
}

func TestPackIDsBelongToTheirPack(t *testing.T) {
	s := shipped(t, "FR")
	if len(s.Rules()) < 10 {
		t.Fatal("the packs are almost empty")
	}
	for _, r := range s.Rules() {
		if want := r.File + "/"; len(r.ID) <= len(want) || r.ID[:len(want)] != want {
			t.Errorf("%s is in pack %s", r.ID, r.File)
		}
	}
}

func TestCountriesPack(t *testing.T) {
	for _, c := range []struct {
		home, to, want string
		files          []policy.Source
	}{
		{"FR", "0123456789", "abstain", nil},
		{"FR", "0612345678", "abstain", nil},
		{"FR", "0800123456", "abstain", nil},
		{"FR", "0899123456", "reject 403 countries/class-denied", nil},
		{"FR", "+442079460000", "reject 403 countries/denied", nil},
		{"FR", "00881612345678", "reject 403 countries/class-denied", nil},
		{"FR", "+447012345678", "reject 403 countries/class-denied", nil},
		{"GB", "02079460000", "abstain", nil},
		{"GB", "07012345678", "reject 403 countries/class-denied", nil},
		{"US", "6175550100", "abstain", nil},
		{"US", "18765550100", "reject 403 countries/denied", nil},
		{"US", "18005550100", "abstain", nil},
		{"US", "19005550100", "reject 403 countries/class-denied", nil},
		{"", "+442079460000", "reject 403 countries/denied", nil},
		{"FR", "+442079460000", "abstain", []policy.Source{file("local.yaml", "version: 1\ncountries: {allow: [GB]}\n")}},
		{"FR", "+447012345678", "reject 403 countries/class-denied", []policy.Source{file("local.yaml", "version: 1\ncountries: {allow: [GB]}\n")}},
		{"FR", "+34912345678", "abstain", []policy.Source{file("local.yaml", "version: 1\ncountries: {default: allow}\n")}},
		{"FR", "0899123456", "abstain", []policy.Source{file("local.yaml", "version: 1\ncountries: {classes: {premium_rate: allow}}\n")}},
	} {
		s := shipped(t, c.home, c.files...)
		a := invite(s, c.to)
		if d := s.Judge(a); show(d) != c.want {
			t.Errorf("home %q: %s (%s %s): %s, want %s", c.home, c.to, a.To.Country, a.To.Class, show(d), c.want)
		}
	}
}

func TestScannersPack(t *testing.T) {
	s := shipped(t, "FR")
	for ua, want := range map[string][2]string{ // from a stranger, from a phone
		"friendly-scanner": {"scanners/user-agents", "scanners/user-agents"}, "SIPVicious 0.3": {"scanners/user-agents", "scanners/user-agents"},
		"sipcli/v1.8": {"scanners/user-agents", "scanners/user-agents"}, "pplsip": {"scanners/user-agents", "scanners/user-agents"},
		"VaxSIPUserAgent/3.5": {"scanners/user-agents", "scanners/user-agents"}, "VaxIPUserAgent": {"scanners/user-agents", "scanners/user-agents"},
		"sip-scan": {"scanners/user-agents", "scanners/user-agents"}, "sipsak 0.9.8": {"scanners/test-tools", ""},
		"": {}, "Yealink SIP-T46S 66.86": {}, "snomD785/10.1": {}, "Grandstream GXP2170": {}, "Zoiper rv2.10": {}, "MicroSIP/3.21": {}, "Linphone/5.0": {},
		"baresip v3.0": {}, "Asterisk PBX 20": {}, "FreeSWITCH": {}, "Cisco-CP8841/12.8": {}, "eyeBeam release 1102q": {}, "Bria 6": {}, "PolycomVVX-VVX_411": {},
		"FPBX-16": {}, "3CXPhoneSystem": {}, "Telephone 1.6": {}, "Jitsi2.10": {}, "Groundwire/6": {}, "JsSIP 3.13": {},
	} {
		a := invite(s, "0123456789")
		a.UserAgent = ua
		if d := s.Judge(a); d.Rule != want[1] {
			t.Errorf("%q from a phone: %q, want %q", ua, d.Rule, want[1])
		}
		a.PeerKind, a.User, a.Source.Registered, a.Method, a.Direction = call.Stranger, "", false, "OPTIONS", call.Internal
		d := s.Judge(a)
		if d.Rule != want[0] || d.Rule != "" && (d.Verdict != call.Drop || d.Action != call.Enumeration) {
			t.Errorf("%q from a stranger: %s, want %q", ua, show(d), want[0])
		}
	}
}

// The limits of the pack that decide whether an office can work. That they
// suffice when they are counted is tested in ratelimit.
func TestBasePack(t *testing.T) {
	got := map[string]policy.Limit{}
	for _, l := range shipped(t, "FR").Limits() {
		got[l.ID] = l
	}
	for id, want := range map[string]string{
		"base/register-per-stranger":    "10/s 400 0 0",
		"base/register-strangers-total": "300/s 3000 0 0",
		"base/register-per-user":        "1/s 20 0 0",
		"base/register-failures":        "0/s 0 0 10",
		"base/invite-per-user":          "2/s 20 0 0",
		"base/calls-per-user":           "0/s 0 20 0",
	} {
		l := got[id]
		if s := fmt.Sprintf("%v/s %d %d %d", l.Rate, l.Burst, l.Concurrent, l.Failures); s != want {
			t.Errorf("%s: %s, want %s", id, s, want)
		}
	}
	stranger := &call.Attempt{At: noon, Method: "REGISTER", Source: call.Source{Addr: netip.MustParseAddrPort("203.0.113.9:5061")}}
	if !got["base/register-per-stranger"].Match(stranger) {
		t.Error("strangers are not counted")
	}
	stranger.Source.Registered = true
	if got["base/register-per-stranger"].Match(stranger) {
		t.Error("an address from which somebody registered is a stranger")
	}
	// What a phone or peer gets is an answer; silence is for strangers.
	for id, l := range got {
		phone := &call.Attempt{At: noon, PeerKind: call.Phone, Source: call.Source{Registered: true}}
		for _, m := range []string{"REGISTER", "INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE"} {
			phone.Method = m
			if l.Match(phone) && (l.Verdict != call.Reject || l.Status == 503) {
				t.Errorf("%s silences a registered phone", id)
			}
		}
	}
}

func BenchmarkJudgeShipped(b *testing.B) {
	s := shipped(b, "FR")
	a := invite(s, "0123456789")
	a.UserAgent = "Yealink SIP-T46S 66.86.0.15"
	b.ReportAllocs()
	for b.Loop() {
		s.Judge(a)
	}
}
