package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rampart-sbc/rampart/media/srtp"
)

// Suite is an SRTP crypto suite by its registered name (RFC 4568 §6.2,
// RFC 7714 §14.2). The zero Suite is none.
type Suite uint8

const (
	AEAD_AES_256_GCM Suite = iota + 1
	AEAD_AES_128_GCM
	AES_CM_128_HMAC_SHA1_80
	AES_CM_128_HMAC_SHA1_32
)

// suites is indexed by Suite. Lengths are of the master key and salt, bytes.
var suites = [...]struct {
	name      string
	key, salt int
	transform srtp.Transform
}{
	AEAD_AES_256_GCM:        {"AEAD_AES_256_GCM", 32, 12, srtp.GCM},
	AEAD_AES_128_GCM:        {"AEAD_AES_128_GCM", 16, 12, srtp.GCM},
	AES_CM_128_HMAC_SHA1_80: {"AES_CM_128_HMAC_SHA1_80", 16, 14, srtp.CM80},
	AES_CM_128_HMAC_SHA1_32: {"AES_CM_128_HMAC_SHA1_32", 16, 14, srtp.CM32},
}

// Suites lists every suite, strongest first.
func Suites() []Suite {
	return []Suite{AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32}
}

// ParseSuite returns the suite with that name; names are exact (RFC 4568 §9.1
// makes them case-sensitive).
func ParseSuite(name string) (Suite, bool) {
	for s := AEAD_AES_256_GCM; s.valid(); s++ {
		if suites[s].name == name {
			return s, true
		}
	}
	return 0, false
}

func (s Suite) valid() bool { return s > 0 && int(s) < len(suites) }

func (s Suite) String() string {
	if !s.valid() {
		return "none"
	}
	return suites[s].name
}

// KeyLen is the length of the master key in bytes.
func (s Suite) KeyLen() int {
	if !s.valid() {
		return 0
	}
	return suites[s].key
}

// SaltLen is the length of the master salt in bytes.
func (s Suite) SaltLen() int {
	if !s.valid() {
		return 0
	}
	return suites[s].salt
}

const redacted = "[redacted]"

// Secret is key material. It assigns to and from a []byte and prints as
// "[redacted]", whatever prints it.
type Secret []byte

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Keys are the master key and salt of one direction of one stream. They are
// never changed once they were given to Set.
type Keys struct {
	Suite Suite
	Key   Secret // Suite.KeyLen() bytes
	Salt  Secret // Suite.SaltLen() bytes
	// MKI is the master key identifier that every packet carries, at its
	// length on the wire (RFC 4568 §6.1); nil where none was negotiated.
	MKI []byte
}

// ErrKeys says that keys do not fit their suite or each other.
var ErrKeys = errors.New("unusable SRTP keys")

// maxMKI bounds what a packet grows by; RFC 4568 §6.1 allows 128.
const maxMKI = 128

// NewKeys makes a fresh master key and salt from random, without an MKI.
func NewKeys(s Suite, random io.Reader) (*Keys, error) {
	if !s.valid() {
		return nil, fmt.Errorf("media: new keys: suite %d: %w", s, ErrKeys)
	}
	k := &Keys{Suite: s, Key: make(Secret, s.KeyLen()), Salt: make(Secret, s.SaltLen())}
	for _, b := range [][]byte{k.Key, k.Salt} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("media: new keys: %w", err)
		}
	}
	return k, nil
}

// String names the suite and nothing secret.
func (k Keys) String() string { return "keys(" + k.Suite.String() + ")" }

func (k Keys) GoString() string             { return k.String() }
func (k Keys) Format(f fmt.State, _ rune)   { io.WriteString(f, k.String()) }
func (k Keys) LogValue() slog.Value         { return slog.StringValue(k.String()) }
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *Keys) check() error {
	switch {
	case !k.Suite.valid():
		return fmt.Errorf("suite %d is unknown: %w", k.Suite, ErrKeys)
	case len(k.Key) != k.Suite.KeyLen() || len(k.Salt) != k.Suite.SaltLen():
		return fmt.Errorf("%s wants %d+%d bytes, got %d+%d: %w", k.Suite,
			k.Suite.KeyLen(), k.Suite.SaltLen(), len(k.Key), len(k.Salt), ErrKeys)
	case len(k.MKI) > maxMKI:
		return fmt.Errorf("MKI of %d bytes, at most %d: %w", len(k.MKI), maxMKI, ErrKeys)
	}
	return nil
}

// same reports whether both are the same keys, so that the state that
// belongs to them (ROC, replay window) goes on.
func (k *Keys) same(o *Keys) bool {
	return k.sameMaterial(o) && k.Suite == o.Suite && bytes.Equal(k.MKI, o.MKI)
}

// sameMaterial reports whether both derive the same session keys, under
// whatever label: then the state must go on too, or indices repeat.
func (k *Keys) sameMaterial(o *Keys) bool {
	return bytes.Equal(k.Key, o.Key) && bytes.Equal(k.Salt, o.Salt)
}

func (k *Keys) clone() *Keys {
	if k == nil {
		return nil
	}
	return &Keys{Suite: k.Suite, Key: bytes.Clone(k.Key), Salt: bytes.Clone(k.Salt), MKI: bytes.Clone(k.MKI)}
}
