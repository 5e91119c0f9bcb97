package sbc_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Conditions are asked of real requests: of header fields that the policy
// reads, in any case and in compact form, of counters, and of what cannot be
// evaluated, which refuses.
func TestConditionsOfRequests(t *testing.T) {
	t.Parallel()
	p, counts := written(t, `version: 1
rules:
  - {id: t/open, on: invite, when: 'request.headers["x-pass"] == "yes"', then: allow}
  - {id: t/tenant, on: invite, when: 'request.headers["X-Tenant"] == "red, blue"', then: reject 480, why: "tenant {request.headers[\"x-tenant\"]}"}
  - {id: t/subject, on: invite, when: 'request.headers["subject"].contains("spam")', then: reject 486}
  - {id: t/broken, on: invite, when: '100 / (call.hops - 69) > 100', then: reject 488}
  - {id: t/second, on: invite, when: 'counters["t/calls"] >= 1', then: reject 487}
  - {id: t/rest, on: invite, then: allow}
limits:
  - {id: t/calls, on: invite, key: [peer], concurrent: 50, then: reject 480}
`, nil)
	w := newRawWorld(t, func(c *worldConfig) { c.deps.Guards, c.deps.Revision, c.deps.Plan = p.Guards, p.Revision, p.Plan })
	w.gw.SetPolicy(p)
	refused := func(code int, change func(*siptest.Message)) {
		t.Helper()
		inv := w.a.invite("+33123456789", change)
		w.a.ackFailure(inv, w.a.code(code))
	}
	with := func(kv ...string) func(*siptest.Message) {
		return func(m *siptest.Message) {
			for i := 0; i < len(kv); i += 2 {
				m.Add(kv[i], kv[i+1])
			}
		}
	}
	refused(480, with("x-tenant", "red", "X-TENANT", "blue"))
	refused(486, with("s", "buy spam"))
	refused(488, func(m *siptest.Message) { m.Set("Max-Forwards", "69") })
	none := func() {
		t.Helper()
		eventually(t, "no call is counted", func() bool { return counts.Stats(time.Now()).Calls == 0 })
	}
	none()
	w.bye(w.up(with("X-Pass", "yes", "X-Tenant", "red")), 2)
	none()
	w.bye(w.up(with("X-Tenant", "red")), 2)
	none()
	c := w.up() // the first call is counted …
	refused(487, with())
	inv := w.a.invite("112") // … which stops no emergency call
	in := w.b.request("INVITE")
	w.b.reply(in, 486, unique("t"), nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	w.bye(c, 2)
}
