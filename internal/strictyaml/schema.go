package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
)

// Shape is a JSON Schema (draft 2020-12) as plain values.
type Shape map[string]any

// Shaper is a type that reads itself and says what it reads. It is asked on the
// zero value. Within the shape [Of] stands for the shape of another type.
type Shaper interface{ YAMLShape() Shape }

// Of stands for the shape of v's type inside of a [Shape].
func Of(v any) Shape { return Shape{goType: reflect.TypeOf(v)} }

// OneOf is the shape of a word out of a few.
func OneOf(words ...string) Shape { return Shape{"enum": words} }

// goType marks a Shape that [Schema] replaces; it is no keyword of JSON Schema.
const goType = "\x00type"

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+$|^0$`

// Notes are what a schema says beyond the types. Both are asked by the path of
// a key, with "[]" for the entries of a list ("peers[].identify.ip") and "*" for
// any key of a mapping.
type Notes struct {
	Describe func(path string) string   // "": no description
	Words    func(path string) []string // what a text may be; nil: anything
}

// Schema makes the JSON Schema of what [Decode] reads into a value of v's type.
// Keys of type [Reserved] are left out.
//
// It panics when a type reads itself and is no [Shaper]: that is a bug of the
// caller.
func Schema(v any, notes Notes) Shape {
	if notes.Words == nil {
		notes.Words = func(string) []string { return nil }
	}
	s := schema{notes}
	out := s.of(reflect.TypeOf(v), "", options{})
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	return out
}

type schema struct{ Notes }

func (s schema) of(t reflect.Type, path string, o options) Shape {
	if t.Kind() == reflect.Pointer {
		return s.of(t.Elem(), path, o)
	}
	if x, ok := reflect.Zero(t).Interface().(Shaper); ok {
		return s.expand(x.YAMLShape(), path).(Shape)
	}
	if reads(t) {
		panic("strictyaml: " + t.String() + " reads itself and has no YAMLShape")
	}
	switch {
	case t == durationType:
		return Shape{"type": "string", "pattern": durationPattern}
	case t == timeType:
		return Shape{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}`}
	case netipTypes[t] != "":
		return Shape{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return Shape{"type": "boolean"}
	case reflect.String:
		if words := s.Words(path); words != nil {
			return OneOf(words...)
		}
		return Shape{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return Shape{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Shape{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Shape{"type": "integer", "minimum": 0}
	case reflect.Slice:
		each := s.of(t.Elem(), path+"[]", options{})
		list := Shape{"type": "array", "items": each}
		if o.single {
			return Shape{"anyOf": []any{each, list}}
		}
		return list
	case reflect.Map:
		return Shape{"type": []string{"object", "null"}, "additionalProperties": s.of(t.Elem(), join(path, "*"), options{})}
	case reflect.Struct:
		return s.structure(t, path)
	}
	panic("strictyaml: no shape for " + t.String())
}

// reads reports a type that decodes itself.
func reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[ScalarUnmarshaler]()) || p.Implements(reflect.TypeFor[NodeUnmarshaler]())
}

func (s schema) structure(t reflect.Type, path string) Shape {
	properties, required := Shape{}, []string{}
	s.members(t, path, properties, &required)
	// A section whose lines are all commented out is null.
	out := Shape{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["type"], out["required"] = "object", required
	}
	return out
}

func (s schema) members(t reflect.Type, path string, properties Shape, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, has := f.Tag.Lookup("yaml")
		if !has || tag == "-" || f.Type == reservedType {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		opts := "," + rest + ","
		if strings.Contains(opts, ",inline,") {
			s.members(f.Type, path, properties, required)
			continue
		}
		at := join(path, name)
		each := s.of(f.Type, at, options{single: strings.Contains(opts, ",single,")})
		if text := s.Describe(at); text != "" {
			with := Shape{"description": text}
			for k, v := range each {
				with[k] = v
			}
			each = with
		}
		properties[name] = each
		if strings.Contains(opts, ",required,") {
			*required = append(*required, name)
		}
	}
}

// expand replaces what [Of] stands for.
func (s schema) expand(v any, path string) any {
	switch x := v.(type) {
	case Shape:
		if t, ok := x[goType]; ok {
			return s.of(t.(reflect.Type), path, options{})
		}
		out := Shape{}
		for k, e := range x {
			out[k] = s.expand(e, path)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = s.expand(e, path)
		}
		return out
	case string, []string, bool, int, float64:
		return v
	}
	panic(fmt.Sprintf("strictyaml: %T inside of a shape", v))
}

// Generic reads a file into maps, slices, strings, float64, bool and nil, as a
// validator of JSON Schema takes them.
func Generic(file string, data []byte) (any, Problems) {
	root, ps := parse(file, data)
	if root == nil {
		return nil, ps
	}
	return root.generic(), ps
}

func (n *node) generic() any {
	switch n.kind {
	case Scalar:
		if n.quoted || n.plain == plainText {
			return n.text
		}
		if n.plain == plainBool {
			return n.text == "true"
		}
		var f float64
		if _, err := fmt.Sscan(n.text, &f); err != nil {
			return n.text
		}
		return f
	case List:
		out := make([]any, len(n.items))
		for i, it := range n.items {
			out[i] = it.generic()
		}
		return out
	case Map:
		out := map[string]any{}
		for _, f := range n.fields {
			out[f.key] = f.value.generic()
		}
		return out
	}
	return nil
}
