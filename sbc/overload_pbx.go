package sbc

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// A PBX that refuses most of what it gets, or does not answer, gets less. Each
// has a Load of its own, so that one that is slow costs the others no calls: what
// could go to any of several is let in if one of them has room, and failover finds
// it. What a PBX sends is not asked about here: it is not work that we give it.
type pbxLoads struct {
	of   map[string]*pbxLoad // as configured; never changed
	busy atomic.Bool         // one of them is
}

type pbxLoad struct {
	load    *ratelimit.Load
	ok, bad atomic.Uint32
	// Measuring's own.
	good, wrong float64
}

func (l *pbxLoads) init(pbxs []PBX, cfg ratelimit.LoadConfig) {
	l.of = make(map[string]*pbxLoad, len(pbxs))
	for _, p := range pbxs {
		l.of[p.Name] = &pbxLoad{load: ratelimit.NewLoad(cfg)}
	}
}

// asked: a call goes to that PBX.
func (l *pbxLoads) asked(p *PBX) {
	if o := l.of[p.Name]; o != nil && !o.load.Busy() {
		o.load.Note(ratelimit.LoadNew, ratelimit.CostCall)
	}
}

// answered notes how a request to a PBX ended.
func (l *pbxLoads) answered(p *PBX, ok bool) {
	switch o := l.of[p.Name]; {
	case o == nil:
	case ok:
		o.ok.Add(1)
	default:
		o.bad.Add(1)
	}
}

// pbxSeen is how many requests to a PBX have to have ended lately before they say
// anything.
const pbxSeen = 20

// failing is the share that ended badly, of the last seconds.
func (o *pbxLoad) failing() float64 {
	const keep = 0.98 // of a tenth of a second: five seconds count
	o.good = o.good*keep + float64(o.ok.Swap(0))
	o.wrong = o.wrong*keep + float64(o.bad.Swap(0))
	if all := o.good + o.wrong; all >= pbxSeen {
		return o.wrong / all
	}
	return 0
}

func (l *pbxLoads) tick(now time.Time) {
	busy := false
	for _, o := range l.of {
		o.load.Tick(now, ratelimit.LoadSignals{PBX: o.failing()})
		busy = busy || o.load.Busy()
	}
	l.busy.Store(busy)
}

func (l *pbxLoads) states() (all []ratelimit.LoadState) {
	for _, o := range l.of {
		all = append(all, o.load.State())
	}
	return all
}

// evidence says which PBXs it is about.
func (l *pbxLoads) evidence() (e []call.Evidence) {
	for _, name := range slices.Sorted(maps.Keys(l.of)) {
		if s := l.of[name].load.State(); s.Rate > 0 {
			e = append(e, call.Evidence{Name: "overload.pbx", Value: name, Threshold: s.Limits.PBX})
		}
	}
	return e
}

// pbxHasRoom asks the PBXs that a request may go to. While none of them fails
// nobody is asked.
func (g *Gateway) pbxHasRoom(q *request, id identity, c ratelimit.LoadClass, cost uint32, who uint64, now time.Time) bool {
	l := &g.overload.pbxs
	if !l.busy.Load() || id.kind == call.PBX || q.flow.Side == call.Inside {
		return true
	}
	domain, asked := g.seatOf(q, id), false
	for i := range g.cfg.PBXs {
		p := &g.cfg.PBXs[i]
		if !p.serves(domain) {
			continue
		}
		if o := l.of[p.Name].load; !o.Busy() || o.Admit(c, cost, who, now) {
			return true
		}
		asked = true
	}
	return !asked // for nobody's domain: it is refused as usual
}

// seatOf is whose PBX a request is for, as seat has it.
func (g *Gateway) seatOf(q *request, id identity) string {
	q.read()
	all := [...][]byte{q.from, q.uri}
	from := all[:]
	if id.kind == call.Carrier {
		from = all[1:]
	}
	for _, u := range from {
		if _, host := sipx.UserHost(u); host != nil && g.ours(string(host)) {
			return string(host)
		}
	}
	return g.cfg.Domains[0]
}
