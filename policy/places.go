package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

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

// countries lays the `countries:` of all files over each other. What a file
// says about a place replaces what a pack says about it; of two files the
// stricter counts.
func (c *compiler) countries() {
	type said struct {
		deny bool
		src  *source
		at   string // file:line
		path string
	}
	var def *said
	where := func(path string) string { return fmt.Sprintf("%s:%d", c.cur.Name, c.cur.pos.At(path).Line) }
	listed, classes := map[string]said{}, map[string]said{}
	merge := func(into map[string]said, key, at string, deny bool, s *source) {
		old, there := into[key]
		switch {
		case there && old.src == s && old.deny != deny:
			c.problem(at, "keep one of them", "%s is both allowed and denied", key)
			return
		case there && old.src == s:
			c.warn(at, "", "%s stands there twice", key)
			return
		case there && old.src.level() == s.level() && old.deny != deny:
			c.warn(at, "keep one of them", "%s is both allowed and denied, here and in %s: denied", key, old.src.Name)
			deny = true
		}
		into[key] = said{deny, s, where(at), at}
	}
	for _, s := range c.files {
		y := s.y.Countries
		if y == nil {
			continue
		}
		c.cur, c.set.places.set = s, true
		if y.Default != nil {
			deny := y.Default.deny
			if def != nil && def.src.level() == s.level() && def.deny != deny {
				c.warn("countries.default", "keep one of them", "the default is allow here and deny there (%s): deny", def.src.Name)
				deny = true
			}
			def = &said{deny, s, where("countries.default"), "countries.default"}
		}
		for i, p := range y.Allow {
			c.place("countries.allow", i, p, func(at string) { merge(listed, p.text, at, false, s) })
		}
		for i, p := range y.Deny {
			c.place("countries.deny", i, p, func(at string) { merge(listed, p.text, at, true, s) })
		}
		for i, n := range y.Short {
			if len(n) < 2 || len(n) > 8 || strings.Trim(n, "0123456789") != "" {
				c.problem(item("countries.short", i), "write it as the PBX sends it: \"116117\"", "%q is not a short number of 2 to 8 digits", n)
			}
			if c.set.places.short == nil {
				c.set.places.short = map[string]bool{}
			}
			c.set.places.short[n] = true
		}
		for _, name := range slices.Sorted(maps.Keys(y.Classes)) {
			if !slices.Contains(number.Classes(), name) {
				c.unknown("countries.classes."+name, "class", name, number.Classes())
			}
			merge(classes, name, "countries.classes."+name, y.Classes[name].deny, s)
		}
	}
	if len(listed) > maxPlaces {
		c.problem("countries", "", "more than %d countries and prefixes", maxPlaces)
		return
	}
	for key, v := range listed {
		if key[0] == '+' || !v.deny {
			continue
		}
		for prefix, w := range listed {
			if prefix[0] == '+' && !w.deny && w.src.level() <= v.src.level() && c.data.AllBegin(key, prefix) {
				c.cur = v.src
				c.problem(v.path, "deny its prefixes too, or allow countries instead of "+prefix, "%s is denied, and %s, which is allowed in %s, opens it all the same: of what is listed the longest prefix wins", key, prefix, w.at)
			}
		}
	}
	p := &c.set.places
	p.version, p.home = c.data.Version(), c.set.plan.Country()
	p.deny = def == nil || def.deny
	p.country, p.from = map[string]bool{}, map[string]string{}
	if def != nil {
		p.from["default"] = def.at
	}
	for key, v := range listed {
		p.from[key] = v.at
		if key[0] == '+' {
			p.prefix.add(key, v.deny)
		} else {
			p.country[key] = v.deny
		}
	}
	for name, v := range classes {
		p.from[name] = v.at
		if v.deny {
			p.classes = append(p.classes, name)
		}
	}
	slices.Sort(p.classes)
}

func (c *compiler) place(list string, i int, p placeYAML, merge func(at string)) {
	at := item(list, i)
	switch {
	case p.text == "":
	case !p.prefix && !c.data.Known(p.text):
		c.problem(at, "", "no telephone numbers belong to a country %s", p.text)
	default:
		merge(at)
	}
}
