package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// ProbeConfig are the parameters of number-probing.
type ProbeConfig struct {
	Caller      int // numbers that do not exist, by one caller
	CallerOver  time.Duration
	Account     int // by everybody
	AccountOver time.Duration
}

type probe struct {
	blind
	cfg *ProbeConfig
	by  *table[string, []probed]
}

type probed struct {
	at int64
	to uint32
}

func newProbe(c *Config) *probe {
	p := &probe{cfg: &c.Probe}
	p.by = newTable[string, []probed](c.MaxKeys, int64(c.Probe.CallerOver), func(v *[]probed) { *v = (*v)[:0] })
	return p
}

func (p *probe) end(e *Engine, x *ended) {
	if !x.inbound || x.code != 404 || x.from == "" || x.from[0] != '+' {
		return
	}
	v := p.by.get(x.from, e.now)
	n := 0
	for _, g := range *v {
		if g.at > e.now-int64(p.cfg.CallerOver) && g.to != hash(x.to) {
			(*v)[n] = g
			n++
		}
	}
	*v = (*v)[:n]
	if n == 32 {
		copy(*v, (*v)[1:])
		*v = (*v)[:n-1]
	}
	*v = append(*v, probed{e.now, hash(x.to)})
	if len(*v) >= p.cfg.Caller {
		e.tell(Finding{Detector: IDProbe, Action: call.NumberProbing, Severity: call.Medium, Subject: call.Subject{Kind: "from", Value: x.from},
			Reason: fmt.Sprintf("%d numbers that do not exist", len(*v))}, x.running)
	}
}
