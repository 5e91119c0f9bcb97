package strictyaml

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ScalarUnmarshaler is a type that reads itself from a single value. text is
// what stands in the file without its quotes; quoted says that it had quotes.
// The error becomes a problem at that place; its text is shown as it is.
type ScalarUnmarshaler interface {
	UnmarshalScalar(text string, quoted bool) error
}

// NodeUnmarshaler is a type that reads itself from any shape of value, for
// unions such as "a name or a mapping". It reports by [Node.Problem] and
// decodes parts by [Node.Decode].
type NodeUnmarshaler interface {
	UnmarshalNode(n Node)
}

// Reserved is the type of a key that the language has but this version does
// not carry. Setting it is a problem, except to an empty list, which asks for
// nothing. The struct tag `hint:"…"` says what to do instead.
type Reserved struct{}

// Positions are the places of all values of a file by path, such as
// "peers[0].identify.ip[1]". A path that is there was set in the file.
type Positions map[string]Pos

// Has reports whether the file sets path.
func (p Positions) Has(path string) bool { _, ok := p[path]; return ok }

// At returns the place of path or, where the file does not set it, of the
// nearest part around it that it does set.
func (p Positions) At(path string) Pos {
	for path != "" {
		if pos, ok := p[path]; ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return p[""]
}

// Decode reads data, the contents of file, into out, a pointer to a struct (or
// map, or slice), and returns every problem it finds, sorted. Values that the
// file does not set are left as they are, so that out may hold defaults.
//
// Fields are named by the tag `yaml:"name"`; a field without a tag is not
// decoded. Options after a comma: "single" lets a slice be given as its only
// element, "required" makes the absence of the key a problem, "inline" spreads
// a struct's keys into the one around it. It knows bool, integers, floats,
// string, time.Duration ("1h30m", "7d"), time.Time (RFC 3339 or a date), the
// netip types, structs, slices, maps with string keys, pointers, [Pos],
// [Reserved], [ScalarUnmarshaler] and [NodeUnmarshaler].
//
// It panics when out cannot be decoded into: that is a bug of the caller.
func Decode(file string, data []byte, out any) Problems {
	_, ps := DecodeAt(file, data, out)
	return ps
}

// DecodeAt is [Decode] and also returns the positions, for checks that come
// after decoding. The positions are never nil.
func DecodeAt(file string, data []byte, out any) (Positions, Problems) {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("strictyaml: Decode needs a non-nil pointer")
	}
	d := &decoder{file: file, data: data, positions: Positions{"": {}}}
	root, ps := parse(file, data)
	d.ps = ps
	if root != nil {
		d.positions[""] = root.pos
		d.value(root, v.Elem(), "", options{top: true})
	} else if len(ps) == 0 {
		d.value(&node{kind: Map}, v.Elem(), "", options{top: true}) // an empty file sets nothing
	}
	if d.dropped > 0 {
		d.ps = append(d.ps, At(file, Pos{}, "and %d more problems", d.dropped))
	}
	d.ps.Sort()
	return d.positions, d.ps
}

type decoder struct {
	file      string
	data      []byte
	lines     []string // of data, once somebody asked
	ps        Problems
	dropped   int
	positions Positions
}

func (d *decoder) add(p Problem) {
	if len(d.ps) >= MaxProblems {
		d.dropped++
		return
	}
	d.ps = append(d.ps, p)
}

type options struct{ single, required, inline, top bool }

var (
	posType      = reflect.TypeFor[Pos]()
	reservedType = reflect.TypeFor[Reserved]()
)

func (d *decoder) value(n *node, v reflect.Value, path string, o options) {
	d.positions[path] = n.pos
	if v.Kind() == reflect.Pointer && !implements(v) {
		if n.kind == Null {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, o)
		return
	}
	if u, ok := v.Addr().Interface().(NodeUnmarshaler); ok {
		u.UnmarshalNode(Node{d: d, n: n, path: path})
		return
	}
	if u, ok := v.Addr().Interface().(ScalarUnmarshaler); ok {
		if d.expect(n, Scalar, path) {
			if err := u.UnmarshalScalar(n.text, n.quoted); err != nil {
				d.add(At(d.file, n.pos, "%s%s", prefix(path), err))
			}
		}
		return
	}
	if isScalar(v.Type()) {
		if d.expect(n, Scalar, path) {
			if p, ok := setScalar(n, v); !ok {
				p.File, p.Line, p.Col = d.file, n.pos.Line, n.pos.Col
				p.Message = prefix(path) + p.Message
				d.add(p)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if n.kind == Null && !o.top {
			return // a section whose lines are all commented out sets nothing
		}
		if d.expect(n, Map, path) {
			d.structure(n, v, path)
		}
	case reflect.Map:
		if n.kind == Null || !d.expect(n, Map, path) {
			return
		}
		m := reflect.MakeMapWithSize(v.Type(), len(n.fields))
		for _, f := range n.fields {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(f.value, e, join(path, f.key), options{})
			m.SetMapIndex(reflect.ValueOf(f.key).Convert(v.Type().Key()), e)
		}
		v.Set(m)
	case reflect.Slice:
		d.list(n, v, path, o)
	default:
		panic("strictyaml: cannot decode into " + v.Type().String())
	}
}

func implements(v reflect.Value) bool {
	switch v.Interface().(type) {
	case NodeUnmarshaler, ScalarUnmarshaler:
		return !v.IsNil()
	}
	return false
}

func (d *decoder) list(n *node, v reflect.Value, path string, o options) {
	if n.kind == Null {
		d.add(At(d.file, n.pos, "%sno value", prefix(path)).WithHint("write [] for an empty list, or leave the key out"))
		return
	}
	items := n.items
	if n.kind != List {
		if !o.single {
			d.expect(n, List, path)
			return
		}
		items = []*node{n}
	}
	s := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, it := range items {
		d.value(it, s.Index(i), fmt.Sprintf("%s[%d]", path, i), options{top: true})
	}
	d.positions[path] = n.pos
	v.Set(s)
}

// expect reports a node of another kind than the one that is wanted.
func (d *decoder) expect(n *node, want Kind, path string) bool {
	if n.kind == want {
		return true
	}
	p := At(d.file, n.pos, "%sthis is %s, not %s", prefix(path), n.kind, want)
	switch {
	case n.kind == Null:
		p.Message = prefix(path) + "no value"
		p.Hint = "give one, or leave the key out"
	case want == List && n.kind == Scalar:
		p.Hint = "write [" + n.text + "]"
		if n.quoted {
			p.Hint = "write [" + strconv.Quote(n.text) + "]"
		}
	}
	d.add(p)
	return false
}

func (d *decoder) structure(n *node, v reflect.Value, path string) {
	known := make(map[string]member)
	d.members(n, v, known)
	for _, f := range n.fields {
		m, ok := known[f.key]
		at := join(path, f.key)
		switch {
		case !ok:
			d.unknown(f, known, path)
		case m.v.Type() == reservedType:
			d.positions[at] = f.pos
			if f.value.kind != List || len(f.value.items) > 0 {
				d.add(Problem{File: d.file, Line: f.pos.Line, Col: f.pos.Col, Hint: m.hint,
					Message: at + " is not available in this version"})
			}
		default:
			d.value(f.value, m.v, at, m.o)
		}
		if ok {
			m.seen = true
			known[f.key] = m
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if m := known[name]; m.o.required && !m.seen {
			d.add(At(d.file, n.pos, "%s is missing", join(path, name)))
		}
	}
}

type member struct {
	v    reflect.Value
	o    options
	hint string
	seen bool
}

func (d *decoder) members(n *node, v reflect.Value, known map[string]member) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, has := f.Tag.Lookup("yaml")
		if f.Type == posType && (!has || tag == "-") {
			if f.IsExported() {
				v.Field(i).Set(reflect.ValueOf(n.pos))
			}
			continue
		}
		if !has || tag == "-" {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		var o options
		for _, opt := range strings.Split(rest, ",") {
			switch opt {
			case "":
			case "single":
				o.single = true
			case "required":
				o.required = true
			case "inline":
				o.inline = true
			default:
				panic("strictyaml: unknown option " + opt + " of " + t.String() + "." + f.Name)
			}
		}
		if o.inline {
			d.members(n, v.Field(i), known)
			continue
		}
		known[name] = member{v: v.Field(i), o: o, hint: f.Tag.Get("hint")}
	}
}

func (d *decoder) unknown(f field, known map[string]member, path string) {
	names := make([]string, 0, len(known))
	for name, m := range known {
		if m.v.Type() != reservedType {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	where := "here"
	if path != "" {
		where = "in " + path
	}
	p := At(d.file, f.pos, "unknown key %s %s", quote(f.key), where)
	if best := Nearest(f.key, names); best != "" {
		p.Hint = "did you mean " + best + "?"
	} else if len(names) > 0 {
		p.Hint = "known keys: " + strings.Join(names, ", ")
	}
	d.add(p)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// Node is a value of the file in the hands of a [NodeUnmarshaler].
type Node struct {
	d    *decoder
	n    *node
	path string
}

// Kind says what shape the value has.
func (n Node) Kind() Kind { return n.n.kind }

// Pos is the place of the value.
func (n Node) Pos() Pos { return n.n.pos }

// Path is the path of the value, as in [Positions].
func (n Node) Path() string { return n.path }

// Text is the text of a single value and whether it was in quotes.
func (n Node) Text() (text string, quoted bool) { return n.n.text, n.n.quoted }

// Len is the number of a list's elements or of a mapping's keys.
func (n Node) Len() int { return len(n.n.items) + len(n.n.fields) }

// Keys are the keys of a mapping in the order of the file.
func (n Node) Keys() []string {
	keys := make([]string, len(n.n.fields))
	for i, f := range n.n.fields {
		keys[i] = f.key
	}
	return keys
}

// Decode decodes the value into out, a pointer. A type that calls it from its
// own UnmarshalNode must give another type, or it calls itself for ever.
func (n Node) Decode(out any) {
	n.d.value(n.n, reflect.ValueOf(out).Elem(), n.path, options{})
}

// Problem reports that something is wrong with the value.
func (n Node) Problem(hint, format string, args ...any) {
	p := At(n.d.file, n.n.pos, format, args...)
	p.Message = prefix(n.path) + p.Message
	p.Hint = hint
	n.d.add(p)
}
