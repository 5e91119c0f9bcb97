package sdp

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strconv"
	"strings"
)

// The SRTP suites that are understood, by their names in a=crypto: RFC 7714
// §14.2 and RFC 4568 §6.2.
const (
	GCM256 = "AEAD_AES_256_GCM"
	GCM128 = "AEAD_AES_128_GCM"
	CM80   = "AES_CM_128_HMAC_SHA1_80"
	CM32   = "AES_CM_128_HMAC_SHA1_32"
)

// suiteSize returns master key and salt length in bytes, 0 when unknown.
func suiteSize(suite string) (key, salt int) {
	switch suite {
	case GCM256:
		return 32, 12
	case GCM128:
		return 16, 12
	case CM80, CM32:
		return 16, 14
	}
	return 0, 0
}

// Suites lists SRTP suites in order of preference. Empty means
// [DefaultSuites]. A leg accepts and offers these and no others.
type Suites []string

// DefaultSuites is what an empty list stands for. The 32-bit tag is left out:
// it must be asked for.
func DefaultSuites() Suites { return Suites{GCM256, GCM128, CM80} }

// Check returns an error that names the first unknown or repeated suite.
func (s Suites) Check() error {
	seen := map[string]bool{}
	for _, name := range s {
		if k, _ := suiteSize(name); k == 0 {
			return fmt.Errorf("sdp: unknown SRTP suite %q (known: %s, %s, %s, %s)", name, GCM256, GCM128, CM80, CM32)
		}
		if seen[name] {
			return fmt.Errorf("sdp: SRTP suite %q is listed twice", name)
		}
		seen[name] = true
	}
	return nil
}

func (s Suites) list() Suites {
	if len(s) == 0 {
		return DefaultSuites()
	}
	return s
}

// Secret is key material. It prints as "[redacted]" everywhere but in JSON,
// where it is base64: a call that another gateway takes over needs its keys,
// so whoever writes that JSON down must protect it. Types of this package that
// hold one are safe in slog too; a map or slice of them, given to a JSON log
// handler, is not, because the handler then writes JSON.
type Secret []byte

const redacted = "[redacted]"

func (Secret) String() string             { return redacted }
func (Secret) GoString() string           { return redacted }
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
func (Secret) LogValue() slog.Value       { return slog.StringValue(redacted) }
func (s Secret) equal(t Secret) bool      { return string(s) == string(t) }
func (s Secret) clone() Secret            { return append(Secret(nil), s...) }
func (k *Keys) sameKey(o *Keys) bool      { return k.Key.equal(o.Key) && k.Salt.equal(o.Salt) }
func (k Keys) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }
func (k Keys) LogValue() slog.Value       { return slog.StringValue(k.String()) }

// Keys is what one sender of one stream encrypts with, RFC 4568 §6.1.
type Keys struct {
	Suite    string `json:"suite"`
	Key      Secret `json:"key"`
	Salt     Secret `json:"salt"`
	MKI      []byte `json:"mki,omitempty"`      // big-endian, as it stands in packets; nil when they carry none
	Lifetime uint64 `json:"lifetime,omitempty"` // packets; 0 is the suite's default
}

// String names the suite and nothing secret.
func (k Keys) String() string {
	return k.Suite + " " + redacted
}

func (k *Keys) clone() *Keys {
	if k == nil {
		return nil
	}
	c := *k
	c.Key, c.Salt, c.MKI = k.Key.clone(), k.Salt.clone(), append([]byte(nil), k.MKI...)
	return &c
}

func (k *Keys) equal(o *Keys) bool {
	if k == nil || o == nil {
		return k == o
	}
	return k.Suite == o.Suite && k.sameKey(o) && string(k.MKI) == string(o.MKI)
}

// newKeys makes a master key and salt that nobody else has.
func newKeys(suite string, rand io.Reader) (*Keys, error) {
	nk, ns := suiteSize(suite)
	if nk == 0 {
		return nil, fmt.Errorf("sdp: no keys for unknown suite %q", suite)
	}
	b := make([]byte, nk+ns)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("sdp: reading randomness for %s: %w", suite, err)
	}
	return &Keys{Suite: suite, Key: b[:nk:nk], Salt: b[nk:]}, nil
}

// crypto is one usable a=crypto attribute: tag and keys.
type crypto struct {
	tag  int
	keys *Keys
}

// attr writes the attribute without lifetime (the default is meant) and
// without MKI (one key only).
func (c crypto) attr() Attr {
	both := append(c.keys.Key.clone(), c.keys.Salt...)
	return value("crypto", strconv.Itoa(c.tag)+" "+c.keys.Suite+" inline:"+base64.StdEncoding.EncodeToString(both))
}

// parseCrypto reads the value of a=crypto, RFC 4568 §9.1. An error means the
// line cannot be used; the description may hold others that can. It never
// quotes key material.
func parseCrypto(v string) (crypto, error) {
	f := strings.Fields(v)
	if len(f) < 3 {
		return crypto{}, fmt.Errorf("tag, suite and key are needed")
	}
	tag, ok := number(f[0], 999_999_999)
	if !ok || len(f[0]) > 1 && f[0][0] == '0' {
		return crypto{}, fmt.Errorf("bad tag %s", quote(f[0]))
	}
	c := crypto{tag: int(tag)}
	suite := strings.ToUpper(f[1])
	nk, ns := suiteSize(suite)
	if nk == 0 {
		return c, fmt.Errorf("unknown suite %s", quote(f[1]))
	}
	for i, param := range f[3:] {
		if err := checkParam(param, f[3:3+i]); err != nil {
			return c, err
		}
	}
	keys, err := parseInline(f[2], nk, ns)
	if err != nil {
		return c, err
	}
	keys.Suite = suite
	c.keys = keys
	return c, nil
}

// checkParam judges one session parameter, RFC 4568 §6.3. What would weaken
// the stream or asks for something the relay does not do makes the line
// unusable: the unencrypted and unauthenticated modes, a key derivation rate,
// and FEC, whose order and key the relay could not honour. WSH is only a hint
// for the replay window, which is ours to choose.
func checkParam(p string, before []string) error {
	name, val, _ := strings.Cut(p, "=")
	for _, b := range before {
		if n, _, _ := strings.Cut(b, "="); strings.EqualFold(n, name) {
			return fmt.Errorf("session parameter %s twice", quote(name))
		}
	}
	switch strings.ToUpper(name) {
	case "KDR":
		if n, ok := number(val, 24); !ok || n != 0 {
			return fmt.Errorf("key derivation rate %s is not supported", quote(val))
		}
		return nil
	case "WSH":
		if n, ok := number(val, 1<<20); !ok || n < 64 { // RFC 4568 §6.3.6
			return fmt.Errorf("bad window size hint %s", quote(val))
		}
		return nil
	}
	if strings.HasPrefix(name, "-") { // RFC 4568 §6.3.7: may be ignored
		return nil
	}
	return fmt.Errorf("session parameter %s is refused", quote(name))
}

// maxLifetime is 2^48 packets, RFC 3711 §9.2.
const maxLifetime = 1 << 48

// parseInline reads "inline:" base64 ["|" lifetime] ["|" MKI ":" length].
// Several keys in one line are refused: the relay holds one at a time.
func parseInline(s string, nk, ns int) (*Keys, error) {
	s = strings.TrimSuffix(s, ";")
	if strings.Contains(s, ";") {
		return nil, fmt.Errorf("several keys in one line")
	}
	method, info, ok := strings.Cut(s, ":")
	if !ok || !strings.EqualFold(method, "inline") {
		return nil, fmt.Errorf("key method is not inline")
	}
	parts := strings.Split(info, "|")
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil {
		return nil, fmt.Errorf("key is not base64")
	}
	if len(raw) != nk+ns {
		return nil, fmt.Errorf("key and salt have %d bytes, not %d", len(raw), nk+ns)
	}
	k := &Keys{Key: raw[:nk:nk], Salt: raw[nk:]}
	if strings.Trim(string(k.Key), "\x00") == "" {
		return nil, fmt.Errorf("key is all zeros")
	}
	parts = parts[1:]
	if len(parts) > 0 && !strings.Contains(parts[0], ":") {
		if k.Lifetime, err = parseLifetime(parts[0]); err != nil {
			return nil, err
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		if k.MKI, err = parseMKI(parts[0]); err != nil {
			return nil, err
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		return nil, fmt.Errorf("more after the key than lifetime and MKI")
	}
	return k, nil
}

// parseLifetime reads "2^31" or "1048576".
func parseLifetime(s string) (uint64, error) {
	n, ok := uint64(0), false
	if exp, is := strings.CutPrefix(s, "2^"); is {
		var e uint64
		if e, ok = number(exp, 48); ok {
			n = 1 << e
		}
	} else {
		n, ok = number(s, maxLifetime)
	}
	if !ok || n == 0 {
		return 0, fmt.Errorf("bad lifetime %s", quote(s))
	}
	return n, nil
}

// parseMKI reads "value:length"; the value is decimal, the length in bytes.
func parseMKI(s string) ([]byte, error) {
	val, size, _ := strings.Cut(s, ":")
	n, ok := number(size, 128)
	if !ok || n == 0 {
		return nil, fmt.Errorf("bad MKI length %s", quote(size))
	}
	if val == "" || strings.Trim(val, "0123456789") != "" || len(val) > 310 { // 2^1024 has 309 digits
		return nil, fmt.Errorf("bad MKI %s", quote(val))
	}
	v, _ := new(big.Int).SetString(val, 10)
	if v.BitLen() > int(n)*8 {
		return nil, fmt.Errorf("MKI does not fit its length")
	}
	return v.FillBytes(make([]byte, n)), nil
}

// cryptos is all a=crypto of one m-line.
type cryptos struct {
	usable []crypto
	seen   int    // lines, usable or not
	why    string // why the first unusable line is so
}

// readCryptos collects the a=crypto lines; a tag that comes twice makes the
// whole line ambiguous and is an error.
func readCryptos(as []Attr) (cryptos, error) {
	var cs cryptos
	tags := map[string]bool{}
	for _, a := range as {
		if a.Name != "crypto" {
			continue
		}
		cs.seen++
		if f := strings.Fields(a.Value); len(f) > 0 {
			if tags[f[0]] {
				return cs, fmt.Errorf("crypto tag %s comes twice", quote(f[0]))
			}
			tags[f[0]] = true
		}
		c, err := parseCrypto(a.Value)
		if err != nil {
			if cs.why == "" {
				cs.why = err.Error()
			}
			continue
		}
		cs.usable = append(cs.usable, c)
	}
	return cs, nil
}

// choose picks the line to answer: the one whose key we use already, so that
// a hold does not re-key; else the first suite of our preference, and among
// lines of one suite the first.
func (cs cryptos) choose(suites Suites, current *Keys) *crypto {
	for i := range cs.usable {
		if current != nil && cs.usable[i].keys.equal(current) {
			return &cs.usable[i]
		}
	}
	for _, s := range suites.list() {
		for i := range cs.usable {
			if cs.usable[i].keys.Suite == s {
				return &cs.usable[i]
			}
		}
	}
	return nil
}
