package siptest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Suites this package speaks, by their SDES names.
const (
	SuiteCM80  = "AES_CM_128_HMAC_SHA1_80"
	SuiteGCM   = "AEAD_AES_256_GCM"
	SuiteGCM16 = "AEAD_AES_128_GCM"
)

// keyLength is master key and salt together.
func keyLength(suite string) int {
	switch suite {
	case SuiteCM80, "AES_CM_128_HMAC_SHA1_32":
		return 30
	case SuiteGCM:
		return 44
	case SuiteGCM16:
		return 28
	}
	return 0
}

// Crypto is one a=crypto line (RFC 4568).
type Crypto struct {
	Tag   int
	Suite string
	Key   []byte // master key, then salt
}

func newCrypto(tag int, suite string) Crypto {
	key := make([]byte, keyLength(suite))
	rand.Read(key)
	return Crypto{tag, suite, key}
}

func (c Crypto) String() string {
	return fmt.Sprintf("%d %s inline:%s", c.Tag, c.Suite, base64.StdEncoding.EncodeToString(c.Key))
}

func parseCrypto(s string) (c Crypto, ok bool) {
	f := strings.Fields(s)
	if len(f) < 3 || !strings.HasPrefix(f[2], "inline:") {
		return c, false
	}
	key, _, _ := strings.Cut(f[2][len("inline:"):], "|")
	raw, err := base64.StdEncoding.DecodeString(key)
	tag, terr := strconv.Atoi(f[0])
	if err != nil || terr != nil || keyLength(f[1]) == 0 || len(raw) != keyLength(f[1]) {
		return c, false
	}
	return Crypto{tag, f[1], raw}, true
}

// Session is the one audio stream of a session description.
type Session struct {
	Addr      netip.AddrPort
	Profile   string // RTP/AVP or RTP/SAVP
	Payloads  []int
	Crypto    []Crypto
	Direction string // sendrecv, sendonly, recvonly, inactive
}

// Bytes writes the description.
func (s Session) Bytes(id, version int) []byte {
	family := "IP4"
	if s.Addr.Addr().Is6() {
		family = "IP6"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d %d IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n", id, version, family, s.Addr.Addr(), family, s.Addr.Addr())
	fmt.Fprintf(&b, "m=audio %d %s", s.Addr.Port(), s.Profile)
	for _, p := range s.Payloads {
		fmt.Fprintf(&b, " %d", p)
	}
	b.WriteString("\r\n")
	for _, p := range s.Payloads {
		if name := map[int]string{0: "PCMU/8000", 8: "PCMA/8000", 101: "telephone-event/8000"}[p]; name != "" {
			fmt.Fprintf(&b, "a=rtpmap:%d %s\r\n", p, name)
		}
	}
	b.WriteString("a=ptime:20\r\n")
	for _, c := range s.Crypto {
		fmt.Fprintf(&b, "a=crypto:%s\r\n", c)
	}
	fmt.Fprintf(&b, "a=%s\r\n", s.Direction)
	return []byte(b.String())
}

// ParseSDP reads the first audio stream.
func ParseSDP(b []byte) (Session, error) {
	s := Session{Direction: "sendrecv"}
	var ip netip.Addr
	port, audio := -1, false
	for line := range strings.SplitSeq(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n") {
		k, v, _ := strings.Cut(line, "=")
		f := strings.Fields(v)
		switch {
		case k == "m":
			if audio {
				audio = false
				break
			}
			if port >= 0 || len(f) < 4 || f[0] != "audio" {
				continue
			}
			audio = true
			port, _ = strconv.Atoi(f[1])
			s.Profile = f[2]
			for _, p := range f[3:] {
				if n, err := strconv.Atoi(p); err == nil {
					s.Payloads = append(s.Payloads, n)
				}
			}
		case k == "c" && len(f) == 3 && (audio || port < 0):
			ip, _ = netip.ParseAddr(f[2])
		case k == "a" && (audio || port < 0):
			name, value, _ := strings.Cut(v, ":")
			switch name {
			case "crypto":
				if c, ok := parseCrypto(value); ok {
					s.Crypto = append(s.Crypto, c)
				}
			case "sendrecv", "sendonly", "recvonly", "inactive":
				s.Direction = name
			}
		}
	}
	if port < 0 || !ip.IsValid() {
		return s, fmt.Errorf("no audio in the session description")
	}
	s.Addr = netip.AddrPortFrom(ip, uint16(port))
	return s, nil
}

// mirror is the direction of an answer.
func mirror(direction string) string {
	switch direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	}
	return direction
}
