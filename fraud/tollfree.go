package fraud

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// FreeConfig are the parameters of tollfree-pumping.
type FreeConfig struct {
	Caller    int           // calls of one number within a day
	Block     int           // calls of a block of a thousand numbers…
	BlockOver time.Duration // …within this
	Variation float64       // of their lengths, at most
	Seconds   float64       // mean length, at least
}

// free sees calls to the operator's toll-free numbers that are made to last, for
// a share of what the callee pays: machines listen to a menu for always the same
// time. Calls to other numbers of the operator cost nothing and are not told
// apart: the same pattern there is a machine, too.
type free struct {
	blind
	cfg   *FreeConfig
	by    *table[string, []heard] // caller
	block *table[string, []heard]
}

type heard struct {
	at      int64
	seconds float64
}

const maxHeard = 64

func newFree(c *Config) *free {
	f := &free{cfg: &c.Free}
	clear := func(v *[]heard) { *v = (*v)[:0] }
	f.by = newTable[string, []heard](c.MaxKeys, day, clear)
	f.block = newTable[string, []heard](c.MaxKeys, int64(c.Free.BlockOver), clear)
	return f
}

func (f *free) end(e *Engine, x *ended) {
	if !x.inbound || x.answered == 0 || x.from == "" {
		return
	}
	f.look(e, x, f.by.get(x.from, e.now), call.Subject{Kind: "from", Value: x.from}, f.cfg.Caller, day)
	f.look(e, x, f.block.get(block(x.from, 3), e.now), call.Subject{Kind: "from_prefix", Value: block(x.from, 3)}, f.cfg.Block, int64(f.cfg.BlockOver))
}

func (f *free) look(e *Engine, x *ended, v *[]heard, who call.Subject, want int, over int64) {
	*v = slices.DeleteFunc(*v, func(h heard) bool { return h.at <= e.now-over })
	if len(*v) == maxHeard {
		*v = slices.Delete(*v, 0, 1)
	}
	*v = append(*v, heard{e.now, x.seconds})
	if len(*v) < want {
		return
	}
	var s spreading
	for _, h := range *v {
		s.add(h.seconds)
	}
	if s.cv() >= f.cfg.Variation || s.mean <= f.cfg.Seconds {
		return
	}
	e.tell(Finding{Detector: IDFree, Action: call.TollfreePumping, Severity: call.Medium, Subject: who,
		Reason: fmt.Sprintf("%d calls of about %.0f s, all alike", len(*v), s.mean),
		Evidence: []call.Evidence{{Name: "calls", Value: len(*v), Threshold: want}, {Name: "length_variation", Value: cents(s.cv()), Threshold: f.cfg.Variation},
			{Name: "mean_seconds", Value: cents(s.mean), Threshold: f.cfg.Seconds}}}, x.running)
}

// spreading is the mean and variation of values, as they come (Welford).
type spreading struct {
	n       int
	mean, m float64
}

func (s *spreading) add(x float64) {
	s.n++
	d := x - s.mean
	s.mean += d / float64(s.n)
	s.m += d * (x - s.mean)
}

// cv is the coefficient of variation.
func (s *spreading) cv() float64 {
	if s.n == 0 || s.mean == 0 {
		return 0
	}
	return math.Sqrt(s.m/float64(s.n)) / s.mean
}
