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
	state        [5]uint32
	tail         [2 * sha1.BlockSize]byte
	sum          [sha1.Size]byte
	portable     *libMAC // instead of all that
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

func newMAC(key []byte) *mac {
	m := new(mac)
	if !fastMAC || len(key) > sha1.BlockSize {
		m.portable = newLibMAC(key)
		return m
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
	return m
}

// of is the code of b and a word behind it, good until the next call.
func (m *mac) of(b []byte, word uint32) []byte {
	if m.portable != nil {
		return m.portable.of(b, word)
	}
	m.state = m.inner
	whole := len(b) &^ (sha1.BlockSize - 1)
	if whole > 0 {
		hashBlocks(&m.state, &b[0], whole/sha1.BlockSize)
	}
	n := copy(m.tail[:], b[whole:])
	binary.BigEndian.PutUint32(m.tail[n:], word)
	m.finish(n+4, sha1.BlockSize+len(b)+4)
	m.write(m.tail[:])
	m.state = m.outer
	m.finish(sha1.Size, sha1.BlockSize+sha1.Size)
	m.write(m.sum[:])
	return m.sum[:]
}

// finish pads the n bytes in tail and hashes them; size is how many bytes
// were hashed in all.
func (m *mac) finish(n, size int) {
	end := sha1.BlockSize
	if n+9 > end {
		end *= 2
	}
	m.tail[n] = 0x80
	clear(m.tail[n+1 : end-8])
	binary.BigEndian.PutUint64(m.tail[end-8:], uint64(size)*8)
	hashBlocks(&m.state, &m.tail[0], end/sha1.BlockSize)
}

// write puts the state in the order of the wire.
func (m *mac) write(b []byte) {
	for i, v := range m.state {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
}
