package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestUnreachable(t *testing.T) {
	for _, c := range []struct {
		first, second string
		warned        bool
	}{
		{`on: any, then: drop`, `on: invite, match: {user: x}, then: allow`, true},
		{`on: invite, then: drop`, `on: any, then: allow`, false},
		{`on: any, match: {to: {country: [GB, DE]}}, then: drop`, `on: any, match: {to: {country: GB}, user: x}, then: flag`, true},
		{`on: any, match: {to: {country: [GB]}}, then: drop`, `on: any, match: {to: {country: [GB, DE]}}, then: flag`, false},
		{`on: any, match: {to: {country: [GB]}}, then: flag`, `on: any, match: {to: {country: [GB]}}, then: drop`, false},
		{`on: any, match: {to: {country: [GB]}}, then: drop, mode: shadow`, `on: any, match: {to: {country: [GB]}}, then: drop`, false},
		{`on: any, match: {to: {country: [GB]}}, then: drop, mode: "off"`, `on: any, match: {to: {country: [GB]}}, then: drop`, false},
		{`on: any, match: {to: {country: [GB]}}, then: drop, expires: 2027-01-01`, `on: any, match: {to: {country: [GB]}}, then: drop`, false},
		{`on: any, match: {to: {prefix: "+44"}}, then: drop`, `on: any, match: {to: {prefix: ["+4420", "+4479"]}}, then: drop`, true},
		{`on: any, match: {to: {prefix: "+4420"}}, then: drop`, `on: any, match: {to: {prefix: "+44"}}, then: drop`, false},
		{`on: any, match: {source: {cidr: 10.0.0.0/8}}, then: drop`, `on: any, match: {source: {cidr: 10.1.0.0/16}}, then: drop`, true},
		{`on: any, match: {source: {cidr: 10.1.0.0/16}}, then: drop`, `on: any, match: {source: {cidr: 10.0.0.0/8}}, then: drop`, false},
		{`on: any, match: {user: {list: l}}, then: drop`, `on: any, match: {user: {list: l}, stranger: false}, then: drop`, true},
		{`on: any, match: {hours: "22:00-06:00 UTC"}, then: drop`, `on: any, match: {hours: "22:00-05:00 UTC"}, then: drop`, false},
		{`on: any, match: {size: ">1KiB"}, then: drop`, `on: any, match: {size: ">2KiB"}, then: drop`, true},
		{`on: any, match: {content_type: "text/*"}, then: drop`, `on: any, match: {content_type: "text/plain"}, then: drop`, true},
		{`on: any, match: {user_agent: [a, b]}, then: drop`, `on: any, match: {user_agent: b}, then: drop`, true},
	} {
		text := "version: 1\nlists: {l: [alice]}\nrules:\n  - {id: a/first, " + c.first + "}\n  - {id: a/second, " + c.second + "}\n"
		s, ps := Compile([]Source{{Name: "a.yaml", Data: []byte(text)}}, Options{})
		want := ""
		if c.warned {
			want = "a.yaml:5:6: warning: rule a/second is never reached: a/first (a.yaml:4) decides about all that it matches"
		}
		if s == nil || !strings.Contains(ps.String(), want) || (len(ps) > 0) != c.warned {
			t.Errorf("%s\n%s\nwarned: %v, problems: %s", c.first, c.second, c.warned, ps)
		}
	}
}

// What covers another matches whatever the other matches; and each rule that
// is covered is found without comparing all with all.
func TestCoversIsTrue(t *testing.T) {
	covered, met := 0, 0
	for seed := range uint64(3) {
		w := writer{rand.New(rand.NewPCG(seed, 9)), 3}
		s, ps := Compile([]Source{w.policy("f0", 150)}, Options{})
		if s == nil {
			t.Fatal(ps)
		}
		var pairs [][2]*matcher
		for _, m := range s.flat {
			around := map[*matcher]bool{}
			for _, i := range s.index.around(&m.match) {
				around[s.index.items[i]] = true
			}
			for _, n := range s.flat {
				if m != n && n.match.covers(&m.match) {
					covered++
					pairs = append(pairs, [2]*matcher{&n.match, &m.match})
					if !around[&n.match] {
						t.Fatalf("seed %d: %s covers %s, and is not found", seed, n.id, m.id)
					}
				}
			}
		}
		for range 300 {
			a := w.attempt(s.plan)
			for _, p := range pairs {
				if p[1].holds(a, s.lists) {
					if met++; !p[0].holds(a, s.lists) {
						t.Fatalf("seed %d: %+v is matched by %+v, not by %+v", seed, a, p[1], p[0])
					}
				}
			}
		}
	}
	if covered < 250 || met < 500 {
		t.Errorf("the test proves little: %d covered, %d met", covered, met)
	}
}

// covers must know every key: a new one that it does not compare would call
// rules unreachable that are not. Each field is set alone, to something.
func TestCoversKnowsEveryKey(t *testing.T) {
	yes := true
	for _, kind := range []reflect.Type{reflect.TypeFor[matcher](), reflect.TypeFor[party]()} {
		for i := range kind.NumField() {
			v := reflect.New(kind)
			f := reflect.NewAt(kind.Field(i).Type, v.Elem().Field(i).Addr().UnsafePointer()).Elem()
			switch kind.Field(i).Type {
			case reflect.TypeFor[*bool]():
				f.Set(reflect.ValueOf(&yes))
			case reflect.TypeFor[*agents]():
				f.Set(reflect.ValueOf(&agents{texts: []string{"x"}}))
			case reflect.TypeFor[*party]():
				f.Set(reflect.ValueOf(&party{own: &yes}))
			case reflect.TypeFor[*sizes]():
				f.Set(reflect.ValueOf(&sizes{min: 5, max: 9}))
			default:
				switch f.Kind() {
				case reflect.Slice:
					f.Set(reflect.MakeSlice(f.Type(), 1, 1))
				case reflect.Uint8, reflect.Uint16:
					f.SetUint(1)
				default:
					t.Fatalf("%s.%s: the test does not know %s", kind, kind.Field(i).Name, f.Type())
				}
			}
			var covers bool
			switch m := v.Interface().(type) {
			case *matcher:
				if kind.Field(i).Name == "on" {
					continue // the other way round
				}
				covers = m.covers(&matcher{})
			case *party:
				covers = m.covers(&party{})
			}
			if covers {
				t.Errorf("%s.%s is not compared", kind, kind.Field(i).Name)
			}
		}
	}
}

func TestContradictions(t *testing.T) {
	for match, want := range map[string]string{
		`{stranger: true, registered: true}`:                    "who is registered is no stranger",
		`{stranger: true, peer: a}`:                             "a peer is no stranger",
		`{stranger: true, user: a}`:                             "a stranger has no user",
		`{to: {international: true, country: FR}}`:              "no number is all of this: international: true, country",
		`{to: {international: false, country: [JM, GB]}}`:       "no number is all of this",
		`{to: {valid: false, class: mobile}}`:                   "no number is all of this",
		`{from: {country: DE, prefix: ["+33", "+44"]}}`:         "no number of these countries begins like this",
		`{to: {country: [DE, JM], region: [northern-africa]}}`:  "none of these countries is in such a region",
		`{to: {international: true, country: [FR, JM]}}`:        "",
		`{to: {country: [US, DE], prefix: "+1876"}}`:            "",
		`{to: {country: [DE, JM], region: [caribbean]}}`:        "",
		`{to: {valid: false}}`:                                  "",
		`{stranger: true, registered: false, source: {asn: 1}}`: "",
	} {
		_, ps := Compile([]Source{{Name: "a.yaml", Data: []byte("version: 1\nhome: {country: FR}\nrules:\n  - {id: a/b, on: invite, match: " + match + ", then: drop}\n")}}, Options{})
		if want == "" && len(ps) > 0 || !strings.Contains(ps.String(), want) {
			t.Errorf("%s: %s, want %q", match, ps, want)
		}
	}
	_, ps := Compile([]Source{{Name: "a.yaml", Data: []byte("version: 1\nrules: [{id: a/b, on: register, match: {to: {country: DE}}, then: drop}]\n")}}, Options{})
	if !strings.Contains(ps.String(), "a REGISTER is about no number") {
		t.Error(ps)
	}
}

// Among many rules only a few are compared to find the unreachable ones.
func TestUnreachableAmongMany(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  - {id: a/r%d, on: invite, match: {user: \"u%d\"}, then: drop}\n", i, i%1999)
	}
	s, ps := Compile([]Source{{Name: "a.yaml", Data: []byte(b.String())}}, Options{})
	if s == nil || len(ps) != 1 || !strings.Contains(ps.String(), "rule a/r1999 is never reached: a/r0 (a.yaml:3)") {
		t.Fatal(ps)
	}
	for _, r := range s.flat {
		if n := len(s.index.around(&r.match)); n > 2 {
			t.Fatalf("%s would be compared with %d rules", r.id, n)
		}
	}
}
