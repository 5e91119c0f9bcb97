package srtp

import (
	"crypto/sha1"
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// mac is HMAC-SHA1 (RFC 2104) for many short messages under one key. It keeps
// the two states behind the padded key as numbers; the standard library writes
// them down and reads them again for each message, which costs as much as
// hashing a packet of sound does. Without SHA instructions it is the portable
// form.
type mac struct {
	inner, outer [5]uint32
	portable     *libMAC // instead of these
}

// hashBlocks takes n whole blocks of 64 bytes into a SHA-1 state (FIPS 180-4
// §6.1).
//
//go:noescape
func hashBlocks(state *[5]uint32, p *byte, n int)

// hasSHA asks the processor; package cpu does not know.
func hasSHA() bool

// fastMAC: the instructions that hashBlocks uses are there.
var fastMAC = hasSHA() && cpu.X86.HasSSSE3 && cpu.X86.HasSSE41

func (m *mac) init(key []byte) {
	if !fastMAC || len(key) > sha1.BlockSize {
		m.portable = newLibMAC(key)
		return
	}
	begin := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	for _, half := range []struct {
		state *[5]uint32
		pad   byte
	}{{&m.inner, 0x36}, {&m.outer, 0x5c}} {
		var block [sha1.BlockSize]byte
		copy(block[:], key)
		for i := range block {
			block[i] ^= half.pad
		}
		*half.state = begin
		hashBlocks(half.state, &block[0], 1)
	}
}

// of writes the code of b and a word behind it into sum. What it needs
// meanwhile is on the stack: with many keys in turn, memory of each key would
// come from further away.
func (m *mac) of(sum *[sha1.Size]byte, b []byte, word uint32) {
	if m.portable != nil {
		m.portable.of(sum, b, word)
		return
	}
	state := m.inner
	whole := len(b) &^ (sha1.BlockSize - 1)
	if whole > 0 {
		hashBlocks(&state, &b[0], whole/sha1.BlockSize)
	}
	var tail [2 * sha1.BlockSize]byte
	n := copy(tail[:], b[whole:])
	binary.BigEndian.PutUint32(tail[n:], word)
	finish(&state, &tail, n+4, sha1.BlockSize+len(b)+4)

	tail = [2 * sha1.BlockSize]byte{}
	put(tail[:], &state)
	state = m.outer
	finish(&state, &tail, sha1.Size, sha1.BlockSize+sha1.Size)
	put(sum[:], &state)
}

// finish pads the n bytes in tail, behind which it is zero, and hashes them;
// size is how many bytes were hashed in all.
func finish(state *[5]uint32, tail *[2 * sha1.BlockSize]byte, n, size int) {
	blocks := 1
	if n+9 > sha1.BlockSize {
		blocks = 2
	}
	tail[n] = 0x80
	binary.BigEndian.PutUint64(tail[blocks*sha1.BlockSize-8:], uint64(size)*8)
	hashBlocks(state, &tail[0], blocks)
}

// put writes a state in the order of the wire.
func put(b []byte, state *[5]uint32) {
	for i, v := range state {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
}
