package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The trie against a walk over all prefixes.
func TestTrieAgainstScan(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 3))
	var tr trie
	if n, _ := tr.longest("+1"); n != 0 {
		t.Fatal("an empty trie finds something")
	}
	all := map[string]bool{}
	for range 400 {
		p := fmt.Sprintf("+%d", 1+rnd.IntN([]int{9, 99, 999, 99999}[rnd.IntN(4)]))
		all[p] = rnd.IntN(2) == 0
	}
	for p, denied := range all {
		tr.add(p, denied)
	}
	found := 0
	for range 20_000 {
		number := fmt.Sprintf("+%d", 1+rnd.IntN(9_999_999))
		want := ""
		for p := range all {
			if strings.HasPrefix(number, p) && len(p) > len(want) {
				want = p
			}
		}
		n, denied := tr.longest(number)
		if n != len(want) || n > 0 && denied != all[want] {
			t.Fatalf("%s: %d %v, want %q %v", number, n, denied, want, all[want])
		}
		if n > 0 {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("%d found", found)
	}
	for _, odd := range []string{"", "+", "x", "+x", "+1x"} {
		tr.longest(odd)
	}
}
