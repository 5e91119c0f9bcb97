package fraud

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// State is written as plain data that describes itself: before the values of a
// type stands its shape, with the names of fields. What has another shape by
// now is read by these names: a field that is new stays zero, one that is gone
// is skipped. So a release that learns more keeps what the one before learned.

// A shape is a type of plain data as it stands in a file.
type shape struct {
	kind   shapeKind
	fields []shapeField // of a struct
	elem   *shape       // of a slice or an array
}

type shapeField struct {
	name string
	at   int // field of the Go type; -1: it has none of that name
	shape
}

type shapeKind byte

const (
	shapeBool shapeKind = iota + 1
	shapeInt
	shapeUint
	shapeFloat
	shapeString
	shapeTime
	shapeStruct
	shapeSlice
	shapeArray
)

const (
	maxShape  = 16  // types within types
	maxFields = 256 // of a struct
)

var timeType = reflect.TypeFor[time.Time]()

// shapeOf describes a type. What is not plain data has no shape: pointers,
// maps, interfaces, functions.
func shapeOf(t reflect.Type) (shape, error) {
	if t == timeType {
		return shape{kind: shapeTime}, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return shape{kind: shapeBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return shape{kind: shapeInt}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return shape{kind: shapeUint}, nil
	case reflect.Float32, reflect.Float64:
		return shape{kind: shapeFloat}, nil
	case reflect.String:
		return shape{kind: shapeString}, nil
	case reflect.Slice, reflect.Array:
		elem, err := shapeOf(t.Elem())
		k := shapeSlice
		if t.Kind() == reflect.Array {
			k = shapeArray
		}
		return shape{kind: k, elem: &elem}, err
	case reflect.Struct:
		s := shape{kind: shapeStruct}
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Tag.Get("fraud") == "-" {
				continue
			}
			fs, err := shapeOf(f.Type)
			if err != nil {
				return s, fmt.Errorf("%s: %w", f.Name, err)
			}
			s.fields = append(s.fields, shapeField{name: f.Name, at: i, shape: fs})
		}
		return s, nil
	}
	return shape{}, fmt.Errorf("a %s is no plain data", t)
}

func (s *shape) append(b []byte) []byte {
	b = append(b, byte(s.kind))
	switch s.kind {
	case shapeStruct:
		b = binary.AppendUvarint(b, uint64(len(s.fields)))
		for i := range s.fields {
			b = appendString(b, s.fields[i].name)
			b = s.fields[i].append(b)
		}
	case shapeSlice, shapeArray:
		b = s.elem.append(b)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// bind finds the fields of a shape in the type that they are read into.
func (s *shape) bind(t reflect.Type) {
	now, err := shapeOf(t)
	if err != nil {
		now = shape{}
	}
	s.bindTo(&now)
}

func (s *shape) bindTo(now *shape) {
	if s.elem != nil {
		elem := now.elem
		if elem == nil {
			elem = &shape{}
		}
		s.elem.bindTo(elem)
	}
	for i := range s.fields {
		f := &s.fields[i]
		f.at = -1
		same := &shape{}
		for j := range now.fields {
			if now.fields[j].name == f.name {
				f.at, same = now.fields[j].at, &now.fields[j].shape
			}
		}
		f.bindTo(same)
	}
}

// value writes a value of a shape. One that is zero is one octet, whatever it is.
func (s *shape) value(b []byte, v reflect.Value) []byte {
	if v.IsZero() {
		return append(b, 0)
	}
	b = append(b, 1)
	switch s.kind {
	case shapeBool:
		return b
	case shapeInt:
		return binary.AppendVarint(b, v.Int())
	case shapeUint:
		return binary.AppendUvarint(b, v.Uint())
	case shapeFloat:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Float()))
	case shapeString:
		return appendString(b, v.String())
	case shapeTime:
		return binary.AppendVarint(b, settable(v).Interface().(time.Time).UnixNano())
	case shapeSlice, shapeArray:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = s.elem.value(b, v.Index(i))
		}
	case shapeStruct:
		for i := range s.fields {
			f := &s.fields[i]
			b = f.value(b, v.Field(f.at))
		}
	}
	return b
}

// settable is an addressable value with the right to set it, also where the
// field is not exported: the state of this package is its own.
func settable(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

var errDamaged = errors.New("damaged")

// A reader takes values from a file. Once it failed it gives zeroes.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errDamaged
	}
	r.b = nil
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) int() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

// count is a number of things that follow, each of an octet at least.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) string() string { return string(r.bytes(r.count())) }

func (r *reader) float() float64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (r *reader) shape(depth int) (s shape) {
	s.kind = shapeKind(r.octet())
	if depth > maxShape || s.kind == 0 || s.kind > shapeArray {
		r.fail()
		return s
	}
	switch s.kind {
	case shapeStruct:
		n := r.count()
		if n > maxFields {
			r.fail()
			return s
		}
		for range n {
			name := r.string()
			s.fields = append(s.fields, shapeField{name: name, at: -1, shape: r.shape(depth + 1)})
		}
	case shapeSlice, shapeArray:
		elem := r.shape(depth + 1)
		s.elem = &elem
	}
	return s
}

// value reads what has a shape into to, which is zero; an invalid one takes
// nothing. A kind that is another by now is skipped, too: numbers of one kind
// may have grown or shrunk.
func (r *reader) value(s *shape, to reflect.Value) {
	if r.octet() == 0 || r.err != nil {
		return
	}
	switch s.kind {
	case shapeBool:
		set(to, func(k reflect.Kind) bool { return k == reflect.Bool }, func() { to.SetBool(true) })
	case shapeInt:
		x := r.int()
		set(to, isInt, func() { setIn(to.OverflowInt(x), func() { to.SetInt(x) }) })
	case shapeUint:
		x := r.uint()
		set(to, isUint, func() { setIn(to.OverflowUint(x), func() { to.SetUint(x) }) })
	case shapeFloat:
		x := r.float()
		if math.IsNaN(x) || math.IsInf(x, 0) {
			x = 0
		}
		set(to, isFloat, func() { to.SetFloat(x) })
	case shapeString:
		x := r.string()
		set(to, func(k reflect.Kind) bool { return k == reflect.String }, func() { to.SetString(x) })
	case shapeTime:
		x := r.int()
		if to.IsValid() && to.Type() == timeType {
			to.Set(reflect.ValueOf(time.Unix(0, x).UTC()))
		}
	case shapeSlice, shapeArray:
		r.list(s, to)
	case shapeStruct:
		r.fields(s, to)
	}
}

func set(to reflect.Value, fits func(reflect.Kind) bool, do func()) {
	if to.IsValid() && fits(to.Kind()) {
		do()
	}
}

func setIn(overflows bool, do func()) {
	if !overflows {
		do()
	}
}

func isInt(k reflect.Kind) bool   { return k >= reflect.Int && k <= reflect.Int64 }
func isUint(k reflect.Kind) bool  { return k >= reflect.Uint && k <= reflect.Uint64 }
func isFloat(k reflect.Kind) bool { return k == reflect.Float32 || k == reflect.Float64 }

// list reads a slice or an array. A slice grows as its values come, so that no
// length in a file makes room by itself.
func (r *reader) list(s *shape, to reflect.Value) {
	n := r.count()
	for i := 0; i < n && r.err == nil; i++ {
		var elem reflect.Value
		switch {
		case !to.IsValid():
		case to.Kind() == reflect.Slice:
			to.Set(reflect.Append(to, reflect.Zero(to.Type().Elem())))
			elem = to.Index(i)
		case to.Kind() == reflect.Array && i < to.Len():
			elem = to.Index(i)
		}
		r.value(s.elem, elem)
	}
}

func (r *reader) fields(s *shape, to reflect.Value) {
	known := to.IsValid() && to.Kind() == reflect.Struct && to.Type() != timeType
	for i := range s.fields {
		f := &s.fields[i]
		var v reflect.Value
		if known && f.at >= 0 {
			v = settable(to.Field(f.at))
		}
		r.value(&f.shape, v)
	}
}
