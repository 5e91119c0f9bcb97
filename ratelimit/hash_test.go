package ratelimit

import (
	"strings"
	"testing"
)

// The vectors of the authors of SipHash, as far as they are of whole words: the
// octets 0, 1, 2, … under the key 0, 1, … 15.
func TestSipHash(t *testing.T) {
	s := Seed{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for words, want := range []uint64{0x726fdb47dd0e0e31, 0x93f5f5799a932462, 0x3f2acc7f57c29bdb} {
		h := newHasher(s)
		for i := range words {
			h.word(0x0706050403020100 + 0x0808080808080808*uint64(i))
		}
		if got := h.sum(); got != want {
			t.Errorf("%d octets: %#x, want %#x", 8*words, got, want)
		}
	}
}

// Texts are told apart wherever one ends and the next begins.
func TestTextsAreToldApart(t *testing.T) {
	s, seen := newSeed(), map[uint64]string{}
	all := strings.Repeat("ab\x00", 8)
	for i := range len(all) + 1 {
		for j := i; j <= len(all); j++ {
			h := newHasher(s)
			h.text(all[:i])
			h.text(all[i:j])
			h.text(all[j:])
			what := all[:i] + "|" + all[i:j] + "|" + all[j:]
			if was, ok := seen[h.sum()]; ok && was != what {
				t.Fatalf("%q and %q", was, what)
			}
			seen[h.sum()] = what
		}
	}
	if a, b := newHasher(newSeed()), newHasher(newSeed()); a.sum() == b.sum() {
		t.Error("two seeds are one")
	}
}
