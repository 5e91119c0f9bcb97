package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Fraud: one goroutine gives the detectors what happens, in its order, and
// carries out what they ask for.

// fraudQueue is how many events may wait for the detectors: a second of far more
// calls than a gateway takes. What does not fit is lost to them, and told.
const fraudQueue = 65_536

// detectorsOf are the parameters of the detectors as profile, policy and home say.
func detectorsOf(cfg *config.Config, rules *policy.Set) (fraud.Config, error) {
	conf, err := fraud.Compose(string(cfg.Profile), rules.Detectors())
	conf.Excepted = rules.Pardons
	conf.Zone, _ = cfg.Home.Zone() // config reported a wrong name
	return conf, err
}

// newDetectors makes the engine; it judges calls from the first policy on.
func newDetectors(cfg *config.Config, rules *policy.Set) (*fraud.Engine, error) {
	conf, err := detectorsOf(cfg, rules)
	if err != nil {
		return nil, err
	}
	rates, err := rates(cfg, rules.Plan().Data())
	if err != nil {
		return nil, err
	}
	return fraud.New(conf, rates), nil
}

// rates are what calls cost: the deck of the configuration on top of the price
// classes that are shipped.
func rates(cfg *config.Config, data *number.Data) (*fraud.Rates, error) {
	shipped := fraud.DefaultRates(cfg.Home.Country, data)
	if cfg.Rates == "" {
		return shipped, nil
	}
	f, err := os.Open(cfg.Rates)
	if err != nil {
		return nil, fmt.Errorf("rates: %w", err)
	}
	defer f.Close()
	return shipped.ReadDeck(cfg.Rates, f)
}

// settle is how long the last event waits for others of its millisecond.
const settle = 20 * time.Millisecond

// detect feeds the detectors until the stream ends. Beside the events it wakes once
// a second, when the last event has waited long enough, and at the moment at
// which a budget is used up: running calls are ended then, not at the next event.
func (g *gateway) detect(ctx context.Context, sub *alert.EventSub) {
	w := fraudWatch{g: g, sub: sub}
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-sub.C:
			if !ok {
				return
			}
			w.take(ev)
			if soon := time.Now().Add(settle); soon.Before(w.armed) {
				w.armed = soon
				wake.Reset(settle)
			}
		case <-wake.C:
			now := time.Now()
			w.wakes(now)
			rest := g.untilDue(now, w.ticked.Add(time.Second))
			w.armed = now.Add(rest)
			wake.Reset(rest)
		}
	}
}

// fraudWatch is what detect keeps.
type fraudWatch struct {
	g             *gateway
	sub           *alert.EventSub
	seq, lost     uint64    // lost: not told yet
	armed, ticked time.Time // when it wakes next; when time last passed
}

func (w *fraudWatch) take(ev call.Event) {
	if w.seq != 0 && ev.Seq > w.seq+1 {
		w.lost += ev.Seq - w.seq - 1
	}
	w.seq = ev.Seq
	w.g.fraudSeen.events.Add(1)
	w.g.found(w.g.detectors.Observe(ev))
}

// wakes: what happened before the clock goes on comes first.
func (w *fraudWatch) wakes(now time.Time) {
	for range len(w.sub.C) {
		if ev, ok := <-w.sub.C; ok {
			w.take(ev)
		}
	}
	at := w.g.detectors.Due()
	if due := !at.IsZero() && !now.Before(at); !due && now.Sub(w.ticked) < time.Second {
		w.g.found(w.g.detectors.Flush())
		return
	}
	w.ticked = now
	w.g.found(w.g.detectors.Tick(now))
	if w.lost > 0 {
		w.g.eventsLost(w.lost)
		w.lost = 0
	}
}

// untilDue is how long the detectors may be left alone.
func (g *gateway) untilDue(now, tick time.Time) time.Duration {
	if at := g.detectors.Due(); !at.IsZero() && at.Before(tick) {
		tick = at
	}
	return max(tick.Sub(now), time.Millisecond)
}

// eventsLost: the detectors were too slow and have not seen part of what
// happened. What they learned is still right, what they find may be late.
func (g *gateway) eventsLost(n uint64) {
	g.fraudSeen.lost.Add(n)
	e := g.about(call.SinkDegraded, call.High, "fraud/events-lost", fmt.Sprintf("%d events came faster than the detectors of fraud could take them, and were not seen by them", n))
	e.Evidence = []call.Evidence{{Name: "events.lost", Value: n, Threshold: 0}}
	g.log.Error("events lost to the detectors of fraud", "count", n)
	g.rep.Failed(e)
}

// found tells what was found, and does what it asks for.
func (g *gateway) found(fs []fraud.Finding) {
	for _, f := range fs {
		g.reportFinding(f)
		g.fraudSeen.found(&f)
		for _, d := range f.Do {
			g.carryOut(f, d)
		}
	}
}

// carryOut does what a detector asks for. In shadow the alert of the finding
// says what would have been done, and that is all.
func (g *gateway) carryOut(f fraud.Finding, d fraud.Do) {
	if d.Shadow {
		g.fraudSeen.act(d.Act, true, max(len(d.Calls), 1))
		return
	}
	switch d.Act {
	case call.ActHangup:
		for _, id := range d.Calls {
			g.hangupFor(f, d, id)
		}
	case call.ActHold:
		g.holdFor(f, d)
	}
}

// hangupFor ends a call, if it is still up, and says so.
func (g *gateway) hangupFor(f fraud.Finding, d fraud.Do, id string) {
	if !g.sbc.End(id, d.Rule) {
		return
	}
	g.fraudSeen.act(d.Act, false, 1)
	e := g.about(call.CallEnded, f.Severity, d.Rule, "ended: "+d.Reason)
	e.Subject, e.CallID, e.Evidence = f.Subject, id, f.Evidence
	g.rep.System(e)
}

// holdFor holds somebody's costly calls. Calls that are up go on, and so does
// whatever is free or for help.
func (g *gateway) holdFor(f fraud.Finding, d fraud.Do) {
	if s := d.Key.Shape(); !holds(s) {
		return
	}
	now := time.Now()
	b, again, ok := g.bans.Add(call.Ban{Act: call.ActHold, Key: d.Key, Rule: d.Rule, Reason: d.Reason, Evidence: f.Evidence, Since: now, Known: true}, d.For)
	if !ok {
		g.failed(call.AccountHeld, d.Rule, "costly calls of "+d.Key.String()+" are not held", fmt.Errorf("the table of bans and holds is full"))
		return
	}
	if again {
		return
	}
	g.fraudSeen.act(d.Act, false, 1)
	last := b.Until.Sub(b.Since)
	e := g.about(call.AccountHeld, f.Severity, d.Rule, fmt.Sprintf("costly calls of %s are held for %s: %s", d.Key, last, d.Reason))
	e.Subject = d.Key.Subject()
	e.Evidence = append(f.Evidence[:len(f.Evidence):len(f.Evidence)],
		call.Evidence{Name: "hold.seconds", Value: int(last / time.Second)}, call.Evidence{Name: "hold.times", Value: b.Times})
	g.rep.System(e)
}
