package fraud

import (
	"fmt"
	"slices"
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
	by  *table[userCode, route]
}

// route is what a peer did with calls to a destination.
type route struct {
	last  []gave
	usual float64 // share of suspicious calls, slow; not learned while alarmed
	n     int     // learned
	alarm int64   // until when nothing is learned
}

type gave struct {
	at    int64
	false bool
}

func newAnswer(c *Config) *answer {
	a := &answer{cfg: &c.Answer}
	a.by = newTable[userCode, route](10_000, 30*day, func(v *route) { *v = route{last: v.last[:0]} })
	return a
}

func (a *answer) end(e *Engine, x *ended) {
	if !x.paid || x.answered == 0 || x.peer == "" || x.far.Class == Home {
		return
	}
	r := a.by.get(userCode{x.account, x.peer, x.far.Code}, e.now)
	for len(r.last) > 0 && (r.last[0].at <= e.now-int64(a.cfg.Over) || len(r.last) == 30) {
		if e.now >= r.alarm { // what no longer counts may become usual
			r.learn(r.last[0].false)
		}
		r.last = slices.Delete(r.last, 0, 1)
	}
	bad := x.rang == 0 && x.seconds < a.cfg.Seconds && x.by == call.ByCaller
	r.last = append(r.last, gave{e.now, bad})
	n := 0
	for _, g := range r.last {
		if g.false {
			n++
		}
	}
	share := float64(n) / float64(len(r.last))
	most := a.cfg.Share
	if r.n >= 30 { // a destination of menus and mailboxes has its own usual
		most = min(max(most, r.usual+.25), .9)
	}
	if n >= a.cfg.Calls && share >= most {
		e.tell(Finding{Detector: IDAnswer, Action: call.FalseAnswer, Severity: call.Medium, Subject: call.Subject{Kind: "peer", Value: x.peer},
			Reason: fmt.Sprintf("%d of %d calls to %s were answered without ringing and given up within %.0f s", n, len(r.last), x.far.Code, a.cfg.Seconds),
			Evidence: []call.Evidence{{Name: "calls", Value: n, Threshold: a.cfg.Calls}, {Name: "share", Value: cents(share), Threshold: cents(most)},
				{Name: "usual_share", Value: cents(r.usual)}, {Name: "destination", Value: x.far.Code}}}, x.running)
		r.alarm = e.now + 2*int64(a.cfg.Over)
	}
}

func (r *route) learn(bad bool) {
	r.n = min(r.n+1, 200)
	v := 0.0
	if bad {
		v = 1
	}
	r.usual += (v - r.usual) / float64(r.n)
}
