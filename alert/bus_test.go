package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// flagged is an alert of one rule about one source, made now.
func flagged(rule, source string) Event {
	return FromDecision(&call.Attempt{At: time.Now(), Method: "INVITE"}, call.Decision{Verdict: call.Drop, Rule: rule, Action: call.Flood,
		Severity: call.Low, Reason: "too many", Subject: call.Subject{Kind: "source", Value: source}}, meta)
}

func parse(t *testing.T, data []byte) (out []Event) {
	t.Helper()
	for l := range strings.Lines(string(data)) {
		var e Event
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("%v: %q", err, l)
		}
		out = append(out, e)
	}
	return out
}

// story is a line of each event: seconds since start, rule, subject, count.
func story(es []Event, start time.Time) string {
	var b strings.Builder
	for _, e := range es {
		rule, sub := "-", "-"
		if e.Rule != nil {
			rule = e.Rule.ID
		}
		if e.Rampart.Subject != nil {
			sub = e.Rampart.Subject.Value
		}
		fmt.Fprintf(&b, "%gs %s %s %s", e.Timestamp.Sub(start).Seconds(), e.Event.Action, rule, sub)
		if c := e.Rampart.Count; c != 0 {
			fmt.Fprintf(&b, " x%d %g-%g", c, e.Rampart.First.Sub(start).Seconds(), e.Rampart.Last.Sub(start).Seconds())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func counted(es []Event) (n int) {
	for _, e := range es {
		n += max(e.Rampart.Count, 1)
	}
	return n
}

func TestBusCoalesces(t *testing.T) {
	schema := compile(t, "alert")
	synctest.Test(t, func(t *testing.T) {
		start, m := time.Now(), &memory{name: "m"}
		b := NewBus(Options{Meta: meta}, m)
		pub := func(wait time.Duration, e Event) { time.Sleep(wait); synctest.Wait(); b.Publish(e) }
		tick := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		b.Publish(Event{}) // nothing to alert about
		b.Publish(flagged("limits/a", "192.0.2.1"))
		synctest.Wait()
		if m.lines() != 1 {
			t.Fatalf("the first alert has to go out at once")
		}
		tick(time.Second)
		b.Publish(flagged("limits/a", "192.0.2.1"))
		b.Publish(flagged("limits/a", "192.0.2.2")) // another subject
		b.Publish(flagged("limits/b", "192.0.2.1")) // another rule
		tick(time.Second)
		b.Publish(flagged("limits/a", "192.0.2.1"))
		tick(9 * time.Second) // 11: the window of the first has ended at 10
		b.Publish(flagged("limits/a", "192.0.2.1"))
		tick(29 * time.Second) // 40: all is quiet
		pub(0, flagged("limits/a", "192.0.2.1"))
		tick(time.Second)
		b.Publish(System(time.Now(), meta, call.CertificateLoaded, call.Info, "a.pem"))
		b.Publish(System(time.Now(), meta, call.CertificateLoaded, call.Info, "b.pem"))
		for range 3 {
			b.Publish(FromDecision(&call.Attempt{At: time.Now()}, call.Decision{Verdict: call.Allow, Action: call.EmergencyCall}, meta))
		}
		b.Publish(flagged("limits/a", "192.0.2.1")) // folded when the bus is closed
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Publish(flagged("limits/z", "192.0.2.1")) // too late, ignored
		got := story(parse(t, m.data()), start)
		want := `0s flood limits/a 192.0.2.1
1s flood limits/a 192.0.2.2
1s flood limits/b 192.0.2.1
2s flood limits/a 192.0.2.1 x2 1-2
11s flood limits/a 192.0.2.1 x1 11-11
40s flood limits/a 192.0.2.1
41s certificate-reloaded - -
41s certificate-reloaded - -
41s emergency-call - -
41s emergency-call - -
41s emergency-call - -
41s flood limits/a 192.0.2.1 x1 41-41
`
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		valid(t, schema, m.data())
		if st := b.Stats(); int(st.Published) != counted(parse(t, m.data())) || st.Coalesced != 4 {
			t.Errorf("%+v, lines stand for %d", st, counted(parse(t, m.data())))
		}
	})
}

func TestBusSummaryKeepsTheWorst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		b := NewBus(Options{}, m)
		for _, s := range []call.Severity{call.Low, call.Critical, call.Low} {
			b.Publish(FromDecision(&call.Attempt{At: time.Now()}, call.Decision{Rule: "a/b", Action: call.Flood, Severity: s}, meta))
		}
		b.Close(t.Context())
		es := parse(t, m.data())
		if len(es) != 2 || es[1].Event.Severity != 99 || es[1].Rampart.Severity != "critical" || es[0].Event.ID == es[1].Event.ID {
			t.Errorf("%+v", es)
		}
	})
}

// An attacker picks his source address anew for each packet.
func TestBusTableIsBounded(t *testing.T) {
	schema := compile(t, "alert")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		b := NewBus(Options{Table: 100, Queue: 1000}, m)
		const n = 20_000
		for i := range n {
			b.Publish(flagged("limits/a", fmt.Sprintf("2001:db8::%x", i)))
		}
		b.mu.Lock()
		size := len(b.table.keys)
		b.mu.Unlock()
		if size != 101 {
			t.Errorf("the table holds %d keys, want 100 and one for the rest", size)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.Close(t.Context())
		es := parse(t, m.data())
		valid(t, schema, m.data())
		if len(es) != 102 || counted(es) != n {
			t.Errorf("%d lines stand for %d alerts, want 102 for %d", len(es), counted(es), n)
		}
		last := es[len(es)-1]
		if last.Rampart.Subject != nil || last.Source != nil || last.SIP != nil || last.Rampart.Count != n-101 {
			t.Errorf("the line for the rest names somebody: %+v", last)
		}
	})
}

func TestBusNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &memory{name: "hung", gate: make(chan struct{})}
		good := &memory{name: "good"}
		b := NewBus(Options{Queue: 10}, hung, good)
		sub, err := b.Subscribe(5)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 { // would be a deadlock here, if it blocked
			b.Publish(flagged("limits/a", fmt.Sprint("192.0.2.", i)))
			synctest.Wait()
		}
		st := b.Stats()
		if h := st.Sinks[0]; h.LostFull < 85 || !h.Degraded || h.Lost() != h.LostFull {
			t.Errorf("hung sink: %+v", h)
		}
		if g := st.Sinks[1]; g.Written < 100 || g.Lost() != 0 {
			t.Errorf("good sink: %+v", g)
		}
		if sub.Lost() == 0 || st.LostSub != sub.Lost() {
			t.Errorf("slow subscriber: %d and %d", sub.Lost(), st.LostSub)
		}
		es := parse(t, good.data())
		i := 0
		for i < len(es) && es[i].Event.Action != call.SinkDegraded {
			i++
		}
		if i == len(es) || es[i].Rampart.Evidence[0].Value != "hung" {
			t.Errorf("the good sink does not hear of the hung one")
		}
		close(hung.gate)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		back := parse(t, hung.data())
		if e := back[len(back)-1]; e.Event.Action != call.SinkDegraded || e.Event.Outcome != "success" {
			t.Errorf("the gap is not marked in the sink that has it: %+v", e.Event)
		}
		if b.Stats().Sinks[0].Degraded {
			t.Errorf("still degraded")
		}
		b.Close(t.Context())
		for range sub.C { // closed by the bus
		}
	})
}

func TestBusFailingSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		bad, good := &memory{name: "bad", err: errDisk}, &memory{name: "good"}
		b := NewBus(Options{Log: slog.New(slog.NewTextHandler(&logged, nil))}, bad, good)
		b.Publish(flagged("limits/a", "192.0.2.1"))
		time.Sleep(3*time.Minute + 30*time.Second)
		synctest.Wait()
		if n := strings.Count(logged.String(), "level=ERROR"); n < 3 || n > 5 {
			t.Errorf("%d errors are logged in 3.5 minutes:\n%s", n, &logged)
		}
		if n := b.Stats().Sinks[0].Errors; n < 200 {
			t.Errorf("tried %d times in 210 s", n)
		}
		if strings.Contains(string(bad.data()), "sink-degraded") {
			t.Errorf("the bad sink was told of itself")
		}
		bad.fail(nil)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		es := parse(t, bad.data())
		if len(es) != 2 || es[0].Event.Action != call.Flood || es[1].Event.Outcome != "success" {
			t.Errorf("a short outage has to lose nothing, then be marked: %s", bad.data())
		}
		es = parse(t, good.data())
		if e := es[len(es)-1]; e.Event.Action != call.SinkDegraded || e.Event.Outcome != "success" {
			t.Errorf("the end of the trouble is not told: %s", good.data())
		}
		bad.fail(errDisk)
		b.Publish(flagged("limits/b", "192.0.2.1"))
		if err := b.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 lines lost") {
			t.Errorf("Close says %v", err)
		}
	})
}

func TestBusCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &memory{name: "hung", gate: make(chan struct{})}
		b := NewBus(Options{}, hung)
		b.Publish(flagged("limits/a", "192.0.2.1"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if err := b.Close(ctx); err == nil || time.Since(start) != 5*time.Second {
			t.Errorf("Close took %v and says %v", time.Since(start), err)
		}
		if err := b.Close(ctx); err != nil {
			t.Errorf("a second Close says %v", err)
		}
		close(hung.gate)
	})
}

func TestBusSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBus(Options{})
		a, _ := b.Subscribe(4)
		b.Publish(flagged("limits/a", "192.0.2.1"))
		if e := <-a.C; e.Rule.ID != "limits/a" {
			t.Errorf("got %+v", e)
		}
		a.Close()
		a.Close()
		if _, ok := <-a.C; ok {
			t.Errorf("not closed")
		}
		for range maxSubscribers {
			if _, err := b.Subscribe(1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Subscribe(1); err == nil {
			t.Errorf("more than %d may listen", maxSubscribers)
		}
		b.Close(t.Context())
		if _, err := b.Subscribe(1); err == nil {
			t.Errorf("a closed bus can be listened to")
		}
	})
}

func TestBusFromManyGoroutines(t *testing.T) {
	m := &memory{}
	b := NewBus(Options{Window: 5 * time.Millisecond, Queue: 100_000}, m)
	var wg sync.WaitGroup
	const each, gs = 2000, 8
	for g := range gs {
		wg.Go(func() {
			for i := range each {
				b.Publish(flagged(fmt.Sprint("r/", i%7), fmt.Sprint(g%3)))
			}
		})
	}
	wg.Wait()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := counted(parse(t, m.data())); n != each*gs {
		t.Errorf("the lines stand for %d alerts, want %d", n, each*gs)
	}
}
