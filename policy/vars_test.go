package policy_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/when"
)

// The reference pages are what the code says, so they cannot go stale.
func TestPagesOfTheTablesIsCurrent(t *testing.T) {
	for path, text := range map[string]string{"../docs/reference/variables.md": variablesPage(), "../docs/reference/actions.md": policy.ActionsPage()} {
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s is not what the code says (run go generate ./policy): %v", path, err)
		}
	}
}

func variablesPage() string {
	var b strings.Builder
	b.WriteString("<!-- Made from the code by go generate ./policy; change it there. -->\n# Variables of conditions\n" +
		"These names stand in `when:`, as `{placeholders}` in `why:`, and in the evidence of alerts. " +
		"A text that is longer than its size, in bytes, cannot be read: a rule that refuses then refuses, and one that allows or flags does not match.\n\n" +
		"| name | type | size | is | example |\n|---|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	vars, families := policy.Variables()
	for _, v := range vars {
		size := ""
		switch v.Kind {
		case when.Text:
			size = fmt.Sprint(v.Max)
		case when.Texts:
			size = "64 × 256"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", v.Name, v.Kind, size, cell(v.Doc), cell(v.Example))
	}
	b.WriteString("\n## Named by an argument\nThe argument is written out, in quotes: what a policy reads is known when it is loaded.\n\n| name | is | example |\n|---|---|---|\n")
	for _, f := range families {
		name := f.Name + `["` + f.What + `"]`
		switch {
		case f.Call:
			name = f.Name + `("` + f.What + `").` + strings.Join(f.Fields, ", .")
		case f.Dotted:
			name = f.Name + ".NAME"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` |\n", name, cell(f.Doc), cell(f.Example))
	}
	return b.String()
}

// Every variable gives what the request has, in a condition, in `why:` and as
// evidence; every example in the reference can be loaded.
func TestEveryVariable(t *testing.T) {
	a := &call.Attempt{At: time.Date(2026, 11, 23, 9, 5, 0, 0, time.UTC), Method: "INVITE", PeerKind: call.Carrier, Peer: "carrier-a", Account: "main", User: "1001",
		Source:    call.Source{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.7]:5061"), Transport: "tls", TLSVersion: "1.3", TLSSubject: "sip.carrier.example", Country: "DE", ASN: 64500, Registered: true},
		Direction: call.Inbound, Diversion: "1003", Transferred: true, RequestURI: "sip:42@example.com", UserAgent: "Acme", Hops: 69, Size: 700, Pass: 2, Elapsed: 90 * time.Second,
		ContentTypes: []string{"application/sdp", "text/plain"}, Headers: []call.Header{{Name: "x-a", Value: "1"}, {Name: "X-A", Value: "2"}},
		Media: call.Media{Offered: true, SRTP: true, Profile: "RTP/SAVP"}, RegisterUser: "1004", AuthUser: "1005", Expires: 600,
		From: call.Party{User: "0049301", Host: "h.example", Display: "Bank", Number: "+49301", Kind: call.International, Country: "DE", Region: "western-europe", Class: "fixed", Own: true},
		To:   call.Party{User: "42", Host: "i.example", Display: "You", Number: "42", Kind: call.Extension}}
	want := map[string]string{
		"source.ip": `"192.0.2.7"`, "source.port": "5061", "source.country": `"DE"`, "source.asn": "64500", "source.transport": `"tls"`, "source.tls.version": `"1.3"`,
		"source.tls.subject": `"sip.carrier.example"`, "source.registered": "true", "request.method": `"INVITE"`, "request.user_agent": `"Acme"`,
		"request.uri": `"sip:42@example.com"`, "request.size": "700", "request.body.content_types": `["application/sdp", "text/plain"]`,
		"peer.name": `"carrier-a"`, "peer.kind": `"carrier"`, "call.direction": `"inbound"`, "call.user": `"1001"`, "call.account": `"main"`,
		"call.media.offered": "true", "call.media.srtp": "true", "call.media.profile": `"RTP/SAVP"`, "call.diverted": "true", "call.diversion": `"1003"`,
		"call.transferred": "true", "call.hops": "69", "call.pass": "2", "call.seconds": "90", "register.user": `"1004"`, "register.auth_user": `"1005"`, "register.expires": "600",
		"clock.hour": "10", "clock.minute": "5", "clock.weekday": `"mon"`, "clock.time": `"10:05"`, "clock.date": `"2026-11-23"`,
		"call.from.user": `"0049301"`, "call.from.host": `"h.example"`, "call.from.display": `"Bank"`, "call.from.number": `"+49301"`, "call.from.e164": `"+49301"`,
		"call.from.kind": `"international"`, "call.from.country": `"DE"`, "call.from.region": `"western-europe"`, "call.from.class": `"fixed"`, "call.from.international": "true",
		"call.from.valid": "true", "call.from.own": "true",
		"call.to.user": `"42"`, "call.to.host": `"i.example"`, "call.to.display": `"You"`, "call.to.number": `"42"`, "call.to.e164": `""`, "call.to.kind": `"extension"`,
		"call.to.country": `""`, "call.to.region": `""`, "call.to.class": `""`, "call.to.international": "false", "call.to.valid": "true",
		`request.headers["X-A"]`: `"1, 2"`, `request.headers["x-b"]`: `""`, `clock.zone("America/New_York").hour`: "4", `clock.zone("America/New_York").weekday`: `"mon"`,
		`clock.zone("Asia/Tokyo").time`: `"18:05"`, `clock.zone("Asia/Tokyo").date`: `"2026-11-23"`, `clock.zone("Asia/Tokyo").minute`: "5", `counters["limits/calls-per-user"]`: "3",
	}
	compiled := func(condition string) (*policy.Set, string) {
		s, ps := policy.Compile([]policy.Source{file("v.yaml", "version: 1\nhome: {country: FR, timezone: Europe/Paris}\ncountries: {default: allow, allow: [DE, \"+4420\"], deny: [JM]}\n"+
			"lists: {night_shift: [\"1020\"]}\nlimits: [{id: limits/calls-per-user, on: invite, key: user, concurrent: 4, then: reject 486}]\n"+
			"rules:\n  - id: v/v\n    on: [invite, register, message]\n    when: |\n      "+condition+"\n    then: flag\n")}, policy.Options{})
		if s != nil {
			s.Count(counter(3))
		}
		return s, ps.String()
	}
	vars, families := policy.Variables()
	examples := map[string]string{}
	for _, v := range vars {
		if v.Kind != when.Members && want[v.Name] == "" {
			t.Errorf("%s is not tested", v.Name)
		}
		examples[v.Name] = v.Example
		if v.Doc == "" || !strings.Contains(v.Example, v.Name) {
			t.Errorf("%s: without a sentence, or its example is of another", v.Name)
		}
	}
	for _, f := range families {
		examples[f.Name] = f.Example
	}
	for name, example := range examples {
		if s, ps := compiled(example); s == nil {
			t.Errorf("the example of %s: %s", name, ps)
		}
	}
	for name, value := range want {
		s, ps := compiled(name + " == " + value)
		if s == nil {
			t.Errorf("%s: %s", name, ps)
			continue
		}
		d := s.Judge(a)
		if len(d.Also) != 1 || d.Also[0].Rule != "v/v" {
			t.Errorf("%s is not %s: %s", name, value, show(d))
		} else if e := d.Also[0].Evidence; len(e) != 1 || e[0].Name != name || e[0].Value == nil {
			t.Errorf("%s: evidence %+v", name, e)
		}
		if s, _ := compiled("!(" + name + " == " + value + ")"); s == nil || len(s.Judge(a).Also) != 0 {
			t.Errorf("%s is %s and is not", name, value)
		}
	}
	for condition, want := range map[string]bool{
		`call.from.country in countries.allow`: true, `call.from.country in countries.deny`: false, `"+442079460000" in countries.allow`: true,
		`"+441179460000" in countries.allow`: false, `"JM" in countries.deny`: true, `"1020" in lists.night_shift`: true, `call.user in lists.night_shift`: false,
	} {
		s, ps := compiled(condition)
		if s == nil {
			t.Errorf("%s: %s", condition, ps)
		} else if got := len(s.Judge(a).Also) == 1; got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

// A connection has sent no request: what conditions could ask of one is a
// problem.
func TestConditionsOfConnections(t *testing.T) {
	got := problems(file("a.yaml", "version: 1\nrules:\n  - {id: a/b, on: connect, when: 'request.user_agent == \"x\" || source.port < 99', then: drop}\n"))
	if !strings.Contains(got, "a.yaml:3:34: when: request.user_agent is not known on: connect") || strings.Contains(got, "source.port is") {
		t.Error(got)
	}
}
