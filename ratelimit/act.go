package ratelimit

import "github.com/rampart-sbc/rampart/call"

// verdictOn is what becomes of the request itself that exceeds a limit.
func (l *Limit) verdictOn(a *call.Attempt) (call.Verdict, int) {
	switch l.Act {
	case call.ActBan:
		return call.BanVerdict(a)
	case call.ActHold:
		return call.HoldVerdict(a)
	}
	return l.Verdict, l.Status
}

// effects of a limit that is exceeded: a ban is of its key, and no wider.
func (l *Limit) effects(a *call.Attempt, d *call.Decision) []call.Effect {
	e := call.Effect{Act: l.Act, For: l.For, Rule: l.ID, Reason: d.Reason, Severity: d.Severity, Evidence: d.Evidence}
	ok := false
	switch l.Act {
	case call.ActBan:
		e.Key, ok = call.KeyOf(a, call.ShapeOf(l.Key))
	case call.ActHold:
		e.Key, ok = call.HoldKey(a)
	}
	if !ok {
		return nil
	}
	return []call.Effect{e}
}

// strictest is the verdict that could come of it at most.
func (l *Limit) strictest() call.Verdict {
	switch l.Act {
	case call.ActBan:
		return call.Drop
	case call.ActHold:
		return call.Reject
	}
	return l.Verdict
}

// Banned implements what a carried-out ban tells the engine that asked for it:
// the failures that led to it are paid for, so that who comes back when it has
// ended is not banned again for them.
func (e *Engine) Banned(a *call.Attempt, rule string) {
	now := a.At.UnixNano()
	for _, l := range e.limits {
		if l.ID != rule || l.Failures == 0 && !l.Unanswered {
			continue
		}
		for _, as := range []string{"", a.Guessed()} {
			if key, ok := l.key(e.seed, a, as); ok {
				e.failures.forget(key, now)
				e.tries.drop(key)
				e.outcomes.Add(1) // nor after a restart
			}
		}
	}
}

// comesBack reports an attempt that was counted when it was challenged. The
// answer to a challenge of the gateway's is followed by the one to the PBX's, so
// it leaves the attempt where it is.
func (e *Engine) comesBack(a *call.Attempt, now int64) bool {
	switch {
	case a.AuthUser != "":
		return e.retries.forget(e.retry(a), now)
	case a.Source.Answered:
		n, _ := e.retries.count(e.retry(a), now)
		return n > 0
	}
	return false
}
