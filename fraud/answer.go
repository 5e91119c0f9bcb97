package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// AnswerConfig are the parameters of false-answer: a carrier's route that
// answers calls that nobody answered, to bill them.
type AnswerConfig struct {
	Calls   int           // suspicious ones…
	Share   float64       // …and their share
	Seconds float64       // callers give up within
	Over    time.Duration // window
}

type answer struct {
	blind
	cfg *AnswerConfig
	by  *table[userCode, []gave]
}

type gave struct {
	at    int64
	false bool
}

func newAnswer(c *Config) *answer {
	a := &answer{cfg: &c.Answer}
	a.by = newTable[userCode, []gave](10_000, int64(c.Answer.Over), func(v *[]gave) { *v = (*v)[:0] })
	return a
}

func (a *answer) end(e *Engine, x *ended) {
	if !x.paid || x.answered == 0 || x.peer == "" || x.far.Class == Home {
		return
	}
	v := a.by.get(userCode{x.account, x.peer, x.far.Code}, e.now)
	n := 0
	for _, g := range *v {
		if g.at > e.now-int64(a.cfg.Over) {
			(*v)[n] = g
			n++
		}
	}
	*v = (*v)[:n]
	if n == 30 {
		copy(*v, (*v)[1:])
		*v = (*v)[:n-1]
	}
	*v = append(*v, gave{e.now, x.rang == 0 && x.seconds < a.cfg.Seconds && x.by == call.ByCaller})
	n = 0
	for _, g := range *v {
		if g.false {
			n++
		}
	}
	share := float64(n) / float64(len(*v))
	if n >= a.cfg.Calls && share >= a.cfg.Share {
		e.tell(Finding{Detector: IDAnswer, Action: call.FalseAnswer, Severity: call.Medium, Subject: call.Subject{Kind: "peer", Value: x.peer},
			Reason:   fmt.Sprintf("%d of %d calls to %s were answered without ringing and given up within %.0f s", n, len(*v), x.far.Code, a.cfg.Seconds),
			Evidence: []call.Evidence{{Name: "calls", Value: n, Threshold: a.cfg.Calls}, {Name: "share", Value: share, Threshold: a.cfg.Share}}}, x.running)
	}
}
