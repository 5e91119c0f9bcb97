package sbc

import (
	"cmp"
	"container/list"
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
	by   map[findingKey]*list.Element
	told list.List // of *finding, the one that was told longest ago first
}

type finding struct {
	key   findingKey
	told  time.Time
	count int // since then
}

// note counts one; n is how many are to be told now, 0: none.
func (f *findings) note(k findingKey, now time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.by[k]; e != nil {
		x := e.Value.(*finding)
		if now.Sub(x.told) < findingEvery {
			x.count++
			return 0
		}
		n = x.count + 1
		x.told, x.count = now, 0
		f.told.MoveToBack(e)
		return n
	}
	if f.by == nil {
		f.by = map[findingKey]*list.Element{}
	}
	if len(f.by) >= cmp.Or(f.most, maxFindings) {
		delete(f.by, f.told.Remove(f.told.Front()).(*finding).key)
	}
	f.by[k] = f.told.PushBack(&finding{key: k, told: now})
	return 1
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
