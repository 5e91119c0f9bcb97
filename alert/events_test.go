package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func seconds(f float64) *float64 { return &f }

// day is one event of each kind.
func day() []call.Event {
	at := func(s float64) call.Time { return call.Time{Time: t0.Add(time.Duration(s * float64(time.Second)))} }
	return []call.Event{
		{At: at(0), Kind: call.EventRegister, ID: "r1", Account: "main", User: "1001", Source: "203.0.113.77", SourceCountry: "FR", Code: 200, UserAgent: "baresip v3"},
		{At: at(1), Kind: call.EventRegister, ID: "r2", Account: "main", User: "1002", Source: "198.51.100.9", SourceCountry: "NL", Code: 401, Credentials: "none"},
		{At: at(2), Kind: call.EventOptions, ID: "o1", Source: "198.51.100.9", UserAgent: "friendly-scanner", Credentials: "none"},
		{At: at(3.0005), Kind: call.EventInvite, ID: "01JGT7", Direction: "outbound", Account: "main", User: "1001", From: "1001", To: "+442079460000",
			Dialled: "00442079460000", Source: "203.0.113.77", SourceCountry: "FR", UserAgent: "baresip v3", Verdict: "allow"},
		{At: at(4), Kind: call.EventRinging, ID: "01JGT7"},
		{At: at(9), Kind: call.EventAnswer, ID: "01JGT7"},
		{At: at(70), Kind: call.EventEnd, ID: "01JGT7", Code: 200, EndedBy: call.ByCaller, RingSeconds: seconds(5), Seconds: seconds(61)},
		{At: at(71), Kind: call.EventInvite, ID: "01JGT8", Direction: "outbound", Account: "main", User: "1001", From: "1001", To: "+18765550100",
			Dialled: "0018765550100", Diversion: "1003", Verdict: "reject", Rule: "countries/denied", Source: "203.0.113.77"},
		{At: at(71.002), Kind: call.EventEnd, ID: "01JGT8", Code: 403, EndedBy: call.ByGateway, RingSeconds: seconds(0), Seconds: seconds(0)},
		{At: at(80), Kind: call.EventMessage, ID: "m1", Direction: "internal", From: "1001", To: "1002", Dialled: "1002", Verdict: "allow"},
		{At: at(81), Kind: call.EventFinding, ID: "f1", Source: "198.51.100.9", SourceCountry: "NL", Verdict: "drop", Rule: "base/register-failures-over-users",
			Action: call.RegistrationBruteforce, Subject: &call.Subject{Kind: "source", Value: "198.51.100.9"}, Count: 25,
			Evidence: []call.Evidence{{Name: "failures", Value: 25, Threshold: "25 failures over 5 different register.user in 5m0s"}}},
	}
}

func TestGoldenEvents(t *testing.T) {
	schema := compile(t, "event")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := NewStream(StreamOptions{Node: "sbc-1"}, m)
		var returned bytes.Buffer
		for _, e := range day() {
			line, _ := event{s.Write(e)}.Line()
			returned.Write(line)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(returned.Bytes(), m.data()) {
			t.Errorf("what Write returns is not what is written")
		}
		if n := valid(t, schema, m.data()); n != len(day()) {
			t.Errorf("%d lines", n)
		}
		golden(t, "events/day.jsonl", m.data())
		if e := s.Write(day()[0]); e.Seq != 0 {
			t.Errorf("seq %d after Close", e.Seq)
		}
	})
}

// The schema has to see a field that does not belong to its kind.
func TestEventSchemaRefuses(t *testing.T) {
	schema := compile(t, "event")
	good := `{"at":"2026-01-05T03:06:18.728Z","seq":1,"event":"end","id":"x","ended_by":"caller"}`
	var v any
	json.Unmarshal([]byte(good), &v)
	if err := schema.Validate(v); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`{"at":"2026-01-05T03:06:18.728Z","seq":1,"event":"answer","id":"x","ended_by":"caller"}`,
		`{"at":"2026-01-05T03:06:18.728Z","seq":1,"event":"invite","id":"x","credentials":"none"}`,
		`{"at":"2026-01-05T03:06:18.728Z","seq":1,"event":"end","id":"x","dialled":"1"}`,
		`{"at":"2026-01-05T03:06:18Z","seq":1,"event":"end","id":"x"}`,
		`{"at":"2026-01-05T03:06:18.728Z","seq":0,"event":"end","id":"x"}`,
		`{"at":"2026-01-05T03:06:18.728Z","seq":1,"event":"end","id":"x","extra":1}`,
	} {
		var v any
		json.Unmarshal([]byte(bad), &v)
		if schema.Validate(v) == nil {
			t.Errorf("passes: %s", bad)
		}
	}
}

func TestStreamOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStream(StreamOptions{First: 41})
		at := func(d time.Duration) call.Event {
			return call.Event{At: call.Time{Time: t0.Add(d)}, Kind: call.EventAnswer, ID: "x"}
		}
		a, b, c := s.Write(at(time.Second)), s.Write(at(0)), s.Write(at(1500*time.Microsecond+time.Second))
		if a.Seq != 41 || b.Seq != 42 || c.Seq != 43 {
			t.Errorf("seq %d %d %d", a.Seq, b.Seq, c.Seq)
		}
		if !b.At.Equal(a.At.Time) {
			t.Errorf("the overtaken event is at %v, before %v", b.At, a.At)
		}
		if want := t0.Add(time.Second + time.Millisecond); !c.At.Equal(want) {
			t.Errorf("at %v, want whole milliseconds: %v", c.At, want)
		}
		s.Close(t.Context())
	})
}

func TestStreamFromManyGoroutines(t *testing.T) {
	m := &memory{}
	s := NewStream(StreamOptions{}, m)
	sub := s.Subscribe(20_000)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				s.Write(call.Event{At: call.Time{Time: t0.Add(time.Duration(i) * time.Millisecond)}, Kind: call.EventInvite, ID: fmt.Sprint(g)})
			}
		})
	}
	wg.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var last call.Event
	check := func(e call.Event) {
		t.Helper()
		if e.Seq != last.Seq+1 || e.At.Before(last.At.Time) {
			t.Fatalf("%+v follows %+v", e, last)
		}
		last = e
	}
	for e := range sub.C {
		check(e)
	}
	if last.Seq != 8000 || sub.Lost() != 0 {
		t.Errorf("the subscriber saw %d events", last.Seq)
	}
	last = call.Event{}
	for l := range bytes.Lines(m.data()) {
		var e call.Event
		if err := json.Unmarshal(l, &e); err != nil {
			t.Fatal(err)
		}
		check(e)
	}
	if last.Seq != 8000 {
		t.Errorf("the file has %d events", last.Seq)
	}
}

func TestStreamLossIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{name: "events", gate: make(chan struct{})}
		other := &memory{name: "alerts"}
		bus := NewBus(Options{}, other)
		s := NewStream(StreamOptions{Queue: 4, Report: bus.Degraded}, m)
		sub := s.Subscribe(2)
		for range 20 {
			s.Write(day()[4])
			synctest.Wait()
		}
		close(m.gate)
		s.Close(t.Context())
		st := s.Stats()
		if st.Seq != 20 || st.Sinks[0].LostFull == 0 || int(st.Sinks[0].Written)+int(st.Sinks[0].LostFull) != 20 || m.lines() != int(st.Sinks[0].Written) {
			t.Errorf("%+v, %d lines", st, m.lines())
		}
		if st.LostSub != 18 || sub.Lost() != 18 {
			t.Errorf("subscriber lost %d", sub.Lost())
		}
		bus.Close(t.Context())
		if es := parse(t, other.data()); len(es) == 0 || es[0].Event.Action != call.SinkDegraded {
			t.Errorf("no alert about the event file: %s", other.data())
		}
		s.Subscribe(1).Close()
	})
}

func FuzzEventLine(f *testing.F) {
	f.Add("1001", "baresip", uint8(0), 1.5)
	f.Add("\xff\u202e\x00", "", uint8(1), -1.0)
	schema := compile(f, "event")
	f.Fuzz(func(t *testing.T, user, agent string, kind uint8, secs float64) {
		e := day()[int(kind)%len(day())]
		e.Credentials, e.EndedBy, e.Dialled, e.Seconds, e.Code = "stale", call.ByCallee, user, &secs, int(secs)
		e.User, e.From, e.To, e.UserAgent, e.ID, e.Diversion, e.Rule = user, user, agent, agent, user, agent, user
		e.Seq = 1
		line, err := event{cleanEvent(e)}.Line()
		if err != nil {
			t.Fatal(err)
		}
		if n := valid(t, schema, line); n != 1 {
			t.Fatalf("%d lines: %q", n, line)
		}
	})
}
