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
		var fast mac
		fast.init(key[:])
		slow := newLibMAC(key[:])
		for n := range 1600 {
			whole := make([]byte, 33+n)
			rng.Read(whole)
			b, word := whole[n%33:][:n], uint32(rng.Uint64())
			want := hmac.New(sha1.New, key[:])
			want.Write(b)
			want.Write(binary.BigEndian.AppendUint32(nil, word))
			var quick, slowly [sha1.Size]byte
			fast.of(&quick, b, word)
			slow.of(&slowly, b, word)
			if sum := want.Sum(nil); !bytes.Equal(quick[:], sum) || !bytes.Equal(slowly[:], sum) {
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
		var m mac
		var sum [sha1.Size]byte
		m.init(c.key)
		m.of(&sum, c.b[:n], binary.BigEndian.Uint32(c.b[n:]))
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func BenchmarkMAC(b *testing.B) {
	key, buf := make([]byte, 20), make([]byte, 172)
	var fast mac
	var sum [sha1.Size]byte
	fast.init(key)
	slow := newLibMAC(key)
	b.Run("states", func(b *testing.B) {
		for b.Loop() {
			fast.of(&sum, buf, 1)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			slow.of(&sum, buf, 1)
		}
	})
}
