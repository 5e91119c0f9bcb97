package when

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// resolver looks up every name of a parsed expression before its types are
// checked: the library knows only that a name is unknown, and the
// environment knows what may have been meant. What names a variable becomes one
// identifier, request.headers["x-id"] too.
type resolver struct {
	env  *Env
	text string
	ast  *ast.AST
	vars []*Var
	ps   []Problem
}

// functions that conditions may call. Whatever could hide a type or cost more
// than it seems is not among them.
var functions = []string{"all", "contains", "endsWith", "exists", "exists_one", "filter", "int", "map", "matches", "size", "startsWith", "string", "substring"}

var operatorNames = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.Add: true, operators.Subtract: true,
	operators.Multiply: true, operators.Divide: true, operators.Modulo: true, operators.Negate: true,
	operators.Index: true, operators.In: true, operators.NotStrictlyFalse: true,
}

// sorted gives the problems in the order of the text.
func (r *resolver) sorted() []Problem {
	slices.SortStableFunc(r.ps, func(a, b Problem) int { return a.Offset - b.Offset })
	return slices.Compact(r.ps)
}

func (r *resolver) problem(offset int, hint, format string, args ...any) {
	r.ps = append(r.ps, Problem{Offset: offset, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// at is where an expression begins, in bytes. Of a call and a selection that is
// its operator, as the library has it.
func (r *resolver) at(e ast.Expr) int {
	o, ok := r.ast.SourceInfo().GetOffsetRange(e.ID())
	if !ok {
		return 0
	}
	return bytesOf(r.text, int(o.Start))
}

// expr resolves an expression. loop are the variables of the loops around it;
// member says that it stands on the right of `in`.
func (r *resolver) expr(e ast.Expr, loop []string, member bool) {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		if names, fields := r.chain(e); names != nil {
			if !slices.Contains(loop, names[0]) {
				r.name(e, names, fields, member)
			}
			return
		}
		if !r.zoned(e) {
			r.expr(e.AsSelect().Operand(), loop, false)
		}
	case ast.CallKind:
		r.call(e, loop)
	case ast.ListKind:
		for _, el := range e.AsList().Elements() {
			r.expr(el, loop, false)
		}
	case ast.MapKind, ast.StructKind:
		r.problem(r.at(e), "", "a condition makes no values of this kind")
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		r.expr(c.IterRange(), loop, false)
		r.expr(c.AccuInit(), loop, false)
		inner := append(slices.Clone(loop), c.IterVar(), c.AccuVar())
		for _, part := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
			r.expr(part, inner, false)
		}
	}
}

// chain reads a.b.c: its names and the expression that each ends.
func (r *resolver) chain(e ast.Expr) (names []string, fields []ast.Expr) {
	for e.Kind() == ast.SelectKind {
		names, fields = append(names, e.AsSelect().FieldName()), append(fields, e)
		e = e.AsSelect().Operand()
	}
	if e.Kind() != ast.IdentKind {
		return nil, nil
	}
	names, fields = append(names, e.AsIdent()), append(fields, e)
	slices.Reverse(names)
	slices.Reverse(fields)
	return names, fields
}

// name resolves a.b.c to a variable.
func (r *resolver) name(e ast.Expr, names []string, fields []ast.Expr, member bool) {
	whole := strings.Join(names, ".")
	if v := r.env.vars[whole]; v != nil {
		r.use(e, v, member)
		return
	}
	// The longest part that is known says what is wrong with the rest.
	for n := len(names); n > 0; n-- {
		head := strings.Join(names[:n], ".")
		f, v := r.env.families[head], r.env.vars[head]
		switch {
		case f != nil && f.Dotted && n == len(names)-1:
			r.indexed(e, f, names[n], r.at(fields[n])+1, member)
		case f != nil && f.Call:
			r.problem(r.at(fields[0]), fmt.Sprintf("write %s(%q).%s", f.Name, "Europe/Paris", f.Fields[0]), "%s asks for a %s", head, f.What)
		case f != nil && f.Dotted:
			r.problem(r.at(fields[0]), "write "+head+".name", "%s is all of them; name one", head)
		case f != nil:
			r.problem(r.at(fields[0]), fmt.Sprintf("write %s[\"name\"]", head), "%s is all of them; name one", head)
		case v != nil:
			r.problem(r.at(fields[n])+1, "", "%s is %s and has no fields", head, v.Kind)
		case r.env.namespaces[head] != nil && n == len(names):
			r.problem(r.at(fields[0]), "fields: "+strings.Join(r.env.namespaces[head], ", "), "%s is not a value; name one of its fields", head)
		case r.env.namespaces[head] != nil:
			r.problem(r.at(fields[n])+1, r.meant(names[n], r.env.namespaces[head], head+"."), "%s has no field %q", head, names[n])
		default:
			continue
		}
		return
	}
	r.problem(r.at(fields[0]), r.meant(names[0], r.env.namespaces[""], ""), "unknown variable %q", names[0])
}

// meant is the hint for a name that does not exist.
func (r *resolver) meant(name string, known []string, prefix string) string {
	if best := strictyaml.Nearest(name, known); best != "" {
		return "did you mean " + prefix + best + "?"
	}
	if len(known) == 0 {
		return "there are none"
	}
	if len(known) > 30 {
		known = append(slices.Clone(known[:30]), "…")
	}
	return "known: " + strings.Join(known, ", ")
}

// use makes the expression a reference to a variable.
func (r *resolver) use(e ast.Expr, v *Var, member bool) {
	if v.Kind == Members && !member {
		r.problem(r.start(e), "write: … in "+v.Name, "%s can only be asked with in", v.Name)
		return
	}
	// What is said of it later is said of its beginning, not of its last dot.
	if o, ok := r.ast.SourceInfo().GetOffsetRange(e.ID()); ok {
		o.Start = int32(utf8.RuneCountInString(r.text[:r.start(e)]))
		r.ast.SourceInfo().SetOffsetRange(e.ID(), o)
	}
	if !slices.Contains(r.vars, v) {
		if v.slot == "" && !r.place(e, v) {
			return
		}
		r.vars = append(r.vars, v)
	}
	e.SetKindCase(ast.NewExprFactory().NewIdent(e.ID(), v.slot))
}

// place gives a variable of a family one of the library's.
func (r *resolver) place(e ast.Expr, v *Var) bool {
	n := 0
	for _, old := range r.vars {
		if old.Kind == v.Kind && old.slot != old.Name {
			n++
		}
	}
	if n == maxSlot {
		r.problem(r.at(e), "write two rules", "more than %d headers, lists, counters or times in one condition", maxSlot)
		return false
	}
	v.slot = slotName(v.Kind, n)
	return true
}

// start is where the leftmost part of an expression stands.
func (r *resolver) start(e ast.Expr) int {
	for {
		switch {
		case e.Kind() == ast.SelectKind:
			e = e.AsSelect().Operand()
		case e.Kind() == ast.CallKind && e.AsCall().IsMemberFunction():
			e = e.AsCall().Target()
		case e.Kind() == ast.CallKind && len(e.AsCall().Args()) > 0 && e.AsCall().FunctionName() == operators.Index:
			e = e.AsCall().Args()[0]
		default:
			return r.at(e)
		}
	}
}

// literal is the text of an expression that is a text.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// indexed resolves name["argument"].
func (r *resolver) indexed(e ast.Expr, f *Family, argument string, at int, member bool) {
	name := fmt.Sprintf("%s[%q]", f.Name, argument)
	if f.Dotted {
		name = f.Name + "." + argument
	}
	r.make(e, f, name, argument, "", at, member)
}

func (r *resolver) make(e ast.Expr, f *Family, name, argument, field string, at int, member bool) {
	// The same name twice in one expression is one variable.
	for _, old := range r.vars {
		if old.Name == name {
			r.use(e, old, member)
			return
		}
	}
	v, err := f.Make(argument, field)
	if err != nil {
		var known Unknown
		hint := ""
		if errors.As(err, &known) {
			hint = r.meant(argument, known.Known, "")
		}
		r.problem(at, hint, "%v", err)
		return
	}
	v.Name = name
	r.use(e, &v, member)
}

// Unknown is the error of [Family.Make] for an argument that does not exist.
type Unknown struct {
	What, Name string
	Known      []string
}

func (u Unknown) Error() string { return fmt.Sprintf("unknown %s %q", u.What, u.Name) }

// zoned resolves clock.zone("Europe/Paris").hour.
func (r *resolver) zoned(e ast.Expr) bool {
	if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.CallKind {
		return false
	}
	call := e.AsSelect().Operand()
	f := r.familyCall(call)
	if f == nil {
		return false
	}
	field, args := e.AsSelect().FieldName(), call.AsCall().Args()
	if !slices.Contains(f.Fields, field) {
		r.problem(r.at(e)+1, r.meant(field, f.Fields, ""), "%s(…) has no field %q", f.Name, field)
		return true
	}
	if len(args) != 1 {
		r.problem(r.start(call), "", "%s takes one %s", f.Name, f.What)
		return true
	}
	text, ok := literal(args[0])
	if !ok {
		r.problem(r.at(args[0]), "", "the %s must be written out, in quotes", f.What)
		return true
	}
	r.make(e, f, fmt.Sprintf("%s(%q).%s", f.Name, text, field), text, field, r.at(args[0]), false)
	return true
}

// familyCall is the family that a call names, if it names one.
func (r *resolver) familyCall(e ast.Expr) *Family {
	c := e.AsCall()
	if !c.IsMemberFunction() {
		return nil
	}
	names, _ := r.chain(c.Target())
	f := r.env.families[strings.Join(append(slices.Clone(names), c.FunctionName()), ".")]
	if names == nil || f == nil || !f.Call {
		return nil
	}
	return f
}

func (r *resolver) call(e ast.Expr, loop []string) {
	c := e.AsCall()
	function, args := c.FunctionName(), c.Args()
	if function == operators.Index {
		if names, _ := r.chain(args[0]); names != nil && !slices.Contains(loop, names[0]) {
			if f := r.env.families[strings.Join(names, ".")]; f != nil && !f.Call {
				r.index(e, f, args[1], false)
				return
			}
		}
	}
	if f := r.familyCall(e); f != nil {
		r.problem(r.start(e), fmt.Sprintf("fields: %s", strings.Join(f.Fields, ", ")), "%s(…) is not a value; name one of its fields", f.Name)
		return
	}
	if function == "has" {
		r.problem(r.named(e, function), `compare instead: … != ""`, "has() is not needed: every variable has a value, if need be an empty one")
		return
	}
	if !operatorNames[function] && !slices.Contains(functions, function) {
		r.problem(r.named(e, function), r.meant(function, functions, ""), "unknown function %q", function)
		return
	}
	if function == "matches" && len(args) > 0 {
		r.pattern(args[len(args)-1])
	}
	if c.IsMemberFunction() {
		r.expr(c.Target(), loop, false)
	}
	for i, a := range args {
		if function == operators.In && i == 1 && a.Kind() == ast.CallKind && a.AsCall().FunctionName() == operators.Index {
			if names, _ := r.chain(a.AsCall().Args()[0]); names != nil {
				if f := r.env.families[strings.Join(names, ".")]; f != nil && !f.Call {
					r.index(a, f, a.AsCall().Args()[1], true)
					continue
				}
			}
		}
		r.expr(a, loop, function == operators.In && i == 1)
	}
	switch {
	case len(args) != 2:
	case function == operators.Equals, function == operators.NotEquals:
		r.words(args[0], args[1])
		r.words(args[1], args[0])
	case function == operators.In && args[1].Kind() == ast.ListKind:
		for _, el := range args[1].AsList().Elements() {
			r.words(args[0], el)
		}
	case function == operators.In:
		r.never(args[0], args[1])
	}
}

// variable is the variable that an expression has become.
func (r *resolver) variable(e ast.Expr) *Var {
	if e.Kind() == ast.IdentKind {
		for _, v := range r.vars {
			if v.slot == e.AsIdent() {
				return v
			}
		}
	}
	return nil
}

// never reports a variable that is looked for where it is seldom spelt so.
func (r *resolver) never(e, in ast.Expr) {
	v, set := r.variable(e), r.variable(in)
	if v == nil || set == nil {
		return
	}
	if better := set.Never[v.Name]; better != "" {
		r.problem(r.at(e), "write "+better+" in "+set.Name, "%s is a number in any spelling; %s holds each in its one form", v.Name, set.Name)
	}
}

// words reports a text that a variable is compared with and never is.
func (r *resolver) words(e, with ast.Expr) {
	text, ok := literal(with)
	if !ok || text == "" {
		return
	}
	switch v := r.variable(e); {
	case v == nil:
	case v.Words != nil && !slices.Contains(v.Words, text):
		r.problem(r.at(with), r.meant(text, v.Words, ""), "%s is never %q", v.Name, text)
	case v.Capitals && text != strings.ToUpper(text):
		r.problem(r.at(with), "write "+strings.ToUpper(text), "%s is never %q", v.Name, text)
	}
}

// index resolves name[argument] of a family.
func (r *resolver) index(e ast.Expr, f *Family, argument ast.Expr, member bool) {
	text, ok := literal(argument)
	if !ok {
		r.problem(r.at(argument), fmt.Sprintf("write %s[\"name\"]", f.Name), "the %s must be written out, in quotes: which are read is known when the policy is loaded", f.What)
		return
	}
	r.indexed(e, f, text, r.at(argument), member)
}

// named is where the name of a called function stands.
func (r *resolver) named(e ast.Expr, function string) int {
	at := r.at(e)
	if i := strings.LastIndex(r.text[:min(at+1, len(r.text))], function); i >= 0 {
		return i
	}
	return at
}

// pattern checks a regular expression: written out, so that it is compiled
// once and its cost is known.
func (r *resolver) pattern(e ast.Expr) {
	text, ok := literal(e)
	if !ok {
		r.problem(r.start(e), "write the expression out, in quotes", "matches() takes no expression that is made of values")
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		r.problem(r.at(e), "", "%q is not a regular expression: %v", text, err)
	}
}
