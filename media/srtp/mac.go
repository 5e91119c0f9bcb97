package srtp

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash"
)

// libMAC is HMAC-SHA1 by the standard library: on any processor, and what the
// faster form is compared with.
type libMAC struct {
	mac  hash.Hash
	word [4]byte
	sum  [sha1.Size]byte
}

func newLibMAC(key []byte) *libMAC {
	m := new(libMAC)
	m.init(key)
	return m
}

func (m *libMAC) init(key []byte) {
	m.mac = hmac.New(sha1.New, key)
	m.mac.Sum(nil)
	m.mac.Reset() // from here on it starts from saved states
}

// of writes the code of b and a word behind it into sum.
func (m *libMAC) of(sum *[sha1.Size]byte, b []byte, word uint32) {
	m.mac.Reset()
	m.mac.Write(b)
	binary.BigEndian.PutUint32(m.word[:], word)
	m.mac.Write(m.word[:])
	m.mac.Sum(m.sum[:0])
	*sum = m.sum
}
