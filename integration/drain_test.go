package integration_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// RTP where SRTP is required is refused, and told; a call to the emergency
// number is not.
func TestRTPIsRefused(t *testing.T) {
	t.Parallel()
	w := newSuburb(t, "", nil, nil)
	phone := w.telephone("1001")
	var r *siptest.Refused
	if _, err := phone.Invite(limited(t, soon), siptest.ExtTone, siptest.Suites()); !errors.As(err, &r) || r.Response.Code != 488 || r.Response.Get("Warning") == "" {
		t.Errorf("a call with RTP: %v, want 488 with a Warning", err)
	}
	w.waitLine("alerts.jsonl", "event.action", "srtp-refused", "user.name", "1001")
	call := w.dial(phone, "112", siptest.Suites())
	w.hears(call, siptest.CarrierTone)
	w.must("BYE", call.Bye)
	w.waitLine("alerts.jsonl", "event.action", "emergency-call", "user.name", "1001")
	w.idle()
}

// SIGTERM: no new call, the live one is released when its time is over.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newSuburb(t, "", nil, nil) // drain_timeout is 2 s
	phone, other := w.telephone("1001"), w.telephone("1002")
	live := w.dial(phone, siptest.ExtTone)
	w.hears(live, siptest.ToneFreq)
	if err := w.gw.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.gw.WaitLog("stopping", soon)
	var r *siptest.Refused
	if _, err := other.Invite(limited(t, soon), siptest.ExtTone); !errors.As(err, &r) || r.Response.Code != 503 || r.Response.Get("Retry-After") == "" {
		t.Errorf("a new call: %v, want 503 with Retry-After", err)
	}
	w.hears(live, siptest.ToneFreq)
	if err := live.WaitEnd(limited(t, soon)); err != nil || live.Ended() != "remote bye" {
		t.Errorf("the live call: %v, %q", err, live.Ended())
	}
	if code := w.gw.Wait(soon); code != 0 {
		t.Errorf("exit code %d", code)
	}
	peers.Eventually(t, time.Second, "both CDRs", func() bool {
		return len(w.lines("cdr.jsonl", "code", "200", "ended_by", "gateway")) == 1 && len(w.lines("cdr.jsonl", "code", "503")) == 1
	})
}
