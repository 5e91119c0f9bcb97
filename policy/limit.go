package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/when"
)

// Limit is a compiled entry of `limits:`. Exactly one of Rate, Concurrent,
// Failures and Distinct is set, or both of the last. It has the fields of ratelimit.Limit, so that one converts
// into the other; the engine that counts is told everything it needs.
type Limit struct {
	ID    string
	Match func(*call.Attempt) bool             // which requests are counted
	Key   []string                             // per what: names of Keys, or expressions; empty: all together
	Exprs []func(*call.Attempt) (string, bool) // of Key, nil for its names; nil: there are names only

	Rate       float64       // requests a second
	Burst      int           // requests at once
	Concurrent int           // calls at a time
	Failures   int           // failed attempts …
	Distinct   int           // different values …
	Of         string        // … of this, one of distinctNames
	Over       time.Duration // … within this time
	Leak       float64       // instead of Over: so many failures a second are forgotten
	Unanswered bool          // with Distinct: those whose challenge nobody answered

	Verdict  call.Verdict  // Reject, Drop or Challenge; none where Act is set
	Status   int           // of a Reject
	Act      call.Act      // ActBan, of the key; ActHold
	For      time.Duration // of a ban or hold; 0: a ban that doubles with each repetition
	Shadow   bool
	Severity call.Severity
	Action   call.Action // empty: by the kind of request
	Reason   string
	Notes    []call.Evidence // told with each alert: owner, ticket

	Peer string // always empty: those of peers stand in the configuration
}

// keyNames are what limits can count by.
var keyNames = []string{"source.ip", "source.net", "user", "peer", "account", "register.user",
	"source.country", "from", "from.prefix", "from.country", "to", "to.prefix", "to.country", "diverter"}

// counted is a limit and what it counts.
type counted struct {
	Limit
	match   matcher
	when    *condition      // nil: none
	exprs   []*when.Program // of the key; nil for a name
	expires time.Time
	except  *exceptions
}

// holds reports whether the limit counts a request.
func (l *counted) holds(a *call.Attempt, s *Set) bool {
	return l.applies(a, s) && l.except.find(a, s) == nil
}

// applies is holds without the exceptions.
func (l *counted) applies(a *call.Attempt, s *Set) bool {
	return l.match.holds(a, s.lists) && l.inForce(a) && (l.when == nil || l.when.counts(a, s))
}

func (l *counted) inForce(a *call.Attempt) bool { return l.expires.IsZero() || a.At.Before(l.expires) }

// bind makes the limits that are handed out: their Match asks this Set.
func (s *Set) bind() {
	s.limits = make([]Limit, len(s.counted))
	for i := range s.counted {
		l := &s.counted[i]
		s.limits[i] = l.Limit
		s.limits[i].Match = func(a *call.Attempt) bool { return l.holds(a, s) }
		s.limits[i].Exprs = s.keyTexts(l)
	}
}

func (c *compiler) limit(at string, y *limitYAML) counted {
	l := Limit{ID: y.ID, Shadow: y.Mode.shadow, Over: y.Over, Severity: call.Medium}
	m := c.matcher(at, y.On, &y.Match)
	w := c.when(at+".when", y.When)
	c.connectReads(at, m.on, w)
	if !y.Expires.IsZero() {
		c.expired(at, y.Expires)
	}
	var exprs []*when.Program
	l.Key, exprs = c.key(at, y.Key, &m, y.Then != nil && y.Then.act == call.ActBan)
	kinds := 0
	if y.Rate != nil {
		kinds++
		l.Rate, l.Burst = y.Rate.perSecond, max(1, int(math.Ceil(y.Rate.perSecond)))
		if y.Burst != nil {
			l.Burst = *y.Burst
			if l.Burst < 1 || l.Burst > 1_000_000 {
				c.problem(at+".burst", "", "burst must be 1 to 1000000")
			}
		}
	} else if y.Burst != nil {
		c.problem(at+".burst", "add rate: 5/s", "burst without rate")
	}
	if y.Concurrent != nil {
		kinds++
		if l.Concurrent = *y.Concurrent; l.Concurrent < 1 {
			c.problem(at+".concurrent", "to refuse every call write a rule", "concurrent must be 1 or more")
		}
		if m.on != onInvite {
			c.problem(at+".on", "write on: invite", "only calls are concurrent")
		}
	}
	if y.Failures != nil {
		kinds++
		if l.Failures = *y.Failures; l.Failures < 1 {
			c.problem(at+".failures", "", "failures must be 1 or more")
		}
	}
	if y.Distinct != nil {
		if y.Failures == nil {
			kinds++
		}
		c.distinct(at, y, &m, &l)
	} else if y.Of != "" {
		c.problem(at+".of", "add distinct: 20", "of without distinct")
	}
	c.guesses(at, y, &l)
	if y.Leak != nil && y.Over == 0 {
		// it is forgotten bit by bit
	} else if y.Failures != nil || y.Distinct != nil {
		if y.Over < time.Second || y.Over > 7*24*time.Hour {
			c.problem(at+".over", "add over: 5m", "this is counted over: a time from 1s to 7d")
		}
	} else if y.Over != 0 {
		c.problem(at+".over", "add failures: 10", "over without failures or distinct")
	}
	if kinds != 1 {
		c.problem(at, "write rate: and burst:, or concurrent:, or failures: and over:, or distinct:, of: and over:", "limit %s must say one of rate, concurrent, failures, distinct", y.ID)
	}
	if y.Then != nil {
		l.Verdict, l.Status, l.Act, l.For = y.Then.verdict, y.Then.status, y.Then.act, y.Then.last
		if y.Then.flag || y.Then.verdict == call.Allow {
			c.problem(at+".then", "to be told without refusing, write then: reject and mode: shadow", "a limit can reject, drop, challenge, ban or hold")
		}
		c.fits(at, &m, y.Then)
		c.banShape(at, call.ShapeOf(l.Key), &m, y.Then.act == call.ActBan)
	}
	if m.on&(onConnect|onProgress) != 0 {
		c.problem(at+".on", "write a rule", "limits count requests, not connections or calls that are up")
	}
	if y.Severity != nil {
		l.Severity = y.Severity.s
	}
	l.Action = c.action(at, y.Action)
	if l.Reason = y.Why; strings.Contains(y.Why, "{") {
		c.problem(at+".why", "the key and the count are part of every such alert", "placeholders are for rules only")
	}
	l.Notes = told(y.Owner, y.Ticket, y.Expires)
	return counted{Limit: l, match: m, when: w, exprs: exprs, expires: y.Expires}
}

// actions that a rule may give its alerts: those that name what a request was,
// not what happened to the gateway.
var actions = map[string]call.Action{
	string(call.CallRejected):           call.CallRejected,
	string(call.RequestRejected):        call.RequestRejected,
	string(call.RuleFlagged):            call.RuleFlagged,
	string(call.ScannerDetected):        call.ScannerDetected,
	string(call.Flood):                  call.Flood,
	string(call.IdentityForged):         call.IdentityForged,
	string(call.PeerIdentity):           call.PeerIdentity,
	string(call.PlaintextRefused):       call.PlaintextRefused,
	string(call.CallForwardFraud):       call.CallForwardFraud,
	string(call.TollFraud):              call.TollFraud,
	string(call.PingCall):               call.PingCall,
	string(call.PingCallCallback):       call.PingCallCallback,
	string(call.NumberProbing):          call.NumberProbing,
	string(call.RegistrationBruteforce): call.RegistrationBruteforce,
	string(call.Enumeration):            call.Enumeration,
	string(call.Robocall):               call.Robocall,
}

// action checks `action:`.
func (c *compiler) action(at, name string) call.Action {
	if name == "" {
		return ""
	}
	if a, ok := actions[name]; ok {
		return a
	}
	c.unknown(at+".action", "action", name, slices.Sorted(maps.Keys(actions)))
	return ""
}

type limitYAML struct {
	Pos         strictyaml.Pos  `yaml:"-"`
	ID          string          `yaml:"id,required"`
	On          []string        `yaml:"on,single"`
	Match       matchYAML       `yaml:"match"`
	When        strictyaml.Text `yaml:"when"`
	Key         []keyYAML       `yaml:"key,single"`
	Rate        *rateYAML       `yaml:"rate"`
	Burst       *int            `yaml:"burst"`
	Concurrent  *int            `yaml:"concurrent"`
	Failures    *int            `yaml:"failures"`
	Distinct    *int            `yaml:"distinct"`
	Of          string          `yaml:"of"`
	Over        time.Duration   `yaml:"over"`
	Leak        *rateYAML       `yaml:"leak"`
	Unanswered  bool            `yaml:"unanswered"`
	Then        *thenYAML       `yaml:"then"`
	Mode        modeYAML        `yaml:"mode"`
	Severity    *severityYAML   `yaml:"severity"`
	Action      string          `yaml:"action"`
	Why         string          `yaml:"why"`
	Expires     time.Time       `yaml:"expires"`
	Description string          `yaml:"description"`
	Owner       string          `yaml:"owner"`
	Ticket      string          `yaml:"ticket"`
}

// rateYAML is a count per unit of time: 5/s, 20/m, 100/h.
type rateYAML struct{ perSecond float64 }

func (r *rateYAML) UnmarshalScalar(text string, _ bool) error {
	count, unit, ok := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(count, 64)
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	if !ok || err != nil || seconds == 0 || !(n > 0) || n > 1e9 {
		return fmt.Errorf("%q is not a rate such as 5/s, 20/m or 100/h", text)
	}
	r.perSecond = n / seconds
	return nil
}
