package when

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"
)

// Part is a part of a condition that decided what the whole is.
type Part struct {
	Text   string // of the part
	Result string // true, false or an error
	Reads  []Read // the values it compared
}

// Read is a variable and its value.
type Read struct {
	Name  string
	Value Value
}

// String is the part in words: call.hops < 3 is false (call.hops = 70).
func (p Part) String() string {
	var b strings.Builder
	b.WriteString(p.Text + " is " + p.Result)
	for i, r := range p.Reads {
		b.WriteString([]string{" (", ", "}[min(i, 1)])
		value := r.Value.String()
		if r.Value.kind == Text {
			value = fmt.Sprintf("%q", clip(value))
		}
		b.WriteString(r.Name + " = " + value)
	}
	if len(p.Reads) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

func clip(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "…"
	}
	return s
}

// Why says which parts of the condition made it true, false or an error. It
// asks anew and keeps every value on the way, so it is for people and not for
// each request.
func (p *Program) Why(f Facts) []Part {
	prog, err := p.env.cel.Program(p.ast, cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return nil // it compiled before
	}
	fr := &frame{p: p, f: f}
	_, details, _ := prog.Eval(fr)
	w := why{p: p, f: f, state: details.State()}
	w.walk(p.ast.NativeRep().Expr())
	return w.parts
}

type why struct {
	p     *Program
	f     Facts
	state interpreter.EvalState
	parts []Part
}

// walk goes down to the parts that decided: of a conjunction that is false
// those that are false, of a disjunction that is true those that are true.
func (w *why) walk(e ast.Expr) {
	result, ok := w.state.Value(e.ID())
	if !ok {
		return // not asked: something before it decided
	}
	if e.Kind() == ast.CallKind {
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.LogicalNot:
			w.walk(c.Args()[0])
			return
		case operators.LogicalAnd, operators.LogicalOr:
			for _, a := range c.Args() {
				if v, ok := w.state.Value(a.ID()); ok && (v == result || types.IsError(v) && types.IsError(result)) {
					w.walk(a)
				}
			}
			return
		case operators.Conditional:
			w.walk(c.Args()[0])
			for _, a := range c.Args()[1:] {
				w.walk(a)
			}
			return
		}
	}
	text, err := parser.Unparse(e, w.p.ast.NativeRep().SourceInfo())
	if err != nil {
		text = w.p.Text
	}
	for _, v := range w.p.vars {
		text = strings.ReplaceAll(text, v.slot, v.Name)
	}
	w.parts = append(w.parts, Part{Text: text, Result: resultText(result), Reads: w.reads(e)})
}

func resultText(v ref.Val) string {
	if types.IsError(v) {
		return "an error: " + fmt.Sprint(v)
	}
	return fmt.Sprint(v.Value())
}

// reads are the variables in an expression.
func (w *why) reads(e ast.Expr) (out []Read) {
	seen := map[string]bool{}
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind || seen[e.AsIdent()] {
			return
		}
		for _, v := range w.p.vars {
			if v.slot == e.AsIdent() && v.Kind != Members {
				seen[v.slot] = true
				out = append(out, Read{v.Name, v.Get(&w.f)})
			}
		}
	}))
	return out
}
