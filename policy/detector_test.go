package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/policy"
)

const detectorPack = `version: 1
detectors:
  - {id: fraud/ping-call, then: flag, guard_callback: 72h}
  - {id: fraud/ping-call-callback, then: reject 603}
  - {id: fraud/toll-fraud, then: hold 2h}
  - {id: fraud/robocall}
`

func detectors(t *testing.T, files ...policy.Source) map[string]param.Entry {
	t.Helper()
	set, ps := policy.Compile(files, policy.Options{})
	if set == nil {
		t.Fatalf("%v", ps)
	}
	out := map[string]param.Entry{}
	for _, d := range set.Detectors() {
		out[d.ID] = d
	}
	return out
}

// TestDetectorsMerge: what a profile and a file do not say of a detector stays as
// the pack has it; what no pack has, a profile does not begin.
func TestDetectorsMerge(t *testing.T) {
	pack := policy.Source{Name: "pack", Data: []byte(detectorPack), Pack: true}
	profile := policy.Source{Name: "profile", Profile: true, Pack: true, Data: []byte(`version: 1
detectors:
  - {id: fraud/all, warm_up: 3d}
  - {id: fraud/robocall, calls: 40, callees: 30}
  - {id: fraud/false-answer, calls: 9}
`)}
	site := file("site.yaml", `version: 1
detectors:
  - {id: fraud/ping-call-callback, mode: shadow, owner: alice, ticket: T-1}
  - {id: fraud/robocall, callees: 12, mode: off}
  - {id: fraud/toll-fraud, risk_hour: 12.5, mode: enforce}
`)
	got := detectors(t, site, pack, profile)
	if len(got) != 5 {
		t.Errorf("%d detectors, want 5: %v", len(got), got)
	}
	if d := got["fraud/ping-call"]; d.Off || d.Mode != "" || d.Verdict != call.Abstain || len(d.Values) != 1 || d.Values[0] != (param.Value{Key: "guard_callback", Value: 72 * 3600}) || d.File != "pack" || d.Line != 3 {
		t.Errorf("%+v", d)
	}
	if d := got["fraud/ping-call-callback"]; d.Verdict != call.Reject || d.Status != 603 || d.Mode != "shadow" || d.Owner != "alice" || d.Ticket != "T-1" || d.File != "site.yaml" {
		t.Errorf("%+v", d)
	}
	if d := got["fraud/robocall"]; !d.Off || len(d.Values) != 2 || d.Values[0] != (param.Value{Key: "calls", Value: 40}) || d.Values[1] != (param.Value{Key: "callees", Value: 12}) {
		t.Errorf("%+v", d)
	}
	if d := got["fraud/toll-fraud"]; d.Act != call.ActHold || d.For != 2*time.Hour || d.Mode != "enforce" || d.Values[0].Value != 12.5 {
		t.Errorf("%+v", d)
	}
	if d := got["fraud/all"]; len(d.Values) != 1 || d.Values[0].Value != 3*86400 {
		t.Errorf("%+v", d)
	}
}

// TestEachDetectorCanBeSwitchedOff: the packs' own tests of it are in nobody's way.
func TestEachDetectorCanBeSwitchedOff(t *testing.T) {
	for _, id := range param.IDs()[1:] {
		s := shipped(t, "FR", file("site.yaml", "version: 1\ndetectors:\n  - {id: "+id+", mode: off}\n"))
		for _, d := range s.Detectors() {
			if d.Off != (d.ID == id) {
				t.Errorf("%s switched off: %+v", id, d)
			}
		}
	}
	got := problems(pack("pack", detectorPack), file("site.yaml", "version: 1\ndetectors: [{id: fraud/ping-call, mode: off}]\ntests:\n  - {name: it is off, invite: {from: \"1001\", to: \"1002\"}, expect: {findings: [fraud/ping-call]}}\n"))
	if !strings.Contains(got, "detector fraud/ping-call is switched off in site.yaml:2") {
		t.Error(got)
	}
}

// TestAllDetectorsOff: it can be done, and is told.
func TestAllDetectorsOff(t *testing.T) {
	if got := problems(pack("pack", detectorPack), file("site.yaml", "version: 1\ndetectors: [{id: fraud/all, mode: off}]\n")); !strings.Contains(got, "site.yaml:2") || !strings.Contains(got, "nobody looks for fraud") {
		t.Error(got)
	}
}

// TestDetectorsWrong: each mistake is told where it stands, with what to do.
func TestDetectorsWrong(t *testing.T) {
	for _, c := range []struct{ entry, want, hint string }{
		{`fraud/ping-call`, "a detector is a mapping", "write {id:"},
		{`{then: flag}`, "id is missing", ""},
		{`{id: fraud/pingcall}`, `there is no detector "fraud/pingcall"`, "did you mean fraud/ping-call?"},
		{`{id: fraud/ping-call, guard: 72h}`, `no parameter "guard"`, "known: id"},
		{`{id: fraud/ping-call, guard_calback: 72h}`, `no parameter "guard_calback"`, "did you mean guard_callback?"},
		{`{id: fraud/toll-fraud, guard_callback: 72h}`, `no parameter "guard_callback"`, "guard_callback is a parameter of fraud/ping-call"},
		{`{id: fraud/ping-call, guard_callback: 72}`, `"72" is no time`, ""},
		{`{id: fraud/ping-call, guard_callback: 90d}`, "must be 0s to 60d", ""},
		{`{id: fraud/ping-call, share: 1.5}`, "must be 0 to 1", ""},
		{`{id: fraud/ping-call, share: NaN}`, "must be 0 to 1", ""},
		{`{id: fraud/ping-call, callees: 2.5}`, `"2.5" is no whole number`, ""},
		{`{id: fraud/ping-call, callees: "3"}`, "without quotes", ""},
		{`{id: fraud/ping-call, callees: [3]}`, "is a count", ""},
		{`{id: fraud/ping-call, then: ban 1h}`, "a detector does not ban 1h", ""},
		{`{id: fraud/ping-call, then: allow}`, "a detector does not allow", ""},
		{`{id: fraud/all, then: flag}`, "", ""},
		{`{id: fraud/all, then: hangup}`, "each detector has its own", ""},
		{`{id: fraud/ping-call, mode: of}`, `"of" is not one of enforce`, ""},
		{`{id: fraud/ping-call, then: reject 99}`, "400 to 699", ""},
	} {
		_, ps := policy.Compile([]policy.Source{file("site.yaml", "version: 1\ndetectors:\n  - "+c.entry+"\n")}, policy.Options{})
		if c.want == "" {
			if ps.Err() != nil {
				t.Errorf("%s: %v", c.entry, ps)
			}
			continue
		}
		if len(ps) == 0 || !strings.Contains(ps[0].Message, c.want) || !strings.Contains(ps[0].Hint, c.hint) || ps[0].Line != 3 {
			t.Errorf("%s: got %+v, want %q with hint %q", c.entry, ps, c.want, c.hint)
		}
	}
	_, ps := policy.Compile([]policy.Source{file("a.yaml", "version: 1\ndetectors: [{id: fraud/robocall}]\n"), file("b.yaml", "version: 1\ndetectors: [{id: fraud/robocall}]\n")}, policy.Options{})
	if len(ps) != 1 || !strings.Contains(ps[0].Message, "stands in a.yaml:2 already") {
		t.Errorf("twice: %v", ps)
	}
}
