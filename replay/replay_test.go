package replay_test

import (
	"fmt"
	"net/netip"
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
	if rep.Calls != 3 || rep.NewlyRefused["countries/denied"] == nil || rep.Refused != 1 {
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
	if rep.Found[fraud.IDPing] == nil || rep.Found[fraud.IDCallback] == nil || seen[call.PingCall] == 0 || seen[call.PingCallCallback] == 0 {
		t.Errorf("%+v, alerts %v", rep.Found, seen)
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
	if seen[call.RegistrationBruteforce] == 0 || rep.Found["base/register-failures-over-users"] == nil {
		t.Errorf("alerts %v, findings %v", seen, rep.Found)
	}
}

const openButJM = `
version: 1
countries: {default: allow, deny: [JM]}
`

// Two policies: what differs is told, in both ways, with what it costs.
func TestAgainst(t *testing.T) {
	old := side(t, "version: 1\ncountries: {default: allow, deny: [CU]}\nrules: [{id: t/flagged, on: invite, then: flag}]\n")
	next := side(t, openButJM)
	next.Rates = fraud.DefaultRates("GB", number.Builtin())
	text := aCall("a", 0, time.Minute, "1001", "+442079460000") + aCall("b", 2*time.Minute, 3*time.Minute, "1001", "+18765550100") +
		aCall("c", 9*time.Minute, time.Minute, "1001", "+5371234567")
	rep := run(t, text, replay.Options{New: next, Old: &old})
	r, a := rep.NewlyRefused["countries/denied"], rep.NewlyAllowed["countries/denied"]
	if r == nil || r.Calls != 1 || r.Examples[0].ID != "b" || a == nil || a.Calls != 1 || a.Examples[0].ID != "c" || len(rep.NewlyFlagged) != 0 {
		t.Errorf("refused %+v, allowed %+v, flagged %+v", r, a, rep.NewlyFlagged)
	}
	jm, _ := next.Rates.Look("+18765550100")
	if want := 3 * jm.PerMinute; rep.Money.Refused < want-.01 || rep.Money.Refused > want+.01 || rep.Money.Spent <= want {
		t.Errorf("%+v, want %g kept", rep.Money, want)
	}
	rep = run(t, text, replay.Options{New: old, Old: &next})
	if f := rep.NewlyFlagged["t/flagged"]; f == nil || f.Calls != 3 {
		t.Errorf("flagged %+v", rep.NewlyFlagged)
	}
}

// A recorded refusal that the policy on trial does not share.
func TestNewlyAllowed(t *testing.T) {
	text := `{"at":"2026-01-05T09:00:00Z","seq":1,"event":"invite","id":"a","direction":"outbound","account":"main","user":"1001","from":"1001","to":"+18765550100","source":"192.0.2.7","verdict":"reject","rule":"countries/denied"}
{"at":"2026-01-05T09:00:00Z","seq":2,"event":"end","id":"a","code":403,"ended_by":"gateway","ring_seconds":0,"seconds":0}
`
	rep := run(t, text, replay.Options{New: side(t, "version: 1\n")})
	if a := rep.NewlyAllowed["countries/denied"]; a == nil || a.Calls != 1 || rep.RefusedOld != 1 || rep.Refused != 0 {
		t.Errorf("%+v", rep)
	}
}

// CDRs come in the order of ends; their events are put in that of time, so that a
// long call that began first is there when the second begins.
func TestCDRs(t *testing.T) {
	s := side(t, `
version: 1
limits:
  - {id: test/at-a-time, on: invite, match: {direction: outbound}, key: [user], concurrent: 1, then: reject 486}
`)
	cdr := func(id string, from, answer, end time.Duration, to string) string {
		return fmt.Sprintf(`{"id":"r%[1]s","call_id":%[1]q,"node":"n","account":"main","user":"1001","direction":"outbound","from":"1001","to":%[2]q,"to_number":%[2]q,"to_kind":"national","start":%[3]q,"answer":%[4]q,"end":%[5]q,"ring_ms":2000,"duration_ms":%[6]d,"ended_by":"caller","code":200,"verdict":"allow","source":"192.0.2.7:5061","coalesced":2,"passes":[]}`+"\n",
			id, to, stamp(from), stamp(answer), stamp(end), (end - answer).Milliseconds())
	}
	text := cdr("short", time.Minute, time.Minute+2*time.Second, 2*time.Minute, "+442079460000") + cdr("long", 0, 2*time.Second, 10*time.Minute, "+442079460001") +
		cdr("later", 11*time.Minute, 11*time.Minute+2*time.Second, 12*time.Minute, "+442079460002")
	rep := run(t, text, replay.Options{New: s})
	r := rep.NewlyRefused["test/at-a-time"]
	if rep.CDRs != 3 || rep.Calls != 3 || rep.Answered != 3 || rep.Back != 0 || rep.Folded != 6 || r == nil || r.Calls != 1 || r.Examples[0].ID != "short" || len(rep.Blind()) != 2 {
		t.Errorf("%+v, refused %+v", rep, r)
	}
}

// Alarms are measured where it is known what was an attack.
func TestLabels(t *testing.T) {
	labels, err := replay.ReadLabels("l", strings.NewReader(`{"id":"AT","ids":["r0","r30","r59","x"]}
{"id":"HN","hardneg":true,"ids":["h0"]}
{"id":"missed","ids":["nothing"]}`))
	if err != nil || len(labels) != 5 {
		t.Fatal(labels, err)
	}
	var b strings.Builder
	guess := func(id, source string, after time.Duration) {
		for i := range 60 {
			fmt.Fprintf(&b, `{"at":%q,"event":"register","id":"%s%d","account":"main","user":"1%03d","source":%q,"code":401}`+"\n", stamp(after+time.Duration(i)*time.Second), id, i, i, source)
		}
	}
	guess("r", "198.51.100.9", 0)
	guess("h", "198.51.100.10", 3*time.Hour)
	for i := range 60 { // every alarm of the first names an event of the attack
		labels[fmt.Sprint("r", i)] = "AT"
	}
	rep := run(t, b.String(), replay.Options{New: side(t, "", "base"), Attacks: labels})
	l := rep.Labelled
	if l.Attacks != 2 || l.Found != 1 || l.False == 0 || l.Incidents <= l.False || l.Examples[0].Source != "198.51.100.10" {
		t.Errorf("%+v", l)
	}
}

func TestGeo(t *testing.T) {
	g, err := replay.ReadGeo("g", strings.NewReader("cidr,country\n192.0.2.0/24,gb\n192.0.2.128/25,FR\n2001:db8::/32,DE\n"))
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]string{"192.0.2.7": "GB", "192.0.2.200": "FR", "::ffff:192.0.2.200": "FR", "2001:db8::1": "DE", "198.51.100.1": "", "2001:db9::1": ""} {
		if got := g.Country(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
	}
	for _, bad := range []string{"x,GB", "192.0.2.0/24,GBR", "192.0.2.0/24"} {
		if _, err := replay.ReadGeo("g", strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A clock that steps back is taken as standing still, and the file has to be one.
func TestBack(t *testing.T) {
	rep := run(t, aCall("a", time.Hour, time.Minute, "1001", "+442079460000")+aCall("b", 0, time.Minute, "1001", "+442079460000"), replay.Options{New: side(t, "version: 1\n")})
	if rep.Back != 3 || rep.Calls != 2 || !rep.Last.Equal(start.Add(time.Hour+62*time.Second)) {
		t.Errorf("%+v", rep)
	}
	long := strings.Repeat("x", 3<<20)
	if _, err := replay.Run(strings.NewReader("\n"+long), replay.Options{New: side(t, "version: 1\n")}); err == nil || !strings.Contains(err.Error(), "line 2 is longer") {
		t.Errorf("%v", err)
	}
}

// The same recording gives the same alerts, byte for byte, however many decode it.
func TestSameAgain(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		at := time.Duration(i) * 41 * time.Second
		fmt.Fprintf(&b, `{"at":%q,"event":"register","id":"r%d","account":"main","user":"1%03d","source":"198.51.100.%d","code":%d}`+"\n", stamp(at), i, i%40, i%7, []int{401, 404, 200}[i%3])
		b.WriteString(aCall(fmt.Sprint("c", i), at, time.Duration(i%9)*time.Minute, fmt.Sprint(1000+i%20), fmt.Sprintf("+3712%07d", i*7919)))
	}
	lines := func(workers int) string {
		s := side(t, "", "base", "scanners", "toll-fraud", "ping-call")
		var out strings.Builder
		s.Alerts = func(e alert.Event) {
			line, err := e.Line()
			if err != nil {
				t.Fatal(err)
			}
			out.Write(line)
		}
		run(t, b.String(), replay.Options{New: s, Workers: workers})
		return out.String()
	}
	first := lines(1)
	if strings.Count(first, "\n") < 10 || first != lines(1) || first != lines(3) {
		t.Errorf("%d lines, then others", strings.Count(first, "\n"))
	}
}
