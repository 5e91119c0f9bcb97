package sbc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// A sealed identifier stands on one side for a Call-ID or tag of the other
// side: it tells nothing, is the same every time, and can be opened again
// when it comes back (a BLF key that picks up a call names the dialog it was
// told of). Nothing is kept for it, so nothing can be filled.
//
// It is a synthetic IV (RFC 5297's idea): a MAC of the text, and the text
// enciphered under it. One that was not made here does not open.

const sealPrefix = "rs"

// sealed makes the identifier; "" stays "".
func (g *Gateway) sealed(text string) string {
	if text == "" {
		return ""
	}
	iv := g.sealIV([]byte(text))
	out := append(iv[:8:8], text...)
	g.sealStream(iv[:8]).XORKeyStream(out[8:], out[8:])
	return sealPrefix + base64.RawURLEncoding.EncodeToString(out)
}

// unsealed opens what sealed made.
func (g *Gateway) unsealed(id string) (string, bool) {
	if len(id) < len(sealPrefix) || id[:len(sealPrefix)] != sealPrefix {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(id[len(sealPrefix):])
	if err != nil || len(b) <= 8 {
		return "", false
	}
	g.sealStream(b[:8]).XORKeyStream(b[8:], b[8:])
	if !hmac.Equal(b[:8], g.sealIV(b[8:])[:8]) {
		return "", false
	}
	return string(b[8:]), true
}

func (g *Gateway) sealKey(use string) []byte {
	m := hmac.New(sha256.New, g.cfg.TokenKey)
	m.Write([]byte("seal\x00" + use))
	return m.Sum(nil)
}

func (g *Gateway) sealIV(text []byte) []byte {
	m := hmac.New(sha256.New, g.sealKey("iv"))
	m.Write(text)
	return m.Sum(nil)
}

func (g *Gateway) sealStream(iv []byte) cipher.Stream {
	block, err := aes.NewCipher(g.sealKey("text"))
	if err != nil {
		panic("sbc: a SHA-256 sum is no AES-256 key: " + err.Error())
	}
	return cipher.NewCTR(block, append(append(make([]byte, 0, 16), iv...), make([]byte, 16-len(iv))...))
}
