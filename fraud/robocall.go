package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// RoboConfig are the parameters of robocall.
type RoboConfig struct {
	Calls   int
	Over    time.Duration
	Callees int
	HungUp  float64 // share of the answered that the callee ends within ten seconds
}

type robo struct {
	blind
	cfg *RoboConfig
	by  *table[string, []robot]
}

type robot struct {
	at      int64
	callee  uint32
	over    bool
	ok      bool
	hung    bool
	seconds float64
}

func newRobo(c *Config) *robo {
	r := &robo{cfg: &c.Robo}
	r.by = newTable[string, []robot](c.MaxKeys, int64(c.Robo.Over), func(v *[]robot) { *v = (*v)[:0] })
	return r
}

func (r *robo) end(e *Engine, x *ended) {
	if !x.inbound || x.from == "" || x.from[0] != '+' || x.code == 404 {
		return
	}
	for i, k := range []string{x.from, block(x.from, 4)} {
		v := r.by.get(k, e.now)
		n := 0
		for _, g := range *v {
			if g.at > e.now-int64(r.cfg.Over) {
				(*v)[n] = g
				n++
			}
		}
		*v = (*v)[:n]
		if n == 64 {
			copy(*v, (*v)[1:])
			*v = (*v)[:n-1]
		}
		*v = append(*v, robot{at: e.now, callee: hash(x.to), ok: x.answered != 0, hung: x.answered != 0 && x.by == call.ByCallee && x.seconds < 10, seconds: x.seconds})
		answered, hung, callees, short := 0, 0, map[uint32]struct{}{}, 0
		for _, g := range *v {
			callees[g.callee] = struct{}{}
			if g.ok {
				answered++
				if g.seconds <= 60 {
					short++
				}
			}
			if g.hung {
				hung++
			}
		}
		if len(*v) < r.cfg.Calls || len(callees) < r.cfg.Callees || answered < 5 || float64(short) < .8*float64(answered) || float64(hung) < r.cfg.HungUp*float64(answered) {
			continue
		}
		kind := []string{"from", "from_prefix"}[i]
		e.tell(Finding{Detector: IDRobo, Action: call.Robocall, Severity: call.Medium, Subject: call.Subject{Kind: kind, Value: k},
			Reason: fmt.Sprintf("%d calls to %d numbers, %d answered, %d hung up on", len(*v), len(callees), answered, hung)}, x.running)
	}
}
