package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Source is one policy file.
type Source struct {
	Name string // for problems: a path, or the name of a pack
	Data []byte
	Pack bool // shipped: files may override its rules by id
}

// Options of Compile.
type Options struct {
	// Plan is the dialling plan of the gateway. Without it the files' `home:`
	// makes one; with it their `home:` is only checked.
	Plan *number.Plan
	// Now is when expired entries are looked for; zero looks for none.
	Now time.Time
}

// Caps on one policy. Beyond them it is a mistake, not a policy.
const (
	maxRules  = 50_000
	maxLimits = 256
	maxPlaces = 100_000
)

var idShape = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$`)

// Compile checks all files and makes a Set of them; packs first, then files,
// each in the order given. The Set is nil when a problem is an error; all
// problems of all files are returned, warnings too.
func Compile(files []Source, opts Options) (*Set, strictyaml.Problems) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b Source) int {
		switch {
		case a.Pack == b.Pack:
			return 0
		case a.Pack:
			return -1
		}
		return 1
	})
	c := &compiler{opts: opts, data: number.Builtin(), owner: map[string]*entry{}, set: &Set{}}
	if opts.Plan != nil {
		c.data = opts.Plan.Data()
	}
	for _, f := range files {
		c.read(f)
	}
	c.home()
	c.override()
	c.compile()
	c.countries()
	digest := sha256.New()
	for _, f := range files {
		fmt.Fprintf(digest, "%d %s %d\n", len(f.Name), f.Name, len(f.Data))
		digest.Write(f.Data)
	}
	c.set.revision = hex.EncodeToString(digest.Sum(nil))[:12]
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
		switch {
		case old == nil:
			c.owner[e.id] = e
		case !old.src.Pack || e.src.Pack:
			c.problem(e.path+".id", "give one of them another id", "rule id %s is taken by %s:%d:%d", e.id, old.src.Name, old.pos.Line, old.pos.Col)
		case (old.rule == nil) != (e.rule == nil):
			c.problem(e.path+".id", "", "%s is a %s in pack %s", e.id, map[bool]string{true: "limit", false: "rule"}[old.rule == nil], old.src.Name)
		default:
			e.in, old.gone = old.in, true
			c.owner[e.id] = e
		}
	}
	// Each overriding entry moves to where the pack had its own.
	var order []*entry
	for _, e := range c.order {
		if e.gone {
			e.in = nil
			order = append(order, c.owner[e.id])
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

// compile makes rules and limits.
func (c *compiler) compile() {
	byFile := map[*source]*ruleFile{}
	limits := 0
	for _, e := range c.order {
		c.cur = e.src
		info := RuleInfo{ID: e.id, File: e.src.Name, Line: e.pos.Line, Mode: "enforce"}
		mode := modeYAML{}
		if e.rule != nil {
			mode = e.rule.Mode
			info.Owner, info.Ticket, info.Expires = e.rule.Owner, e.rule.Ticket, e.rule.Expires
			r, m := c.rule(e.path, e.rule)
			if r != nil && !mode.off {
				f := byFile[e.in]
				if f == nil {
					f = &ruleFile{name: e.in.Name}
					byFile[e.in] = f
				}
				f.rules = append(f.rules, r)
				f.on |= m.on
			}
		} else {
			mode = e.limit.Mode
			info.Owner, info.Ticket, info.Expires = e.limit.Owner, e.limit.Ticket, e.limit.Expires
			if l := c.limit(e.path, e.limit); !mode.off {
				c.set.limits = append(c.set.limits, l)
			}
			if limits++; limits == maxLimits+1 {
				c.problem(e.path, "", "more than %d limits", maxLimits)
			}
		}
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

func (c *compiler) rule(at string, y *ruleYAML) (*rule, *matcher) {
	r := &rule{id: y.ID, shadow: y.Mode.shadow, severity: call.Medium, expires: y.Expires}
	r.match = c.matcher(at, y.On, &y.Match)
	if y.Then != nil {
		r.verdict, r.status, r.flag = y.Then.verdict, y.Then.status, y.Then.flag
	}
	if y.Severity != nil {
		r.severity = y.Severity.s
	}
	r.action = c.action(at, y.Action)
	why := y.Why
	if why == "" {
		why = "rule " + y.ID
	}
	t, err := parseTemplate(why)
	if err != nil {
		c.problem(at+".why", "", "%v", err)
	}
	r.why = t
	if !y.Expires.IsZero() {
		c.expired(at, y.Expires)
	}
	return r, &r.match
}

func (c *compiler) expired(at string, expires time.Time) {
	if !c.opts.Now.IsZero() && !c.opts.Now.Before(expires) {
		c.warn(at+".expires", "renew or remove it", "expired at %s: it is not applied", expires.Format(time.RFC3339))
	}
}

var transports = []string{"udp", "tcp", "tls", "ws", "wss"}

func (c *compiler) matcher(at string, on []string, y *matchYAML) matcher {
	m := matcher{peers: y.Peer, users: y.User, stranger: y.Stranger, registered: y.Registered, diverted: y.Diverted}
	for i, name := range on {
		bit, ok := methodNames[name]
		switch {
		case ok:
			m.on |= bit
		case name == "connect" || name == "progress":
			c.problem(at+item(".on", i), "", "on: %s is not available in this version", name)
		default:
			c.unknown(at+item(".on", i), "request", name, slices.Sorted(maps.Keys(methodNames)))
		}
	}
	if len(on) == 0 && c.cur.pos.Has(at+".on") {
		c.problem(at+".on", "write on: any", "on: names no request")
	}
	at += ".match"
	for i, name := range y.Direction {
		found := false
		for d := call.Internal; d <= call.Outbound; d++ {
			if d.String() == name {
				m.directions |= 1 << d
				found = true
			}
		}
		if !found {
			c.unknown(at+item(".direction", i), "direction", name, []string{"inbound", "outbound", "internal"})
		}
	}
	for i, name := range y.Transport {
		if !slices.Contains(transports, name) {
			c.unknown(at+item(".transport", i), "transport", name, transports)
		}
	}
	m.transports = y.Transport
	m.to, m.from = c.party(at+".to", y.To), c.party(at+".from", y.From)
	if y.Source != nil {
		m.cidr = y.Source.CIDR
		for i, p := range y.Source.CIDR {
			if p.IsValid() && p != p.Masked() {
				c.problem(at+item(".source.cidr", i), "write "+p.Masked().String(), "%s has bits set behind its length", p)
			}
		}
		m.country = c.countryCodes(at+".source.country", y.Source.Country, false)
	}
	if len(y.UserAgent) > 0 {
		all := make([]string, len(y.UserAgent))
		for i, r := range y.UserAgent {
			all[i] = r.text
		}
		agents, err := compileAgents(all)
		if err != nil {
			c.problem(at+".user_agent", "", "user_agent: %v", err)
		} else {
			m.agent = agents
		}
	}
	// An empty list matches nothing, which nobody means.
	for _, e := range []struct {
		key   string
		empty bool
	}{
		{".direction", y.Direction != nil && len(y.Direction) == 0}, {".peer", y.Peer != nil && len(y.Peer) == 0},
		{".user", y.User != nil && len(y.User) == 0}, {".user_agent", y.UserAgent != nil && len(y.UserAgent) == 0},
		{".transport", y.Transport != nil && len(y.Transport) == 0},
	} {
		if e.empty {
			c.problem(at+e.key, "leave the key out to match all", "the list is empty")
		}
	}
	return m
}

func (c *compiler) party(at string, y *partyYAML) *party {
	if y == nil {
		return nil
	}
	p := &party{international: y.International, own: y.Own, countries: c.countryCodes(at+".country", y.Country, true)}
	for i, name := range y.Class {
		if !slices.Contains(number.Classes(), name) {
			c.unknown(at+item(".class", i), "class", name, number.Classes())
		}
	}
	p.classes = y.Class
	for i, pl := range y.Prefix {
		if pl.text == "" {
			continue // reported
		}
		if !pl.prefix {
			c.problem(at+item(".prefix", i), "write country: "+pl.text, "%s is a country, not a prefix", pl.text)
		}
		p.prefixes = append(p.prefixes, pl.text)
	}
	if p.own != nil && strings.HasSuffix(at, ".to") {
		c.problem(at+".own", "write it under from", "own is asked of the caller: somebody outside who claims one of our own numbers")
	}
	if p.own == nil && p.international == nil && len(p.countries) == 0 && len(p.classes) == 0 && len(p.prefixes) == 0 {
		c.problem(at, "name a country, class or prefix, or leave the key out", "nothing to match")
	}
	return p
}

func (c *compiler) countryCodes(at string, ys []placeYAML, numbered bool) (out []string) {
	for i, p := range ys {
		switch {
		case p.text == "":
		case p.prefix:
			c.problem(at+item("", i), "write prefix: "+p.text, "%s is a prefix, not a country", p.text)
		case numbered && !c.data.Known(p.text):
			c.problem(at+item("", i), "", "no telephone numbers belong to a country %s", p.text)
		}
		out = append(out, p.text)
	}
	return out
}

// home makes the dialling plan.
func (c *compiler) home() {
	c.set.plan = c.opts.Plan
	var first *source
	for _, s := range c.files {
		if s.y.Home == nil {
			continue
		}
		c.cur = s
		if first != nil {
			c.problem("home", "keep one of them", "home: is already in %s", first.Name)
			continue
		}
		first = s
		h := s.y.Home
		p, err := number.Compile(number.Home{Country: h.Country, International: h.International, National: h.National,
			Extensions: h.Extensions, Emergency: h.Emergency, OutsidePrefix: h.OutsidePrefix}, c.data)
		if err != nil {
			c.problem("home", "", "%v", err)
			continue
		}
		if c.set.plan == nil {
			c.set.plan = p
		}
	}
	if c.set.plan == nil {
		p, err := number.Compile(number.Home{}, c.data)
		if err != nil {
			panic("policy: the empty home is wrong: " + err.Error())
		}
		c.set.plan = p
	}
}

// countries lays the `countries:` of all files over each other. What a file
// says about a place replaces what a pack says about it; of two files the
// stricter counts.
func (c *compiler) countries() {
	type said struct {
		deny bool
		src  *source
	}
	var def *said
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
		case there && old.src.Pack == s.Pack && old.deny != deny:
			c.warn(at, "keep one of them", "%s is both allowed and denied, here and in %s: denied", key, old.src.Name)
			deny = true
		}
		into[key] = said{deny, s}
	}
	for _, s := range c.files {
		y := s.y.Countries
		if y == nil {
			continue
		}
		c.cur, c.set.places.set = s, true
		if y.Default != nil {
			deny := y.Default.deny
			if def != nil && def.src.Pack == s.Pack && def.deny != deny {
				c.warn("countries.default", "keep one of them", "the default is allow here and deny there (%s): deny", def.src.Name)
				deny = true
			}
			def = &said{deny, s}
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
	p := &c.set.places
	p.version, p.home = c.data.Version(), c.set.plan.Country()
	p.deny = def == nil || def.deny
	p.country = map[string]bool{}
	for key, v := range listed {
		if key[0] == '+' {
			p.prefix.add(key, v.deny)
		} else {
			p.country[key] = v.deny
		}
	}
	for name, v := range classes {
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
