package srtp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// TestMAC compares each length up to a packet, at any place in memory, with
// the standard library, and that one message leaves nothing for the next.
func TestMAC(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{9})
	var key [20]byte
	for round := range 3 {
		rng.Read(key[:])
		fast, slow := newMAC(key[:]), newLibMAC(key[:])
		for n := range 1600 {
			whole := make([]byte, 33+n)
			rng.Read(whole)
			b, word := whole[n%33:][:n], uint32(rng.Uint64())
			want := hmac.New(sha1.New, key[:])
			want.Write(b)
			want.Write(binary.BigEndian.AppendUint32(nil, word))
			if sum := want.Sum(nil); !bytes.Equal(fast.of(b, word), sum) || !bytes.Equal(slow.of(b, word), sum) {
				t.Fatalf("key %d: %d bytes differ", round, n)
			}
		}
	}
}

// TestMACVector is RFC 2202 §3, case 1 ("Hi There") and case 3 (50 bytes of
// dd), whose last four bytes are the word.
func TestMACVector(t *testing.T) {
	for _, c := range []struct {
		key, b []byte
		want   string
	}{
		{bytes.Repeat([]byte{0x0b}, 20), []byte("Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00"},
		{bytes.Repeat([]byte{0xaa}, 20), bytes.Repeat([]byte{0xdd}, 50), "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
	} {
		n := len(c.b) - 4
		if got := hex.EncodeToString(newMAC(c.key).of(c.b[:n], binary.BigEndian.Uint32(c.b[n:]))); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func BenchmarkMAC(b *testing.B) {
	key, buf := make([]byte, 20), make([]byte, 172)
	fast, slow := newMAC(key), newLibMAC(key)
	b.Run("states", func(b *testing.B) {
		for b.Loop() {
			fast.of(buf, 1)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			slow.of(buf, 1)
		}
	})
}
