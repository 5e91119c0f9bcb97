package fraud

import (
	"fmt"
	"math"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// PumpConfig are the parameters of traffic-pumping and tollfree-pumping.
type PumpConfig struct {
	Calls   int     // to a costly number at home within a day…
	PerUser float64 // …and so many of each user who does it
	Days    int     // a number that was called on so many days is known
}

type pump struct {
	blind
	cfg     *PumpConfig
	number  *table[userCode, pumped]
	free    *table[string, []heard] // by caller
	freeBlk *table[string, []heard]
}

type pumped struct {
	at    []int64
	users []uint32
	days  habit
}

type heard struct {
	at      int64
	seconds float64
}

func newPump(c *Config) *pump {
	p := &pump{cfg: &c.Pump}
	p.number = newTable[userCode, pumped](c.MaxKeys, 30*day, nil)
	p.free = newTable[string, []heard](c.MaxKeys, day, func(v *[]heard) { *v = (*v)[:0] })
	p.freeBlk = newTable[string, []heard](c.MaxKeys, int64(time.Hour), func(v *[]heard) { *v = (*v)[:0] })
	return p
}

func (p *pump) invite(e *Engine, c *running) {
	if !c.paid || c.far.Class != Premium {
		return
	}
	for _, k := range []string{c.to, block(c.to, 4)} {
		v := p.number.get(userCode{c.account, "", k}, e.now)
		if v.days.before(e.now) >= p.cfg.Days {
			v.days.seen(e.now, 0)
			continue
		}
		n := 0
		for i := range v.at {
			if v.at[i] > e.now-day {
				v.at[n], v.users[n] = v.at[i], v.users[i]
				n++
			}
		}
		v.at, v.users = v.at[:n], v.users[:n]
		if n == 256 {
			copy(v.at, v.at[1:])
			copy(v.users, v.users[1:])
			v.at, v.users = v.at[:n-1], v.users[:n-1]
		}
		v.at, v.users = append(v.at, e.now), append(v.users, hash(c.user))
		users := map[uint32]struct{}{}
		for _, u := range v.users {
			users[u] = struct{}{}
		}
		per := float64(len(v.at)) / float64(len(users))
		if len(v.at) >= p.cfg.Calls && per >= p.cfg.PerUser {
			e.tell(Finding{Detector: IDPump, Action: call.TrafficPumping, Severity: call.High, Subject: call.Subject{Kind: "to", Value: c.to}, PerMin: c.far.PerMinute,
				Reason:   fmt.Sprintf("%d calls within a day to %s, %.1f of each user", len(v.at), k, per),
				Evidence: []call.Evidence{{Name: "calls", Value: len(v.at), Threshold: p.cfg.Calls}, {Name: "calls_per_user", Value: per, Threshold: p.cfg.PerUser}}}, c)
			continue
		}
		v.days.seen(e.now, 0)
	}
}

// end looks for calls to a toll-free number that are made to last.
func (p *pump) end(e *Engine, x *ended) {
	if !x.inbound || x.answered == 0 || x.from == "" {
		return
	}
	note := func(t *table[string, []heard], k string, over int64) []heard {
		v := t.get(k, e.now)
		n := 0
		for _, h := range *v {
			if h.at > e.now-over {
				(*v)[n] = h
				n++
			}
		}
		*v = (*v)[:n]
		if n == 64 {
			copy(*v, (*v)[1:])
			*v = (*v)[:n-1]
		}
		*v = append(*v, heard{e.now, x.seconds})
		return *v
	}
	own := note(p.free, x.from, day)
	blk := note(p.freeBlk, block(x.from, 3), int64(30*time.Minute))
	cvOwn, mOwn := spread(own)
	cvBlk, mBlk := spread(blk)
	switch {
	case len(own) >= 6 && cvOwn < .25 && mOwn > 45:
		e.tell(Finding{Detector: IDFree, Action: call.TollfreePumping, Severity: call.Medium, Subject: call.Subject{Kind: "from", Value: x.from},
			Reason: fmt.Sprintf("%d calls of %.0f s, all alike", len(own), mOwn)}, x.running)
	case len(blk) >= 12 && cvBlk < .25 && mBlk > 45:
		e.tell(Finding{Detector: IDFree, Action: call.TollfreePumping, Severity: call.Medium, Subject: call.Subject{Kind: "from_prefix", Value: block(x.from, 3)},
			Reason: fmt.Sprintf("%d calls of %.0f s from one block, all alike", len(blk), mBlk)}, x.running)
	}
}

// spread is the coefficient of variation and the mean.
func spread(v []heard) (cv, mean float64) {
	for _, h := range v {
		mean += h.seconds
	}
	mean /= float64(len(v))
	var s float64
	for _, h := range v {
		s += (h.seconds - mean) * (h.seconds - mean)
	}
	if mean == 0 {
		return 0, 0
	}
	return math.Sqrt(s/float64(len(v))) / mean, mean
}
