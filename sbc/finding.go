package sbc

import (
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Findings: what limits found out about guessing goes into the event stream, so
// that engines that watch calls need not count it a second time. Somebody who
// goes on is told again once a minute, with how often.

const (
	maxFindings  = 4096 // kept; beyond it the one that was told longest ago is forgotten
	findingEvery = time.Minute
)

// foundOut are the actions that are findings.
var foundOut = map[call.Action]bool{call.RegistrationBruteforce: true, call.Enumeration: true}

type findingKey struct {
	rule    string
	subject call.Subject
}

type findings struct {
	most int // 0: maxFindings
	mu   sync.Mutex
	by   map[findingKey]*finding
}

type finding struct {
	told  time.Time
	count int // since then
}

// note counts one; n is how many are to be told now, 0: none.
func (f *findings) note(k findingKey, now time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.by[k]
	switch {
	case x == nil:
		if f.by == nil {
			f.by = map[findingKey]*finding{}
		}
		most := f.most
		if most == 0 {
			most = maxFindings
		}
		if len(f.by) >= most {
			f.room(now)
		}
		f.by[k] = &finding{told: now}
		return 1
	case now.Sub(x.told) < findingEvery:
		x.count++
		return 0
	}
	n = x.count + 1
	x.told, x.count = now, 0
	return n
}

// room forgets all that may be told anew, at least the one told longest ago.
func (f *findings) room(now time.Time) {
	var oldest findingKey
	var at time.Time
	was := len(f.by)
	for k, x := range f.by {
		if now.Sub(x.told) >= findingEvery {
			delete(f.by, k)
			continue
		}
		if at.IsZero() || x.told.Before(at) {
			oldest, at = k, x.told
		}
	}
	if len(f.by) == was {
		delete(f.by, oldest)
	}
}

// found tells the event stream what a decision, or one that is only told, found
// out.
func (g *Gateway) found(a *call.Attempt, d *call.Decision) {
	if foundOut[d.Action] {
		g.tellFinding(a, d)
	}
	for i := range d.Also {
		if foundOut[d.Also[i].Action] {
			g.tellFinding(a, &d.Also[i])
		}
	}
}

func (g *Gateway) tellFinding(a *call.Attempt, d *call.Decision) {
	n := g.findings.note(findingKey{d.Rule, d.Subject}, a.At)
	if n == 0 {
		return
	}
	e := g.event(call.EventFinding, a, newID())
	subject := d.Subject
	e.Rule, e.Verdict, e.Action, e.Subject, e.Evidence, e.Count = d.Rule, d.Verdict.String(), d.Action, &subject, d.Evidence, n
	if a.Method == "REGISTER" {
		e.User = a.RegisterUser
	}
	g.tell(e)
}
