package sbc_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

func (r *reports) told(a call.Action, subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.systems {
		if e.Action == a && e.Subject.Value == subject {
			return true
		}
	}
	return false
}

// TestHealthOfCarrier: one that answers no OPTIONS, or 503, is tried last, and
// first again once it answers; both are told.
func TestHealthOfCarrier(t *testing.T) {
	w, first := silentCarrier(t, func(c *worldConfig) {
		c.sbc.Stack.T1 = 5 * time.Millisecond
		for i := range c.sbc.Peers {
			if c.sbc.Peers[i].Name == "silent" {
				c.sbc.Peers[i].Health = 20 * time.Millisecond
			}
		}
	})
	call1 := func(at *raw, to string) {
		t.Helper()
		inv := w.ring("sip:" + to + "@x")
		of := func(m *siptest.Message) bool { return m.Method == "INVITE" && m.URI[:len(to)+4] == "sip:"+to }
		in := at.expect("INVITE for "+to, of)
		at.reply(in, 486, "t", nil)
		w.b.ackFailure(inv, w.b.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == inv.Get("Call-ID") }))
		w.quiet()
		for at.take(of) != nil {
		}
	}
	eventually(t, "alert peer-down", func() bool { return w.rep.told(call.PeerDown, "silent") })
	for _, p := range w.gw.Peers() {
		want := map[string]string{"silent": "down", "raw": "unchecked", "main": "unchecked"}[p.Name]
		if len(p.Targets) != 1 || p.Targets[0].State != want || p.Up == (want == "down") {
			t.Errorf("%+v", p)
		}
	}
	call1(w.a, "+442079460000")
	first.never("INVITE while it is down", is("INVITE"))
	answer := func(code int, until func() bool) {
		t.Helper()
		eventually(t, "what OPTIONS lead to", func() bool {
			for m := first.take(is("OPTIONS")); m != nil; m = first.take(is("OPTIONS")) {
				first.reply(m, code, "t", nil)
			}
			return until()
		})
	}
	n := 0
	answer(503, func() bool { n++; return n > 100 })
	if w.rep.told(call.PeerUp, "silent") {
		t.Error("503 counts as an answer")
	}
	answer(404, func() bool { return w.rep.told(call.PeerUp, "silent") })
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // it goes on answering
		defer close(done)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				if m := first.take(is("OPTIONS")); m != nil {
					first.reply(m, 200, "t", nil)
				}
			}
		}
	}()
	call1(first, "+442079460001")
	close(stop)
	<-done
}
