//go:build linux

package sipx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestThinFilter: while new calls are dropped none of what may be in a dialog
// is, no call for help, and nothing else than INVITEs; with a share of them the
// same ones get in when they come again.
func TestThinFilter(t *testing.T) {
	rest := "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:1001@a.example>;tag=1\r\nTo: <sip:x@b.example>\r\n" +
		"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:1001@192.0.2.1>\r\nUser-Agent: a telephone of some kind, of a certain version\r\nContent-Length: 0\r\n\r\n"
	invite := func(uri string, n int) string { return "INVITE " + uri + " SIP/2.0\r\n" + fmt.Sprintf(rest, n) }
	for _, bind := range loopbacks(t) {
		s, out := filtered(t, bind)
		for name, set := range map[string]func() error{
			"shape": func() error { return s.shape(8192) },
			"siege": func() error {
				return s.siege(8192, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, 1<<30)
			},
		} {
			if err := set(); err != nil {
				t.Fatal(err)
			}
			if err := s.thin(thinning{pass: 0, short: 8, seed: 7}); err != nil {
				t.Fatal(err)
			}
			for _, uri := range []string{"sip:+4930123456@b.example", "sips:030123456@b.example", "sip:abcdefghi@b.example", "sip:abcdefghi.example"} {
				if passes(t, s, out, invite(uri, 1)) {
					t.Errorf("%s: %s gets in", name, uri)
				}
				if !Thinned([]byte(uri), len(invite(uri, 1)), 8) {
					t.Errorf("%s does not count", uri)
				}
			}
			for _, uri := range []string{"sip:112@b.example", "sip:+49112@b.example", "sip:00049112@b.example", "sip:1.1.2@b.example", "sip:%31%31%32@b.example",
				"sip:112;phone-context=+49@b.example", "tel:112", "urn:service:sos", "SIP:112@b.example", "sip:rampart@192.0.2.9:5060;transport=udp", "sips:rampart@192.0.2.9"} {
				if !passes(t, s, out, invite(uri, 1)) {
					t.Errorf("%s: %s is dropped", name, uri)
				}
				if Thinned([]byte(uri), len(invite(uri, 1)), 8) {
					t.Errorf("%s counts", uri)
				}
			}
			for _, m := range []string{"ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REGISTER", "OPTIONS", "INVITED"} {
				if !passes(t, s, out, strings.Replace(invite("sip:+4930123456@b.example", 1), "INVITE", m, 1)) {
					t.Errorf("%s: %s is dropped", name, m)
				}
			}
			if m := "INVITE sip:+4930123456@b.example SIP/2.0\r\n\r\n"; !passes(t, s, out, m) || Thinned([]byte("sip:+4930123456@b.example"), len(m), 8) {
				t.Errorf("%s: an INVITE that is too short to be told from others is dropped", name)
			}
			if err := s.thin(thinning{pass: 1 << 30, short: 8, seed: 7}); err != nil {
				t.Fatal(err)
			}
			in := 0
			for n := range 400 {
				m := invite("sip:+4930123456@b.example", n)
				got := passes(t, s, out, m)
				if got {
					in++
				}
				if passes(t, s, out, m) != got {
					t.Fatalf("%s: the %dth gets in once and not again", name, n)
				}
			}
			if in < 60 || in > 140 {
				t.Errorf("%s: %d of 400 get in, want about 100", name, in)
			}
			if err := s.thin(allIn); err != nil {
				t.Fatal(err)
			}
			if !passes(t, s, out, invite("sip:+4930123456@b.example", 1)) {
				t.Errorf("%s: dropped when it is over", name)
			}
		}
	}
}

// TestThinLateVia: calls are told from each other whatever stands before the Via:
// with the first octets alone all of these would get in, or none.
func TestThinLateVia(t *testing.T) {
	s, out := filtered(t, "127.0.0.1")
	if err := errors.Join(s.shape(8192), s.thin(thinning{pass: 1 << 30, short: 8, seed: 7})); err != nil {
		t.Fatal(err)
	}
	long := "Subject: " + strings.Repeat("a", 300) + "\r\n"
	for name, rest := range map[string]string{
		"branch":  "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%[2]s\r\nFrom: <sip:1001@a.example>;tag=1\r\nTo: <sip:x@b.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n",
		"Call-ID": "From: <sip:1001@a.example>;tag=1\r\nTo: <sip:x@b.example>\r\nCall-ID: %[2]s\r\nCSeq: 1 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n",
		"short":   "v:SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%[1]d\r\nf:<sip:1001@a.example>;tag=%[1]d\r\ni:%[1]d\r\nt:<sip:x@b.example>\r\nCSeq:1 INVITE\r\n",
	} {
		in := 0
		for n := range 400 {
			sum := sha256.Sum256(fmt.Append(nil, n))
			m := "INVITE sip:+4930123456@b.example SIP/2.0\r\n" + long + fmt.Sprintf(rest, n+1_000_000, hex.EncodeToString(sum[:12])) + "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
			got := passes(t, s, out, m)
			if got {
				in++
			}
			if n < 50 && passes(t, s, out, m) != got {
				t.Fatalf("%s: the %dth gets in once and not again", name, n)
			}
		}
		if in < 60 || in > 140 {
			t.Errorf("%s: %d of 400 get in, want about 100", name, in)
		}
	}
}

// TestThinBesieged: addresses that are known go before thinning where there is
// no room for both.
func TestThinBesieged(t *testing.T) {
	s, _ := filtered(t, "127.0.0.1")
	few := thinning{pass: 1 << 30, short: 12, seed: 7}
	if err := s.thin(few); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a socket without a filter is thinned: %v", err)
	}
	if err := errors.Join(s.shape(8192), s.thin(few)); err != nil {
		t.Fatal(err)
	}
	n := 0
	var known []netip.Prefix
	for ; ; n += 20 {
		for i := range 20 {
			known = append(known, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte((n + i) >> 7), byte((n + i) << 1), 1}), 32))
		}
		if _, err := siegeFilter(8192, known, 64, s.front.now); err != nil {
			break
		}
	}
	ins, err := siegeFilter(8192, known, 64, allIn)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.siege(8192, known, 64); err != nil {
		if s.filter(ins) != nil {
			return // an older kernel has no room for so many addresses in any case
		}
		t.Fatal(err)
	}
	if s.front.now != allIn {
		t.Error("thinned")
	}
}

// TestThinAll: where one socket cannot be thinned none is, and a user that may
// be a call for help with a long prefix is not dropped for want of room.
func TestThinAll(t *testing.T) {
	s := udpStack(t, Config{UDPShards: 2}, "127.0.0.1", newRecorder())
	a, b := s.udp[0].conns[0], s.udp[0].conns[1]
	if err := b.unfilter(); err != nil {
		t.Fatal(err)
	}
	if err := s.Thin(0.5, 8, 7); !errors.Is(err, errors.ErrUnsupported) || a.front.now != allIn {
		t.Errorf("thinned in part: %v, %+v", err, a.front.now)
	}
	if err := b.shape(8192); err != nil {
		t.Fatal(err)
	}
	if err := s.Thin(0.5, 8, 7); err != nil || a.front.now.pass == allIn.pass || b.front.now != a.front.now {
		t.Errorf("not thinned: %v, %+v, %+v", err, a.front.now, b.front.now)
	}
	if err := s.Thin(0.5, maxShort, 7); err != nil {
		t.Errorf("the longest: %v", err)
	}
	if err := s.Thin(0.5, maxShort+1, 7); err == nil {
		t.Error("longer users than fit are dropped")
	}
	if err := s.Thin(1, maxShort+1, 7); err != nil || a.front.now != allIn {
		t.Errorf("not undone: %v", err)
	}
}
