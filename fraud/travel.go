package fraud

import (
	"fmt"
	"math"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TravelConfig are the parameters of impossible-travel.
type TravelConfig struct {
	Speed float64       // km/h that nobody travels at
	Mute  time.Duration // the same user and country is not told again
	Days  int           // a country where a user was on so many days is known
}

type travel struct {
	blind
	cfg   *TravelConfig
	last  *table[userKey, place]
	known *table[userCode, habit]
	muted *table[userCode, int64]
}

type place struct {
	at      int64
	country string
}

func newTravel(c *Config) *travel {
	t := &travel{cfg: &c.Travel}
	t.last = newTable[userKey, place](c.MaxKeys, 30*day, nil)
	t.known = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.muted = newTable[userCode, int64](c.MaxKeys, int64(c.Travel.Mute), nil)
	return t
}

func (t *travel) register(e *Engine, ev *call.Event) {
	if ev.Code != 200 || ev.SourceCountry == "" || ev.User == "" {
		return
	}
	k := userCode{ev.Account, ev.User, ev.SourceCountry}
	h := t.known.get(k, e.now)
	p := t.last.get(userKey{ev.Account, ev.User}, e.now)
	was := *p
	*p = place{e.now, ev.SourceCountry}
	defer h.seen(e.now, 0)
	if was.country == "" || was.country == ev.SourceCountry || h.before(e.now) >= t.cfg.Days || !e.warm() {
		return
	}
	km, ok := e.rates.distance(was.country, ev.SourceCountry)
	hours := float64(e.now-was.at) / float64(time.Hour)
	if !ok || km < t.cfg.Speed*hours {
		return
	}
	if m := t.muted.find(k, e.now); m != nil {
		return
	}
	*t.muted.get(k, e.now) = e.now
	e.tell(Finding{Detector: IDTravel, Action: call.ImpossibleTravel, Severity: call.Medium, Subject: call.Subject{Kind: "user", Value: ev.User}, Account: ev.Account, User: ev.User, Source: ev.Source,
		Reason: fmt.Sprintf("registered from %s %.0f minutes after %s, %.0f km away", ev.SourceCountry, hours*60, was.country, km)}, nil)
}

// distance between the centres of two countries, km along a great circle.
func (r *Rates) distance(a, b string) (float64, bool) {
	la, lo, ok := r.Centre(a)
	lb, lp, ok2 := r.Centre(b)
	if !ok || !ok2 {
		return 0, false
	}
	const rad = math.Pi / 180
	s := math.Sin(la*rad)*math.Sin(lb*rad) + math.Cos(la*rad)*math.Cos(lb*rad)*math.Cos((lo-lp)*rad)
	return 6371 * math.Acos(max(-1, min(1, s))), true
}

var centres = map[string][2]int8{}
