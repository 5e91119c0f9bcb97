package sbc

import (
	"fmt"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Session timers (RFC 4028). The ends agree between themselves: intervals,
// refresher and refreshes cross. The gateway refuses intervals below its own
// minimum, and ends a call whose refresh did not cross in time.

// shortInterval refuses a session interval below the minimum with 422 (§8.1).
// Who does not know the extension could make nothing of a 422; what it asks
// for is raised instead, see raised.
func (g *Gateway) shortInterval(r *sipx.Request) bool {
	t, ok := r.SessionTimer()
	return ok && r.Supports("timer") && t.Seconds < g.minSession()
}

func (g *Gateway) minSession() int { return int(g.cfg.MinSession / time.Second) }

func (g *Gateway) minSE() sipx.HeaderField {
	return sipx.HeaderField{Name: "Min-SE", Value: strconv.Itoa(g.minSession())}
}

// intervalRefusal is the Decision for such an INVITE.
func intervalRefusal(r *sipx.Request, a *call.Attempt, min int) call.Decision {
	t, _ := r.SessionTimer()
	return call.Decision{Verdict: call.Reject, Status: 422, Rule: "base/session-interval", Severity: call.Low,
		Reason:   fmt.Sprintf("session interval of %d s, at least %d s", t.Seconds, min),
		Subject:  call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()},
		Evidence: []call.Evidence{{Name: "session.seconds", Value: t.Seconds, Threshold: min}}}
}

// raised lifts the interval of a request from somebody who does not know the
// extension to the minimum (§8.1), and every Min-SE with it.
func (g *Gateway) raised(hs []sipx.HeaderField) []sipx.HeaderField {
	timed := false
	for i, h := range hs {
		n, rest := leadingNumber(h.Value)
		switch h.Name {
		case "Session-Expires":
			timed = true
			if n < g.minSession() {
				hs[i].Value = strconv.Itoa(g.minSession()) + rest
			}
		case "Min-SE":
			if n < g.minSession() {
				hs[i].Value = strconv.Itoa(g.minSession())
			}
		}
	}
	if timed && !hasField(hs, "Min-SE") {
		hs = append(hs, g.minSE())
	}
	return hs
}

func leadingNumber(v string) (n int, rest string) {
	i := 0
	for i < len(v) && v[i] >= '0' && v[i] <= '9' {
		i++
	}
	n, _ = strconv.Atoi(v[:i])
	return n, v[i:]
}

func hasField(hs []sipx.HeaderField, name string) bool {
	for _, h := range hs {
		if h.Name == name {
			return true
		}
	}
	return false
}

// agreed is the session interval that a 2xx to an INVITE or a refresh puts in
// force, in seconds; 0 when the session does not expire. req is the request
// that it answers, as its sender wrote it.
func (g *Gateway) agreed(req *sipx.Request, res *sipx.Response) int {
	t, ok := res.SessionTimer()
	if !ok || !mayExpire(req, t) {
		return 0
	}
	return max(t.Seconds, g.minSession(), 1)
}

// mayExpire: nobody may be told to refresh who does not know how (§9, table 2).
func mayExpire(req *sipx.Request, t sipx.SessionTimer) bool {
	return t.Refresher == "uas" || req.Supports("timer")
}

// withoutTimer takes an interval out of a 2xx that would make a refresher of
// somebody who does not know the extension.
func withoutTimer(req *sipx.Request, res *sipx.Response, hs []sipx.HeaderField) []sipx.HeaderField {
	t, ok := res.SessionTimer()
	if !ok || mayExpire(req, t) {
		return hs
	}
	var out []sipx.HeaderField
	for _, h := range hs {
		if h.Name != "Session-Expires" {
			out = append(out, h)
		}
	}
	return out
}

// interval gives the machine what a 2xx says about the session's life.
func (s *session) interval(in *input) {
	if in.res == nil {
		return
	}
	var l b2bua.Leg
	switch in.Kind {
	case b2bua.Success:
		l = b2bua.A
	case b2bua.ModifySuccess:
		l = s.state.Modifier
	default:
		return
	}
	if tx := s.legs[l].theirs; tx != nil {
		in.Interval = s.g.agreed(tx.Request(), in.res)
	}
}

// lifetime is how long a session of that interval stands without a refresh:
// an end that waits in vain hangs up a little early (§10).
func lifetime(seconds int) time.Duration {
	d := time.Duration(seconds) * time.Second
	return d - min(32*time.Second, d/3)
}
