package policy

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/when"
)

// keyYAML is one part of `key:` of a limit: a name, or an expression. They are
// told apart by their shape and not by their text, for source.ip is both.
type keyYAML struct {
	name string
	expr strictyaml.Text
	cel  bool
}

type exprYAML struct {
	CEL strictyaml.Text `yaml:"cel,required"`
}

// UnmarshalNode reads source.ip, or {cel: "call.to.e164.substring(0, 5)"}.
func (k *keyYAML) UnmarshalNode(n strictyaml.Node) {
	if n.Kind() == strictyaml.Scalar {
		n.Decode(&k.name)
		return
	}
	var e exprYAML
	n.Decode(&e)
	k.expr, k.cel = e.CEL, true
}

// said is the part as alerts and explanations call it.
func (k *keyYAML) said() string {
	if k.cel {
		return k.expr.Value
	}
	return k.name
}

// key compiles the parts of a limit's key. ban says that somebody is shut out
// by it.
func (c *compiler) key(at string, parts []keyYAML, m *matcher, ban bool) (names []string, exprs []*when.Program) {
	for i := range parts {
		k, at := &parts[i], at+item(".key", i)
		names = append(names, k.said())
		var prog *when.Program
		switch {
		case k.cel:
			prog = c.keyExpr(at, k, m, ban)
		case !slices.Contains(keyNames, k.name):
			c.unknown(at, "key", k.name, keyNames)
		case k.name == "source.country":
			c.need(at, k.name)
		case k.name == "register.user" && m.on&^onRegister != 0:
			c.problem(at, "write on: register", "register.user exists in REGISTER only")
		}
		if slices.Contains(names[:i], k.said()) {
			c.problem(at, "", "key %s stands there twice", k.said())
		}
		exprs = append(exprs, prog)
	}
	if !slices.ContainsFunc(exprs, func(p *when.Program) bool { return p != nil }) {
		exprs = nil // nothing is asked where there is nothing to ask
	}
	return names, exprs
}

func (c *compiler) keyExpr(at string, k *keyYAML, m *matcher, ban bool) *when.Program {
	prog, ps := c.environment().CompileKey(k.expr.Value)
	for _, p := range ps {
		pos := k.expr.At(p.Offset)
		c.ps = append(c.ps, strictyaml.Problem{File: c.cur.Name, Line: pos.Line, Col: pos.Col,
			Message: "key: " + strings.NewReplacer("the condition", "the key").Replace(p.Message), Excerpt: k.expr.Excerpt(p.Offset), Hint: p.Hint})
	}
	switch {
	case prog == nil:
		return nil
	case ban:
		c.problem(at, "write key: [source.ip] or [user]", "a ban is of names, and not of an expression: nobody could be found by it")
	case len(prog.Reads()) == 0:
		c.warn(at, "leave it out", "the key reads nothing of the request, so it counts all together")
	}
	for _, v := range prog.Reads() {
		if strings.HasPrefix(v.Name, "counters[") {
			c.problem(at, "read counters in when:", "a key that reads counters could count itself")
		}
		c.need(at, v.Name)
	}
	c.connectReads(at, m.on, &condition{prog})
	return prog
}

// keyTexts are the expressions of a limit's key as its counter asks them, in
// this Set. A name has none.
func (s *Set) keyTexts(l *counted) []func(*call.Attempt) (string, bool) {
	if l.exprs == nil {
		return nil
	}
	out := make([]func(*call.Attempt) (string, bool), len(l.exprs))
	for i, prog := range l.exprs {
		if prog == nil {
			continue
		}
		out[i] = func(a *call.Attempt) (string, bool) {
			text, err := prog.Key(s.facts(a))
			if err != nil {
				s.asked.failed.Add(1)
			}
			return text, err == nil
		}
	}
	return out
}
