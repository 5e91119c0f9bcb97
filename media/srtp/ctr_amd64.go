package srtp

import (
	"crypto/aes"
	"crypto/subtle"

	"golang.org/x/sys/cpu"
)

// ctr is AES-128 in counter mode for many short messages. The standard
// library's stream allocates one state for each message and its block cipher
// does one block at a time; a packet of sound is ten blocks, which the
// processor encrypts nearly as fast as one when they go together. Without
// AES instructions it is the portable form.
type ctr struct {
	schedule [11 * aes.BlockSize]byte // round keys, FIPS 197 §5.2
	portable *blockCTR                // instead of all that
}

// groupSize is what xorBlocks does at a time.
const groupSize = 8 * aes.BlockSize

// xorBlocks applies groups times groupSize bytes of key stream to b, starting
// with the counter hi, lo; lo does not overflow into hi.
//
//go:noescape
func xorBlocks(schedule *[11 * aes.BlockSize]byte, b *byte, groups int, hi, lo uint64)

// expand writes the round keys of an AES-128 key.
//
//go:noescape
func expand(schedule *[11 * aes.BlockSize]byte, key *byte)

func (c *ctr) init(key []byte) (err error) {
	if len(key) != 16 {
		return errKeys
	}
	if !cpu.X86.HasAES {
		c.portable, err = newBlockCTR(key)
		return err
	}
	expand(&c.schedule, &key[0])
	return nil
}

// xor applies the key stream that starts with the counter hi, lo. A packet
// has less than 2^16 blocks, so only the last bytes of lo count.
func (c *ctr) xor(b []byte, hi, lo uint64) {
	if c.portable != nil {
		c.portable.xor(b, hi, lo)
		return
	}
	if n := len(b) / groupSize; n > 0 {
		xorBlocks(&c.schedule, &b[0], n, hi, lo)
		b, lo = b[n*groupSize:], lo+uint64(n)*groupSize/aes.BlockSize
	}
	if len(b) > 0 {
		var stream [groupSize]byte // for what is less than a group
		xorBlocks(&c.schedule, &stream[0], 1, hi, lo)
		subtle.XORBytes(b, b, stream[:])
	}
}
