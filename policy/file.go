package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// The shapes of a policy file. They hold what stands in the file and where;
// compile.go turns them into what is run.

type fileYAML struct {
	Pos        strictyaml.Pos      `yaml:"-"`
	Version    int                 `yaml:"version,required"`
	Home       *homeYAML           `yaml:"home"`
	Countries  *countriesYAML      `yaml:"countries"`
	Rules      []ruleYAML          `yaml:"rules"`
	Limits     []limitYAML         `yaml:"limits"`
	Lists      strictyaml.Reserved `yaml:"lists" hint:"write the values into match: of the rules"`
	Exceptions strictyaml.Reserved `yaml:"exceptions" hint:"override the rule: a rule in your file with the id of a pack's rule replaces it"`
	Detectors  strictyaml.Reserved `yaml:"detectors" hint:"fraud detectors come with a later version; remove the key"`
	Tests      strictyaml.Reserved `yaml:"tests" hint:"policy tests come with a later version; remove the key"`
}

type homeYAML struct {
	Pos           strictyaml.Pos `yaml:"-"`
	Country       string         `yaml:"country"`
	International []string       `yaml:"international,single"`
	National      *string        `yaml:"national"`
	Extensions    string         `yaml:"extensions"`
	Emergency     []string       `yaml:"emergency,single"`
	OutsidePrefix string         `yaml:"outside_prefix"`
}

type countriesYAML struct {
	Pos     strictyaml.Pos       `yaml:"-"`
	Default *verdictYAML         `yaml:"default"`
	Allow   []placeYAML          `yaml:"allow,single"`
	Deny    []placeYAML          `yaml:"deny,single"`
	Classes map[string]classYAML `yaml:"classes"`
	Short   []string             `yaml:"short,single"`
}

type classYAML struct{ verdictYAML }

// verdictYAML is allow or deny.
type verdictYAML struct{ deny bool }

func (v *verdictYAML) UnmarshalScalar(text string, _ bool) error {
	switch text {
	case "allow", "deny":
		v.deny = text == "deny"
		return nil
	}
	return fmt.Errorf("%q is neither allow nor deny", text)
}

// placeYAML is a country code or a prefix of public numbers.
type placeYAML struct {
	Pos    strictyaml.Pos
	text   string
	prefix bool
}

func (p *placeYAML) UnmarshalNode(n strictyaml.Node) {
	p.Pos = n.Pos()
	if n.Kind() != strictyaml.Scalar {
		n.Problem(`write an ISO code such as GB, or a prefix such as "+4420"`, "this is %s, not a country or a prefix", n.Kind())
		return
	}
	text, quoted := n.Text()
	digits := strings.TrimPrefix(text, "+")
	number := digits != "" && strings.Trim(digits, "0123456789") == ""
	switch {
	case number && !quoted:
		n.Problem(fmt.Sprintf(`write "+%s"`, strings.TrimLeft(digits, "0")), "the prefix %s has no quotes: YAML reads such a number in ways that change it", text)
	case number && (!strings.HasPrefix(text, "+") || digits[0] == '0'):
		n.Problem(fmt.Sprintf(`write "+%s"`, strings.TrimLeft(digits, "0")), "the prefix %q does not begin with + and a country code", text)
	case number && len(digits) > 15:
		n.Problem("", "the prefix %q is longer than any number", text)
	case number:
		p.text, p.prefix = text, true
	case len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z':
		p.text = text
	case !quoted && (strings.EqualFold(text, "no") || strings.EqualFold(text, "false")):
		n.Problem(`write "NO" for Norway`, "%s is a truth value in YAML", text)
	default:
		hint := `write an ISO code such as GB, or a prefix such as "+4420"`
		if up := strings.ToUpper(text); up != text && len(text) == 2 {
			hint = "write " + up
		}
		n.Problem(hint, "%q is neither a country nor a prefix", text)
	}
}

type ruleYAML struct {
	Pos      strictyaml.Pos      `yaml:"-"`
	ID       string              `yaml:"id,required"`
	On       []string            `yaml:"on,single,required"`
	Match    matchYAML           `yaml:"match"`
	When     strictyaml.Reserved `yaml:"when" hint:"CEL conditions are not available in this version: use match:"`
	Then     *thenYAML           `yaml:"then,required"`
	Mode     modeYAML            `yaml:"mode"`
	Severity *severityYAML       `yaml:"severity"`
	Action   string              `yaml:"action"`
	Why      string              `yaml:"why"`
	Expires  time.Time           `yaml:"expires"`
	Owner    string              `yaml:"owner"`
	Ticket   string              `yaml:"ticket"`
}

type limitYAML struct {
	Pos        strictyaml.Pos      `yaml:"-"`
	ID         string              `yaml:"id,required"`
	On         []string            `yaml:"on,single,required"`
	Match      matchYAML           `yaml:"match"`
	When       strictyaml.Reserved `yaml:"when" hint:"CEL conditions are not available in this version: use match:"`
	Key        []string            `yaml:"key,single"`
	Rate       *rateYAML           `yaml:"rate"`
	Burst      *int                `yaml:"burst"`
	Concurrent *int                `yaml:"concurrent"`
	Failures   *int                `yaml:"failures"`
	Over       time.Duration       `yaml:"over"`
	Then       *thenYAML           `yaml:"then,required"`
	Mode       modeYAML            `yaml:"mode"`
	Severity   *severityYAML       `yaml:"severity"`
	Action     string              `yaml:"action"`
	Why        string              `yaml:"why"`
	Expires    time.Time           `yaml:"expires"`
	Owner      string              `yaml:"owner"`
	Ticket     string              `yaml:"ticket"`
}

type matchYAML struct {
	Direction  []string            `yaml:"direction,single"`
	To         *partyYAML          `yaml:"to"`
	From       *partyYAML          `yaml:"from"`
	Source     *sourceYAML         `yaml:"source"`
	Peer       []string            `yaml:"peer,single"`
	Stranger   *bool               `yaml:"stranger"`
	Registered *bool               `yaml:"registered"`
	Diverted   *bool               `yaml:"diverted"`
	User       []string            `yaml:"user,single"`
	UserAgent  []regexYAML         `yaml:"user_agent,single"`
	Transport  []string            `yaml:"transport,single"`
	Hours      strictyaml.Reserved `yaml:"hours" hint:"times of day come with a later version"`
}

type partyYAML struct {
	Country       []placeYAML         `yaml:"country,single"`
	Class         []string            `yaml:"class,single"`
	Prefix        []placeYAML         `yaml:"prefix,single"`
	International *bool               `yaml:"international"`
	Own           *bool               `yaml:"own"`
	List          strictyaml.Reserved `yaml:"list" hint:"lists come with a later version; write the values into prefix: or country:"`
}

type sourceYAML struct {
	CIDR    []netip.Prefix      `yaml:"cidr,single"`
	Country []placeYAML         `yaml:"country,single"`
	ASN     strictyaml.Reserved `yaml:"asn" hint:"use cidr: or country:"`
}

// regexYAML is a regular expression that takes no notice of case.
type regexYAML struct{ text string }

func (r *regexYAML) UnmarshalScalar(text string, _ bool) error {
	if len(text) > 1024 {
		return fmt.Errorf("the regular expression is longer than 1024 bytes")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return fmt.Errorf("%q is not a regular expression: %w", text, err)
	}
	if re.MatchString("") {
		return fmt.Errorf("%q matches the empty text, so it would match every request", text)
	}
	r.text = text
	return nil
}

// thenYAML is what a rule does.
type thenYAML struct {
	verdict call.Verdict
	status  int
	flag    bool
}

func (t *thenYAML) UnmarshalScalar(text string, _ bool) error {
	word, arg, _ := strings.Cut(strings.TrimSpace(text), " ")
	arg = strings.TrimSpace(arg)
	switch word {
	case "reject":
		t.verdict, t.status = call.Reject, 403
		if arg == "" {
			return nil
		}
		code, err := strconv.Atoi(arg)
		if err != nil || len(arg) != 3 || code < 400 || code > 699 {
			return fmt.Errorf("reject %s: a SIP refusal is 400 to 699", arg)
		}
		if code == 401 || code == 407 {
			return fmt.Errorf("reject %s: a challenge is not a refusal", arg)
		}
		t.status = code
		return nil
	case "challenge", "ban", "hangup", "hold":
		return fmt.Errorf("%s is not available in this version; use reject or drop", word)
	}
	if arg != "" {
		return fmt.Errorf("%s takes no value", word)
	}
	switch word {
	case "allow":
		t.verdict = call.Allow
	case "drop":
		t.verdict = call.Drop
	case "flag":
		t.flag = true
	default:
		return fmt.Errorf("%q is not one of allow, reject CODE, drop, flag", text)
	}
	return nil
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
