package notice

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A value rewrites one attribute or text; false leaves it out.
type value func(m Mapper, v string) (string, bool)

// element is what may be kept of one element.
type element struct {
	attrs map[string]value
	must  []string // without these the element does not cross
	text  value    // nil: no text
	names bool     // call-id, local-tag and remote-tag name a dialog
}

// schema is one kind of document: its elements by "namespace name".
type schema struct {
	spaces   []string // the first one is written without a prefix
	prefixes []string
	roots    []string // local names, of the first namespace
	elements map[string]element
}

// node is an element as it was read.
type node struct {
	name xml.Name
	attr []xml.Attr
	kids []*node
	text string
}

// read makes a tree of a document. It takes UTF-8 only and nothing with a
// document type: there is no entity but the five of XML itself.
func read(b []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict = true
	var root *node
	var open []*node
	n := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.Directive:
			return nil, errors.New("document type declaration")
		case xml.ProcInst:
			if t.Target != "xml" {
				return nil, errors.New("processing instruction")
			}
		case xml.StartElement:
			if n++; n > maxElements || len(open) >= maxDepth {
				return nil, errors.New("too many elements")
			}
			x := &node{name: t.Name, attr: t.Copy().Attr}
			switch {
			case len(open) > 0:
				p := open[len(open)-1]
				p.kids = append(p.kids, x)
			case root != nil:
				return nil, errors.New("more than one root")
			default:
				root = x
			}
			open = append(open, x)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("text outside of the root")
			}
		}
	}
	if root == nil {
		return nil, errors.New("no element")
	}
	return root, nil
}

func (s *schema) rewrite(b []byte, m Mapper) ([]byte, error) {
	root, err := read(b)
	if err != nil {
		return nil, err
	}
	ok := root.name.Space == s.spaces[0]
	if ok {
		ok = false
		for _, r := range s.roots {
			ok = ok || r == root.name.Local
		}
	}
	if !ok {
		return nil, fmt.Errorf("root %q is not one of %s", root.name.Local, strings.Join(s.roots, ", "))
	}
	w := &writer{schema: s, m: m}
	w.out.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n")
	if !w.node(root, true) {
		return nil, fmt.Errorf("%s without what it needs", root.name.Local)
	}
	w.out.WriteString("\r\n")
	return []byte(w.out.String()), nil
}

type writer struct {
	*schema
	m   Mapper
	out strings.Builder
}

func (w *writer) attr(name, v string) {
	w.out.WriteString(" " + name + `="` + escape(v) + `"`)
}

func escape(v string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(v)) // a strings.Builder never fails
	return b.String()
}

// node writes an element and what is kept below it; false: nothing of it.
func (w *writer) node(n *node, root bool) bool {
	e, ok := w.elements[n.name.Space+" "+n.name.Local]
	if !ok {
		return false
	}
	attrs := map[string]string{}
	for _, a := range n.attr {
		if a.Name.Space != "" {
			continue
		}
		if f := e.attrs[a.Name.Local]; f != nil {
			if v, ok := f(w.m, a.Value); ok {
				attrs[a.Name.Local] = v
			}
		}
	}
	if e.names {
		w.dialog(n, attrs)
	}
	for _, name := range e.must {
		if _, ok := attrs[name]; !ok {
			return false
		}
	}
	text := ""
	if e.text != nil {
		if text, ok = e.text(w.m, strings.TrimSpace(n.text)); !ok {
			return false
		}
	}
	tag := n.name.Local
	for i, space := range w.spaces {
		if i > 0 && space == n.name.Space {
			tag = w.prefixes[i] + ":" + tag
		}
	}
	w.out.WriteString("<" + tag)
	if root {
		for i, space := range w.spaces {
			if i == 0 {
				w.attr("xmlns", space)
			} else {
				w.attr("xmlns:"+w.prefixes[i], space)
			}
		}
	}
	for _, a := range n.attr { // in the order they came
		if v, ok := attrs[a.Name.Local]; ok && a.Name.Space == "" {
			w.attr(a.Name.Local, v)
			delete(attrs, a.Name.Local)
		}
	}
	w.out.WriteString(">" + escape(text))
	for _, k := range n.kids {
		w.node(k, false)
	}
	w.out.WriteString("</" + tag + ">")
	return true
}

// dialog rewrites the names of a dialog together.
func (w *writer) dialog(n *node, attrs map[string]string) {
	var id, local, remote string
	for _, a := range n.attr {
		switch {
		case a.Name.Space != "":
		case a.Name.Local == "call-id":
			id = a.Value
		case a.Name.Local == "local-tag":
			local = a.Value
		case a.Name.Local == "remote-tag":
			remote = a.Value
		}
	}
	id, local, remote = w.m.Dialog(id, local, remote)
	for name, v := range map[string]string{"call-id": id, "local-tag": local, "remote-tag": remote} {
		if v != "" {
			attrs[name] = v
		}
	}
}

// The values.

func number(_ Mapper, v string) (string, bool) {
	return v, v != "" && len(v) <= 10 && strings.Trim(v, "0123456789") == ""
}

// stamp is a time of RFC 3339.
func stamp(_ Mapper, v string) (string, bool) {
	return v, len(v) >= 16 && len(v) <= 40 && strings.Trim(v, "0123456789-:.+TZtz") == ""
}

func uri(m Mapper, v string) (string, bool) { return m.URI(v) }

func id(m Mapper, v string) (string, bool) {
	if v == "" || len(v) > maxText {
		return "", false
	}
	return m.ID(v), true
}

// free is what people wrote.
func free(_ Mapper, v string) (string, bool) { return v, len(v) <= maxText }

// oneOf takes the words of a list.
func oneOf(words ...string) value {
	return func(_ Mapper, v string) (string, bool) {
		for _, w := range words {
			if v == w {
				return v, true
			}
		}
		return "", false
	}
}

// subscriber is a number, a user or an address, or empty.
func subscriber(m Mapper, v string) (string, bool) {
	if strings.ContainsAny(v, ":@") {
		return m.URI(v)
	}
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+*#-_", c) {
			return "", false
		}
	}
	return v, len(v) <= 64
}
