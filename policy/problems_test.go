package policy_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

func problems(files ...policy.Source) string {
	s, ps := policy.Compile(files, policy.Options{Now: noon})
	text := ps.String()
	if (s == nil) != (ps.Err() != nil) {
		text += "\nSET AND PROBLEMS DISAGREE"
	}
	return text
}

// Every problem of every file, each at its place.
func TestAllProblemsAtOnce(t *testing.T) {
	got := problems(file("a.yaml", `version: 1
home: {country: XX}
countries:
  default: perhaps
  allow: [DE, de, NO, 0033, "0033", +44, AQ, "+4420", Germany]
  deny: ["+4420"]
  classes: {premium: deny, satellite: no}
  short: ["116117", "+4930", "123456789"]
lists: {night: ["1020"]}
rules:
  - {id: Toll, on: invite, then: reject 403}
  - {id: a/when, on: invite, when: "call.to.contry == 'JM'", then: reject 403}
  - {id: a/on, on: [invite, invit, progress], then: ban 1h}
  - {id: a/then, on: any, then: reject 200, mode: maybe, severity: bad, action: scaner}
  - {id: a/match, on: any, match: {direction: out, transport: sctp, user: [], source: {cidr: 192.0.2.1/24, country: "+49"}, user_agent: "(", to: {}, hours: "22:00-06:00"}, then: allow}
  - {id: a/to, on: any, match: {to: {class: premium, prefix: [GB], list: x}}, then: flag, why: "{call.to.nobody}"}
  - {id: a/on, on: any, then: drop}
  - {id: countries/denied, on: any, then: drop}
  - {id: a/old, on: any, then: drop, expires: 2026-01-01}
  - {on: any}
  - {id: a/rejct, on: any, then: rejct 403}
limits:
  - {id: a/nothing, on: any, then: drop}
  - {id: a/both, on: register, rate: 5/s, concurrent: 2, then: allow}
  - {id: a/key, on: any, key: [source.ip, sorce.ip, source.ip, register.user], rate: fast, then: reject 999}
  - {id: a/over, on: register, failures: 3, then: drop}
exceptions: []
tests:
  - {name: x}
`), file("b.yaml", "version: 2\nrules: [{id: a/then, on: any, then: drop}]\n"))
	for _, want := range []string{
		`a.yaml:2:8: home: country: "XX" is not the ISO code`,
		`a.yaml:4:12: countries.default: "perhaps" is neither allow nor deny`,
		`a.yaml:5:15: countries.allow[1]: "de" is neither a country nor a prefix` + "\n    hint: write DE",
		`a.yaml:5:23: countries.allow[3]: the prefix 0033 has no quotes: YAML reads such a number in ways that change it` + "\n" + `    hint: write "+33"`,
		`a.yaml:5:29: countries.allow[4]: the prefix "0033" does not begin with + and a country code` + "\n" + `    hint: write "+33"`,
		`a.yaml:5:37: countries.allow[5]: the prefix +44 has no quotes`,
		`a.yaml:5:42: no telephone numbers belong to a country AQ`,
		`countries.allow[8]: "Germany" is neither a country nor a prefix`,
		`a.yaml:6:10: +4420 is both allowed and denied`,
		`unknown class "premium"`,
		`countries.classes.satellite: "no" is neither allow nor deny`,
		`a.yaml:8:21: "+4930" is not a short number of 2 to 8 digits`,
		`"123456789" is not a short number`,
		`a.yaml:11:10: rule id "Toll" is not file-or-pack/kebab-name`,
		`a.yaml:12:45: when: call.to has no field "contry"` + "\n      call.to.contry == 'JM'\n              ^\n    hint: did you mean call.to.country?",
		`unknown request "invit"` + "\n    hint: did you mean invite?",
		`reject 200: a SIP refusal is 400 to 699`,
		`a.yaml:21:34: rules[10].then: "rejct 403" is no action: did you mean reject?`,
		`"maybe" is not one of enforce, shadow, off`,
		`"bad" is not one of info, low, medium, high, critical`,
		`unknown action "scaner"` + "\n    hint: did you mean scanner?",
		`unknown direction "out"`,
		`unknown transport "sctp"`,
		`192.0.2.1/24 has bits set behind its length` + "\n    hint: write 192.0.2.0/24",
		`+49 is a prefix, not a country`,
		`"(" is not a regular expression`,
		`the list is empty`,
		`nothing to match`,
		`match.hours[0]: "22:00-06:00": no time zone; write`,
		`GB is a country, not a prefix`,
		`there is no list "x"` + "\n    hint: write it under lists:",
		`unknown placeholder {call.to.nobody}`,
		`rule id a/on is taken by a.yaml:13:6`,
		`countries/denied is what the countries: section is called`,
		`warning: expired at 2026-01-01T00:00:00Z`,
		`rules[9].id is missing`,
		`rules[9].then is missing`,
		`limit a/nothing must say one of rate, concurrent, failures`,
		`limit a/both must say one of rate, concurrent, failures`,
		`only calls are concurrent`,
		`a limit can reject, drop, challenge, ban or hold`,
		`unknown key "sorce.ip"` + "\n    hint: did you mean source.ip?",
		`key source.ip stands there twice`,
		`register.user exists in REGISTER only`,
		`"fast" is not a rate such as`,
		`reject 999: a SIP refusal is 400 to 699`,
		`this is counted over: a time from 1s to 7d`,
		`a.yaml:29:6: a test has a request or events`,
		`b.yaml:1:10: this version reads policy files of version 1, not 2`,
		`b.yaml:2:14: rule id a/then is taken by a.yaml:14:6`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(got, "exceptions") {
		t.Error("an empty list asks for nothing, yet is a problem")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// What takes the place of a pack's entry cannot expire: the pack's own would
// not come back, and what it refused would be open.
func TestOverridesDoNotExpire(t *testing.T) {
	p := pack("p", `
version: 1
rules: [{id: p/no, on: invite, then: reject 403}]
limits: [{id: p/few, on: invite, key: [user], rate: 1/s, then: reject 480}]
`)
	got := problems(p, file("a.yaml", `version: 1
rules:
  - {id: p/no, on: invite, then: flag, expires: 2027-01-31}
  - {id: a/own, on: invite, then: flag, expires: 2027-01-31}
limits:
  - {id: p/few, mode: off, expires: 2027-01-31}
`))
	for _, want := range []string{"a.yaml:3:49: p/no takes the place of a pack's entry", "a.yaml:6:37: p/few takes the place of a pack's entry"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s\n%s", want, got)
		}
	}
	if strings.Contains(got, "a/own") {
		t.Error(got)
	}
}

// A prefix that many countries share opens them all, those too that are denied
// by name: nobody means that.
func TestSharedPrefixOpensDeniedCountry(t *testing.T) {
	for countries, want := range map[string]string{
		`{allow: ["+1"], deny: [JM]}`:     `a.yaml:2:35: JM is denied, and +1, which is allowed in a.yaml:2, opens it all the same`,
		`{allow: ["+44"], deny: [GB]}`:    `GB is denied, and +44`,
		`{allow: ["+4"], deny: [DE]}`:     `DE is denied, and +4`,
		`{allow: ["+4420"], deny: [GB]}`:  "",
		`{allow: ["+1876"], deny: [JM]}`:  "",
		`{allow: ["+1212"], deny: [JM]}`:  "",
		`{allow: [US], deny: ["+1", JM]}`: "",
	} {
		if got := problems(file("a.yaml", "version: 1\ncountries: "+countries+"\n")); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s", countries, got)
		}
	}
	// What a file says takes the place of what a pack says.
	if got := problems(pack("p", "version: 1\ncountries: {deny: [JM]}\n"), file("a.yaml", "version: 1\ncountries: {allow: [\"+1\"]}\n")); strings.Contains(got, "all the same") {
		t.Error(got)
	}
}

// An id of the gateway's own would stand in alerts for what it is not.
func TestIDsOfTheGateway(t *testing.T) {
	for _, id := range []string{"base/emergency", "base/stranger", "base/malformed", "policy/condition-failed", "limits/peer-calls", "bans/banned"} {
		if got := problems(file("a.yaml", "version: 1\nrules: [{id: "+id+", on: invite, then: flag}]\n")); !strings.Contains(got, "is what the gateway itself decides") {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestWarningsLeaveASet(t *testing.T) {
	a := file("a.yaml", "version: 1\ncountries: {default: allow, deny: [JM, GB]}\n")
	b := file("b.yaml", "version: 1\ncountries: {default: deny, allow: [JM]}\n")
	for _, order := range [][]policy.Source{{a, b}, {b, a}} {
		s, ps := policy.Compile(order, policy.Options{})
		if s == nil || len(ps) != 2 {
			t.Fatalf("%s", ps)
		}
		// Of two files the stricter counts.
		for _, to := range []string{"+18765550100", "+34912345678"} {
			if d := s.Judge(invite(s, to)); d.Rule != policy.RuleDenied {
				t.Errorf("%s: %s", to, show(d))
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("version: 1\ncountries: {default: deny, allow: [DE, \"+4420\"]}\n")
	f.Add("version: 1\nrules:\n  - {id: a/b, on: any, match: {to: {country: [DE]}, user_agent: x}, then: reject 480, why: \"{source.ip}\"}\n")
	f.Add("version: 1\nlimits:\n  - {id: a/b, on: register, key: [source.ip], failures: 3, over: 5m, then: drop}\n")
	f.Add("version: 1\nhome: {country: US, national: \"1\"}\n")
	f.Add("version: 1\nlists: {l: [\"+1876\", \"+44\"], u: {kind: text, values: [alice]}}\nrules:\n  - {id: a/b, on: any, match: {to: {list: l}, user: {list: u}, hours: [\"Mon-Fri 22:00-06:00 Europe/Paris\"], size: \">4KiB\"}, then: drop}\n  - {id: a/c, mode: off}\n")
	f.Add("version: 1\ncountries: {default: deny}\nexceptions: [{rule: countries/denied, match: {to: {country: JM}}, owner: o, expires: 2027-01-01}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, ps := policy.Compile([]policy.Source{file("f.yaml", text)}, policy.Options{Now: noon})
		if (s == nil) != (ps.Err() != nil) {
			t.Fatalf("a set and an error, or neither: %s", ps)
		}
		if s == nil {
			return
		}
		a := invite(s, "+18765550100")
		d := s.Judge(a)
		if d.Verdict == call.Reject && (d.Status < 400 || d.Rule == "" || d.Reason == "" || d.Action == "") || d.Verdict == call.Challenge {
			t.Fatalf("%+v", d)
		}
		for _, l := range s.Limits() {
			kinds := 0
			for _, set := range []bool{l.Rate > 0, l.Concurrent > 0, l.Failures > 0} {
				if set {
					kinds++
				}
			}
			if kinds != 1 || l.Verdict < call.Reject {
				t.Fatalf("%+v", l)
			}
		}
	})
}
