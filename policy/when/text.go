package when

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// CompileKey is Compile for an expression that says per what is counted: a
// text, a number, or true or false.
func (e *Env) CompileKey(text string) (*Program, []Problem) {
	return e.compile(text, func(t *cel.Type) []Problem {
		for _, ok := range []*cel.Type{cel.StringType, cel.IntType, cel.BoolType} {
			if t.IsExactType(ok) {
				return nil
			}
		}
		return []Problem{{Message: "the key is " + typeName(t.String()) + ", not a text, a number, or true or false"}}
	})
}

// Key is what a key is for a request.
func (p *Program) Key(f Facts) (string, error) {
	fr := p.env.frames.Get().(*frame)
	fr.p, fr.f = p, f
	out, _, err := p.prog.Eval(fr)
	fr.p, fr.f = nil, Facts{}
	p.env.frames.Put(fr)
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	switch v := out.(type) {
	case types.String:
		return string(v), nil
	case types.Int:
		return strconv.FormatInt(int64(v), 10), nil
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	}
	return "", fmt.Errorf("key: it is %s", out.Type().TypeName())
}

// substring is text.substring(begin, end) and text.substring(begin), in
// characters. What is beyond the text is left out: a number that is too short
// is no error.
func substring() cel.EnvOption {
	ints := []*cel.Type{cel.StringType, cel.IntType, cel.IntType}
	return cel.Function("substring",
		cel.MemberOverload("string_substring_int", ints[:2], cel.StringType,
			cel.BinaryBinding(func(s, begin ref.Val) ref.Val { return part(s, begin, types.Int(1<<62)) })),
		cel.MemberOverload("string_substring_int_int", ints, cel.StringType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val { return part(args[0], args[1], args[2]) })))
}

func part(s, begin, end ref.Val) ref.Val {
	text, from, to := string(s.(types.String)), int(begin.(types.Int)), int(end.(types.Int))
	if from < 0 || to < from {
		return types.NewErr("substring from %d to %d", from, to)
	}
	i := bytesOf(text, min(from, len(text)))
	j := i + bytesOf(text[i:], min(to-from, len(text)))
	if !utf8.ValidString(text) {
		return types.NewErr("substring of what is no text")
	}
	return types.String(text[i:j])
}

// partCost is that of substring: it walks the text once and cannot make it longer.
func (s sizes) partCost(target *cost.AstNode) *cost.CallEstimate {
	if target == nil {
		return nil
	}
	size := (*target).ComputedSize()
	if size == nil {
		size = s.EstimateSize(*target)
	}
	if size == nil {
		return nil
	}
	result := *size
	result.Min = 0
	return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(1 + min(size.Max, 1<<20)/10), ResultSize: &result}
}
