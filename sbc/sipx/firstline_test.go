package sipx

import (
	"strings"
	"testing"
)

// junk is what is no SIP, whoever sends it: other protocols and noise.
var junk = map[string]string{
	"runt":              "OPTIONS",
	"nothing of SIP":    strings.Repeat("x", 400),
	"zeroes":            strings.Repeat("\x00", 400),
	"line ends":         strings.Repeat("\r\n", 200),
	"RTP":               "\x80\x00\x00\x01" + strings.Repeat("\xd5", 168),
	"STUN":              "\x00\x01\x00\x00\x21\x12\xa4\x42" + strings.Repeat("a", 12),
	"DTLS":              "\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x50" + strings.Repeat("\x01", 80),
	"DNS":               "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01",
	"HTTP":              "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
	"SSDP":              "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n",
	"RTSP":              "OPTIONS rtsp://example.test RTSP/1.0\r\nCSeq: 1\r\n\r\n",
	"long method":       strings.Repeat("A", 65) + " sip:a@b SIP/2.0\r\n\r\n",
	"bad method":        "INV(TE sip:a@b SIP/2.0\r\n\r\n",
	"no line end":       "INVITE sip:a@b SIP/2.0",
	"status line alone": "SIP/2.0 OK of something\r\n\r\n",
	"SIP/":              "SIP/////////////////",
}

func TestFirstLine(t *testing.T) {
	for name, m := range junk {
		if mayBeSIP([]byte(m)) {
			t.Errorf("%s passes", name)
		}
	}
	for _, m := range []string{
		msg("INVITE", "192.0.2.7", "a", "a", "", 1), msg("x-own.method", "192.0.2.7", "a", "a", "", 1), "SIP/2.0 200 OK\r\nVia: x\r\n\r\n", "sip/7.0 100 \r\nVia: x\r\n\r\n",
		"INVITE sip:a@b SIP/3.0\r\n\r\n", // to be refused by name: 505
		"INVITE <sip:a@b> SIP/2.0\r\n\r\n", "INVITE  sip:a@b  SIP/2.0\r\n\r\n",
		"", "\x00", "\r\n", "\r\n\r\n", "\x00\x00\x00\x00",
	} {
		if !mayBeSIP([]byte(m)) {
			t.Errorf("%q does not pass", m)
		}
	}
}

// FuzzFirstLine: the first look refuses nothing that the whole one would take.
func FuzzFirstLine(f *testing.F) {
	for _, m := range junk {
		f.Add([]byte(m))
	}
	f.Add([]byte(msg("INVITE", "192.0.2.7", "a", "a", "", 1)))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, bad := Check(b, false, Limits{}); bad == nil && !mayBeSIP(b) {
			t.Fatalf("Check takes what the first look drops: %q", b)
		}
	})
}

func TestFirstLineAlloc(t *testing.T) {
	good, bad := []byte(msg("INVITE", "192.0.2.7", "a", "a", "", 1)), []byte(junk["SSDP"])
	if n := testing.AllocsPerRun(1000, func() { mayBeSIP(good); mayBeSIP(bad) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFirstLine(b *testing.B) {
	good := []byte(msg("INVITE", "192.0.2.7", "a", "a", "", 1))
	for name, m := range map[string][]byte{"sip": good, "noise": []byte(strings.Repeat("x", 400)), "ssdp": []byte(junk["SSDP"])} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				mayBeSIP(m)
			}
		})
	}
}
