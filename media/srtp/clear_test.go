package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestClearRTCP: SRTCP of the counter mode suites that its sender left
// unencrypted (E flag 0, RFC 3711 §3.4) is authenticated all the same, index,
// flag and MKI included. (GCM's is in its vectors.)
func TestClearRTCP(t *testing.T) {
	fill := rand.NewChaCha8([32]byte{12})
	for _, transform := range []Transform{CM80, CM32} {
		for _, mki := range [][]byte{nil, {1, 2, 3, 4}} {
			key, salt, plain := make([]byte, 16), make([]byte, 14), make([]byte, 52)
			fill.Read(key)
			fill.Read(salt)
			fill.Read(plain)
			c, err := New(transform, key, salt, mki)
			if err != nil {
				t.Fatal(err)
			}
			master, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			signed := binary.BigEndian.AppendUint32(bytes.Clone(plain), 77)
			mac := hmac.New(sha1.New, derive(master, salt, labelRTCP+labelAuth, cmAuth))
			mac.Write(signed)
			sent := append(append(bytes.Clone(signed), mki...), mac.Sum(nil)[:rtcpTag]...)
			if i, ok := c.RTCPIndex(sent); !ok || i != 77 {
				t.Errorf("index %d", i)
			}
			ssrc := binary.BigEndian.Uint32(plain[4:])
			if got, ok := c.OpenRTCP(bytes.Clone(sent), ssrc); !ok || !bytes.Equal(got, plain) {
				t.Errorf("transform %d, MKI %x: %x", transform, mki, got)
			}
			for bit := range 8 * len(sent) {
				bad := bytes.Clone(sent)
				bad[bit/8] ^= 1 << (bit % 8)
				if _, ok := c.OpenRTCP(bad, ssrc); ok {
					t.Fatalf("transform %d: bit %d is not authenticated", transform, bit)
				}
			}
		}
	}
}
