package fraud

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Config has the parameters of every detector.
type Config struct {
	MaxCalls int            // at a time
	MaxKeys  int            // of each table
	WarmUp   time.Duration  // habits are not held against anybody before
	Incident time.Duration  // silence that ends an incident
	Update   time.Duration  // between two alerts of one incident
	Shadow   time.Duration  // after the first start, in which [FirstShadow] withholds acts
	Zone     *time.Location // the time that people around the gateway keep; nil: UTC

	// Excepted reports whether an exception lets a call go past a detector: what is
	// found is told, and nothing is done; nil: there are none. It must be pure.
	Excepted func(a *call.Attempt, detector string) bool

	Rules map[string]Rule // by detector; what is missing only flags

	Ping   PingConfig
	Toll   TollConfig
	Pump   PumpConfig
	Free   FreeConfig
	Answer AnswerConfig
	Robo   RoboConfig
	Probe  ProbeConfig
	Travel TravelConfig
	Spend  SpendConfig
	Costly CostlyConfig
}

// Defaults of a profile, "office" or "call-centre".
func Defaults(profile string) Config {
	c := Config{
		MaxCalls: 100_000, MaxKeys: 100_000, WarmUp: 7 * 24 * time.Hour, Incident: time.Hour, Update: time.Hour, Shadow: 7 * 24 * time.Hour,
		Rules: map[string]Rule{},
		Ping: PingConfig{Ring: 6 * time.Second, Answered: 3200 * time.Millisecond, Share: .75, Callees: 4,
			Number: 5, NumberOver: time.Hour, Block: 6, BlockOver: 2 * time.Hour, Country: 8, CountryOver: 4 * time.Hour, Day: 6, Tail: 1e-6, Guard: 72 * time.Hour, Contact: 3},
		Toll:   TollConfig{Hour: 6, Day: 10, Account: 25, Spent: 40, AccountSpent: 150, Pickup: 4500 * time.Millisecond},
		Pump:   PumpConfig{Calls: 12, PerUser: 2.5, Days: 4, Alike: 8},
		Free:   FreeConfig{Caller: 6, Block: 12, BlockOver: 30 * time.Minute, Variation: .25, Seconds: 45},
		Answer: AnswerConfig{Calls: 8, Share: .4, Seconds: 25, Over: 4 * time.Hour},
		Robo: RoboConfig{Calls: 20, Over: 2 * time.Hour, Callees: 10, Message: time.Minute, HungUp: .25,
			Strangers: 6, StrangersOver: time.Hour, Tail: 1e-6},
		Probe:  ProbeConfig{Caller: 5, CallerOver: 10 * time.Minute, Slow: 12, Account: 8, AccountOver: 30 * time.Minute, Tail: 1e-6},
		Travel: TravelConfig{Speed: 900, Slack: 200, Mute: 72 * time.Hour, Days: 2, Agents: 1},
		Spend:  SpendConfig{User: 50, Account: 250, Over: 24 * time.Hour},
		Costly: CostlyConfig{PerMinute: .25, Calls: 2, Elevated: 4 * time.Hour, High: 2 * time.Hour, Satellite: time.Hour, Premium: time.Hour},
	}
	if profile == "call-centre" {
		c.Costly.Calls = 5 // a campaign abroad is work of many
		c.Spend.User, c.Spend.Account = 100, 1000
	}
	c.Rules[IDSpend] = Rule{Then: Then{Verdict: call.Reject, Status: 403, Act: call.ActHangup}}
	return c
}

// covers is how long a table keeps what nobody touches: no less than the window
// that is counted over, whatever that is set to.
func covers(ttl int64, window time.Duration) int64 { return max(ttl, int64(window)) }

// longest is how long a call is waited for whose end nobody tells: longer than
// any may last.
func (c *Config) longest() int64 {
	return covers(2*day, max(c.Costly.Elevated, c.Costly.High, c.Costly.Satellite, c.Costly.Premium)+24*time.Hour)
}
