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
	sum  [sha1.Size]byte
	word [4]byte
}

func newLibMAC(key []byte) *libMAC {
	m := &libMAC{mac: hmac.New(sha1.New, key)}
	m.mac.Sum(m.sum[:0])
	m.mac.Reset() // from here on it starts from saved states
	return m
}

// of is the code of b and a word behind it, good until the next call.
func (m *libMAC) of(b []byte, word uint32) []byte {
	m.mac.Reset()
	m.mac.Write(b)
	binary.BigEndian.PutUint32(m.word[:], word)
	m.mac.Write(m.word[:])
	return m.mac.Sum(m.sum[:0])
}
