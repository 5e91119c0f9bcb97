package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

// Who watches calls from outside ends one by its id: both ends are told the
// rule, and the record has it. Nobody else's call is touched.
func TestEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.registered("1001")
	w.registered("1002", tone(880))
	c := w.call(a, "1002")
	if w.gw.End("nobody", "fraud/spend-cap") {
		t.Error("a call that is not there was ended")
	}
	id := ""
	w.rep.mu.Lock()
	for _, e := range w.rep.events {
		if e.Kind == call.EventAnswer {
			id = e.ID
		}
	}
	w.rep.mu.Unlock()
	if !w.gw.End(id, "fraud/spend-cap") {
		t.Fatalf("no call %q", id)
	}
	eventually(t, "the call is ended", func() bool {
		select {
		case <-c.Done():
			return true
		default:
			return false
		}
	})
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.EndedBy != call.ByGateway || r.Rule != "fraud/spend-cap" || r.Code != 200 {
		t.Errorf("%+v", r)
	}
	eventually(t, "the phones are told why", func() bool {
		return strings.Contains(w.pub.String(), `Reason: SIP;cause=403;text="fraud/spend-cap"`)
	})
}
