package policy

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

type ruleYAML struct {
	Pos         strictyaml.Pos  `yaml:"-"`
	ID          string          `yaml:"id,required"`
	On          []string        `yaml:"on,single"`
	Match       matchYAML       `yaml:"match"`
	When        strictyaml.Text `yaml:"when"`
	Then        *thenYAML       `yaml:"then"`
	Key         []string        `yaml:"key,single"`
	Mode        modeYAML        `yaml:"mode"`
	Severity    *severityYAML   `yaml:"severity"`
	Action      string          `yaml:"action"`
	Why         string          `yaml:"why"`
	Expires     time.Time       `yaml:"expires"`
	Description string          `yaml:"description"`
	Owner       string          `yaml:"owner"`
	Ticket      string          `yaml:"ticket"`
}

func (c *compiler) rule(at string, y *ruleYAML) (*rule, *matcher) {
	r := &rule{id: y.ID, shadow: y.Mode.shadow, severity: call.Medium, expires: y.Expires}
	r.match = c.matcher(at, y.On, &y.Match)
	r.shape = c.banKey(at, y, &r.match)
	c.fits(at, &r.match, y.Then)
	r.when = c.when(at+".when", y.When)
	c.connectReads(at, r.match.on, r.when)
	if y.Then != nil {
		r.verdict, r.status, r.flag = y.Then.verdict, y.Then.status, y.Then.flag
		r.act, r.last = y.Then.act, y.Then.last
	}
	if y.Severity != nil {
		r.severity = y.Severity.s
	}
	r.action = c.action(at, y.Action)
	why := y.Why
	if why == "" {
		why = "rule " + y.ID
	}
	r.why, r.told = c.template(at+".why", why), told(y.Owner, y.Ticket, y.Expires)
	if !y.Expires.IsZero() {
		c.expired(at, y.Expires)
	}
	return r, &r.match
}

// told is what each alert says about who wrote a rule.
func told(owner, ticket string, expires time.Time) (out []call.Evidence) {
	if owner != "" {
		out = append(out, call.Evidence{Name: "rule.owner", Value: owner})
	}
	if ticket != "" {
		out = append(out, call.Evidence{Name: "rule.ticket", Value: ticket})
	}
	if !expires.IsZero() {
		out = append(out, call.Evidence{Name: "rule.expires", Value: expires.Format(time.RFC3339)})
	}
	return out
}

func (c *compiler) expired(at string, expires time.Time) {
	if !c.opts.Now.IsZero() && !c.opts.Now.Before(expires) {
		c.warn(at+".expires", "renew or remove it", "expired at %s: it is not applied", expires.Format(time.RFC3339))
	}
}

// modeYAML is enforce (the default), shadow or off.
type modeYAML struct{ shadow, off bool }

func (m *modeYAML) UnmarshalScalar(text string, _ bool) error {
	switch text {
	case "enforce":
	case "shadow":
		m.shadow = true
	case "off":
		m.off = true
	default:
		return fmt.Errorf("%q is not one of enforce, shadow, off", text)
	}
	return nil
}

type severityYAML struct{ s call.Severity }

func (s *severityYAML) UnmarshalScalar(text string, _ bool) error {
	for v := call.Info; v <= call.Critical; v++ {
		if v.String() == text {
			s.s = v
			return nil
		}
	}
	return fmt.Errorf("%q is not one of info, low, medium, high, critical", text)
}

// told fills in what people are told of an entry beside its condition.
func (r *RuleInfo) told(then *thenYAML, severity *severityYAML) {
	r.Severity = call.Medium
	if severity != nil {
		r.Severity = severity.s
	}
	if then != nil {
		r.Then = then.text
	}
}
