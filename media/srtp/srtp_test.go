package srtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	pion "github.com/pion/srtp/v3"
)

// suite is one transform by both names.
type suite struct {
	name      string
	transform Transform
	key, salt int
	profile   pion.ProtectionProfile
}

var suites = []suite{
	{"GCM128", GCM, 16, 12, pion.ProtectionProfileAeadAes128Gcm},
	{"GCM256", GCM, 32, 12, pion.ProtectionProfileAeadAes256Gcm},
	{"CM80", CM80, 16, 14, pion.ProtectionProfileAes128CmHmacSha1_80},
	{"CM32", CM32, 16, 14, pion.ProtectionProfileAes128CmHmacSha1_32},
}

// pair is our cipher and pion's context under the same keys.
func pair(t testing.TB, s suite, rng *rand.ChaCha8, mki []byte) (*Cipher, *pion.Context) {
	t.Helper()
	key, salt := make([]byte, s.key), make([]byte, s.salt)
	rng.Read(key)
	rng.Read(salt)
	c, err := New(s.transform, key, salt, mki)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pion.CreateContext(key, salt, s.profile, pion.MasterKeyIndicator(mki))
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// packet is a random RTP packet with CSRCs and an extension now and then.
func packet(rng *rand.Rand, fill *rand.ChaCha8, ssrc uint32, seq uint16) (b []byte, header int) {
	csrc := 0
	if rng.IntN(4) == 0 {
		csrc = rng.IntN(16)
	}
	header = 12 + 4*csrc
	ext := -1
	if rng.IntN(3) == 0 {
		ext = rng.IntN(5)
		header += 4 + 4*ext
	}
	b = make([]byte, header+rng.IntN(1200))
	fill.Read(b)
	b[0] = 0x80 | byte(csrc)
	if ext >= 0 {
		b[0] |= 0x10
		at := 12 + 4*csrc
		copy(b[at:], []byte{0x12, 0x34, 0, byte(ext)}) // neither header form of RFC 8285: opaque
	}
	b[1] &= 0x7f
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b, header
}

// TestAgainstPion compares byte by byte, both ways, with another
// implementation, on random packets that go over many wraps of the sequence
// number.
func TestAgainstPion(t *testing.T) {
	for _, s := range suites {
		for _, mki := range [][]byte{nil, {1}, bytes.Repeat([]byte{7}, 128)} {
			t.Run(fmt.Sprintf("%s/mki=%d", s.name, len(mki)), func(t *testing.T) {
				fill := rand.NewChaCha8([32]byte{byte(s.transform), byte(len(mki))})
				rng := rand.New(rand.NewPCG(1, uint64(len(mki))))
				c, p := pair(t, s, fill, mki)
				index := uint64(65000)
				ssrc := rng.Uint32()
				for i := range 800 {
					b, header := packet(rng, fill, ssrc, uint16(index))
					want, err := p.EncryptRTP(nil, b, nil)
					if err != nil {
						t.Fatal(err)
					}
					got := c.SealRTP(append(make([]byte, 0, len(b)+i%200), b...), header, ssrc, index)
					if !bytes.Equal(got, want) {
						t.Fatalf("packet %d, index %x: %x\nwant %x", i, index, got, want)
					}
					if out, ok := c.OpenRTP(got, header, ssrc, index); !ok || !bytes.Equal(out, b) {
						t.Fatalf("packet %d does not open", i)
					}
					if _, ok := c.OpenRTP(bytes.Clone(want), header, ssrc, index+1<<16); ok {
						t.Fatal("another ROC opens it")
					}
					if _, ok := c.OpenRTP(bytes.Clone(want), header, ssrc+1, index); ok && s.transform == GCM {
						t.Fatal("another source opens it")
					}
					index += uint64(rng.IntN(20000))
				}
				for i := range 300 {
					b := make([]byte, 8+4*rng.IntN(100))
					fill.Read(b)
					b[0], b[1] = 0x80, 200
					src := binary.BigEndian.Uint32(b[4:])
					p.SetIndex(src, uint32(i*7))
					want, err := p.EncryptRTCP(nil, b, nil)
					if err != nil {
						t.Fatal(err)
					}
					if got := c.SealRTCP(bytes.Clone(b), src, uint32(i*7+1)); !bytes.Equal(got, want) {
						t.Fatalf("RTCP %d: %x\nwant %x", i, got, want)
					}
					if j, ok := c.RTCPIndex(want); !ok || j != uint32(i*7+1) {
						t.Fatal(j)
					}
					if out, ok := c.OpenRTCP(bytes.Clone(want), src); !ok || !bytes.Equal(out, b) {
						t.Fatal("RTCP does not open")
					}
				}
			})
		}
	}
}

// TestEveryByteCounts flips each bit of a packet and cuts it to each length.
func TestEveryByteCounts(t *testing.T) {
	for _, s := range suites {
		c, _ := pair(t, s, rand.NewChaCha8([32]byte{3}), []byte{1, 2})
		rtp := c.SealRTP([]byte("\x80\x00\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x09twenty ms"), 12, 9, 1)
		rtcp := c.SealRTCP([]byte("\x80\xc9\x00\x03\x00\x00\x00\x09report..")[:16], 9, 1)
		open := func(b []byte, which int) bool {
			if b = bytes.Clone(b); which == 0 {
				_, ok := c.OpenRTP(b, min(12, len(b)), 9, 1)
				return ok
			}
			_, ok := c.OpenRTCP(b, 9)
			return ok
		}
		for which, whole := range [][]byte{rtp, rtcp} {
			if !open(whole, which) {
				t.Fatal(s.name, which, "does not open")
			}
			for i := range 8 * len(whole) {
				b := bytes.Clone(whole)
				b[i/8] ^= 1 << (i % 8)
				if open(b, which) {
					t.Errorf("%s %d: bit %d changed and it opens", s.name, which, i)
				}
			}
			for n := range whole {
				if open(whole[:n], which) {
					t.Errorf("%s %d: %d bytes of it open", s.name, which, n)
				}
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		t         Transform
		key, salt int
	}{{0, 16, 14}, {4, 16, 14}, {GCM, 24, 12}, {GCM, 0, 12}, {GCM, 16, 14}, {CM80, 32, 14}, {CM80, 16, 12}, {CM32, 16, 0}} {
		if _, err := New(c.t, make([]byte, c.key), make([]byte, c.salt), nil); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// FuzzOpen: no bytes at all panic or open, and what fails to open can be
// anything but an answer.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("\x80\x00\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x09twenty ms of sound and a tag"), uint16(12))
	f.Fuzz(func(t *testing.T, b []byte, header uint16) {
		if int(header) > len(b) {
			return
		}
		for _, s := range suites {
			c, _ := pair(t, s, rand.NewChaCha8([32]byte{5}), nil)
			if _, ok := c.OpenRTP(bytes.Clone(b), int(header), 1, 1); ok {
				t.Fatal("RTP opened")
			}
			if _, ok := c.OpenRTCP(bytes.Clone(b), 1); ok {
				t.Fatal("RTCP opened")
			}
			if len(b) < 8 {
				continue
			}
			sealed := c.SealRTCP(bytes.Clone(b), 1, 5)
			if out, ok := c.OpenRTCP(sealed, 1); !ok || !bytes.Equal(out, b) {
				t.Fatal("a round trip changed it")
			}
		}
	})
}

func BenchmarkCipher(b *testing.B) {
	for _, s := range suites {
		rng := rand.NewChaCha8([32]byte{1})
		c, p := pair(b, s, rng, nil)
		plain := make([]byte, 172, 400)
		plain[0] = 0x80
		b.Run(s.name+"/seal", func(b *testing.B) {
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i++
				c.SealRTP(plain, 12, 0, i)
			}
		})
		b.Run(s.name+"/open", func(b *testing.B) {
			sealed := bytes.Clone(c.SealRTP(bytes.Clone(plain), 12, 0, 1))
			buf := make([]byte, len(sealed))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, sealed)
				if _, ok := c.OpenRTP(buf, 12, 0, 1); !ok {
					b.Fatal("does not open")
				}
			}
		})
		b.Run(s.name+"/pion-seal", func(b *testing.B) {
			b.ReportAllocs()
			i := uint16(0)
			out := make([]byte, 0, 400)
			for b.Loop() {
				i++
				binary.BigEndian.PutUint16(plain[2:], i)
				if _, err := p.EncryptRTP(out, plain, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
