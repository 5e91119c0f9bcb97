package fraud

import (
	"reflect"
	"testing"
	"time"
)

type inner struct {
	a int32
	s []string
}

// before and now are one type in two releases.
type beforeRow struct {
	gone  [3]uint16
	at    int64
	name  string
	kept  inner
	kind  int
	list  []inner
	when  time.Time
	on    bool
	price float64
	big   int64
}

type nowRow struct {
	name  string
	fresh int
	kind  string // another kind of thing by now
	at    int64
	kept  inner
	list  []inner
	when  time.Time
	on    bool
	price float32
	big   int8 // its values do not fit any more
}

func written(t testing.TB, v any) []byte {
	t.Helper()
	x := reflect.ValueOf(v).Elem()
	s, err := shapeOf(x.Type())
	if err != nil {
		t.Fatal(err)
	}
	return s.value(s.append(nil), x)
}

func readInto(b []byte, v any) error {
	r := &reader{b: b}
	s := r.shape(0)
	s.bind(reflect.TypeOf(v).Elem())
	r.value(&s, reflect.ValueOf(v).Elem())
	return r.err
}

// State of another release is read by the names of its fields.
func TestStateOfAnotherRelease(t *testing.T) {
	row := beforeRow{gone: [3]uint16{1, 2, 3}, at: -5, name: "x", kept: inner{7, []string{"", "y"}}, kind: 3, list: []inner{{}, {a: 1}}, when: t0, on: true, price: 1.5, big: 1000}
	b := written(t, &row)
	var same beforeRow
	if err := readInto(b, &same); err != nil || !reflect.DeepEqual(same, row) {
		t.Errorf("%v %+v", err, same)
	}
	var now nowRow
	want := nowRow{name: "x", at: -5, kept: row.kept, list: row.list, when: t0, on: true, price: 1.5}
	if err := readInto(b, &now); err != nil || !reflect.DeepEqual(now, want) {
		t.Errorf("%v %+v", err, now)
	}
	var other [2]int
	if err := readInto(b, &other); err != nil || other != [2]int{} {
		t.Errorf("%v %v", err, other)
	}
}

// What is no plain data is refused when it is written, not lost.
func TestNoPlainData(t *testing.T) {
	for _, v := range []any{new(*int), new(map[string]int), new(func()), new(any), new(struct{ a []*inner })} {
		if _, err := shapeOf(reflect.TypeOf(v).Elem()); err == nil {
			t.Errorf("%T was taken", v)
		}
	}
}

// Whatever stands in a file whose checksum fits: no panic, and no more room is
// taken than the file's length allows.
func FuzzState(f *testing.F) {
	e := office()
	watch(e, newWorld(1).events(20))
	for _, p := range first(e.state.parts()) {
		if p.table != nil {
			if b, err := p.table.save(nil); err == nil && len(b) < 4000 {
				f.Add(b)
			}
		}
	}
	f.Add(written(f, &beforeRow{name: "x", list: []inner{{}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var row nowRow
		if readInto(b, &row); len(row.list) > len(b) || len(row.name) > len(b) {
			t.Errorf("%d in %d octets", len(row.list), len(b))
		}
		for _, p := range first(newState(acting(), e.rates).parts()) {
			if p.table == nil {
				continue
			}
			p.table.load(&reader{b: b})
			if most, _ := p.table.limits(); p.table.len() > most || p.table.len() > len(b) {
				t.Errorf("%s: %d keys in %d octets", p.name, p.table.len(), len(b))
			}
			p.table.sweep(1<<62, 10)
			if _, err := p.table.save(nil); err != nil {
				t.Error(err)
			}
		}
	})
}

func first[A, B any](a A, _ B) A { return a }
