// Package srtp protects and opens single SRTP and SRTCP packets (RFC 3711,
// RFC 7714). It answers "what does this packet look like under this key and
// this index?".
//
// It deliberately does not know which index a packet has, whether it was seen
// before, or how many sources there are: rollover counters and replay windows
// are plain data of its caller, who can write them down and take them to
// another machine. Nothing a packet does changes a [Cipher].
//
// A Cipher belongs to one goroutine, because it holds the scratch space that
// keeps packets free of allocation. It reads no clock. When a packet does not
// authenticate, its bytes may be damaged and nothing else happens; an index
// used twice is the caller's mistake and gives away what it protects.
//
// Start reading at [New], then at (*Cipher).SealRTP.
package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// Transform is what a crypto suite does to packets.
type Transform uint8

const (
	GCM  Transform = iota + 1 // RFC 7714, tag of 16 bytes; the key's length chooses AES-128 or AES-256
	CM80                      // AES-128 counter mode, HMAC-SHA1 tag of 10 bytes (RFC 3711 §4)
	CM32                      // the same with 4 bytes in SRTP, 10 in SRTCP (RFC 4568 §6.2.2)
)

const (
	// MaxIndex is the largest index of an SRTP packet: ROC and sequence
	// number, 48 bits.
	MaxIndex = 1<<48 - 1
	// MaxRTCPIndex is the largest of an SRTCP packet, 31 bits.
	MaxRTCPIndex = 1<<31 - 1

	rtcpClear  = 8  // header and SSRC stay in the clear
	rtcpTag    = 10 // of both counter-mode suites
	rtcpWord   = 4  // E flag and index
	encrypted  = 1 << 31
	gcmTag     = 16
	gcmSalt    = 12
	cmSalt     = 14
	cmAuth     = 20 // HMAC key, RFC 3711 §5.2
	labelRTP   = 0  // key derivation labels, RFC 3711 §4.3: encryption, authentication, salt
	labelRTCP  = 3
	labelAuth  = 1
	labelSalt  = 2
	labelsEach = 3
)

var errKeys = errors.New("key or salt of the wrong length")

// Cipher is one master key and salt, for one direction.
type Cipher struct {
	tag  int // of SRTP
	mki  []byte
	rtp  keys
	rtcp keys
}

// keys are the session keys of SRTP or of SRTCP, and scratch.
type keys struct {
	aead  cipher.AEAD // GCM
	salt  [16]byte    // 12 or 14 bytes, then zero
	mac   mac         // counter mode
	ctr   ctr         // counter mode
	iv    [16]byte    // GCM, as what follows
	sum   [gcmTag]byte
	extra [12]byte
}

// New derives the session keys (RFC 3711 §4.3, key derivation rate 0). key
// has 16 or, for GCM, 32 bytes, salt 14 or, for GCM, 12. mki goes into every
// packet; it may be nil.
func New(t Transform, key, salt, mki []byte) (*Cipher, error) {
	c := new(Cipher)
	if err := c.Init(t, key, salt, mki); err != nil {
		return nil, err
	}
	return c, nil
}

// Init is New for a Cipher that is part of something else. It must be new.
func (c *Cipher) Init(t Transform, key, salt, mki []byte) error {
	c.mki = append([]byte(nil), mki...)
	wantSalt := cmSalt
	switch {
	case t == GCM && (len(key) == 16 || len(key) == 32):
		c.tag, wantSalt = gcmTag, gcmSalt
	case t == CM80 && len(key) == 16:
		c.tag = 10
	case t == CM32 && len(key) == 16:
		c.tag = 4
	default:
		return fmt.Errorf("srtp: transform %d, key of %d bytes: %w", t, len(key), errKeys)
	}
	if len(salt) != wantSalt {
		return fmt.Errorf("srtp: salt of %d bytes, not %d: %w", len(salt), wantSalt, errKeys)
	}
	master, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	for i, k := range [...]*keys{&c.rtp, &c.rtcp} {
		first := byte(i * labelsEach)
		err := k.init(t, derive(master, salt, first, len(key)),
			derive(master, salt, first+labelAuth, cmAuth), derive(master, salt, first+labelSalt, len(salt)))
		if err != nil {
			return fmt.Errorf("srtp: %w", err)
		}
	}
	return nil
}

// derive is the key derivation function with AES counter mode as the
// pseudo-random function (RFC 3711 §4.3.3). A salt of 12 bytes counts as 14
// with zeros at its end (RFC 7714 §11).
func derive(master cipher.Block, salt []byte, label byte, n int) []byte {
	var x [aes.BlockSize]byte
	copy(x[:], salt)
	x[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(master, x[:]).XORKeyStream(out, out)
	return out
}

// init takes session keys; auth is ignored by GCM.
func (k *keys) init(t Transform, key, auth, salt []byte) (err error) {
	copy(k.salt[:], salt)
	if t != GCM {
		k.mac.init(auth)
		return k.ctr.init(key)
	}
	block, err := aes.NewCipher(key)
	if err == nil {
		k.aead, err = cipher.NewGCM(block)
	}
	return err
}

// Overhead is how much longer a packet gets: by its SRTP form and by its
// SRTCP form.
func (c *Cipher) Overhead() (rtp, rtcp int) {
	if c.rtcp.aead != nil {
		return gcmTag + len(c.mki), gcmTag + rtcpWord + len(c.mki)
	}
	return c.tag + len(c.mki), rtcpTag + rtcpWord + len(c.mki)
}

// grow lengthens b by n bytes, in place where the capacity allows.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// SealRTP protects an RTP packet whose header, with CSRCs and extension, is
// header bytes long, in place. The index must not have been used for this
// source before and be at most MaxIndex.
func (c *Cipher) SealRTP(b []byte, header int, ssrc uint32, index uint64) []byte {
	k, n := &c.rtp, len(b)
	over, _ := c.Overhead()
	out := grow(b, over)
	if k.aead != nil {
		k.nonce(ssrc, index)
		k.aead.Seal(out[header:header], k.iv[:gcmSalt], out[header:n], out[:header])
		copy(out[n+gcmTag:], c.mki)
		return out
	}
	k.crypt(out[header:n], ssrc, index)
	copy(out[n:], c.mki)
	sum := k.authenticate(out[:n], uint32(index>>16))
	copy(out[n+len(c.mki):], sum[:c.tag])
	return out
}

// OpenRTP opens an SRTP packet in place. ok is false when it does not
// authenticate under that index, its MKI included.
func (c *Cipher) OpenRTP(b []byte, header int, ssrc uint32, index uint64) (out []byte, ok bool) {
	k := &c.rtp
	over, _ := c.Overhead()
	n := len(b) - over
	if n < header {
		return nil, false
	}
	if k.aead != nil {
		if string(b[n+gcmTag:]) != string(c.mki) {
			return nil, false
		}
		k.nonce(ssrc, index)
		if _, err := k.aead.Open(b[header:header], k.iv[:gcmSalt], b[header:n+gcmTag], b[:header]); err != nil {
			return nil, false
		}
		return b[:n], true
	}
	if string(b[n:n+len(c.mki)]) != string(c.mki) {
		return nil, false
	}
	sum := k.authenticate(b[:n], uint32(index>>16))
	if subtle.ConstantTimeCompare(sum[:c.tag], b[n+len(c.mki):]) != 1 {
		return nil, false
	}
	k.crypt(b[header:n], ssrc, index)
	return b[:n], true
}

// SealRTCP protects a compound packet in place and appends index and tag. It
// has at least 8 bytes. The index must not have been used before for this
// source and be at most MaxRTCPIndex.
func (c *Cipher) SealRTCP(b []byte, ssrc, index uint32) []byte {
	k, n := &c.rtcp, len(b)
	_, over := c.Overhead()
	out := grow(b, over)
	if k.aead != nil {
		k.nonce(ssrc, uint64(index))
		copy(k.extra[:], out[:rtcpClear])
		binary.BigEndian.PutUint32(k.extra[rtcpClear:], index|encrypted)
		k.aead.Seal(out[rtcpClear:rtcpClear], k.iv[:gcmSalt], out[rtcpClear:n], k.extra[:])
		copy(out[n+gcmTag:], k.extra[rtcpClear:])
		copy(out[n+gcmTag+rtcpWord:], c.mki)
		return out
	}
	k.crypt(out[rtcpClear:n], ssrc, uint64(index))
	binary.BigEndian.PutUint32(out[n:], index|encrypted)
	end := n + rtcpWord
	copy(out[end:], c.mki)
	sum := k.authenticate(out[:n], index|encrypted)
	copy(out[end+len(c.mki):], sum[:rtcpTag])
	return out
}

// RTCPIndex reads the index in the clear; it means nothing before OpenRTCP
// said so. ok is false when the packet is too short to have one.
func (c *Cipher) RTCPIndex(b []byte) (index uint32, ok bool) {
	_, at, ok := c.rtcpEnd(b)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[at:]) &^ encrypted, true
}

// rtcpEnd is where the packet ends inside its SRTCP form, and where the word
// with the index is.
func (c *Cipher) rtcpEnd(b []byte) (n, word int, ok bool) {
	_, over := c.Overhead()
	if n = len(b) - over; n < rtcpClear {
		return 0, 0, false
	}
	if c.rtcp.aead != nil {
		return n, n + gcmTag, true
	}
	return n, n, true
}

// OpenRTCP opens an SRTCP packet in place, under the index that it carries. A
// sender may leave it unencrypted (RFC 3711 §3.4, E flag); it is
// authenticated all the same.
func (c *Cipher) OpenRTCP(b []byte, ssrc uint32) (out []byte, ok bool) {
	n, at, ok := c.rtcpEnd(b)
	if !ok {
		return nil, false
	}
	k := &c.rtcp
	word := binary.BigEndian.Uint32(b[at:])
	mki := b[at+rtcpWord:][:len(c.mki)]
	if string(mki) != string(c.mki) {
		return nil, false
	}
	if k.aead != nil {
		return c.openGCM(b, n, ssrc, word)
	}
	sum := k.authenticate(b[:n], word)
	if subtle.ConstantTimeCompare(sum[:rtcpTag], b[at+rtcpWord+len(mki):]) != 1 {
		return nil, false
	}
	if word&encrypted != 0 {
		k.crypt(b[rtcpClear:n], ssrc, uint64(word&^encrypted))
	}
	return b[:n], true
}

func (c *Cipher) openGCM(b []byte, n int, ssrc, word uint32) ([]byte, bool) {
	k := &c.rtcp
	k.nonce(ssrc, uint64(word&^encrypted))
	if word&encrypted == 0 {
		// Everything is associated data, the word with the index right
		// behind the packet (RFC 7714 §9.3): it takes the tag's place.
		tag := k.sum[:gcmTag]
		copy(tag, b[n:])
		binary.BigEndian.PutUint32(b[n:], word)
		_, err := k.aead.Open(tag[:0], k.iv[:gcmSalt], tag, b[:n+rtcpWord])
		return b[:n], err == nil
	}
	copy(k.extra[:], b[:rtcpClear])
	binary.BigEndian.PutUint32(k.extra[rtcpClear:], word)
	_, err := k.aead.Open(b[rtcpClear:rtcpClear], k.iv[:gcmSalt], b[rtcpClear:n+gcmTag], k.extra[:])
	return b[:n], err == nil
}

// nonce is the initialisation vector of GCM: zeros, SSRC, index, all over the
// salt (RFC 7714 §8.1 and §9.1; an SRTCP index is a 48-bit one with zeros).
func (k *keys) nonce(ssrc uint32, index uint64) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint32(k.salt[8:])
	binary.BigEndian.PutUint64(k.iv[:], hi^(uint64(ssrc)<<16|index>>32))
	binary.BigEndian.PutUint32(k.iv[8:], lo^uint32(index))
}

// crypt encrypts or decrypts in counter mode. The counter starts as salt,
// SSRC and index over one another; its last two bytes count blocks (RFC 3711
// §4.1.1).
func (k *keys) crypt(b []byte, ssrc uint32, index uint64) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint64(k.salt[8:])
	k.ctr.xor(b, hi^uint64(ssrc), lo^index<<16)
}

// authenticate is HMAC-SHA1 over b and a word in the clear: the ROC of SRTP,
// which is not sent (RFC 3711 §4.2), or the index of SRTCP.
func (k *keys) authenticate(b []byte, word uint32) (sum [sha1.Size]byte) {
	k.mac.of(&sum, b, word)
	return sum
}
