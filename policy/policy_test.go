package policy_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func file(name, text string) policy.Source { return policy.Source{Name: name, Data: []byte(text)} }
func pack(name, text string) policy.Source {
	return policy.Source{Name: name, Data: []byte(text), Pack: true}
}

func compile(t testing.TB, files ...policy.Source) *policy.Set {
	t.Helper()
	s, ps := policy.Compile(files, policy.Options{Now: noon})
	if s == nil || len(ps) > 0 {
		t.Fatalf("problems:\n%s", ps)
	}
	return s
}

// invite makes an outbound INVITE of user 1001 to a dialled number.
func invite(s *policy.Set, to string) *call.Attempt {
	a := &call.Attempt{At: noon, Method: "INVITE", PeerKind: call.Phone, User: "1001", Direction: call.Outbound,
		Source: call.Source{Addr: netip.MustParseAddrPort("203.0.113.9:5061"), Transport: "tls", Registered: true}}
	a.From.User, a.To.User = "1001", to
	s.Plan().Normalise("1001", number.Dialled).Fill(&a.From)
	s.Plan().Normalise(to, number.Dialled).Fill(&a.To)
	return a
}

func show(d call.Decision) string {
	s := d.Verdict.String()
	if d.Status != 0 {
		s += " " + string('0'+rune(d.Status/100)) + string('0'+rune(d.Status/10%10)) + string('0'+rune(d.Status%10))
	}
	if d.Rule != "" {
		s += " " + d.Rule
	}
	for _, also := range d.Also {
		s += " + " + also.Rule
		if also.Shadow {
			s += " (shadow " + also.Verdict.String() + ")"
		}
	}
	return s
}

// A link-local address comes with its zone, which no network has.
func TestNetworksTakeNoNoticeOfZones(t *testing.T) {
	s := compile(t, file("a.yaml", `
version: 1
rules: [{id: a/local, on: any, match: {source: {cidr: "fe80::/10"}}, then: reject 403}]
`))
	a := invite(s, "1002")
	a.Source.Addr = netip.MustParseAddrPort("[fe80::1%eth0]:5061")
	if d := s.Judge(a); d.Rule != "a/local" {
		t.Errorf("%s", show(d))
	}
}

func TestCountries(t *testing.T) {
	countriesPack := pack("countries", `
version: 1
countries:
  default: deny
  deny: ["+4470"]
  classes: {premium_rate: deny, satellite: deny, shared_cost: deny, unallocated: deny}
`)
	admin := file("local.yaml", `
version: 1
home: {country: FR}
countries:
  allow: [DE, GB, US, "+1876523", "+870"]
  deny: ["+1212"]
`)
	denied := "reject 403 countries/denied"
	for _, c := range []struct{ to, want string }{
		{"0123456789", "abstain"},
		{"0612345678", "abstain"},
		{"0899123456", "reject 403 countries/class-denied"},
		{"004930123456", "abstain"},
		{"+442079460000", "abstain"},
		{"+447012345678", denied},                              // the pack's prefix goes before the file's country
		{"tel:+44-(0)70-1234-5678", denied},                    // however it is spelt
		{"+16175550100", "abstain"},                            // US
		{"+12125550100", denied},                               // the file's prefix goes before its country
		{"+18765550100", denied},                               // Jamaica is not the US
		{"+18765230100", "abstain"},                            // a longer prefix is
		{"+14165550100", denied},                               // Canada
		{"+34912345678", denied},                               // default
		{"+870301234567", "reject 403 countries/class-denied"}, // nothing in allow: opens a class
		{"+80012345678", denied},                               // no country at all
		{"+44207946", "reject 403 countries/class-denied"},     // unallocated
		{"*97", "reject 403 countries/invalid-number"},         // outbound means: to a carrier
		{"1042", "reject 403 countries/invalid-number"},        // so does an extension
		{"urn:service:sos", "abstain"},                         // not our question
		{"112", "abstain"},                                     //
		{"+441481256789", denied},                              // Guernsey is not GB
		{"00441481256789;phone-context=+33", denied},           //
		{"%2B1876%35550100", denied},                           //
		{"%252B18765550100", "reject 403 countries/denied"},    // escaped twice
	} {
		s := compile(t, countriesPack, admin)
		a := invite(s, c.to)
		d := s.Judge(a)
		if show(d) != c.want {
			t.Errorf("%s (%s %s %s): %s, want %s", c.to, a.To.Number, a.To.Country, a.To.Class, show(d), c.want)
		}
		if d.Verdict == call.Reject {
			if d.Reason == "" || d.Action != call.CallRejected || d.Subject.Value != "1001" || len(d.Evidence) == 0 || len(d.Trace) != 1 {
				t.Errorf("%s: incomplete decision %+v", c.to, d)
			}
			last := d.Evidence[len(d.Evidence)-1]
			if last.Value != number.Builtin().Version() {
				t.Errorf("%s: no data version in %v", c.to, d.Evidence)
			}
		}
		a.Direction = call.Internal // a phone asks the PBX for a star code
		if d := s.Judge(a); d.Verdict != call.Abstain {
			t.Errorf("%s, internal: %s", c.to, show(d))
		}
	}
}

func TestCountriesWithoutHome(t *testing.T) {
	s := compile(t, file("p.yaml", "version: 1\ncountries: {default: deny, allow: [GB]}\n"))
	if d := s.Judge(invite(s, "0018765550100")); show(d) != "reject 403 countries/denied" {
		t.Error(show(d))
	}
	s = compile(t, file("p.yaml", "version: 1\ncountries: {default: allow, deny: [JM]}\n"))
	if d := s.Judge(invite(s, "0018765550100")); show(d) != "reject 403 countries/denied" {
		t.Error(show(d))
	}
	if d := s.Judge(invite(s, "0034912345678")); show(d) != "abstain" {
		t.Error(show(d))
	}
	s = compile(t, file("p.yaml", "version: 1\n"))
	if d := s.Judge(invite(s, "0018765550100")); show(d) != "abstain" {
		t.Error("no countries section has an opinion: ", show(d))
	}
	// The options' plan goes before the files'.
	de, err := number.Compile(number.Home{Country: "DE"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, ps := policy.Compile([]policy.Source{file("p.yaml", "version: 1\nhome: {country: FR}\ncountries: {default: deny}\n")}, policy.Options{Plan: de})
	if s == nil {
		t.Fatal(ps)
	}
	if d := s.Judge(invite(s, "030123456")); show(d) != "abstain" {
		t.Error(show(d))
	}
}

func TestShortNumbers(t *testing.T) {
	s := compile(t, file("p.yaml", "version: 1\nhome: {country: DE}\ncountries: {default: deny, short: [\"116117\", \"115\"]}\n"))
	for to, want := range map[string]string{
		"116117": "abstain", "115": "abstain", "116118": "reject 403 countries/invalid-number", "1161170": "reject 403 countries/invalid-number",
		"00116117": "reject 403 countries/denied", "+116117": "reject 403 countries/denied",
	} {
		if d := s.Judge(invite(s, to)); show(d) != want {
			t.Errorf("%s: %s, want %s", to, show(d), want)
		}
	}
}

func TestRules(t *testing.T) {
	text := `
version: 1
rules:
  - {id: a/flag-germany, on: invite, match: {to: {country: [DE, AT]}}, then: flag, severity: low, why: "{call.from.user} calls {call.to.e164}"}
  - {id: a/shadow-mobile, on: invite, match: {to: {class: mobile}}, then: reject 480, mode: shadow}
  - {id: a/vip, on: invite, match: {user: "1001", to: {prefix: ["+4930"]}}, then: allow}
  - {id: a/no-germany, on: invite, match: {direction: outbound, to: {country: DE}}, then: reject 603, owner: alice, ticket: T-1}
  - {id: a/expired, on: any, match: {transport: tls}, then: drop, expires: 2026-12-01}
  - {id: a/scanner, on: any, match: {user_agent: [friendly-scanner, "^sipcli"]}, then: drop, action: scanner, severity: high, why: "scanner {request.user_agent}"}
  - {id: a/strangers, on: invite, match: {stranger: true, source: {cidr: [192.0.2.0/24, "2001:db8::/32"]}}, then: allow}
  - {id: a/peer, on: invite, match: {direction: inbound, peer: carrier-a, from: {international: true}}, then: reject}
  - {id: a/geo, on: register, match: {source: {country: KP}, registered: false}, then: reject 403}
  - {id: a/off, on: any, then: drop, mode: off}
`
	second := file("b.yaml", "version: 1\nrules: [{id: b/no-berlin, on: invite, match: {to: {prefix: \"+4930\"}}, then: reject 403}]\n")
	s, ps := policy.Compile([]policy.Source{file("a.yaml", text)}, policy.Options{Now: noon})
	if s == nil {
		t.Fatal(ps)
	}
	two := compile(t, file("a.yaml", text), second)
	late := func(a *call.Attempt) { a.At = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	stranger := func(addr string) func(*call.Attempt) {
		return func(a *call.Attempt) {
			late(a)
			a.PeerKind, a.User = call.Stranger, ""
			a.Source = call.Source{Addr: netip.MustParseAddrPort(addr), Transport: "udp", Country: "KP"}
		}
	}
	agent := func(ua string) func(*call.Attempt) {
		return func(a *call.Attempt) { late(a); a.UserAgent = ua }
	}
	for _, c := range []struct {
		name string
		set  *policy.Set
		to   string
		edit func(*call.Attempt)
		want string
	}{
		{"before the expiry", s, "+34912345678", nil, "drop a/expired"},
		{"after it", s, "+34912345678", late, "abstain"},
		{"first terminal rule decides, flags go on", s, "+4930123456", late, "allow a/vip + a/flag-germany"},
		{"another user", s, "+4930123456", func(a *call.Attempt) { late(a); a.User = "1002" }, "reject 603 a/no-germany + a/flag-germany"},
		{"shadow and flag", s, "+4915123456789", late, "reject 603 a/no-germany + a/flag-germany + a/shadow-mobile (shadow reject)"},
		{"shadow alone", s, "+393123456789", late, "abstain + a/shadow-mobile (shadow reject)"},
		{"across files the strictest", two, "+4930123456", late, "reject 403 b/no-berlin + a/flag-germany"},
		{"scanner", s, "1", agent("Friendly-Scanner/2"), "drop a/scanner"},
		{"scanner at the start", s, "1", agent("SIPCLI/1"), "drop a/scanner"},
		{"not at the start", s, "1", agent("mysipcli"), "abstain"},
		{"stranger from a network", s, "1", stranger("192.0.2.7:5060"), "allow a/strangers"},
		{"v4-mapped is v4", s, "1", stranger("[::ffff:192.0.2.7]:5060"), "allow a/strangers"},
		{"IPv6 network", s, "1", stranger("[2001:db8::7]:5060"), "allow a/strangers"},
		{"stranger from elsewhere", s, "1", stranger("198.51.100.7:5060"), "abstain"},
		{"peer", s, "1", func(a *call.Attempt) {
			late(a)
			a.Direction, a.Peer, a.PeerKind = call.Inbound, "carrier-a", call.Carrier
			a.From.Kind = call.International
		}, "reject 403 a/peer"},
		{"register by country", s, "1", func(a *call.Attempt) { stranger("198.51.100.7:5060")(a); a.Method = "REGISTER" }, "reject 403 a/geo"},
		{"emergency", s, "112", nil, "abstain"},
	} {
		a := invite(c.set, c.to)
		if c.edit != nil {
			c.edit(a)
		}
		if d := c.set.Judge(a); show(d) != c.want {
			t.Errorf("%s: %s, want %s", c.name, show(d), c.want)
		}
	}

	d := s.Judge(func() *call.Attempt { a := invite(s, "1"); agent("friendly-scanner\r\n")(a); return a }())
	if d.Action != call.ScannerDetected || d.Severity != call.High || d.Reason != "scanner friendly-scanner\r\n" || len(d.Evidence) != 1 || d.Evidence[0].Threshold != "friendly-scanner" {
		t.Errorf("%+v", d)
	}
	a := invite(s, "+4930123456")
	late(a)
	if d := s.Judge(a); d.Also[0].Reason != "1001 calls +4930123456" || d.Also[0].Action != call.RuleFlagged || strings.Join(d.Trace, " ") != "a/flag-germany a/vip" {
		t.Errorf("%+v", d)
	}
	var owners []string
	for _, r := range s.Rules() {
		owners = append(owners, r.ID+":"+r.Mode+":"+r.Owner)
	}
	if got := strings.Join(owners, " "); !strings.Contains(got, "a/no-germany:enforce:alice") || !strings.Contains(got, "a/off:off:") || !strings.Contains(got, "a/shadow-mobile:shadow:") {
		t.Error(got)
	}
}

func TestPacksAreOverridable(t *testing.T) {
	base := pack("scanners", `
version: 1
rules:
  - {id: scanners/user-agents, on: any, match: {user_agent: scanner}, then: drop}
  - {id: scanners/second, on: any, match: {user_agent: scanner}, then: reject 403}
limits:
  - {id: scanners/rate, on: any, key: source.ip, rate: 5/s, burst: 20, then: drop}
`)
	over := file("local.yaml", `
version: 1
rules:
  - {id: scanners/user-agents, on: any, match: {user_agent: scanner}, then: drop, mode: off}
limits:
  - {id: scanners/rate, on: any, key: source.ip, rate: 50/s, then: reject 480}
`)
	s := compile(t, over, base) // whatever the order they are given in
	a := invite(s, "1")
	a.UserAgent = "scanner"
	if d := s.Judge(a); show(d) != "reject 403 scanners/second" {
		t.Error(show(d))
	}
	l := s.Limits()
	if len(l) != 1 || l[0].Rate != 50 || l[0].Burst != 50 || l[0].Verdict != call.Reject || l[0].Status != 480 {
		t.Errorf("%+v", l)
	}
	if r := s.Rules(); len(r) != 5 || !r[0].Overridden || r[0].File != "scanners" {
		t.Errorf("%+v", r)
	}
}

func TestRevision(t *testing.T) {
	one := compile(t, file("a", "version: 1\n"))
	same := compile(t, file("a", "version: 1\n"))
	other := compile(t, file("a", "version: 1 # changed\n"))
	if one.Revision() != same.Revision() || one.Revision() == other.Revision() || len(one.Revision()) != 12 {
		t.Error(one.Revision(), same.Revision(), other.Revision())
	}
}

func TestLimits(t *testing.T) {
	s := compile(t, file("limits.yaml", `
version: 1
limits:
  - {id: limits/invite-per-source, on: invite, match: {stranger: true}, key: [source.ip], rate: 5/s, burst: 20, then: drop}
  - {id: limits/register-failures, on: register, key: [source.ip, register.user], failures: 10, over: 5m, then: reject 403}
  - {id: limits/calls-per-user, on: invite, match: {direction: outbound}, key: [user], concurrent: 4, then: reject 486, mode: shadow}
  - {id: limits/total, on: [register, options], rate: 90/m, then: drop, severity: high, action: flood, why: too much, expires: 2026-12-01}
`))
	l := s.Limits()
	if len(l) != 4 {
		t.Fatalf("%d limits", len(l))
	}
	if x := l[0]; x.Rate != 5 || x.Burst != 20 || x.Verdict != call.Drop || len(x.Key) != 1 {
		t.Errorf("%+v", x)
	}
	if x := l[1]; x.Failures != 10 || x.Over != 5*time.Minute || x.Status != 403 {
		t.Errorf("%+v", x)
	}
	if x := l[2]; x.Concurrent != 4 || !x.Shadow || x.Status != 486 {
		t.Errorf("%+v", x)
	}
	x := l[3]
	if x.Rate != 1.5 || x.Burst != 2 || x.Key != nil || x.Severity != call.High || x.Action != call.Flood || x.Reason != "too much" {
		t.Errorf("%+v", x)
	}
	a := invite(s, "+4930123456")
	if l[0].Match(a) || !l[2].Match(a) || l[3].Match(a) {
		t.Error("matches the wrong requests")
	}
	a.Method = "OPTIONS"
	if !l[3].Match(a) {
		t.Error("does not match")
	}
	if a.At = noon.AddDate(1, 0, 0); l[3].Match(a) {
		t.Error("matches after its expiry")
	}
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	s := compile(t, file("a.yaml", benchRules(200)), file("b.yaml", "version: 1\nhome: {country: FR}\ncountries: {default: deny, allow: [DE, GB], deny: [\"+4470\"]}\n"))
	a := invite(s, "+4930123456")
	a.UserAgent = "Acme Phone 3.1.7"
	if n := testing.AllocsPerRun(100, func() {
		if d := s.Judge(a); d.Verdict != call.Abstain {
			t.Fatal(show(d))
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func benchRules(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range n {
		id := string('a'+rune(i/26%26)) + string('a'+rune(i%26))
		b.WriteString("  - {id: bench/" + id + ", on: invite, match: {direction: outbound, to: {prefix: [\"+3" + strconv.Itoa(100+i) + "\"]}, source: {cidr: 192.0.2.0/24}}, then: reject 403}\n")
	}
	b.WriteString("  - {id: bench/scanner, on: any, match: {user_agent: [friendly-scanner, sipvicious, pplsip]}, then: drop}\n")
	return b.String()
}

func BenchmarkJudge200Rules(b *testing.B) {
	s := compile(b, file("a.yaml", benchRules(200)), file("b.yaml", "version: 1\ncountries: {default: deny, allow: [DE, GB], deny: [\"+4470\"]}\n"))
	a := invite(s, "+4930123456")
	a.UserAgent = "Acme Phone 3.1.7"
	b.ReportAllocs()
	for b.Loop() {
		s.Judge(a)
	}
}

// TestOwnNumbers: a caller outside who claims one of our numbers.
func TestOwnNumbers(t *testing.T) {
	s := compile(t, file("local.yaml", `
version: 1
rules:
  - {id: local/own-number, on: invite, match: {from: {own: true}}, then: reject 403}
`))
	a := invite(s, "0123456789")
	if d := s.Judge(a); d.Verdict != call.Abstain {
		t.Errorf("another's number: %s", show(d))
	}
	a.From.Own = true
	if d := s.Judge(a); show(d) != "reject 403 local/own-number" {
		t.Errorf("our number: %s", show(d))
	}
	_, ps := policy.Compile([]policy.Source{file("local.yaml", "version: 1\nrules:\n  - {id: a/b, on: invite, match: {to: {own: true}}, then: drop}\n")}, policy.Options{})
	if ps.Err() == nil || !strings.Contains(ps.String(), "own is asked of the caller") {
		t.Errorf("own of the callee: %v", ps)
	}
}

// TestDiverted: calls that were passed on, by rule.
func TestDiverted(t *testing.T) {
	s := compile(t, file("local.yaml", `
version: 1
rules:
  - {id: local/forwarded-abroad, on: invite, match: {diverted: true, to: {international: true}}, then: reject 403}
`))
	a := invite(s, "00442079460000")
	if d := s.Judge(a); d.Verdict != call.Abstain {
		t.Errorf("a call of its own: %s", show(d))
	}
	a.Diversion = "1001"
	if d := s.Judge(a); show(d) != "reject 403 local/forwarded-abroad" {
		t.Errorf("a forwarded one: %s", show(d))
	}
}
