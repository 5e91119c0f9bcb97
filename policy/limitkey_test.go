package policy_test

import (
	"strings"
	"testing"
)

// A key may be an expression: its value is asked of the request, and what is
// not there is not counted.
func TestKeysOfExpressions(t *testing.T) {
	s := compile(t, file("a.yaml", `
version: 1
home: {country: FR}
lists: {vip: ["1001"]}
limits:
  - {id: a/prefix, on: invite, key: [user, {cel: "call.to.number.substring(0, 6)"}], rate: 1/s, then: reject 480}
  - {id: a/one, on: invite, key: {cel: "call.from.user in lists.vip ? '' : call.to.country"}, rate: 1/s, then: reject 480}
  - {id: a/number, on: invite, key: {cel: "size(call.from.user)"}, rate: 1/s, then: reject 480}
  - {id: a/error, on: invite, key: {cel: "call.to.number.substring(-1)"}, rate: 1/s, then: reject 480}
  - {id: a/names, on: invite, key: source.ip, rate: 1/s, then: reject 480}
`))
	a := invite(s, "00442079460000")
	got := map[string]string{}
	for _, l := range s.Limits() {
		for i, f := range l.Exprs {
			if f == nil {
				got[l.ID] += "name " + l.Key[i] + ", "
				continue
			}
			v, ok := f(a)
			if !ok {
				v = "failed"
			}
			got[l.ID] += l.Key[i] + "=" + v
		}
	}
	want := map[string]string{
		"a/prefix": "name user, call.to.number.substring(0, 6)=+44207",
		"a/one":    "call.from.user in lists.vip ? '' : call.to.country=GB",
		"a/number": "size(call.from.user)=4",
		"a/error":  "call.to.number.substring(-1)=failed",
	}
	if a.From.User == "1001" {
		want["a/one"] = "call.from.user in lists.vip ? '' : call.to.country="
	}
	for id, w := range want {
		if got[id] != w {
			t.Errorf("%s: %q, want %q", id, got[id], w)
		}
	}
	if got["a/names"] != "" || len(got) != len(want) {
		t.Errorf("%v", got)
	}
}

// What is wrong with a key is told with its place and what may have been meant,
// for names as for expressions.
func TestProblemsOfKeys(t *testing.T) {
	for key, want := range map[string]string{
		`[sorce.ip]`:                               "did you mean source.ip?",
		`["call.to.e164"]`:                         `unknown key "call.to.e164"`,
		`[{cel: "call.to.nmber"}]`:                 "a.yaml:3:59: key: call.to has no field \"nmber\"",
		`[{cel: "[call.to.user]"}]`:                "key: the key is a list of text",
		`[{cel: ""}]`:                              "key: the key is empty",
		`[{cell: "call.to.user"}]`:                 "did you mean cel?",
		`[{cel: 'counters["a/b"] + 1'}]`:           "a key that reads counters could count itself",
		`[{cel: "1 + 1"}]`:                         "so it counts all together",
		`[{cel: "user"}]`:                          "key: ",
		`[{cel: "peer.name"}, {cel: "peer.name"}]`: "key peer.name stands there twice",
		`[{cel: "call.to.user + call.to.user + call.to.user.substring(0, 3)"}]`: "",
		`[{cel: "string(request.user_agent.matches('x{1,999}x{1,999}z'))"}]`:    "the most is 6000",
	} {
		got := problems(file("a.yaml", "version: 1\nlimits:\n  - {id: a/b, on: invite, rate: 1/s, key: "+key+", then: reject 480}\n"))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %s", key, got)
		}
	}
	got := problems(file("a.yaml", "version: 1\nlimits:\n  - {id: a/b, on: invite, failures: 3, over: 1m, key: [source.ip, {cel: call.to.user}], then: ban}\n"))
	if !strings.Contains(got, "a ban is of names") {
		t.Error(got)
	}
}
