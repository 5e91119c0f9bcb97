package fraud

import (
	"fmt"
	"math"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TravelConfig are the parameters of impossible-travel and new-country.
type TravelConfig struct {
	Speed  float64       // km/h that nobody travels at
	Slack  float64       // km by which the place of an address may be wrong
	Mute   time.Duration // the same user and country is not told again
	Days   int           // a country where a user was on so many days is known
	Agents int           // trips that ended well, after which a softphone is known as one that travels; 0: never
}

// travel sees users who are in two places: one of them is not the user.
//
// A desk phone stays registered at home while its user travels with a
// softphone, so a registration alone does not say where somebody is. What
// travels is the software: a kind of it that the account's travellers used
// before, with nothing found about them, is taken for one of them.
type travel struct {
	blind
	cfg      *TravelConfig
	last     *table[userKey, place]
	known    *table[userCode, habit]   // user → country
	muted    *table[userCode, int64]   // user → country
	told     *table[userCode, int64]   // user → country: new-country was told
	agents   *table[userCode, trips]   // account → software
	trip     *table[userKey, trip]     // the last one of a user
	familiar *table[userNumber, int64] // user → number: since when
}

type place struct {
	at      int64
	country string
	agent   string
}

// trip is the first day of a user in a country.
type trip struct {
	country string
	agent   string
	began   int64
	counted bool
	fit     int // calls from there to numbers that the user had called before
}

// trips are those on which a kind of software was used abroad and nothing was
// found.
type trips struct {
	good uint8
	last uint32 // user of the last one
}

const tripCalls = 2 // calls to numbers of his own show that it was the user

func newTravel(c *Config) *travel {
	t := &travel{cfg: &c.Travel}
	t.last = newTable[userKey, place](c.MaxKeys, 30*day, nil)
	t.known = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.muted = newTable[userCode, int64](c.MaxKeys, int64(c.Travel.Mute), nil)
	t.told = newTable[userCode, int64](c.MaxKeys, int64(c.Travel.Mute), nil)
	t.agents = newTable[userCode, trips](10_000, 180*day, nil)
	t.trip = newTable[userKey, trip](10_000, 7*day, nil)
	t.familiar = newTable[userNumber, int64](c.MaxKeys, keepHabit, nil)
	return t
}

func (t *travel) register(e *Engine, ev *call.Event) {
	if ev.Code != 200 || ev.SourceCountry == "" || ev.User == "" {
		return
	}
	today := e.localDay()
	who := userKey{ev.Account, ev.User}
	k := userCode{ev.Account, ev.User, ev.SourceCountry}
	h := t.known.get(k, e.now)
	p := t.last.get(who, e.now)
	was := *p
	*p = place{e.now, ev.SourceCountry, ev.UserAgent}
	defer h.seen(today, 0)
	t.ends(e, who)
	if was.country == "" || was.country == ev.SourceCountry || h.before(today) >= t.cfg.Days ||
		!e.warm() && t.known.peek(userCode{ev.Account, ev.User, was.country}, e.now).before(today) < t.cfg.Days {
		return
	}
	if tr := t.trip.get(who, e.now); tr.country != ev.SourceCountry {
		*tr = trip{country: ev.SourceCountry, agent: ev.UserAgent, began: e.now}
	}
	km, ok := e.rates.distance(was.country, ev.SourceCountry)
	hours := float64(e.now-was.at) / float64(time.Hour)
	if !ok || km-t.cfg.Slack < t.cfg.Speed*hours || t.muted.find(k, e.now) != nil || t.travels(e, ev, was) {
		return
	}
	*t.muted.get(k, e.now) = e.now
	*t.muted.get(userCode{ev.Account, ev.User, was.country}, e.now) = e.now // the way back is not told again
	f := Finding{Detector: IDTravel, Action: call.ImpossibleTravel, Severity: call.Medium, Subject: call.Subject{Kind: "user", Value: ev.User}, Account: ev.Account, User: ev.User, Source: ev.Source,
		Reason: fmt.Sprintf("registered from %s %.0f minutes after %s, %.0f km away", ev.SourceCountry, hours*60, was.country, km),
		Evidence: []call.Evidence{{Name: "km", Value: math.Round(km), Threshold: math.Round(t.cfg.Slack + t.cfg.Speed*hours)}, {Name: "minutes", Value: math.Round(hours * 60)},
			{Name: "from_country", Value: was.country}, {Name: "to_country", Value: ev.SourceCountry}, {Name: "same_software", Value: ev.UserAgent == was.agent}}}
	e.tell(f, nil)
}

// travels reports whether the software is one that travellers of the account
// use. What is registered at home at this moment does not travel.
func (t *travel) travels(e *Engine, ev *call.Event, was place) bool {
	if t.cfg.Agents <= 0 || ev.UserAgent == "" || ev.UserAgent == was.agent {
		return false
	}
	a := t.agents.peek(userCode{ev.Account, "", ev.UserAgent}, e.now)
	return a != nil && int(a.good) >= t.cfg.Agents
}

// ends counts a trip when half a day has passed, the user has called numbers of
// his own from there, and nothing was found about him.
func (t *travel) ends(e *Engine, who userKey) {
	tr := t.trip.peek(who, e.now)
	if tr == nil || tr.counted || e.now-tr.began < day/2 {
		return
	}
	if tr.fit >= tripCalls && tr.agent != "" && !e.toll.suspects(who, e.now) {
		a := t.agents.get(userCode{who.account, "", tr.agent}, e.now)
		if a.good < 255 && a.last != hash(who.user) {
			a.good, a.last = a.good+1, hash(who.user)
		}
	}
	tr.counted = true // once: a longer stay is no other trip
}

// invite notes numbers of a user's own, and sees calls that cost from a country
// where the user never was.
func (t *travel) invite(e *Engine, c *running) {
	if !c.paid || c.user == "" {
		return
	}
	own := userNumber{c.account, c.user, c.to}
	if c.country != "" {
		who := userKey{c.account, c.user}
		since := t.familiar.peek(own, e.now)
		if tr := t.trip.peek(who, e.now); tr != nil && tr.country == c.country && since != nil && *since < tr.began {
			tr.fit++
		}
		t.newCountry(e, c)
	}
	if since := t.familiar.get(own, e.now); *since == 0 {
		*since = e.now
	}
}

// newCountry tells of calls from a country that is new to the user to one that
// is dear and new to him, too.
func (t *travel) newCountry(e *Engine, c *running) {
	k := userCode{c.account, c.user, c.country}
	today := e.localDay()
	if c.far.Class < Elevated || !e.toll.strange(e, c) || t.known.peek(k, e.now).before(today) >= t.cfg.Days ||
		e.toll.dest.peek(userCode{c.account, c.user, c.far.Code}, e.now).before(today) >= t.cfg.Days || t.told.find(k, e.now) != nil {
		return
	}
	*t.told.get(k, e.now) = e.now
	e.tell(Finding{Detector: IDCountry, Action: call.NewCountry, Severity: call.Medium, Subject: call.Subject{Kind: "user", Value: c.user}, PerMin: c.far.PerMinute,
		Reason:   fmt.Sprintf("called %s (%s) from %s: the user never was there and never called there", c.far.Code, c.far.Class, c.country),
		Evidence: []call.Evidence{{Name: "from_country", Value: c.country}, {Name: "destination", Value: c.far.Code}, {Name: "usd_per_minute", Value: c.far.PerMinute}}}, c)
}

// suspects reports whether a user is under an alarm.
func (t *toll) suspects(who userKey, now int64) bool {
	u := t.users.peek(who, now)
	return u != nil && u.alarm > now
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
