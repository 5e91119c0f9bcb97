package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
)

func TestExceptions(t *testing.T) {
	countries := pack("countries", "version: 1\ncountries: {default: deny, classes: {premium_rate: deny, mobile: deny}}\n")
	night := pack("toll", `
version: 1
rules:
  - {id: toll/night, on: invite, match: {to: {country: JM}}, then: reject 480}
  - {id: toll/second, on: invite, match: {to: {country: JM}}, then: reject 486}
  - {id: toll/told, on: invite, match: {to: {country: LV}}, then: flag}
limits:
  - {id: toll/rate, on: invite, key: user, rate: 1/s, then: reject 480}
`)
	local := func(exceptions string) *policy.Set {
		t.Helper()
		return compile(t, countries, night, file("local.yaml", "version: 1\nhome: {country: FR}\nexceptions:\n"+exceptions))
	}
	for _, c := range []struct{ name, exceptions, to, want, trace string }{
		{"none that fits", `  - {rule: countries/denied, match: {user: ["1042"]}, owner: alice, expires: 2026-12-01}`,
			"+18765550100", "reject 403 countries/class-denied", "countries/class-denied toll/night"},
		{"of the place alone", `  - {rule: countries/denied, match: {user: ["1001"], to: {country: [JM]}}, owner: alice, ticket: T-17, expires: 2026-12-01}`,
			"+18765550100", "reject 403 countries/class-denied", "countries/class-denied toll/night"},
		{"of the class alone: the country stays shut", `  - {rule: countries/class-denied, match: {user: ["1001"]}, owner: alice, expires: 2026-12-01}`,
			"+18765550100", "reject 403 countries/denied", "except:countries/class-denied countries/denied toll/night"},
		{"of both: the pack's rule stays", `  - {rule: countries/class-denied, match: {user: ["1001"]}, owner: alice, expires: 2026-12-01}
  - {rule: countries/denied, match: {to: {country: JM}}, owner: alice, expires: 2026-12-01}`,
			"+18765550100", "reject 480 toll/night", "except:countries/class-denied except:countries/denied toll/night"},
		{"of a rule: the next one decides", `  - {rule: countries/class-denied, match: {user: ["1001"]}, owner: alice, expires: 2026-12-01}
  - {rule: countries/denied, match: {to: {country: JM}}, owner: alice, expires: 2026-12-01}
  - {rule: toll/night, match: {to: {country: JM}}, owner: alice, expires: 2026-12-01}`,
			"+18765550100", "reject 486 toll/second", "except:countries/class-denied except:countries/denied except:toll/night toll/second"},
		{"of a flag", `  - {rule: countries/denied, match: {to: {country: LV}}, owner: alice, expires: 2026-12-01}
  - {rule: toll/told, match: {to: {country: LV}}, owner: alice, expires: 2026-12-01}`,
			"+37167123456", "abstain", "except:countries/denied except:toll/told"},
		{"of what is no number", `  - {rule: countries/invalid-number, match: {user: ["1001"]}, owner: alice, expires: 2026-12-01}`,
			"*97", "abstain", "except:countries/invalid-number"},
	} {
		s := local(c.exceptions)
		d := s.Judge(invite(s, c.to))
		if show(d) != c.want || strings.Join(d.Trace, " ") != c.trace {
			t.Errorf("%s: %s (%v), want %s (%s)", c.name, show(d), d.Trace, c.want, c.trace)
		}
	}

	s := local(`  - {rule: countries/class-denied, match: {to: {country: JM}}, owner: alice, ticket: T-17, expires: 2026-11-24}`)
	a := invite(s, "+18765550100")
	if got := fmt.Sprint(s.Judge(a).Evidence); !strings.Contains(got, "{exception countries/class-denied alice, T-17, until 2026-11-24T00:00:00Z}") {
		t.Error(got)
	}
	if a.At = noon.AddDate(0, 0, 1); show(s.Judge(a)) != "reject 403 countries/class-denied" {
		t.Error("an exception holds after its end")
	}
	if e := s.Exceptions(); len(e) != 1 || e[0].Owner != "alice" || e[0].Ticket != "T-17" || e[0].Rule != policy.RuleClassDenied || e[0].File != "local.yaml" || e[0].Line != 4 {
		t.Errorf("%+v", e)
	}

	// A limit is not asked, and the trace says why.
	s = local(`  - {rule: toll/rate, match: {user: ["1001"]}, owner: alice, expires: 2026-12-01}`)
	a = invite(s, "0123456789")
	if l := s.Limits()[0]; l.Match(a) {
		t.Error("a limit that is excepted counts")
	} else if a.User = "1002"; !l.Match(a) {
		t.Error("an exception for one user lets another past")
	}
	if a.User = "1001"; strings.Join(s.Judge(a).Trace, " ") != "except:toll/rate" {
		t.Error(s.Judge(a).Trace)
	}
}

// Many exceptions of one rule are looked up, not scanned, and nothing is
// allocated while none fits.
func TestManyExceptions(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nrules: [{id: a/no, on: invite, then: reject 403}]\nexceptions:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  - {rule: a/no, match: {user: \"%d\"}, owner: o, expires: 2027-01-01}\n", 2000+i)
	}
	s := compile(t, file("a.yaml", b.String()))
	for user, want := range map[string]string{"1999": "reject 403 a/no", "2000": "abstain", "3999": "abstain", "4000": "reject 403 a/no"} {
		a := invite(s, "0123456789")
		if a.User = user; show(s.Judge(a)) != want {
			t.Errorf("%s: %s, want %s", user, show(s.Judge(a)), want)
		}
	}
}

func TestExceptionProblems(t *testing.T) {
	got := problems(file("a.yaml", `version: 1
rules:
  - {id: a/no, on: any, then: drop, mode: off}
  - {id: a/yes, on: any, match: {user: x}, then: allow}
exceptions:
  - {rule: a/non, match: {user: x}, owner: o, expires: 2027-01-01}
  - {rule: a/yes, match: {user: x}, owner: o, expires: 2027-01-01}
  - {rule: a/no, match: {user: x}, owner: o, expires: 2027-01-01}
  - {rule: countries/denied, match: {user: x}}
  - {rule: base/malformed, match: {user: x}, owner: o, expires: 2027-01-01}
  - {rule: a/no, owner: o, expires: 2026-01-01}
  - {match: {to: {}}}
  - {rule: a/no, match: {}, owner: o, expires: 2027-01-01}
`))
	for _, want := range []string{
		`a.yaml:6:12: there is no rule or limit a/non` + "\n    hint: did you mean a/no?",
		`a.yaml:7:12: rule a/yes allows; there is nothing to open`,
		`a.yaml:8:12: warning: a/no is switched off`,
		`a.yaml:9:12: warning: without countries: there is no countries/denied`,
		`a.yaml:9:6: warning: nobody owns the exception`,
		`a.yaml:9:6: warning: the exception never ends`,
		`a.yaml:10:12: there are no exceptions to base/malformed` + "\n    hint: nothing opens what is malformed",
		`a.yaml:11:6: the exception does not say for whom`,
		`warning: expired at 2026-01-01T00:00:00Z`,
		`exceptions[6].rule is missing`,
		`a.yaml:13:25: warning: the exception is for everybody`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// `allow` in a file opens nothing that a pack refuses, by a rule or by
// countries:.
func TestAllowOpensNothing(t *testing.T) {
	s := compile(t, pack("p", `
version: 1
countries: {default: deny}
rules: [{id: p/no, on: invite, match: {to: {prefix: "+3312"}}, then: reject 480}]
`), file("local.yaml", `
version: 1
home: {country: FR}
rules: [{id: local/yes, on: any, match: {user: "1001"}, then: allow}]
`))
	for to, want := range map[string]string{"0123456789": "reject 480 p/no", "+18765550100": "reject 403 countries/denied", "0234567890": "allow local/yes"} {
		if d := s.Judge(invite(s, to)); show(d) != want {
			t.Errorf("%s: %s, want %s", to, show(d), want)
		}
	}
}

// Who wrote a rule is in its evidence.
func TestOwnerInEvidence(t *testing.T) {
	s := compile(t, file("a.yaml", "version: 1\nrules: [{id: a/no, on: invite, then: reject 403, owner: alice, ticket: T-1, expires: 2027-01-31}]\n"+
		"limits: [{id: a/rate, on: any, rate: 1/s, then: drop, owner: bob, ticket: T-2}]\n"))
	if got := fmt.Sprint(s.Judge(invite(s, "0123456789")).Evidence); got != "[{rule.owner alice <nil>} {rule.ticket T-1 <nil>} {rule.expires 2027-01-31T00:00:00Z <nil>}]" {
		t.Error(got)
	}
	if got := fmt.Sprint(s.Limits()[0].Notes); got != "[{rule.owner bob <nil>} {rule.ticket T-2 <nil>}]" {
		t.Error(got)
	}
}

// An exception may have a condition; one that cannot be evaluated opens
// nothing.
func TestExceptionWhen(t *testing.T) {
	s := compile(t, file("a.yaml", `
version: 1
home: {country: FR}
countries: {default: deny}
rules: [{id: a/no, on: invite, then: reject 480}]
exceptions:
  - {rule: countries/denied, when: 'call.to.country == "GB"', owner: o, expires: 2027-01-01}
  - {rule: a/no, match: {user: "1001"}, when: '100 / (int(request.size) - 600) > 0', owner: o, expires: 2027-01-01}
`))
	for _, c := range []struct {
		to   string
		size int
		want string
	}{
		{"+442079460000", 601, "abstain"},
		{"+442079460000", 599, "reject 480 a/no"},
		{"+442079460000", 600, "reject 480 a/no"},
		{"+34912345678", 601, "reject 403 countries/denied"},
	} {
		a := invite(s, c.to)
		if a.Size = c.size; show(s.Judge(a)) != c.want {
			t.Errorf("%s, %d bytes: %s, want %s", c.to, c.size, show(s.Judge(a)), c.want)
		}
	}
}

// To be rid of a pack's entry its id and mode: off are enough.
func TestModeOffAlone(t *testing.T) {
	base := pack("p", "version: 1\nrules: [{id: p/no, on: any, then: drop}]\nlimits: [{id: p/rate, on: any, rate: 1/s, then: drop}]\n")
	s := compile(t, base, file("a.yaml", "version: 1\nrules: [{id: p/no, mode: off}]\nlimits: [{id: p/rate, mode: off}]\n"))
	if d := s.Judge(invite(s, "1")); show(d) != "abstain" || len(s.Limits()) != 0 {
		t.Error(show(d), s.Limits())
	}
	var modes []string
	for _, r := range s.Rules() {
		modes = append(modes, fmt.Sprintf("%s %s %s %v", r.ID, r.File, r.Mode, r.Limit))
	}
	if got := strings.Join(modes, ", "); !strings.Contains(got, "p/no a.yaml off false") || !strings.Contains(got, "p/rate a.yaml off true") {
		t.Error(got)
	}
	got := problems(base, file("a.yaml", "version: 1\nrules: [{id: p/not, mode: off}, {id: p/no, mode: shadow}, {id: a/b, on: any, match: {to: {region: carribean}}, then: drop}]\n"))
	for _, want := range []string{
		"a.yaml:2:14: warning: no pack in use has p/not: nothing is switched off\n    hint: did you mean p/no?",
		"rules[1].on is missing", "rules[1].then is missing",
		"unknown region \"carribean\"\n    hint: did you mean caribbean?",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s in\n%s", want, got)
		}
	}
}
