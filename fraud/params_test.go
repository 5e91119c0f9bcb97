package fraud

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/fraud/param"
)

// TestParamsComplete: every number of a detector's configuration can be set, every
// parameter in the table is one, of the right kind, and the defaults of both
// profiles are within the bounds that files have to keep.
func TestParamsComplete(t *testing.T) {
	if got, want := param.IDs()[1:], IDs(); !same(got, want) {
		t.Errorf("the table has the detectors %v, the engine %v", got, want)
	}
	c := Defaults("office")
	bound := map[uintptr]bool{}
	for _, d := range param.All() {
		fields := c.fields(d.ID)
		for key, f := range fields {
			if d.Param(key) == nil {
				t.Errorf("%s: field %s is not in the table", d.ID, key)
			}
			bound[reflect.ValueOf(f).Pointer()] = true
		}
		for _, p := range d.Params {
			want := map[param.Kind]any{param.Count: new(int), param.Duration: new(time.Duration)}[p.Kind]
			if want == nil {
				want = new(float64)
			}
			if got := fields[p.Key]; got == nil || reflect.TypeOf(got) != reflect.TypeOf(want) {
				t.Errorf("%s: %s is a %s in the table and kept as %T", d.ID, p.Key, p.Kind, got)
				continue
			}
			if p.Doc == "" || p.Min > p.Max {
				t.Errorf("%s: %s is described badly", d.ID, p.Key)
			}
			for _, profile := range []string{"office", "call-centre"} {
				def := Defaults(profile)
				if v, _ := def.Get(d.ID, p.Key); v < p.Min || v > p.Max {
					t.Errorf("%s, %s: the default of %s is %v, allowed are %v to %v", profile, d.ID, p.Key, v, p.Min, p.Max)
				}
			}
			mid := (p.Min + p.Max) / 2
			if p.Kind == param.Count {
				mid = float64(int(mid))
			}
			e := Defaults("office")
			if err := e.Set(d.ID, p.Key, mid); err != nil {
				t.Error(err)
			}
			if got, _ := e.Get(d.ID, p.Key); got != mid {
				t.Errorf("%s: %s was set to %v and is %v", d.ID, p.Key, mid, got)
			}
			if e.Set(d.ID, p.Key, p.Max+1) == nil || e.Set(d.ID, p.Key, p.Min-1) == nil {
				t.Errorf("%s: %s can be set beyond its bounds", d.ID, p.Key)
			}
		}
	}
	if c.Set("fraud/none", "x", 1) == nil || c.Set(IDPing, "none", 1) == nil {
		t.Error("what does not exist was set")
	}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		part := v.Field(i)
		if part.Kind() != reflect.Struct || v.Type().Field(i).Name == "Rules" {
			continue
		}
		for j := range part.NumField() {
			if f := part.Field(j); !bound[f.Addr().Pointer()] && f.CanSet() {
				t.Errorf("Config.%s.%s has no parameter", v.Type().Field(i).Name, part.Type().Field(j).Name)
			}
		}
	}
}

func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
