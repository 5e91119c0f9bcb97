package alert

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// However many addresses strangers have, and however long they go on, the
// bytes that they make the gateway write in a minute have a bound; alerts about
// somebody who is known go out among them.
func TestStrangersCannotFillADisk(t *testing.T) {
	schema := compile(t, "alert")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		b := NewBus(Options{Queue: 100_000}, m)
		const minutes, each = 5, 20_000
		known := call.Attempt{Method: "INVITE", PeerKind: call.Phone, User: "1001"}
		for i := range minutes * each {
			a := call.Attempt{At: time.Now(), Method: "INVITE", User: ""}
			b.Publish(FromDecision(&a, call.Decision{Verdict: call.Drop, Rule: "limits/a", Action: call.Flood, Severity: call.Medium,
				Subject: call.Subject{Kind: "source", Value: fmt.Sprintf("2001:db8:%x::", i%9000)}}, meta))
			if i%each == each/2 {
				known.At = time.Now()
				b.Publish(FromDecision(&known, call.Decision{Verdict: call.Reject, Status: 403, Rule: "x/known", Action: call.CallRejected,
					Subject: call.Subject{Kind: "user", Value: fmt.Sprint("user ", i)}}, meta))
			}
			time.Sleep(time.Minute / each)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.Close(t.Context())
		es := parse(t, m.data())
		valid(t, schema, m.data())
		if got := counted(es); got != minutes*each+minutes {
			t.Errorf("the lines stand for %d alerts, want %d", got, minutes*each+minutes)
		}
		named := 0
		for _, e := range es {
			if e.Rule.ID == "x/known" && e.Rampart.Subject != nil {
				named++
			}
		}
		if named != minutes {
			t.Errorf("%d of %d alerts about the known went out in full", named, minutes)
		}
		// The budget, one line in ten seconds for the rest, and those of the known.
		if most := (minutes + 2) * (600 + 6 + 1); len(es) > most || len(m.data()) > most*1200 {
			t.Errorf("%d lines of %d bytes in all, want %d at most", len(es), len(m.data()), most)
		}
		t.Logf("%d alerts became %d lines, %d bytes a minute", minutes*each, len(es), len(m.data())/(minutes+1))
	})
}
