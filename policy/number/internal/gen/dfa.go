package gen

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"sort"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// pattern is one regular expression over digits, run as a set of states.
type pattern struct {
	prog    *syntax.Prog
	start   []uint32
	lengths map[int]bool // allowed national lengths; nil: any
	never   bool         // the class does not exist in this region
}

func compile(expr string) (*pattern, error) {
	expr = strings.Join(strings.Fields(expr), "")
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	p := &pattern{prog: prog}
	set := map[uint32]bool{}
	if err := p.close(uint32(prog.Start), set); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	p.start = sorted(set)
	return p, nil
}

// close adds pc and all that is reached from it without reading a digit.
func (p *pattern) close(pc uint32, set map[uint32]bool) error {
	in := &p.prog.Inst[pc]
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		if err := p.close(in.Out, set); err != nil {
			return err
		}
		return p.close(in.Arg, set)
	case syntax.InstCapture, syntax.InstNop:
		return p.close(in.Out, set)
	case syntax.InstEmptyWidth:
		return fmt.Errorf("anchors are not understood")
	case syntax.InstFail:
		return nil
	}
	set[pc] = true
	return nil
}

func (p *pattern) step(states []uint32, digit rune) []uint32 {
	set := map[uint32]bool{}
	for _, pc := range states {
		in := &p.prog.Inst[pc]
		if in.Op != syntax.InstMatch && in.MatchRune(digit) {
			_ = p.close(in.Out, set) // anchors were refused at the start or are reported by accepting nothing
		}
	}
	return sorted(set)
}

func (p *pattern) matches(states []uint32) bool {
	for _, pc := range states {
		if p.prog.Inst[pc].Op == syntax.InstMatch {
			return true
		}
	}
	return false
}

func sorted(set map[uint32]bool) []uint32 {
	out := make([]uint32, 0, len(set))
	for pc := range set {
		out = append(out, pc)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// enumerate lists the strings of at most length digits that a pattern stands
// for, shortest first; nil when there are more than max or none.
func enumerate(expr string, max, length int) ([]string, error) {
	if expr == "" || expr == "NA" {
		return nil, nil
	}
	p, err := compile(expr)
	if err != nil {
		return nil, err
	}
	var out []string
	type at struct {
		text   string
		states []uint32
	}
	for level := []at{{"", p.start}}; len(level) > 0; {
		var next []at
		for _, a := range level {
			if a.text != "" && p.matches(a.states) {
				out = append(out, a.text)
			}
			for d := '0'; d <= '9' && len(a.text) < length; d++ {
				if s := p.step(a.states, d); len(s) > 0 {
					next = append(next, at{a.text + string(d), s})
				}
			}
		}
		if len(out) > max || len(next) > 4096 {
			return nil, nil
		}
		level = next
	}
	return out, nil
}

// region is the patterns of one region behind a calling code, in the order in
// which libphonenumber asks them.
type region struct {
	name      string
	leading   *pattern // instead of a full match, where the metadata has it
	general   *pattern
	classes   []*pattern // premium, toll free, shared cost, voip, personal, pager, uan, voicemail
	fixed     *pattern
	mobile    *pattern
	sameFixed bool
}

var classOrder = []uint8{premiumRate, tollFree, sharedCost, voip, personal, pager, uan, voicemail}

type builder struct {
	table   *table
	code    int
	regions []*region
	all     []*pattern
	general map[*pattern]bool
	memo    map[string]uint16
}

func (b *builder) desc(d *phonenumbers.PhoneNumberDesc) (*pattern, error) {
	expr := d.GetNationalNumberPattern()
	if expr == "" || expr == "NA" {
		p := &pattern{never: true}
		b.all = append(b.all, p)
		return p, nil
	}
	p, err := compile(expr)
	if err != nil {
		return nil, err
	}
	for _, n := range d.GetPossibleLength() {
		if p.lengths == nil {
			p.lengths = map[int]bool{}
		}
		p.lengths[int(n)] = true
	}
	b.all = append(b.all, p)
	return p, nil
}

func (b *builder) addRegion(m *phonenumbers.PhoneMetadata) (err error) {
	r := &region{name: m.GetId(), sameFixed: m.GetSameMobileAndFixedLinePattern()}
	take := func(d *phonenumbers.PhoneNumberDesc) (p *pattern) {
		if err == nil {
			p, err = b.desc(d)
		}
		return p
	}
	r.general = take(m.GetGeneralDesc())
	b.general[r.general] = true
	for _, d := range []*phonenumbers.PhoneNumberDesc{m.GetPremiumRate(), m.GetTollFree(), m.GetSharedCost(), m.GetVoip(),
		m.GetPersonalNumber(), m.GetPager(), m.GetUan(), m.GetVoicemail()} {
		r.classes = append(r.classes, take(d))
	}
	r.fixed, r.mobile = take(m.GetFixedLine()), take(m.GetMobile())
	l := m.GetLeadingDigits()
	if r.name == "EH" && l == "" {
		l = "528[89]"
	}
	if l != "" && err == nil {
		r.leading, err = compile("(?:" + l + ")[0-9]*")
		b.all = append(b.all, r.leading)
	}
	b.regions = append(b.regions, r)
	return err
}

// state is how far every pattern of a calling code has come.
type state map[*pattern][]uint32

func (b *builder) build() (uint16, error) {
	s := state{}
	for _, p := range b.all {
		if !p.never {
			s[p] = p.start
		}
	}
	id, _, err := b.visit(s, 0)
	return id, err
}

// visit returns the node for a state and the set of regions that numbers from
// here on belong to.
func (b *builder) visit(s state, depth int) (uint16, map[uint8]bool, error) {
	key := b.key(s, depth)
	var n node
	below := map[uint8]bool{}
	if id, ok := b.memo[key]; ok {
		b.collect(id, below, map[uint16]bool{})
		return id, below, nil
	}
	var own uint8
	n.class, own = b.classify(s, depth)
	if depth+len(fmt.Sprint(b.code)) < MaxDigits {
		for d := '0'; d <= '9'; d++ {
			next := state{}
			live := false
			for p, states := range s {
				if to := p.step(states, d); len(to) > 0 {
					next[p] = to
					live = live || b.general[p] // a class without its general pattern counts for nothing
				}
			}
			if !live {
				continue
			}
			id, regions, err := b.visit(next, depth+1)
			if err != nil {
				return 0, nil, err
			}
			n.next[d-'0'] = id
			for r := range regions {
				below[r] = true
			}
		}
	}
	if own != 0 {
		below[own] = true
	}
	if n.class == 0 && n.next == [10]uint16{} {
		b.memo[key] = 0
		return 0, below, nil
	}
	if len(b.regions) > 1 {
		if n.class != 0 {
			n.region = own
		} else if len(below) == 1 {
			for r := range below {
				n.region = r
			}
		}
	}
	id, err := b.table.add(n)
	b.memo[key] = id
	return id, below, err
}

func (b *builder) collect(id uint16, into map[uint8]bool, seen map[uint16]bool) {
	if id == 0 || seen[id] {
		return
	}
	seen[id] = true
	n := b.table.nodes[id]
	if n.class != 0 {
		r := n.region
		if len(b.regions) == 1 {
			r = b.table.region(b.regionName(0))
		}
		if r != 0 {
			into[r] = true
		}
	}
	for _, c := range n.next {
		b.collect(c, into, seen)
	}
}

func (b *builder) regionName(i int) string {
	if b.regions[i].name == "001" {
		return ""
	}
	return b.regions[i].name
}

// classify says what a number that ends in this state is.
func (b *builder) classify(s state, depth int) (class, regionIndex uint8) {
	ok := func(p *pattern) bool {
		return p != nil && !p.never && (p.lengths == nil || p.lengths[depth]) && p.matches(s[p])
	}
	kind := func(r *region) uint8 {
		if !ok(r.general) {
			return unallocated
		}
		for i, p := range r.classes {
			if ok(p) {
				return classOrder[i]
			}
		}
		if ok(r.fixed) {
			if r.sameFixed || ok(r.mobile) {
				return fixedOrMobile
			}
			return fixed
		}
		if ok(r.mobile) && !r.sameFixed {
			return mobile
		}
		return unallocated
	}
	for i, r := range b.regions {
		if r.leading != nil && !r.leading.matches(s[r.leading]) {
			continue
		}
		c := kind(r)
		if c == unallocated {
			continue
		}
		if satelliteCodes[b.code] {
			c = satellite
		}
		return c, b.table.region(b.regionName(i))
	}
	return unallocated, 0
}

func (b *builder) key(s state, depth int) string {
	var k []byte
	k = append(k, byte(depth))
	for _, p := range b.all {
		for _, pc := range s[p] {
			k = binary.LittleEndian.AppendUint16(k, uint16(pc))
		}
		k = append(k, 0xff, 0xff)
	}
	return string(k)
}
