package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/fraud/param"
)

// fields are where the parameters of each detector are kept: *int, *float64 or
// *time.Duration.
func (c *Config) fields(id string) map[string]any {
	switch id {
	case param.Everywhere:
		return map[string]any{"warm_up": &c.WarmUp, "shadow": &c.Shadow, "incident": &c.Incident, "update": &c.Update, "keys": &c.MaxKeys, "calls": &c.MaxCalls}
	case IDPing:
		p := &c.Ping
		return map[string]any{"ring": &p.Ring, "answered": &p.Answered, "share": &p.Share, "callees": &p.Callees, "number": &p.Number, "number_over": &p.NumberOver,
			"block": &p.Block, "block_over": &p.BlockOver, "country": &p.Country, "country_over": &p.CountryOver,
			"day": &p.Day, "tail": &p.Tail, "contact": &p.Contact, "guard_callback": &p.Guard}
	case IDToll:
		p := &c.Toll
		return map[string]any{"risk_hour": &p.Hour, "risk_day": &p.Day, "risk_account": &p.Account, "spent_day": &p.Spent, "spent_account": &p.AccountSpent, "pickup": &p.Pickup}
	case IDCostly:
		p := &c.Costly
		return map[string]any{"per_minute": &p.PerMinute, "calls": &p.Calls, "longest_elevated": &p.Elevated, "longest_high": &p.High,
			"longest_satellite": &p.Satellite, "longest_premium": &p.Premium}
	case IDSpend:
		p := &c.Spend
		return map[string]any{"user": &p.User, "peer": &p.Peer, "destination": &p.Destination, "account": &p.Account, "over": &p.Over}
	case IDPump:
		p := &c.Pump
		return map[string]any{"calls": &p.Calls, "per_user": &p.PerUser, "days": &p.Days, "alike": &p.Alike}
	case IDFree:
		p := &c.Free
		return map[string]any{"calls": &p.Caller, "block": &p.Block, "block_over": &p.BlockOver, "variation": &p.Variation, "seconds": &p.Seconds}
	case IDAnswer:
		p := &c.Answer
		return map[string]any{"calls": &p.Calls, "share": &p.Share, "seconds": &p.Seconds, "over": &p.Over}
	case IDRobo:
		p := &c.Robo
		return map[string]any{"calls": &p.Calls, "over": &p.Over, "callees": &p.Callees, "message": &p.Message, "hung_up": &p.HungUp,
			"strangers": &p.Strangers, "strangers_over": &p.StrangersOver, "tail": &p.Tail}
	case IDProbe:
		p := &c.Probe
		return map[string]any{"caller": &p.Caller, "caller_over": &p.CallerOver, "slow": &p.Slow, "account": &p.Account, "account_over": &p.AccountOver, "tail": &p.Tail}
	case IDTravel:
		p := &c.Travel
		return map[string]any{"speed": &p.Speed, "slack": &p.Slack, "mute": &p.Mute, "days": &p.Days, "agents": &p.Agents}
	}
	return nil
}

// Set gives a parameter a value; durations are in seconds. A detector or key
// that does not exist, and a value beyond its bounds, is an error.
func (c *Config) Set(id, key string, v float64) error {
	d := param.Find(id)
	if d == nil {
		return fmt.Errorf("fraud: no detector %s", id)
	}
	p := d.Param(key)
	if p == nil {
		return fmt.Errorf("fraud: %s has no parameter %s", id, key)
	}
	if !(v >= p.Min && v <= p.Max) {
		return fmt.Errorf("fraud: %s of %s is %v: %v to %v", key, id, v, p.Min, p.Max)
	}
	switch f := c.fields(id)[key].(type) {
	case *int:
		*f = int(v)
	case *float64:
		*f = v
	case *time.Duration:
		*f = time.Duration(v * float64(time.Second))
	}
	return nil
}

// Get returns the value of a parameter; durations are in seconds. It is false
// where there is none.
func (c *Config) Get(id, key string) (float64, bool) {
	switch f := c.fields(id)[key].(type) {
	case *int:
		return float64(*f), true
	case *float64:
		return *f, true
	case *time.Duration:
		return f.Seconds(), true
	}
	return 0, false
}

// Compose makes the configuration of a profile as policy files change it.
// Detectors that they do not name are off. A parameter that does not exist is
// an error; files are checked before.
func Compose(profile string, entries []param.Entry) (Config, error) {
	c := Defaults(profile)
	named := map[string]bool{}
	everywhere := FirstShadow
	for _, n := range entries {
		named[n.ID] = true
		for _, v := range n.Values {
			if err := c.Set(n.ID, v.Key, v.Value); err != nil {
				return Config{}, err
			}
		}
		r := c.Rules[n.ID]
		if n.Then {
			r.Then = Then{Verdict: n.Verdict, Status: n.Status, Act: n.Act, For: n.For}
		}
		r.Off, r.Mode = n.Off, modes[n.Mode]
		if n.ID == param.Everywhere {
			everywhere = r.Mode
		}
		c.Rules[n.ID] = r
	}
	all := c.Rules[param.Everywhere]
	for _, d := range param.All() {
		r := c.Rules[d.ID]
		r.Off = r.Off || all.Off || !named[d.ID]
		if r.Mode == FirstShadow {
			r.Mode = everywhere
		}
		c.Rules[d.ID] = r
	}
	return c, nil
}

var modes = map[string]Mode{"": FirstShadow, "enforce": Enforce, "shadow": Shadow}
