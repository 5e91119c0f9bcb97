package replay

import (
	"container/heap"
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// CDRs are written when calls end, and tell of what was before: their events are
// put in order. What ended more than maxCall before the latest end that was read
// cannot be overtaken any more and goes out.
const maxCall = 12 * time.Hour

// spread makes events of CDRs.
type spread struct {
	waiting pending
	latest  time.Time
	n       int
	give    func(*item)
}

// A CDR that waits is one entry: its next event, and how to make those behind.
type waits struct {
	at   time.Time
	n    int // of its CDR: the order of the file decides between equal times
	step int
	r    *call.Record
}

type pending []waits

func (p pending) Len() int { return len(p) }
func (p pending) Less(i, j int) bool {
	if !p[i].at.Equal(p[j].at) {
		return p[i].at.Before(p[j].at)
	}
	return p[i].n < p[j].n
}
func (p pending) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *pending) Push(x any)   { *p = append(*p, x.(waits)) }
func (p *pending) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = waits{}
	*p = (*p)[:last]
	return x
}

// take gives out what cannot be overtaken any more.
func (s *spread) take(r *call.Record) {
	s.n++
	heap.Push(&s.waiting, waits{at: r.Start.Time, n: s.n, r: r})
	if r.End.After(s.latest) {
		s.latest = r.End.Time
	}
	s.until(s.latest.Add(-maxCall))
}

func (s *spread) until(at time.Time) {
	for len(s.waiting) > 0 && s.waiting[0].at.Before(at) {
		s.next()
	}
}

// rest gives out everything.
func (s *spread) rest() {
	for len(s.waiting) > 0 {
		s.next()
	}
}

// next gives out the first event that waits; the one behind it takes its place.
func (s *spread) next() {
	w := &s.waiting[0]
	it := eventOf(w.r, w.step, w.at)
	for w.step++; w.step < steps; w.step++ {
		if at, ok := stepAt(w.r, w.step); ok {
			if at.After(w.at) {
				w.at = at
			}
			break
		}
	}
	if w.step == steps {
		heap.Pop(&s.waiting)
	} else {
		heap.Fix(&s.waiting, 0)
	}
	s.give(it)
}

const steps = 4 // invite, ringing, answer, end

// stepAt is when a step was; false: it was not.
func stepAt(r *call.Record, step int) (time.Time, bool) {
	t := [steps]*call.Time{r.Start, r.Ring, r.Answer, r.End}[step]
	if t == nil {
		return time.Time{}, false
	}
	return t.Time, true
}

// eventOf is a step of a call as the event stream would have told it.
func eventOf(r *call.Record, step int, at time.Time) *item {
	it := &item{}
	ev := &it.Event
	ev.At, ev.ID, ev.Node = call.Time{Time: at}, r.CallID, r.Node
	ev.Kind = [steps]call.EventKind{call.EventInvite, call.EventRinging, call.EventAnswer, call.EventEnd}[step]
	ev.Account, ev.Peer, ev.User, ev.SourceCountry, ev.UserAgent = r.Account, r.Peer, r.User, r.SourceGeo, r.UserAgent
	if a, err := netip.ParseAddrPort(r.Source); err == nil {
		ev.Source = a.Addr().String()
	}
	switch ev.Kind {
	case call.EventInvite:
		ev.Direction, ev.Diversion, ev.Verdict, ev.Rule = r.Direction.String(), r.Diversion, r.Verdict.String(), r.Rule
		ev.From, ev.To, ev.Dialled = r.FromE164, r.ToNumber, r.To
		if ev.From == "" {
			ev.From = r.From
		}
		if len(r.Passes) > 0 {
			it.facts, it.transport = r.Passes[0].Facts, r.Passes[0].Transport
		}
	case call.EventEnd:
		ring, secs := float64(r.RingMs)/1000, float64(r.DurationMs)/1000
		ev.Code, ev.EndedBy, ev.RingSeconds, ev.Seconds = r.Code, r.EndedBy, &ring, &secs
	}
	return it
}
