package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Detectors are those that are named, in the order of param.All.
func (s *Set) Detectors() []param.Entry { return s.detectors }

// detectorYAML is one entry of `detectors:`. What may stand in it depends on its
// id, so it reads itself.
type detectorYAML struct {
	pos           strictyaml.Pos
	kind          *param.Detector
	then          *thenYAML
	mode          modeYAML
	modeSet       bool
	values        []param.Value
	owner, ticket string
	text          string // description
}

// detectorKeys may stand in every entry.
var detectorKeys = []string{"id", "then", "mode", "owner", "ticket", "description"}

// raw is a value that is read later.
type raw struct{ n strictyaml.Node }

func (r *raw) UnmarshalNode(n strictyaml.Node) { r.n = n }

func (y *detectorYAML) UnmarshalNode(n strictyaml.Node) {
	y.pos = n.Pos()
	if n.Kind() != strictyaml.Map {
		n.Problem("write {id: fraud/ping-call, then: flag}", "a detector is a mapping with an id")
		return
	}
	entries := map[string]raw{}
	n.Decode(&entries)
	id, ok := entries["id"]
	if !ok {
		n.Problem("", "id is missing")
		return
	}
	var name string
	id.n.Decode(&name)
	if y.kind = param.Find(name); y.kind == nil {
		hint := "known: " + strings.Join(param.IDs(), ", ")
		if best := strictyaml.Nearest(name, param.IDs()); best != "" {
			hint = "did you mean " + best + "?"
		}
		id.n.Problem(hint, "there is no detector %q", name)
		return
	}
	for _, key := range n.Keys() {
		y.entry(key, entries[key].n)
	}
}

func (y *detectorYAML) entry(key string, n strictyaml.Node) {
	switch key {
	case "id":
	case "then":
		y.then = &thenYAML{}
		n.Decode(y.then)
		if why := y.unfit(); why != "" {
			n.Problem("flag, reject CODE, hangup and hold DURATION are for detectors", "%s", why)
		}
	case "mode":
		n.Decode(&y.mode)
		y.modeSet = true
	case "owner":
		n.Decode(&y.owner)
	case "ticket":
		n.Decode(&y.ticket)
	case "description":
		n.Decode(&y.text)
	default:
		p := y.kind.Param(key)
		if p == nil {
			y.unknown(key, n)
			return
		}
		if v, ok := y.value(p, n); ok {
			y.values = append(y.values, param.Value{Key: key, Value: v})
		}
	}
}

// unfit says why `then:` is none for this detector.
func (y *detectorYAML) unfit() string {
	t := y.then
	switch {
	case t.text == "" || t.flag: // a problem already, or fine
		return ""
	case y.kind.ID == param.Everywhere:
		return y.kind.ID + " has no then: each detector has its own"
	case t.verdict == call.Reject || t.act == call.ActHangup || t.act == call.ActHold:
		return ""
	}
	return "a detector does not " + t.text
}

func (y *detectorYAML) unknown(key string, n strictyaml.Node) {
	known := append(slices.Clone(detectorKeys), y.kind.Keys()...)
	hint := "known: " + strings.Join(known, ", ")
	if best := strictyaml.Nearest(key, known); best != "" {
		hint = "did you mean " + best + "?"
	} else {
		for _, d := range param.All() {
			if d.Param(key) != nil {
				hint = key + " is a parameter of " + d.ID
			}
		}
	}
	n.Problem(hint, "%s has no parameter %q", y.kind.ID, key)
}

// value reads a parameter and checks its bounds.
func (y *detectorYAML) value(p *param.Param, n strictyaml.Node) (v float64, ok bool) {
	text, quoted := n.Text()
	var err error
	switch {
	case n.Kind() != strictyaml.Scalar:
		err = fmt.Errorf("is a %s", p.Kind)
	case p.Kind == param.Duration:
		var d time.Duration
		if d, err = strictyaml.ParseDuration(text); err != nil {
			err = fmt.Errorf("%q is no time such as 10s, 5m or 72h", text)
		}
		v = d.Seconds()
	case quoted:
		err = fmt.Errorf("is a %s: write it without quotes", p.Kind)
	case p.Kind == param.Count:
		var i int
		if i, err = strconv.Atoi(text); err != nil {
			err = fmt.Errorf("%q is no whole number", text)
		}
		v = float64(i)
	default:
		if v, err = strconv.ParseFloat(text, 64); err != nil {
			err = fmt.Errorf("%q is no number", text)
		}
	}
	if err != nil {
		n.Problem(p.Doc, "%s", err)
		return 0, false
	}
	if !(v >= p.Min && v <= p.Max) {
		n.Problem(p.Doc, "must be %s to %s", param.Text(p.Kind, p.Min), param.Text(p.Kind, p.Max))
		return 0, false
	}
	return v, true
}

// detectors puts together what packs, the profile and files say of each
// detector: what a later one does not say stays as it was.
func (c *compiler) detectors() {
	said := map[string]*param.Entry{}
	at := map[string]*source{}
	for _, s := range c.files {
		c.cur = s
		for i := range s.y.Detectors {
			y := &s.y.Detectors[i]
			if y.kind == nil {
				continue // told already
			}
			id := y.kind.ID
			d := said[id]
			switch {
			case d == nil && s.Profile && id != param.Everywhere:
				continue // of a pack that is not in use
			case d == nil:
				d = &param.Entry{ID: id}
				said[id] = d
			case at[id].level() >= s.level() && !(at[id] != s && s.Pack):
				c.problem(item("detectors", i), "write one entry for it", "%s stands in %s:%d already", id, d.File, d.Line)
				continue
			}
			at[id] = s
			take(d, y, s)
			if id == param.Everywhere && d.Off {
				c.warn(item("detectors", i)+".mode", "switch single detectors off, or let them flag", "nobody looks for fraud: all detectors are switched off")
			}
		}
	}
	for _, k := range param.All() {
		if d := said[k.ID]; d != nil {
			c.set.detectors = append(c.set.detectors, *d)
		}
	}
}

// detector is what is said of one; nil: it is not in use.
func (c *compiler) detector(id string) *param.Entry {
	for i := range c.set.detectors {
		if d := &c.set.detectors[i]; d.ID == id {
			return d
		}
	}
	return nil
}

// detects reports whether a detector is in use.
func (c *compiler) detects(id string) bool {
	d := c.detector(id)
	return d != nil && !d.Off
}

// take adds what an entry says.
func take(d *param.Entry, y *detectorYAML, s *source) {
	d.File, d.Line = s.Name, y.pos.Line
	if y.then != nil {
		d.Then = true
		d.Verdict, d.Status, d.Act, d.For = y.then.verdict, y.then.status, y.then.act, y.then.last
	}
	if y.modeSet {
		d.Off, d.Mode = y.mode.off, "enforce"
		if y.mode.shadow {
			d.Mode = "shadow"
		}
	}
	if y.text != "" {
		d.Description = y.text
	}
	if y.owner != "" {
		d.Owner = y.owner
	}
	if y.ticket != "" {
		d.Ticket = y.ticket
	}
	for _, v := range y.values {
		d.Values = slices.DeleteFunc(d.Values, func(o param.Value) bool { return o.Key == v.Key })
		d.Values = append(d.Values, v)
	}
}

// YAMLShape lists what each detector has.
func (detectorYAML) YAMLShape() shape {
	var each []any
	for _, d := range param.All() {
		props := shape{"id": shape{"const": d.ID, "description": d.Sees},
			"mode": modeYAML{}.YAMLShape(), "owner": shape{"type": "string"}, "ticket": shape{"type": "string"}, "description": shape{"type": "string"}}
		if d.ID != param.Everywhere {
			props["then"] = pattern(`^(flag|hangup|reject( +[4-6][0-9][0-9])?|hold +[0-9].*)$`)
		}
		for _, p := range d.Params {
			s := shape{"type": "number", "minimum": p.Min, "maximum": p.Max}
			switch p.Kind {
			case param.Duration:
				s = shape{"type": "string", "pattern": `^([0-9.]+(ms|s|m|h|d))+$`}
			case param.Count:
				s["type"] = "integer"
			}
			s["description"] = p.Doc
			props[p.Key] = s
		}
		each = append(each, shape{"type": "object", "properties": props, "required": []string{"id"}, "additionalProperties": false})
	}
	return shape{"oneOf": each}
}
