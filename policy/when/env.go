package when

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
)

// Env is the variables that conditions may use.
//
// To the library each is a variable of its own, call.to.country too: it asks
// for the value when it needs it, and no value is put together before. It
// must be told of each beforehand, which is costly, and variables of families
// are known when they are used only. So it knows slots, text, number and so on, and
// each condition puts its own into them.
type Env struct {
	vars       map[string]*Var // without those of families
	families   map[string]*Family
	namespaces map[string][]string // "call.to" → its fields
	cel        *cel.Env
	frames     *sync.Pool // of *frame, so that asking does not allocate one
}

// NewEnv makes an environment.
func NewEnv(vars []Var, families []Family) (*Env, error) {
	e := &Env{vars: map[string]*Var{}, families: map[string]*Family{}, namespaces: map[string][]string{},
		frames: &sync.Pool{New: func() any { return new(frame) }}}
	opts := []cel.EnvOption{
		cel.ClearMacros(), cel.Macros(cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.MapMacro, cel.FilterMacro),
		cel.ParserExpressionSizeLimit(MaxText), cel.ParserRecursionLimit(100), cel.ParserErrorRecoveryLimit(4),
		cel.EnableMacroCallTracking(), cel.DefaultUTCTimeZone(true), substring(),
	}
	for _, v := range vars {
		v.slot = v.Name
		e.vars[v.Name] = &v
		e.space(v.Name)
		opts = append(opts, cel.Variable(v.Name, v.Kind.cel()))
	}
	for k := Text; k <= Members; k++ {
		for i := range maxSlot {
			opts = append(opts, cel.Variable(slotName(k, i), k.cel()))
		}
	}
	for _, f := range families {
		e.families[f.Name] = &f
		e.space(f.Name)
	}
	for name, fields := range e.namespaces {
		slices.Sort(fields)
		e.namespaces[name] = slices.Compact(fields)
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("conditions: environment: %w", err)
	}
	e.cel = env
	return e, nil
}

// space notes a name in the namespaces above it.
func (e *Env) space(name string) {
	for {
		i := strings.LastIndexByte(name, '.')
		e.namespaces[name[:max(i, 0)]] = append(e.namespaces[name[:max(i, 0)]], name[i+1:])
		if i < 0 {
			return
		}
		name = name[:i]
	}
}

// Names of all variables and families.
func (e *Env) Names() []string {
	return slices.Sorted(maps.Keys(e.vars))
}

func (k Kind) cel() *cel.Type {
	switch k {
	case Number:
		return cel.IntType
	case Truth:
		return cel.BoolType
	case Texts:
		return cel.ListType(cel.StringType)
	case Members:
		// `x in set` is what the language asks of a map, too.
		return cel.MapType(cel.StringType, cel.BoolType)
	}
	return cel.StringType
}

func slotName(k Kind, i int) string { return fmt.Sprintf("@%d_%02d", k, i) }

// sizes tells the library how large variables can be.
type sizes struct{ vars []*Var }

func (s sizes) find(n cost.AstNode) *Var {
	for _, v := range s.vars {
		if len(n.Path()) > 0 && n.Path()[0] == v.slot {
			return v
		}
	}
	return nil
}

// EstimateSize implements the library's interface.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path, v := n.Path(), s.find(n)
	if v == nil {
		return nil
	}
	upTo := func(n int) *cost.SizeEstimate {
		est := cost.FixedSizeEstimate(uint64(n))
		est.Min = 0
		return &est
	}
	switch {
	case v.Kind == Text:
		return upTo(v.Max)
	case v.Kind == Texts && len(path) == 1:
		return upTo(maxList)
	case v.Kind == Texts:
		return upTo(maxItem)
	}
	return nil
}

// EstimateCallCost implements the library's interface, where it knows too
// little: what asking a list costs, how long a number is as a text, and how large
// the program of a regular expression is, which x{1,99}{1,99} does not show.
func (s sizes) EstimateCallCost(function, _ string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	switch {
	case function == "string" && len(args) == 1 && args[0].Type().IsExactType(cel.IntType):
		digits := cost.FixedSizeEstimate(20)
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(3), ResultSize: &digits}
	case function == "substring":
		return s.partCost(target)
	case function == operators.In && len(args) == 2:
		if v := s.find(args[1]); v != nil && v.Cost > 0 {
			return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(uint64(1 + v.Cost))}
		}
	case function == "matches" && len(args) > 0:
		text := args[0]
		if target != nil {
			text = *target
		}
		size := text.ComputedSize()
		if size == nil {
			size = s.EstimateSize(text)
		}
		pattern, ok := literal(args[len(args)-1].Expr())
		if size == nil || !ok {
			return nil // the library bounds it by nothing
		}
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(matching(min(size.Max, 1<<20), pattern))}
	}
	return nil
}

// matching is the cost of a regular expression: in the worst case every
// instruction is at work at every byte.
func matching(size uint64, pattern string) uint64 {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return MaxCost + 1
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return MaxCost + 1
	}
	return 1 + (size+9)/10*uint64(len(prog.Inst)+1)/2
}
