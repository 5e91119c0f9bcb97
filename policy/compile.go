package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Source is one policy file.
type Source struct {
	Name string // for problems: a path, or the name of a pack
	Data []byte
	Pack bool // shipped: files may override its rules by id
	// Profile marks a shipped preset: it stands between packs and files. An
	// entry whose pack is not in use says nothing.
	Profile bool
}

// level orders sources: a higher one may override a lower one's entries.
func (s Source) level() int {
	switch {
	case s.Profile:
		return 1
	case s.Pack:
		return 0
	}
	return 2
}

// Options of Compile.
type Options struct {
	// Plan is the dialling plan of the gateway. Without it the files' `home:`
	// makes one; with it their `home:` is only checked.
	Plan *number.Plan
	// Zone is what hours mean by home; nil is UTC.
	Zone *time.Location
	// Now is when expired entries are looked for; zero looks for none.
	Now time.Time
	// ReadFile reads the files of `lists:`; who gives it need not return more
	// than MaxListFile+1 bytes. Without it a list file is a problem.
	ReadFile func(path string) ([]byte, error)
	// Last is the policy in force: a list file that cannot be read or is wrong
	// keeps what Last had of it, with a warning.
	Last *Set
}

// Caps on one policy. Beyond them it is a mistake, not a policy.
const (
	maxRules  = 50_000
	maxLimits = 256
	maxPlaces = 100_000
)

var idShape = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$`)

// Compile checks all files and makes a Set of them; packs first, then the
// profile, then files, each in the order given. The Set is nil when a problem is an error; all
// problems of all files are returned, warnings too.
func Compile(files []Source, opts Options) (*Set, strictyaml.Problems) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b Source) int { return a.level() - b.level() })
	c := &compiler{opts: opts, data: number.Builtin(), owner: map[string]*entry{}, set: &Set{asked: new(asked)}}
	if opts.Plan != nil {
		c.data = opts.Plan.Data()
	}
	if opts.Last != nil {
		c.set.asked.failed.Store(opts.Last.Failed()) // a counter only grows
	}
	for _, f := range files {
		c.read(f)
	}
	c.home()
	c.lists()
	c.override()
	c.compile()
	c.countries()
	c.detectors()
	c.sections()
	c.tests()
	c.exceptions()
	c.unreachable(c.made)
	c.emergencies()
	c.set.lay()
	digest := sha256.New()
	for _, f := range files {
		// Not the path: one file is one policy, however -c spells the way to it.
		name := filepath.Base(f.Name)
		fmt.Fprintf(digest, "%d %s %d\n", len(name), name, len(f.Data))
		digest.Write(f.Data)
	}
	c.set.base = hex.EncodeToString(digest.Sum(nil))
	c.set.revision = revision(c.set.base, c.set.lists)
	c.set.headers = c.lang.read()
	c.set.bind()
	c.ps.Sort()
	if c.ps.Err() != nil {
		return nil, c.ps
	}
	return c.set, c.ps
}

// compiler holds what is known half-way.
type compiler struct {
	opts  Options
	data  *number.Data
	set   *Set
	files []*source
	owner map[string]*entry // by rule id
	order []*entry
	ps    strictyaml.Problems
	cur   *source // whose problems are written
	named map[string]*namedList
	lang  language
	made  map[*source][]madeRule // rules by the file they count for
}

type source struct {
	Source
	y   fileYAML
	pos strictyaml.Positions
}

// entry is one rule or limit; by overriding it comes to stand in another
// file's place.
type entry struct {
	src   *source
	path  string // "rules[3]"
	pos   strictyaml.Pos
	id    string
	rule  *ruleYAML
	limit *limitYAML
	in    *source // the file it counts for
	gone  bool    // replaced by another
}

func (c *compiler) problem(path, hint, format string, args ...any) {
	p := strictyaml.At(c.cur.Name, c.cur.pos.At(path), format, args...)
	p.Hint = hint
	c.ps = append(c.ps, p)
}

func (c *compiler) warn(path, hint, format string, args ...any) {
	c.problem(path, hint, format, args...)
	c.ps[len(c.ps)-1].Warning = true
}

func (c *compiler) unknown(path, what, text string, names []string) {
	hint := "known: " + strings.Join(names, ", ")
	if best := strictyaml.Nearest(text, names); best != "" {
		hint = "did you mean " + best + "?"
	}
	c.problem(path, hint, "unknown %s %q", what, text)
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// read decodes one file and notes its entries.
func (c *compiler) read(f Source) {
	s := &source{Source: f}
	pos, ps := strictyaml.DecodeAt(f.Name, f.Data, &s.y)
	s.pos, c.cur = pos, s
	c.ps = append(c.ps, ps...)
	c.files = append(c.files, s)
	if s.y.Version != 1 && pos.Has("version") {
		c.problem("version", "write version: 1", "this version reads policy files of version 1, not %d", s.y.Version)
	}
	for i := range s.y.Rules {
		r := &s.y.Rules[i]
		c.note(&entry{src: s, path: item("rules", i), pos: r.Pos, id: r.ID, rule: r, in: s})
	}
	for i := range s.y.Limits {
		l := &s.y.Limits[i]
		c.note(&entry{src: s, path: item("limits", i), pos: l.Pos, id: l.ID, limit: l, in: s})
	}
}

func (c *compiler) note(e *entry) {
	c.order = append(c.order, e)
	if len(c.order) == maxRules+1 {
		c.problem(e.path, "", "more than %d rules and limits", maxRules)
	}
	if e.id == "" {
		return // reported as missing
	}
	if !idShape.MatchString(e.id) {
		c.problem(e.path+".id", "write it like toll/night-international", "rule id %q is not file-or-pack/kebab-name", e.id)
	} else if !e.src.Pack && (slices.Contains(builtinRules[3:], e.id) || e.id == RuleCondition || neverOpen[e.id] != "") {
		c.problem(e.path+".id", "give it another id", "%s is what the gateway itself decides; it is no rule of a file", e.id)
	} else if strings.HasPrefix(e.id, "countries/") && slices.Contains([]string{RuleDenied, RuleClassDenied, RuleInvalidNumber}, e.id) {
		c.problem(e.path+".id", "change countries: instead", "%s is what the countries: section is called; it is no rule of its own", e.id)
	}
}

// override puts the files' entries in the place of the packs' of the same id
// and reports ids that are there twice.
func (c *compiler) override() {
	for _, e := range c.order {
		if e.id == "" {
			continue
		}
		old := c.owner[e.id]
		c.cur = e.src
		if old == nil && e.bare() && !e.src.Profile {
			hint := ""
			if best := strictyaml.Nearest(e.id, slices.Sorted(maps.Keys(c.owner))); best != "" {
				hint = "did you mean " + best + "?"
			}
			c.warn(e.path+".id", hint, "no pack in use has %s: nothing is switched off", e.id)
		}
		switch {
		case old == nil && e.src.Profile:
			e.in = nil // of a pack that is not in use
		case old == nil:
			c.owner[e.id] = e
		case old.src.level() >= e.src.level():
			c.problem(e.path+".id", "give one of them another id", "rule id %s is taken by %s:%d:%d", e.id, old.src.Name, old.pos.Line, old.pos.Col)
		case (old.rule == nil) != (e.rule == nil):
			c.problem(e.path+".id", "", "%s is a %s in pack %s", e.id, map[bool]string{true: "limit", false: "rule"}[old.rule == nil], old.src.Name)
		default:
			if e.ends() {
				c.problem(e.path+".expires", "leave expires out, or write an exception that expires", "%s takes the place of a pack's entry: when it has expired nothing would be there", e.id)
			}
			e.in, old.gone = old.in, true
			c.owner[e.id] = e
		}
	}
	// Each overriding entry moves to where the pack had its own.
	var order []*entry
	for _, e := range c.order {
		if e.gone {
			if e.in != nil && e.src == e.in { // the first of a row of overrides
				order = append(order, c.owner[e.id])
			}
			e.in = nil
		} else if e.in == e.src {
			order = append(order, e)
		}
	}
	for _, e := range c.order {
		if e.gone {
			c.set.rules = append(c.set.rules, RuleInfo{ID: e.id, File: e.src.Name, Line: e.pos.Line, Mode: "off", Overridden: true})
		}
	}
	c.order = order
}

// lay puts the rules of all files in one row and makes its index.
func (s *Set) lay() {
	var ms []*matcher
	for i := range s.files {
		for _, r := range s.files[i].rules {
			r.file = i
			s.flat = append(s.flat, r)
			ms = append(ms, &r.match)
		}
	}
	s.index = newIndex(ms)
}

// ends says that the entry counts for some time only.
func (e *entry) ends() bool {
	return e.rule != nil && !e.rule.Expires.IsZero() || e.limit != nil && !e.limit.Expires.IsZero()
}

// bare is an entry of no more than its id and `mode: off`: it switches off the
// pack's.
func (e *entry) bare() bool {
	off := e.rule != nil && e.rule.Mode.off || e.limit != nil && e.limit.Mode.off
	return off && !e.src.pos.Has(e.path+".on") && !e.src.pos.Has(e.path+".then")
}

// complete reports keys that every other entry has.
func (c *compiler) complete(e *entry) {
	for _, key := range []string{".on", ".then"} {
		if !c.cur.pos.Has(e.path + key) {
			c.problem(e.path, "", "%s is missing", e.path+key)
		}
	}
}

// compile makes rules and limits.
func (c *compiler) compile() {
	byFile := map[*source]*ruleFile{}
	c.made = map[*source][]madeRule{}
	limits := 0
	for _, e := range c.order {
		c.cur = e.src
		info := RuleInfo{ID: e.id, File: e.src.Name, Line: e.pos.Line, Mode: "enforce"}
		mode, needs := modeYAML{}, len(c.set.needs)
		if e.bare() {
			info.Mode, info.Limit = "off", e.limit != nil
			c.set.rules = append(c.set.rules, info)
			continue
		}
		c.complete(e)
		if e.rule != nil {
			mode = e.rule.Mode
			info.Owner, info.Ticket, info.Expires = e.rule.Owner, e.rule.Ticket, e.rule.Expires
			info.Description, info.On, info.Why = e.rule.Description, e.rule.On, e.rule.Why
			info.told(e.rule.Then, e.rule.Severity)
			r, m := c.rule(e.path, e.rule)
			if r != nil && !mode.off {
				f := byFile[e.in]
				if f == nil {
					f = &ruleFile{name: e.in.Name}
					byFile[e.in] = f
				}
				c.made[e.in] = append(c.made[e.in], madeRule{e, r, len(f.rules)})
				f.rules = append(f.rules, r)
				f.on |= m.on
			}
		} else {
			mode = e.limit.Mode
			info.Owner, info.Ticket, info.Expires = e.limit.Owner, e.limit.Ticket, e.limit.Expires
			info.Limit, info.Description, info.On, info.Why = true, e.limit.Description, e.limit.On, e.limit.Why
			info.told(e.limit.Then, e.limit.Severity)
			if l := c.limit(e.path, e.limit); !mode.off {
				c.set.counted = append(c.set.counted, l)
			}
			if limits++; limits == maxLimits+1 {
				c.problem(e.path, "", "more than %d limits", maxLimits)
			}
		}
		c.needed(needs, e.id, mode.off)
		switch {
		case mode.off:
			info.Mode = "off"
		case mode.shadow:
			info.Mode = "shadow"
		}
		c.set.rules = append(c.set.rules, info)
	}
	for _, s := range c.files {
		if f := byFile[s]; f != nil {
			c.set.files = append(c.set.files, *f)
		}
	}
}
