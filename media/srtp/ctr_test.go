package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestCTR compares each length up to a packet, at any place in memory, with
// the standard library, and looks that nothing beyond was touched.
func TestCTR(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{4})
	var key [16]byte
	for n := range 1600 {
		rng.Read(key[:])
		hi, lo := rng.Uint64(), rng.Uint64()&^0xffff
		var fast ctr
		if err := fast.init(key[:]); err != nil {
			t.Fatal(err)
		}
		slow, err := newBlockCTR(key[:])
		if err != nil {
			t.Fatal(err)
		}
		whole := make([]byte, 64+n+64)
		rng.Read(whole)
		want, slowly, at := bytes.Clone(whole), bytes.Clone(whole), 16+n%33
		var iv [16]byte
		binary.BigEndian.PutUint64(iv[:], hi)
		binary.BigEndian.PutUint64(iv[8:], lo)
		block, err := aes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		cipher.NewCTR(block, iv[:]).XORKeyStream(want[at:at+n], want[at:at+n])
		fast.xor(whole[at:at+n], hi, lo)
		slow.xor(slowly[at:at+n], hi, lo)
		if !bytes.Equal(whole, want) || !bytes.Equal(slowly, want) {
			t.Fatalf("%d bytes differ", n)
		}
	}
	if err := new(ctr).init(key[:15]); err == nil {
		t.Error("a key of 15 bytes was accepted")
	}
}

func BenchmarkCTR(b *testing.B) {
	key, buf := make([]byte, 16), make([]byte, 160)
	var fast ctr
	if err := fast.init(key); err != nil {
		b.Fatal(err)
	}
	slow, err := newBlockCTR(key)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("groups", func(b *testing.B) {
		for b.Loop() {
			fast.xor(buf, 1, 2<<16)
		}
	})
	b.Run("blocks", func(b *testing.B) {
		for b.Loop() {
			slow.xor(buf, 1, 2<<16)
		}
	})
}
