package replay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/replay"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/trial"
)

// side is what `rampart replay --home GB` makes, with a policy file if given.
func side(t *testing.T, file string, packs ...string) replay.Side {
	t.Helper()
	plan, err := number.Compile(number.Home{Country: "GB"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	var sources []policy.Source
	for _, name := range packs {
		data, ok := rules.Pack(name)
		if !ok {
			t.Fatalf("no pack %s", name)
		}
		sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
	}
	if file != "" {
		sources = append(sources, policy.Source{Name: "test.yaml", Data: []byte(file)})
	}
	set, ps := policy.Compile(sources, policy.Options{Plan: plan})
	if set == nil {
		t.Fatal(ps)
	}
	return replay.Side{Name: "new", Trial: trial.Options{Set: set}, Fraud: fraud.Defaults("office"), Rates: fraud.DefaultRates("GB", plan.Data())}
}

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func stamp(after time.Duration) string { return start.Add(after).Format("2006-01-02T15:04:05.000Z") }

// aCall is the lines of an outbound call.
func aCall(id string, after, lasts time.Duration, user, to string) string {
	return fmt.Sprintf(`{"at":%q,"event":"invite","id":%q,"direction":"outbound","account":"main","user":%q,"from":%q,"to":%q,"source":"192.0.2.7"}
{"at":%q,"event":"answer","id":%q}
{"at":%q,"event":"end","id":%q,"code":200,"ended_by":"caller","ring_seconds":2,"seconds":%g}
`, stamp(after), id, user, user, to, stamp(after+2*time.Second), id, stamp(after+2*time.Second+lasts), id, lasts.Seconds())
}

func run(t *testing.T, text string, o replay.Options) *replay.Report {
	t.Helper()
	rep, err := replay.Run(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestNewlyRefused(t *testing.T) {
	s := side(t, `
version: 1
countries: {default: allow, deny: [JM]}
limits:
  - {id: test/at-a-time, on: invite, match: {direction: outbound}, key: [user], concurrent: 1, then: reject 486}
`)
	var alerts []alert.Event
	s.Alerts = func(e alert.Event) { alerts = append(alerts, e) }
	text := aCall("a", 0, time.Minute, "1001", "+442079460000") +
		aCall("b", 2*time.Minute, time.Minute, "1001", "+18765550100") + // Jamaica
		aCall("c", 4*time.Minute, time.Minute, "1001", "+442079460001")
	rep := run(t, text, replay.Options{New: s})
	if rep.Calls != 3 || rep.NewlyRefused["countries/denied"] != 1 || rep.Refused != 1 {
		t.Errorf("%+v", rep)
	}
	if len(alerts) != 1 || alerts[0].Rule.ID != "countries/denied" || !alerts[0].Timestamp.Equal(start.Add(2*time.Minute)) {
		t.Errorf("%+v", alerts)
	}
}

// The file is cut into chunks anywhere; lines are numbered as in the file, and
// what cannot be read is left out.
func TestMalformed(t *testing.T) {
	var b strings.Builder
	b.WriteString("{\n\n")
	for i := range 4000 {
		b.WriteString(aCall(fmt.Sprint("c", i), time.Duration(i)*time.Minute, 10*time.Second, "1001", "+442079460000"))
	}
	b.WriteString(`{"at":"2026-02-01T00:00:00Z","event":"dance","id":"x"}` + "\n" + `{"event":"options","id":"x"}`)
	for _, workers := range []int{1, 3} {
		rep := run(t, b.String(), replay.Options{New: side(t, "version: 1\n"), Workers: workers})
		if rep.Calls != 4000 || rep.Events != 12000 || rep.Malformed != 3 || rep.Bad[0].Line != 1 || rep.Bad[1].Line != 12003 || rep.Bad[2].Line != 12004 {
			t.Errorf("%d calls, %d events, %+v", rep.Calls, rep.Events, rep.Bad)
		}
	}
}

// Ping calls and a call back: the finding, and its alert.
func TestDetectors(t *testing.T) {
	s := side(t, "version: 1\n")
	seen := map[call.Action]int{}
	s.Alerts = func(e alert.Event) { seen[e.Event.Action]++ }
	var b strings.Builder
	for i := range 12 {
		at := time.Duration(i) * 20 * time.Second
		fmt.Fprintf(&b, `{"at":%q,"event":"invite","id":"p%d","direction":"inbound","account":"main","peer":"carrier","user":"10%02d","from":"+22420000001","to":"+4420794600%02d","source":"198.51.100.1"}
{"at":%q,"event":"ringing","id":"p%d"}
{"at":%q,"event":"end","id":"p%d","code":487,"ended_by":"caller","ring_seconds":1.5,"seconds":0}
`, stamp(at), i, i, i, stamp(at+100*time.Millisecond), i, stamp(at+1600*time.Millisecond), i)
	}
	b.WriteString(aCall("back", 10*time.Minute, time.Minute, "1003", "+22420000001"))
	rep := run(t, b.String(), replay.Options{New: s})
	if rep.Findings[fraud.IDPing] == 0 || rep.Findings[fraud.IDCallback] == 0 || seen[call.PingCall] == 0 || seen[call.PingCallCallback] == 0 {
		t.Errorf("%+v, alerts %v", rep.Findings, seen)
	}
}

// Failed registrations are counted by the limits, whose findings the detectors
// and the alerts see.
func TestRegistrations(t *testing.T) {
	s := side(t, "", "base")
	seen := map[call.Action]int{}
	s.Alerts = func(e alert.Event) { seen[e.Event.Action]++ }
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, `{"at":%q,"event":"register","id":"r%d","account":"main","user":"1%03d","source":"198.51.100.9","code":401}`+"\n", stamp(time.Duration(i)*time.Second), i, i)
	}
	rep := run(t, b.String(), replay.Options{New: s})
	if seen[call.RegistrationBruteforce] == 0 || rep.Findings["base/register-failures-over-users"] == 0 {
		t.Errorf("alerts %v, findings %v", seen, rep.Findings)
	}
}
