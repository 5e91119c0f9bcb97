package replay

import (
	"net/netip"
	"time"
)

// registered are the addresses that good registrations came from: the stream
// does not say when one ended, so each stands for a day after the last.
type registered struct {
	last map[netip.Addr]time.Time
}

const (
	standsFor     = 24 * time.Hour
	maxRegistered = 1 << 20
)

func (r *registered) took(a netip.Addr, at time.Time) {
	if !a.IsValid() {
		return
	}
	if r.last == nil {
		r.last = map[netip.Addr]time.Time{}
	}
	if len(r.last) >= maxRegistered {
		for a, t := range r.last {
			if at.Sub(t) > standsFor {
				delete(r.last, a)
			}
		}
		if len(r.last) >= maxRegistered {
			return
		}
	}
	r.last[a] = at
}

func (r *registered) known(a netip.Addr, at time.Time) bool {
	t, ok := r.last[a]
	return ok && at.Sub(t) <= standsFor
}
