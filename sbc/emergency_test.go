package sbc_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// emergencies are the alerts for calls for help so far.
func (r *reports) emergencies() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.decisions {
		if d.d.Action == call.EmergencyCall && d.d.Verdict == call.Allow && d.d.Rule == "base/emergency" {
			n++
		}
	}
	return n
}

// TestEmergencyUnderSaturation: every limit is used up, a rule refuses all, the
// user is banned and held, the peer is full and the gateway drains; calls for
// help are answered, and each has its alert.
func TestEmergencyUnderSaturation(t *testing.T) {
	t.Parallel()
	p, counts := written(t, `version: 1
rules:
  - {id: x/ban, on: invite, match: {to: {country: [CU]}}, key: [user], then: ban 1h}
  - {id: x/hold, on: invite, match: {to: {country: [JM]}}, then: hold 1h}
  - {id: x/all, on: invite, match: {direction: outbound}, then: reject 403}
limits:
  - {id: x/everybody, on: invite, rate: 1/d, burst: 1, then: reject 480}
  - {id: x/source, on: invite, key: [source.ip], rate: 1/d, burst: 1, then: reject 480}
  - {id: x/user, on: invite, key: [user], rate: 1/d, burst: 1, then: reject 480}
  - {id: x/calls, on: invite, key: [user], concurrent: 1, then: reject 486}
  - {id: x/account, on: invite, key: [account], concurrent: 1, then: reject 486}
`, nil)
	w := newWorld(t, func(c *worldConfig) {
		c.deps.Guards, c.deps.Revision, c.deps.Plan = p.Guards, p.Revision, p.Plan
		c.deps.Bans = ratelimit.NewBans(ratelimit.BanCaps{})
		c.pbx.DIDs["112"] = "1002"
	})
	a := w.registered("1001")
	w.registered("1002", tone(880))
	up := w.call(a, "600") // takes the place of every limit
	refused := func(to string) {
		t.Helper()
		if c, err := a.Invite(w.ctx, to); err == nil {
			c.Bye(w.ctx)
			t.Fatalf("a call to %s was let through", to)
		}
	}
	help := func(when string) {
		t.Helper()
		before := w.rep.emergencies()
		for _, to := range []string{"112", "urn:service:sos", "tel:112"} {
			c, err := a.Invite(w.ctx, to)
			if err != nil {
				t.Errorf("%s, %s: %v", when, to, err)
				continue
			}
			if err := c.Bye(w.ctx); err != nil {
				t.Errorf("%s, %s: %v", when, to, err)
			}
		}
		if n := w.rep.emergencies() - before; n < 3 {
			t.Errorf("%s: %d alerts for 3 calls", when, n)
		}
	}
	a2 := w.registered("1003")
	if c, err := a2.Invite(w.ctx, "600"); err == nil {
		c.Bye(w.ctx)
		t.Fatal("the limits are not used up")
	}
	help("limits full")
	refused("005378001234")
	refused("0018765550100")
	refused("600")
	help("banned and held")
	w.gw.Refuse()
	help("draining")
	if err := up.Bye(w.ctx); err != nil {
		t.Error(err)
	}
	w.quiet()
	if st := counts.Stats(time.Now()); st.Calls != 0 {
		t.Errorf("%d calls are counted", st.Calls)
	}
}

// TestEmergencyRoute: emergency calls take the route that is meant for them
// wherever it stands, and nobody else does.
func TestEmergencyRoute(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, udpCarrier("rescue", carrierIP, 16097), func(c *worldConfig) {
		c.sbc.Routes = []sbc.Route{{Peers: []string{"raw"}}, {Emergency: true, Peers: []string{"rescue"}}}
	})
	rescue := newRaw(t, carrierIP+":16097")
	rescue.gw = w.a.gw
	inv := w.ring("sip:112@x")
	in := rescue.request("INVITE")
	if siptest.UserOf(in.URI) != "112" {
		t.Errorf("asked for %q", in.URI)
	}
	rescue.reply(in, 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	inv = w.ring("sip:+442079460000@x")
	w.a.reply(w.a.request("INVITE"), 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	if n := w.rep.emergencies(); n != 1 {
		t.Errorf("%d alerts", n)
	}
}
