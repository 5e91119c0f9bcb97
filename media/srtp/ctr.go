package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// blockCTR is counter mode block by block: on any processor, without an
// allocation per packet, and what the faster form is compared with.
type blockCTR struct {
	block   cipher.Block
	counter [aes.BlockSize]byte
	stream  [aes.BlockSize]byte
}

func newBlockCTR(key []byte) (*blockCTR, error) {
	c := new(blockCTR)
	return c, c.init(key)
}

func (c *blockCTR) init(key []byte) (err error) {
	c.block, err = aes.NewCipher(key)
	return err
}

// xor applies the key stream that starts with the counter hi, lo. A packet
// has less than 2^16 blocks, so only the last bytes of lo count.
func (c *blockCTR) xor(b []byte, hi, lo uint64) {
	binary.BigEndian.PutUint64(c.counter[:], hi)
	for len(b) > 0 {
		binary.BigEndian.PutUint64(c.counter[8:], lo)
		lo++
		c.block.Encrypt(c.stream[:], c.counter[:])
		b = b[subtle.XORBytes(b, b, c.stream[:]):]
	}
}
