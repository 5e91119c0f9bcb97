package fraud

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Baseline is what the Engine learned, and what its thresholds would have found.
type Baseline struct {
	At       call.Time         `json:"at"`
	Since    call.Time         `json:"since"`             // the first event
	WarmUp   string            `json:"warm_up,omitempty"` // how long habits are not relied on yet
	Accounts []AccountBaseline `json:"accounts"`
}

// AccountBaseline is about one account.
type AccountBaseline struct {
	Account      string              `json:"account"`
	Week         [7][24]float64      `json:"week"` // usual outbound calls an hour, Monday first, local time
	WeekKnown    bool                `json:"week_known"`
	UsualUSD     float64             `json:"usual_usd_a_day"` // to elevated countries and dearer
	Destinations []DestinationHabit  `json:"destinations"`    // those called on most days first, a hundred at most
	Users        []UserBaseline      `json:"users"`           // those who spend most first, a hundred at most
	Thresholds   []ThresholdBaseline `json:"thresholds"`
}

// DestinationHabit is how usual a destination is.
type DestinationHabit struct {
	Code  string `json:"code"`
	Days  int    `json:"days"`
	Users int    `json:"users,omitempty"` // eight at most
}

// UserBaseline is what is usual for a user.
type UserBaseline struct {
	User         string             `json:"user"`
	UsualUSD     float64            `json:"usual_usd_a_day"`
	Destinations []DestinationHabit `json:"destinations"`
	Countries    []string           `json:"countries"` // where the user was on some days
	Suspected    bool               `json:"suspected"` // nothing is learned for now
}

// ThresholdBaseline is what a threshold was compared with in the days that are
// kept, and what other values of it would have found. Whether those were false
// alarms nobody but the operator knows: the highest are named.
type ThresholdBaseline struct {
	Detector string    `json:"detector"`
	Key      string    `json:"key"`
	Value    float64   `json:"value"` // now
	Days     int       `json:"days"`  // that are kept
	Alarms   int       `json:"alarms"`
	Other    []WouldBe `json:"other"`
	Propose  float64   `json:"propose"` // the least with one alarm in thirty days at most
	Proposed int       `json:"proposed_alarms"`
	Highest  []DayPeak `json:"highest"`
}

// WouldBe is how many users (or accounts) and days another value would have told.
type WouldBe struct {
	Value  float64 `json:"value"`
	Alarms int     `json:"alarms"`
}

// DayPeak is the most that somebody reached on a day.
type DayPeak struct {
	Day   string  `json:"day"`
	Who   string  `json:"who"`
	Value float64 `json:"value"`
}

const mostShown = 100

// Baseline shows what was learned about each account, or only about one.
func (e *Engine) Baseline(account string) Baseline {
	e.feed.Lock() // without it nobody writes
	defer e.feed.Unlock()
	b := Baseline{At: at(e.wall()), Since: at(e.begin), Accounts: []AccountBaseline{}}
	if !e.warm() {
		b.WarmUp = time.Duration(e.begin + int64(e.cfg.WarmUp) - e.now).Truncate(time.Minute).String()
	}
	for _, name := range slices.Sorted(maps.Keys(e.toll.accounts.at)) {
		if account == "" || account == name {
			b.Accounts = append(b.Accounts, e.toll.baseline(e, name))
		}
	}
	return b
}

func (t *toll) baseline(e *Engine, account string) AccountBaseline {
	a := &t.accounts.at[account].v
	b := AccountBaseline{Account: account, WeekKnown: a.week.known(), UsualUSD: cents(a.usual), Destinations: []DestinationHabit{}, Users: []UserBaseline{}}
	for h, m := range a.week.mean {
		b.Week[h/24][h%24] = math.Round(float64(m)*10) / 10
	}
	users := map[string]*UserBaseline{}
	user := func(name string) *UserBaseline {
		if users[name] == nil {
			users[name] = &UserBaseline{User: name, Destinations: []DestinationHabit{}, Countries: []string{}}
		}
		return users[name]
	}
	for k, p := range t.users.at {
		if k.account == account {
			u := user(k.user)
			u.UsualUSD, u.Suspected = cents(p.v.usual), p.v.alarm > e.now
		}
	}
	for k, h := range t.dest.at {
		if k.account == account && h.v.days > 0 {
			u := user(k.user)
			u.Destinations = append(u.Destinations, DestinationHabit{Code: k.code, Days: int(h.v.days)})
		}
	}
	for k, h := range t.sources.at {
		if k.account == account && k.user != "" && h.v.days > 1 {
			u := user(k.user)
			u.Countries = append(u.Countries, k.code)
		}
	}
	for k, h := range t.acctDest.at {
		if k.account == account && h.v.days > 0 {
			b.Destinations = append(b.Destinations, DestinationHabit{Code: k.code, Days: int(h.v.days), Users: int(h.v.n)})
		}
	}
	for _, u := range users {
		slices.Sort(u.Countries)
		u.Destinations = byDays(u.Destinations)
		b.Users = append(b.Users, *u)
	}
	slices.SortFunc(b.Users, func(x, y UserBaseline) int {
		return cmp.Or(cmp.Compare(y.UsualUSD, x.UsualUSD), cmp.Compare(len(y.Destinations), len(x.Destinations)), cmp.Compare(x.User, y.User))
	})
	b.Users = b.Users[:min(len(b.Users), mostShown)]
	b.Destinations = byDays(b.Destinations)
	b.Thresholds = t.thresholds(e, account)
	return b
}

func byDays(d []DestinationHabit) []DestinationHabit {
	slices.SortFunc(d, func(x, y DestinationHabit) int {
		return cmp.Or(cmp.Compare(y.Days, x.Days), cmp.Compare(x.Code, y.Code))
	})
	return d[:min(len(d), mostShown)]
}

// thresholds compares what happened with each threshold and with others.
func (t *toll) thresholds(e *Engine, account string) (out []ThresholdBaseline) {
	for _, key := range []struct {
		name  string
		value float64
	}{{peakHour, t.cfg.Hour}, {peakDay, t.cfg.Day}, {peakTogether, t.cfg.Account}, {peakSpent, t.cfg.Spent}, {peakSpentAll, t.cfg.AccountSpent}} {
		b := ThresholdBaseline{Detector: IDToll, Key: key.name, Value: key.value, Highest: []DayPeak{}}
		var all []DayPeak
		for k, p := range t.peaks.at {
			if k.What != key.name || k.Account != account {
				continue
			}
			b.Days++
			for _, x := range p.v {
				if x.Who != "" {
					all = append(all, DayPeak{time.Unix(int64(k.Day)*86400, 0).UTC().Format(time.DateOnly), x.Who, x.Value})
				}
			}
		}
		slices.SortFunc(all, func(x, y DayPeak) int {
			return cmp.Or(cmp.Compare(y.Value, x.Value), cmp.Compare(x.Day, y.Day), cmp.Compare(x.Who, y.Who))
		})
		b.Alarms = above(all, b.Value)
		for _, f := range rungs {
			if f != 1 {
				b.Other = append(b.Other, WouldBe{cents(f * b.Value), above(all, f*b.Value)})
			}
		}
		b.Propose, b.Proposed = propose(all, b.Value, b.Days)
		for _, x := range all[:min(len(all), 10)] {
			x.Value = cents(x.Value)
			b.Highest = append(b.Highest, x)
		}
		out = append(out, b)
	}
	return out
}

func above(all []DayPeak, v float64) int {
	n := slices.IndexFunc(all, func(x DayPeak) bool { return x.Value < v })
	if n < 0 {
		return len(all)
	}
	return n
}

// propose is the least threshold that would have told once in thirty days, with
// a quarter to spare; no less than half and no more than four times what is
// configured, and nothing else while less than a week is known.
func propose(all []DayPeak, value float64, days int) (float64, int) {
	if days < 7 {
		return value, above(all, value)
	}
	most := max(1, days/30)
	p := 0.0
	if len(all) > most {
		p = all[most].Value * 1.25
	}
	p = max(value/2, min(p, 4*value))
	scale := math.Pow(10, math.Floor(math.Log10(p))-1) // two digits
	p = math.Ceil(p/scale) * scale
	return p, above(all, p)
}
