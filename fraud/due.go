package fraud

import (
	"cmp"
	"time"
)

// What becomes due at a time of its own, without an event: a budget that a
// running call uses up, a call that has lasted long enough, the bill of an incident. It is a heap of
// pointers into what the tables hold; each knows its place, so that it is taken
// out when it is over. There are no more than there are calls and budgets.

// alarm is something that becomes due.
type alarm struct {
	at    int64 // ns
	place *int  // 1 + its index, kept by the heap; 0: not in it
	purse *spending
	call  *running
	bill  *incident
}

// before is an order of what is due at one time that is the same in a replay.
func (a *alarm) before(b *alarm) bool {
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.purse != nil && b.purse != nil:
		x, y := &a.purse.key, &b.purse.key
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.account, y.account), cmp.Compare(x.name, y.name)) < 0
	case a.call != nil && b.call != nil:
		return a.call.id < b.call.id
	case a.bill != nil && b.bill != nil:
		return a.bill.ID < b.bill.ID
	}
	return a.kind() < b.kind()
}

func (a *alarm) kind() int {
	switch {
	case a.purse != nil:
		return 0
	case a.call != nil:
		return 1
	}
	return 2
}

type alarms []alarm

// set makes something due, sooner or later than it was.
func (h *alarms) set(a alarm) {
	if *a.place == 0 {
		*h = append(*h, a)
		*a.place = len(*h)
		h.up(len(*h) - 1)
		return
	}
	i := *a.place - 1
	(*h)[i].at = a.at
	h.down(i)
	h.up(i)
}

// drop takes something out.
func (h *alarms) drop(place *int) {
	if *place == 0 {
		return
	}
	i, last := *place-1, len(*h)-1
	h.swap(i, last)
	*place = 0
	(*h)[last] = alarm{}
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

// next is what is due by that time, or nil.
func (h *alarms) next(by int64) *alarm {
	if len(*h) == 0 || (*h)[0].at > by {
		return nil
	}
	return &(*h)[0]
}

func (h *alarms) swap(i, j int) {
	(*h)[i], (*h)[j] = (*h)[j], (*h)[i]
	*(*h)[i].place, *(*h)[j].place = i+1, j+1
}

func (h *alarms) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !(*h)[i].before(&(*h)[p]) {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h *alarms) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(*h); c++ {
			if (*h)[c].before(&(*h)[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// goes moves the time on, and handles what becomes due on the way, each at its
// own time: whether there was an event or a tick in between changes nothing.
func (e *Engine) goes(at int64) {
	for {
		a := e.due.next(at)
		if a == nil {
			break
		}
		p, c, in := a.purse, a.call, a.bill
		e.now = max(e.now, a.at)
		e.due.drop(a.place)
		e.safely(func() {
			switch {
			case p != nil:
				e.spend.ends(e, p)
			case c != nil:
				e.costly.lasted(e, c)
			default:
				e.ledger.look(e, in)
			}
		})
	}
	e.now = max(e.now, at)
}

// Due is when something is to be found without an event, at the earliest;
// [Engine.Tick] should be called then. The zero time: never.
func (e *Engine) Due() (at time.Time) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if len(e.due) > 0 {
		at = time.Unix(0, e.due[0].at-e.skew)
	}
	return at
}

// remind finds out anew what becomes due: after other parameters, and after a
// restart.
func (e *state) remind() {
	e.due = e.due[:0]
	e.spend.purses.each(func(p *spending) {
		p.place = 0
		p.over = p.over && p.level(e.now, e.cfg.Spend.Over)+sameMoney >= e.spend.cap(p.key)
		e.spend.schedule(p)
	})
	e.open.each(func(in *incident) {
		if in.Bill.place = 0; in.Bill.Look > 0 {
			e.due.set(alarm{at: in.Bill.Look, place: &in.Bill.place, bill: in})
		}
	})
	e.calls.each(func(c *running) {
		c.place = 0
		if longest := e.costly.longest(c); c.answered != 0 && longest > 0 {
			e.due.set(alarm{at: c.answered + int64(longest), place: &c.place, call: c})
		}
	})
}
