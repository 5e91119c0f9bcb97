package fraud

import "math"

// usual is what an ordinary day of a country's calls has: means over about two
// weeks. Days on which it pinged us are not learned from.
type usual struct {
	Day           int32
	Calls, Shorts float64 // today
	MeanCalls     float64 // a day
	MeanShorts    float64
	Days          uint16
	Alarmed       bool // today
}

const (
	learnDays = 14
	knownDays = 7 // from which on the means are relied on
)

// add counts a call, after the days that are over.
func (u *usual) add(now int64, short bool) {
	today := int32(now / day)
	if u.Day == 0 {
		u.Day = today
	}
	for n := 0; u.Day < today; u.Day++ {
		if n++; n > 2*learnDays { // silence for weeks: nothing more is learned from it
			u.Day = today
			break
		}
		if !u.Alarmed {
			u.Days += min(1, ^u.Days)
			// Who pings a little for days shall not become usual: more than a quarter
			// of a day's calls, and one, is not learned.
			u.MeanCalls += (u.Calls - u.MeanCalls) / learnDays
			u.MeanShorts += (min(u.Shorts, max(1, u.Calls/4)) - u.MeanShorts) / learnDays
		}
		u.Calls, u.Shorts, u.Alarmed = 0, 0, false
	}
	u.Calls++
	if short {
		u.Shorts++
	}
}

// expects says how many short calls a window has at most on an ordinary day,
// when others came in it that were not short. A busy window may have part of a
// day's calls, and a busy day half as many again as the mean one.
func (u *usual) expects(others int, part, abroad float64) float64 {
	shorts := u.MeanShorts
	if u.Days >= knownDays { // the means began at nothing
		shorts /= 1 - math.Pow(1-1./learnDays, float64(u.Days))
	}
	r := (u.MeanShorts + .5) / (u.MeanCalls + 10)
	more := float64(others) * r / (1 - min(r, .5))
	return 1.5*max(shorts*part, more) + .02 + .1*part*abroad
}

// tail is the chance that k or more come where lambda do in the mean (Poisson).
func tail(k int, lambda float64) float64 {
	if k <= 0 {
		return 1
	}
	// From k on upwards: each term is the one before times lambda/i.
	log := -lambda + float64(k)*math.Log(lambda)
	l, _ := math.Lgamma(float64(k + 1))
	term := math.Exp(log - l)
	sum := 0.0
	for i := k; i < k+1000; i++ {
		sum += term
		term *= lambda / float64(i+1)
		if term < sum*1e-9 {
			break
		}
	}
	return min(sum, 1)
}

// countries counts a call from abroad by its country and by all that cost. It
// returns what is in alarm and where, if anything is.
//
// Nobody owns a country: many short calls from there are a campaign's only
// where they are more than its calls ever were, and nearly all that it has now,
// or, where its ordinary days are known, far too many for one.
func (p *ping) countries(e *Engine, x *ended, v pinged, short bool) (where string, in *pings) {
	if !e.rates.Abroad(x.from) && x.far.Class < Elevated {
		if p.number.peek(x.from, e.now).alarmed(e.now) || p.block.peek(block(x.from, 3), e.now).alarmed(e.now) {
			return "", nil // known by its number or block
		}
		return p.home(e, x, v, short)
	}
	all := p.usual.get(userCode{x.account, "", abroadCode}, e.now)
	all.add(e.now, short)
	abroad := all.MeanShorts
	look := func(code string) {
		id := userCode{x.account, "", code}
		u := p.usual.get(id, e.now)
		u.add(e.now, short)
		k, all24 := p.code.get(id, e.now), p.day.get(id, e.now)
		k.add(v, short, e.now, int64(p.cfg.CountryOver), maxPings)
		all24.add(v, short, e.now, day, maxPings)
		if !short {
			return
		}
		yes := p.tooMany(k, u, x, p.cfg.Country, .6, abroad) || p.tooMany(all24, u, x, p.cfg.Day, 1, abroad)
		all24.alarms(yes, e.now, p.cfg.CountryOver)
		if !all24.alarmed(e.now) {
			return
		}
		u.Alarmed, all.Alarmed = true, true
		if in == nil {
			where, in = code, all24
		}
	}
	look(x.far.Code)
	if x.far.Class.costly() {
		look(costlyCode)
		if where == costlyCode && p.day.peek(userCode{x.account, "", x.far.Code}, e.now).Shorts < 2 {
			return "", nil // the only one of its country: somebody who mistook the number meanwhile
		}
	}
	return where, in
}

// home counts calls of strangers at home. They are most of all calls, so only
// their ordinary days say what is too much; and as a fault of ours makes many
// hang up, those that we know must go on as ever. What rings now and then after
// the campaign is none of it.
func (p *ping) home(e *Engine, x *ended, v pinged, short bool) (string, *pings) {
	over := p.cfg.NumberOver
	part := min(1, .25*over.Hours()) // a busy hour has a quarter of a day at most
	if !p.stranger(x.account, x.from, e.now) {
		known := userCode{x.account, "", knownCode}
		p.usual.get(known, e.now).add(e.now, short)
		p.code.get(known, e.now).add(v, short, e.now, int64(over), maxPings)
		return "", nil
	}
	id := userCode{x.account, "", homeCode}
	u, k := p.usual.get(id, e.now), p.code.get(id, e.now)
	u.add(e.now, short)
	k.add(v, short, e.now, int64(over), maxPings)
	want := 2 * p.cfg.Country
	if !short || u.Days < knownDays || k.Shorts < want {
		return "", nil
	}
	k.Lambda = u.expects(k.Others, part, 0)
	left := k.Shorts - p.explained(k, e.now)
	if left < want || k.different(callers, want/2) < want/2 || !k.spread(p.cfg.Callees) || tail(left, k.Lambda) >= p.cfg.Tail || p.fault(e, x.account, part) {
		return "", nil
	}
	if k.times(x.from) < 2 && (k.Told && k.alarmed(e.now) || k.Shorts < want*3/2) {
		return "", nil // a stranger who mistook the number meanwhile? Machines come back to their numbers
	}
	k.alarms(true, e.now, over)
	u.Alarmed = true
	return homeCode, k
}

// explained says how many short calls are of numbers and blocks that were found
// by themselves: a stranger who hangs up meanwhile is none of them.
func (p *ping) explained(k *pings, now int64) (n int) {
	for i := range k.Short {
		s := &k.Short[i]
		if a, b := p.number.peek(s.From, now), p.block.peek(block(s.From, 3), now); a != nil && a.Alarm > s.At || b != nil && b.Alarm > s.At {
			n++
		}
	}
	return n
}

// fault reports whether callers that we know hang up more often than ever, too.
func (p *ping) fault(e *Engine, account string, part float64) bool {
	known := userCode{account, "", knownCode}
	u, k := p.usual.peek(known, e.now), p.code.peek(known, e.now)
	return u != nil && k != nil && k.Shorts >= 4 && tail(k.Shorts, u.expects(k.Others, part, 0)) < .01
}

// tooMany reports whether a window has more short calls than a country ever had.
func (p *ping) tooMany(k *pings, u *usual, x *ended, want int, part, abroad float64) bool {
	if k.Shorts < want {
		return false
	}
	k.Lambda = u.expects(k.Others, part, abroad)
	if !k.spread(p.cfg.Callees) || k.different(blocks, 2) < 2 {
		return false
	}
	known := u.Days >= knownDays && (x.far.Class >= Elevated || k.Shorts >= 2*want)
	return (known || k.share() >= p.cfg.Share) && tail(k.Shorts, k.Lambda) < p.cfg.Tail
}
