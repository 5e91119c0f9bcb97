package sbc

import (
	"fmt"
	"testing"
)

func TestWeightsOfPBXs(t *testing.T) {
	var d directory
	d.init(Config{PBXs: []PBX{{Name: "a", Weight: 1}, {Name: "b", Weight: 3}, {Name: "c", Weight: 6, Domains: []string{"One.test"}}, {Name: "other", Weight: 9, Domains: []string{"two.test"}}}})
	// Nothing is known of where they are: none is better than another.
	first, moved := map[string]int{}, 0
	const n = 10000
	for i := range n {
		key := fmt.Sprintf("%d@one.test", 1000+i)
		ps := d.pbxOrder("one.test", key)
		if len(ps) != 3 || ps[0] != d.pbxOrder("one.test", key)[0] {
			t.Fatalf("%v", ps)
		}
		first[ps[0].Name]++
		if two := d.pbxOrder("three.test", key); ps[0].Name != "c" && two[0] != ps[0] {
			moved++
		}
	}
	for name, want := range map[string]int{"a": 10, "b": 30, "c": 60} {
		if got := first[name] * 100 / n; got < want-2 || got > want+2 {
			t.Errorf("%s got %d %%, want %d", name, got, want)
		}
	}
	if moved > 0 {
		t.Errorf("%d users moved when another PBX than theirs went", moved)
	}
	if ps := d.pbxOrder("two.test", "x"); ps[0].Name != "other" && len(ps) != 3 {
		t.Errorf("%v", ps)
	}
	d.cfg.PBXs = []PBX{{Name: "x", Weight: 1}, {Name: "y", Weight: 1}, {Name: "z"}}
	for i := range 100 {
		if ps := d.pbxOrder("one.test", fmt.Sprint(i)); ps[0].Name != "x" || ps[2].Name != "z" {
			t.Fatal("without weights not in order")
		}
	}
}
