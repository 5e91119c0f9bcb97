package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Caps on lists. A million prefixes are 8 MB once loaded, a million texts 30 MB.
const (
	MaxListFile = 64 << 20 // bytes of one list file; who reads one need not read more

	maxLists       = 256
	maxListValues  = 2_000_000 // of one list
	maxAllValues   = 4_000_000 // of all lists together
	maxListText    = 255       // bytes of one text
	maxListRegexes = 1000      // of one list: each costs time with every request
	maxListFaults  = 20        // told of one file; the rest is counted
)

var listName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// listYAML is a list of values, or a mapping that says where they are.
type listYAML struct {
	Pos    strictyaml.Pos
	Values []string
	File   string
	Kind   string
	Bare   bool
	inline string // path of the values
}

type listBodyYAML struct {
	Values []string `yaml:"values"`
	File   string   `yaml:"file"`
	Kind   string   `yaml:"kind"`
	Bare   bool     `yaml:"without_plus"`
}

func (y *listYAML) UnmarshalNode(n strictyaml.Node) {
	y.Pos, y.inline = n.Pos(), n.Path()
	if n.Kind() != strictyaml.Map {
		n.Decode(&y.Values)
		return
	}
	var b listBodyYAML
	n.Decode(&b)
	y.Values, y.File, y.Kind, y.Bare = b.Values, b.File, b.Kind, b.Bare
	y.inline += ".values"
}

// namedList is a list of the policy and where it is written.
type namedList struct {
	list *List
	src  *source
	path string
	yaml *listYAML
	used bool
}

// ListFile is a file that a list takes its values from.
type ListFile struct{ List, Path string }

// lists compiles the `lists:` of all files. A file's list takes the place of a
// pack's of the same name.
func (c *compiler) lists() {
	c.named = map[string]*namedList{}
	for _, s := range c.files {
		c.cur = s
		for _, name := range slices.Sorted(maps.Keys(s.y.Lists)) {
			y := s.y.Lists[name]
			n := &namedList{src: s, path: "lists." + name, yaml: &y}
			old := c.named[name]
			switch {
			case !listName.MatchString(name):
				c.problem(n.path, "lower case letters, digits and _, as conditions write it: lists.night_shift", "%q is not a name for a list", name)
			case old != nil && (!old.src.Pack || s.Pack):
				c.problem(n.path, "give one of them another name", "the list %s is in %s:%d already", name, old.src.Name, old.yaml.Pos.Line)
			default:
				c.named[name] = n
			}
		}
	}
	if len(c.named) > maxLists {
		c.ps = append(c.ps, strictyaml.At(c.cur.Name, strictyaml.Pos{}, "%d lists; at most %d are possible", len(c.named), maxLists))
		return
	}
	all := 0
	for _, name := range slices.Sorted(maps.Keys(c.named)) {
		n := c.named[name]
		c.cur = n.src
		n.list = c.list(name, n)
		if all += n.list.size; all > maxAllValues {
			c.problem(n.path, "", "the lists hold more than %d values together", maxAllValues)
		}
		c.set.lists = append(c.set.lists, n.list)
	}
}

// list makes one list. What is wrong with it is reported; the list is there
// all the same, so that those who use it are checked too.
func (c *compiler) list(name string, n *namedList) *List {
	y, at, before := n.yaml, n.path, len(c.ps)
	l := &List{name: name}
	kind, known := kindOf(y.Kind)
	if y.Kind != "" && !known {
		c.unknown(at+".kind", "kind of list", y.Kind, listKinds)
	}
	switch {
	case y.File != "" && c.cur.pos.Has(y.inline):
		c.problem(at, "keep one of them", "the list %s has both values: and file:", name)
		return l
	case y.File == "" && y.Values == nil:
		if !c.reported(y.Pos) {
			c.problem(at, `write ["1020", "1021"], or {file: numbers.txt, kind: numbers}`, "the list %s has no values", name)
		}
		return l
	case y.File == "":
		if !known && y.Kind == "" {
			kind, known = c.infer(y.Values)
			if !known {
				c.problem(at, "write {kind: …, values: […]}, kind one of "+strings.Join(listKinds, ", "),
					"the values of list %s are of several kinds", name)
				return l
			}
		}
		b := c.builder(kind, y.Bare)
		for i, v := range y.Values {
			if v == "" && c.reported(c.cur.pos.At(item(y.inline, i))) {
				continue
			}
			if err := b.add(v); err != nil {
				c.problem(item(y.inline, i), err.hint, "%s", err.text)
			}
		}
		if f := b.finish(l); f != nil {
			c.problem(at, f.hint, "%s", f.text)
		}
		l.version = digestOf([]byte(strings.Join(y.Values, "\n")))
	case c.cur.Pack:
		c.problem(at, "", "a pack has no files beside it")
		return l
	case y.Kind == "":
		c.problem(at, "add kind: one of "+strings.Join(listKinds, ", "), "the list %s does not say of what kind the values in %s are", name, y.File)
		return l
	case known:
		l.file = besides(c.cur.Name, y.File)
		l = c.listFile(l, kind, n)
	}
	if l.size == 0 && known && len(c.ps) == before {
		c.warn(at, "", "the list %s is empty", name)
	}
	return l
}

// reported says that something is wrong at a place already.
func (c *compiler) reported(pos strictyaml.Pos) bool {
	return slices.ContainsFunc(c.ps, func(p strictyaml.Problem) bool {
		return p.File == c.cur.Name && p.Line == pos.Line && p.Col == pos.Col
	})
}

// besides finds a file relative to the one that names it.
func besides(policy, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(policy), file)
}

// listFile reads the values of a file. When it cannot be read or holds
// mistakes, what the policy in force had of it stays, with a warning.
func (c *compiler) listFile(l *List, kind ListKind, n *namedList) *List {
	fresh, ps := readList(l, kind, n.yaml.Bare, c.set.plan, c.opts.ReadFile)
	if ps.Err() == nil {
		c.ps = append(c.ps, ps...)
		return fresh
	}
	if old := c.opts.Last.sameList(l, kind); old != nil {
		c.warn(n.path+".file", "", "the list %s keeps its last %d values (version %s)", l.name, old.size, old.version)
		for _, p := range ps {
			c.ps = append(c.ps, p.AsWarning())
		}
		return old
	}
	for _, p := range ps {
		if p.Line == 0 { // of the file as a whole: said where it is named
			c.problem(n.path+".file", p.Hint, "%s", p.Message)
			continue
		}
		c.ps = append(c.ps, p)
	}
	l.kind = kind
	return l
}

// sameList is the list of a set that comes from the same file.
func (s *Set) sameList(l *List, kind ListKind) *List {
	if s == nil {
		return nil
	}
	for _, old := range s.lists {
		if old.name == l.name && old.file == l.file && old.kind == kind && old.file != "" {
			return old
		}
	}
	return nil
}

// readList fills a copy of l from its file.
func readList(l *List, kind ListKind, bare bool, plan *number.Plan, read func(string) ([]byte, error)) (*List, strictyaml.Problems) {
	var ps strictyaml.Problems
	if read == nil {
		return nil, append(ps, strictyaml.At(l.file, strictyaml.Pos{}, "list files cannot be read here"))
	}
	data, err := read(l.file)
	if err == nil && len(data) > MaxListFile {
		err = fmt.Errorf("it has more than %d bytes", MaxListFile)
	}
	if err != nil {
		return nil, append(ps, strictyaml.At(l.file, strictyaml.Pos{}, "the list %s cannot be read: %v", l.name, err))
	}
	b := &listBuilder{kind: kind, bare: bare, plan: plan}
	line, faults := 0, 0
	for text := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		line++
		v := listValue(text, kind)
		if v == "" {
			continue
		}
		if fault := b.add(v); fault != nil {
			if faults++; faults <= maxListFaults {
				p := strictyaml.At(l.file, strictyaml.Pos{Line: line, Col: 1}, "%s", fault.text)
				p.Hint = fault.hint
				ps = append(ps, p)
			}
		}
		if b.n > maxListValues {
			return nil, append(ps, strictyaml.At(l.file, strictyaml.Pos{Line: line, Col: 1}, "more than %d values", maxListValues))
		}
	}
	if faults > maxListFaults {
		ps = append(ps, strictyaml.At(l.file, strictyaml.Pos{}, "and %d more problems in %s", faults-maxListFaults, l.file))
	}
	fresh := &List{name: l.name, file: l.file, bare: bare, version: digestOf(data)}
	if f := b.finish(fresh); f != nil {
		p := strictyaml.At(l.file, strictyaml.Pos{}, "%s", f.text)
		p.Hint = f.hint
		ps = append(ps, p)
	}
	return fresh, ps
}

// listValue takes the value out of a line: the first column, without comment
// and quotes. Regular expressions have the line to themselves.
func listValue(line []byte, kind ListKind) string {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return ""
	}
	if kind == Regexes {
		return string(line)
	}
	if i := bytes.Index(line, []byte(" #")); i >= 0 {
		line = line[:i]
	}
	if line[0] == '"' {
		if end := bytes.IndexByte(line[1:], '"'); end >= 0 {
			return string(bytes.TrimSpace(line[1 : 1+end]))
		}
	}
	if i := bytes.IndexAny(line, ",;\t"); i >= 0 {
		line = line[:i]
	}
	return string(bytes.TrimSpace(line))
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:12]
}

func kindOf(name string) (ListKind, bool) {
	i := slices.Index(listKinds, name)
	return ListKind(max(i, 0)), i >= 0
}

// infer finds the kind of values that stand in the policy. Values with "+" are
// prefixes, for a whole number is the beginning of itself; digits alone are
// numbers when the plan knows them all, else texts.
func (c *compiler) infer(values []string) (ListKind, bool) {
	count := map[ListKind]int{}
	digits := 0
	for _, v := range values {
		switch {
		case isNetwork(v):
			count[CIDRs]++
		case len(v) == 2 && strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
			count[Countries]++
		case len(v) > 1 && v[0] == '+' && strings.Trim(v[1:], "0123456789 -()./") == "":
			count[Prefixes]++
		case v != "" && strings.Trim(v, "0123456789") == "":
			digits++
		default:
			count[Texts]++
		}
	}
	if digits > 0 {
		all := true
		for _, v := range values {
			all = all && c.set.plan.Normalise(v, number.Trunk).Canonical != ""
		}
		switch {
		case all && count[Prefixes]+digits == len(values):
			return Numbers, true
		case count[Prefixes]+digits == len(values) && count[Prefixes] > 0:
			return 0, false
		}
		count[Texts] += digits
	}
	if len(count) > 1 {
		return 0, false
	}
	for kind := range count {
		return kind, true
	}
	return Texts, true
}

func isNetwork(v string) bool {
	if _, err := netip.ParseAddr(v); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(v)
	return err == nil
}
