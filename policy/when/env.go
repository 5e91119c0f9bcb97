package when

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
)

// Env is the variables that conditions may use.
type Env struct {
	vars       map[string]*Var // those of families once they were used
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
		cel.EnableMacroCallTracking(), cel.DefaultUTCTimeZone(true),
	}
	for _, v := range vars {
		e.vars[v.Name] = &v
		e.space(v.Name)
		opts = append(opts, cel.Variable(v.Name, v.Kind.cel()))
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

// declare makes variables of families known to the library.
func (e *Env) declare(vars []*Var) error {
	var opts []cel.EnvOption
	for _, v := range vars {
		if e.vars[v.Name] == nil {
			e.vars[v.Name] = v
			opts = append(opts, cel.Variable(v.Name, v.Kind.cel()))
		}
	}
	if opts == nil {
		return nil
	}
	env, err := e.cel.Extend(opts...)
	if err != nil {
		return fmt.Errorf("conditions: environment: %w", err)
	}
	e.cel = env
	return nil
}

// sizes tells the library how large variables can be.
type sizes struct{ e *Env }

// EstimateSize implements the library's interface.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	v := s.e.vars[path[0]]
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

// EstimateCallCost implements the library's interface.
func (s sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function == "string" && len(args) == 1 && args[0].Type().IsExactType(cel.IntType) {
		digits := cost.FixedSizeEstimate(20)
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(3), ResultSize: &digits}
	}
	if function != operators.In || len(args) != 2 || len(args[1].Path()) == 0 {
		return nil
	}
	if v := s.e.vars[args[1].Path()[0]]; v != nil && v.Cost > 0 {
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(uint64(1 + v.Cost))}
	}
	return nil
}
