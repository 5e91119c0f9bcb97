package ratelimit

import (
	"cmp"
	"container/list"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Findings: what limits find out about guessing is told to engines that watch
// calls, so that they need not count it a second time. Somebody who goes on is
// told again once a minute, with how often.

const (
	maxFindings  = 4096 // kept; beyond it the one that was told longest ago is forgotten
	findingEvery = time.Minute
)

// foundOut are the actions that are findings.
var foundOut = map[call.Action]bool{call.RegistrationBruteforce: true, call.Enumeration: true}

// Findings remembers what was told. The zero value is ready; it may be used from
// any goroutine.
type Findings struct {
	most int // 0: maxFindings
	mu   sync.Mutex
	by   map[findingKey]*list.Element
	told list.List // of *finding, the one that was told longest ago first
}

type findingKey struct {
	rule    string
	subject call.Subject
}

type finding struct {
	key   findingKey
	told  time.Time
	count int // since then
}

// Of gives each finding of a decision, and of what it carries in Also, that is to
// be told now: n is how many requests it stands for.
func (f *Findings) Of(d *call.Decision, now time.Time, tell func(d *call.Decision, n int)) {
	for i := -1; i < len(d.Also); i++ {
		x := d
		if i >= 0 {
			x = &d.Also[i]
		}
		if !foundOut[x.Action] {
			continue
		}
		if n := f.note(findingKey{x.Rule, x.Subject}, now); n > 0 {
			tell(x, n)
		}
	}
}

// note counts one; n is how many are to be told now, 0: none.
func (f *Findings) note(k findingKey, now time.Time) (n int) {
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
