package when

import (
	"errors"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// members is a Set as the library sees it: something that `in` can be asked
// of, and nothing else; the resolver lets no other use through.
type members struct{ set Set }

// Contains implements the library's interface.
func (m members) Contains(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok || m.set == nil {
		return types.MaybeNoSuchOverloadErr(v)
	}
	return types.Bool(m.set.Has(string(s)))
}

// ConvertToNative implements the library's interface.
func (members) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a list is not a value")
}

// ConvertToType implements the library's interface.
func (m members) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Equal implements the library's interface.
func (m members) Equal(ref.Val) ref.Val { return types.NoSuchOverloadErr() }

// Type implements the library's interface.
func (members) Type() ref.Type { return types.MapType }

// Value implements the library's interface.
func (m members) Value() any { return m.set }
