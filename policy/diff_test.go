package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
)

func diff(t *testing.T, old, is []policy.Source) policy.Changes {
	t.Helper()
	a, ps := policy.Compile(old, policy.Options{})
	b, more := policy.Compile(is, policy.Options{})
	if a == nil || b == nil {
		t.Fatal(ps, more)
	}
	c, ps := policy.Diff(old, is, a, b)
	if ps.Err() != nil {
		t.Fatal(ps)
	}
	return c
}

func TestDiff(t *testing.T) {
	old := []policy.Source{{Name: "pack", Pack: true, Data: []byte(`version: 1
countries: {default: deny, classes: {premium_rate: deny}}
rules:
  - {id: pack/a, on: invite, match: {user: ["1"]}, then: reject 403}
  - {id: pack/b, on: invite, match: {user: ["2"]}, then: reject 403}
limits:
  - {id: pack/rate, on: invite, key: [user], rate: 5/s, then: reject 480}
`)}, {Name: "site.yaml", Data: []byte(`version: 1
countries: {allow: [DE, GB]}
lists: {vip: {kind: text, values: ["1", "2"]}}
rules:
  - {id: site/one, on: invite, match: {user: ["3"]}, then: reject 403}
  - {id: site/two, on: invite, match: {user: ["4"]}, then: reject 403}
  - {id: site/three, on: invite, match: {user: ["5"]}, then: reject 403}
`)}}
	is := []policy.Source{old[0], {Name: "site.yaml", Data: []byte(`version: 1
countries: {allow: [DE, FR], classes: {premium_rate: allow}}
lists: {vip: {kind: text, values: ["1", "2", "7"]}}
limits:
  - {id: pack/rate, on: invite, key: [user], rate: 1/s, burst: 3, then: reject 480}
rules:
  - {id: site/three, on: [invite], match: {user: "5"}, then: reject 403}
  - {id: site/one, on: invite, match: {user: ["3"]}, then: reject 404}
  - {id: pack/b, on: invite, match: {user: ["2"]}, then: reject 403, mode: "off"}
  - {id: site/new, on: invite, match: {user: ["6"]}, then: drop}
`)}}
	c := diff(t, old, is)
	b, _ := json.Marshal(c)
	want := `{"added":[{"section":"rules","id":"site/new","file":"site.yaml"}],"removed":[{"section":"rules","id":"site/two","file":"site.yaml"}],` +
		`"changed":[{"section":"limits","id":"pack/rate","file":"site.yaml","keys":[{"key":"burst","old":"","new":"3"},{"key":"rate","old":"5/s","new":"1/s"}]},` +
		`{"section":"rules","id":"pack/b","file":"site.yaml","keys":[{"key":"mode","old":"","new":"off"}]},` +
		`{"section":"rules","id":"site/one","file":"site.yaml","keys":[{"key":"then","old":"reject 403","new":"reject 404"}]}],` +
		`"moved":[{"section":"rules","id":"site/one","file":"site.yaml"}],` +
		`"countries":[{"place":"FR","old":"deny","new":"allow"},{"place":"GB","old":"allow","new":"deny"},{"place":"class premium_rate","old":"deny","new":"allow"}],` +
		`"lists":[{"name":"vip","old":2,"new":3}],"other":[],"tests":[0,0]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if c := diff(t, old, old); !c.None() {
		t.Errorf("a policy differs from itself: %+v", c)
	}
	back := diff(t, is, old)
	if len(back.Added) != len(c.Removed) || len(back.Removed) != len(c.Added) || len(back.Changed) != len(c.Changed) || len(back.Countries) != len(c.Countries) {
		t.Errorf("the way back differs: %+v", back)
	}
}

// A shuffled file has moved entries and nothing else, and as few as can be.
func TestDiffOfShuffledRules(t *testing.T) {
	file := func(order []int) []policy.Source {
		text := "version: 1\nrules:\n"
		for _, n := range order {
			text += fmt.Sprintf("  - {id: a/r%d, on: invite, match: {user: [\"%d\"]}, then: reject 403}\n", n, n)
		}
		return []policy.Source{{Name: "f.yaml", Data: []byte(text)}}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		order := []int{0, 1, 2, 3, 4, 5, 6, 7}
		plain := file(order)
		// Move one to another place: one has moved, whichever is named.
		i, j := r.IntN(8), r.IntN(8)
		n := order[i]
		order = slices.Insert(slices.Delete(order, i, i+1), j, n)
		c := diff(t, plain, file(order))
		want := 1
		if i == j {
			want = 0
		}
		if len(c.Moved) != want || len(c.Added)+len(c.Removed)+len(c.Changed) > 0 {
			t.Errorf("%v: %+v", order, c)
		}
	}
}
