package when

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Holds asks the condition of a request. It allocates little: one value for
// each text that is read.
func (p *Program) Holds(f Facts) (bool, error) {
	fr := p.env.frames.Get().(*frame)
	fr.p, fr.f = p, f
	out, _, err := p.prog.Eval(fr)
	fr.p, fr.f = nil, Facts{}
	p.env.frames.Put(fr)
	if err != nil {
		return false, fmt.Errorf("condition: %w", err)
	}
	return out == types.True, nil
}

// frame gives the library the values of variables by name, when it asks.
type frame struct {
	p *Program
	f Facts
}

var _ cel.Activation = (*frame)(nil)

// Parent implements the library's interface.
func (*frame) Parent() cel.Activation { return nil }

// ResolveName implements the library's interface. A program reads few
// variables, so a walk over them is quicker than a map.
func (fr *frame) ResolveName(name string) (any, bool) {
	for _, v := range fr.p.vars {
		if v.slot == name {
			return v.value(&fr.f), true
		}
	}
	return nil, false
}

// value is the variable as the library knows it.
func (v *Var) value(f *Facts) ref.Val {
	x := v.Get(f)
	switch {
	case x.err != nil:
		return types.NewErr("%s: %v", v.Name, x.err)
	case v.Kind == Number:
		return types.Int(x.n)
	case v.Kind == Truth:
		return types.Bool(x.n != 0)
	case v.Kind == Texts:
		if len(x.list) > maxList {
			return types.NewErr("%s has %d entries; conditions read up to %d", v.Name, len(x.list), maxList)
		}
		for _, s := range x.list {
			if len(s) > maxItem {
				return types.NewErr("%s has an entry of %d bytes; conditions read up to %d", v.Name, len(s), maxItem)
			}
		}
		return types.NewStringList(types.DefaultTypeAdapter, x.list)
	case v.Kind == Members:
		return members{x.set}
	}
	if len(x.text) > v.Max {
		return types.NewErr("%s has %d bytes; conditions read up to %d", v.Name, len(x.text), v.Max)
	}
	return types.String(x.text)
}
