package ratelimit

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// Keys of tables are hashed with SipHash-2-4 under a secret seed, so that nobody
// can aim at another's entry. hash/maphash would do, but its seeds end with the
// process, and counts of failures outlive it.

// Seed is the secret.
type Seed [2]uint64

// newSeed draws one as maphash does.
func newSeed() Seed {
	return Seed{maphash.String(maphash.MakeSeed(), "0"), maphash.String(maphash.MakeSeed(), "1")}
}

// hasher takes whole words: a text is its length and its octets, filled up with
// zeros, so that no two sequences of parts look alike.
type hasher struct{ v0, v1, v2, v3, words uint64 }

func newHasher(s Seed) hasher {
	return hasher{v0: s[0] ^ 0x736f6d6570736575, v1: s[1] ^ 0x646f72616e646f6d, v2: s[0] ^ 0x6c7967656e657261, v3: s[1] ^ 0x7465646279746573}
}

func (h *hasher) round() {
	h.v0 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 13) ^ h.v0
	h.v0 = bits.RotateLeft64(h.v0, 32)
	h.v2 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 16) ^ h.v2
	h.v0 += h.v3
	h.v3 = bits.RotateLeft64(h.v3, 21) ^ h.v0
	h.v2 += h.v1
	h.v1 = bits.RotateLeft64(h.v1, 17) ^ h.v2
	h.v2 = bits.RotateLeft64(h.v2, 32)
}

func (h *hasher) word(m uint64) {
	h.v3 ^= m
	h.round()
	h.round()
	h.v0 ^= m
	h.words++
}

func (h *hasher) text(s string) {
	h.word(uint64(len(s)))
	for ; len(s) >= 8; s = s[8:] {
		h.word(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	var last uint64
	for i := range len(s) {
		last |= uint64(s[i]) << (8 * i)
	}
	if len(s) > 0 {
		h.word(last)
	}
}

// octets are an address.
func (h *hasher) octets(b [16]byte) {
	h.word(binary.LittleEndian.Uint64(b[:]))
	h.word(binary.LittleEndian.Uint64(b[8:]))
}

// sum is never 0, which stands for no key.
func (h hasher) sum() uint64 {
	h.word(h.words * 8 << 56)
	h.v2 ^= 0xff
	for range 4 {
		h.round()
	}
	return max(h.v0^h.v1^h.v2^h.v3, 1)
}
