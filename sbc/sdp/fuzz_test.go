package sdp

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add(savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + "|2^20|1:4"))
	f.Add(crlf(avpAnswer))
	f.Add(plainOffer("2001:db8::1", "m=audio 4000 RTP/AVPF 0 96\na=rtpmap:96 opus/48000/2\na=rtcp:5 IN IP6 2001:db8::2\na=fmtp:96 x=2001:db8::3\na=candidate:1 1 UDP 1 192.0.2.5 1 typ host"))
	f.Add(plainOffer("0.0.0.0", "a=inactive\nm=audio 4000/1 RTP/AVP 0\nm=image 0 udptl t38\nm=video 4002 RTP/AVPF 31\na=imageattr:* send [x=1,y=2]\na=rtcp-fb:* nack\nb=AS:64"))
	f.Add([]byte("v=0\no=a b c 1 2 IN IP4 10.1.1.1\nm=10.1.1.1 0 10.1.1.1 10.1.1.1\nm=audio 1 RTP/SAVP 0\nc=IN IP4 10.1.1.1"))
}

// FuzzParse: what parses can be written and read again without change, within
// the limits.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || s != nil {
				t.Fatalf("error %T with session %v", err, s)
			}
			return
		}
		if len(b) > MaxSize || len(s.Media) > MaxMedia || bytes.IndexByte(b, 0) >= 0 {
			t.Fatal("a limit does not hold")
		}
		out := s.Marshal()
		if bytes.Count(out, []byte("\n")) > MaxLines || len(out) > MaxSize {
			return // s= and t= were added, LF became CRLF
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("own output does not parse: %v\n%q", err, out)
		}
		if o2 := again.Marshal(); !bytes.Equal(o2, out) {
			t.Fatalf("not stable:\n%q\n%q", out, o2)
		}
		third, err := Parse(again.Marshal())
		if err != nil || !reflect.DeepEqual(third, again) {
			t.Fatalf("not equal: %v", err)
		}
	})
}

// FuzzOffer: whatever is accepted is written so that it parses, says nothing
// of the other side's addresses and keys, and does so again as an answer.
func FuzzOffer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, from := range []*Leg{phoneLeg(), pbxLeg(), {Policy: SRTPOptional, SecureHop: true}} {
			o, err := ReadOffer(from, b)
			if err != nil {
				var r *Refusal
				if !errors.As(err, &r) || r.Status < 400 || !printable(r.WarningText) {
					t.Fatalf("not a refusal: %v", err)
				}
				continue
			}
			for _, to := range []*Leg{{SecureHop: true}, pbxLeg(), {Policy: SRTPOptional, SecureHop: true}} {
				out, err := o.Write(to, endpoints("203.0.113.222", o.Streams()), rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				checkOutput(t, b, out, "203.0.113.222")
				if n := len(mustParse(t, out).Media); n != o.Streams() {
					t.Fatalf("%d lines for %d", n, o.Streams())
				}
				loop(t, o, from, to, out)
			}
		}
	})
}

// FuzzAnswer: whatever answer is accepted, the one who offered is told nothing
// of its addresses, no more than was offered, and a refused one changes nothing.
func FuzzAnswer(f *testing.F) {
	seeds(f)
	f.Add(savpOffer("1 AEAD_AES_256_GCM inline:" + b64(44, 4)))
	f.Add(plainOffer("192.0.2.2", "m=audio 4000 RTP/AVP 111 0 13\na=rtpmap:111 telephone-event/8000\na=rtcp:7 IN IP4 192.0.2.9\na=rtcp-mux\na=sendonly\na=fmtp:0 x=192.0.2.8"))
	offer := savpOffer("3 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, to := range []*Leg{{SecureHop: true}, pbxLeg(), {Policy: SRTPOptional, SecureHop: true}} {
			from := phoneLeg()
			o, err := ReadOffer(from, offer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Write(to, endpoints("203.0.113.222", 1), rand.Reader); err != nil {
				t.Fatal(err)
			}
			a, err := ReadAnswer(to, o, b)
			if err != nil {
				var r *Refusal
				if !errors.As(err, &r) || r.Status != 488 && r.Status != 502 || len(from.Agreed)+len(to.Agreed) > 0 {
					t.Fatalf("not a refusal, or a leg changed: %v", err)
				}
				continue
			}
			out, err := a.Write(from, endpoints("203.0.113.222", 1), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			checkOutput(t, b, out, "203.0.113.222")
			la, lb := from.Lines()[0], to.Lines()[0]
			if len(mustParse(t, out).Media) != 1 || la.Disabled != lb.Disabled || !la.Disabled && (!la.Secure() || la.Direction != lb.Direction.Reverse()) {
				t.Fatalf("A %v, B %v", la, lb)
			}
			if to.Policy == SRTPRequired && !lb.Disabled && !lb.Secure() {
				t.Fatal("RTP where SRTP is required")
			}
		}
	})
}

// loop answers an offer of ours with what another gateway would say: the
// offer goes through it to a phone that accepts everything.
func loop(t *testing.T, o *Offer, from, to *Leg, offer []byte) {
	// The far phone's answer is built from the offer it got.
	s := mustParse(t, offer)
	s.Origin.Addr, s.Conn = "172.16.99.98", &Conn{"IN", "IP4", "172.16.99.98"}
	for i := range s.Media {
		m := &s.Media[i]
		var as []Attr
		done := false
		for _, a := range m.Attrs {
			if a.Name != "crypto" {
				as = append(as, a)
			} else if c, _ := parseCrypto(a.Value); !done {
				done = true
				c.keys, _ = newKeys(c.keys.Suite, rand.Reader)
				as = append(as, c.attr())
			}
		}
		m.Attrs = as
	}
	answer := s.Marshal()
	a, err := ReadAnswer(to, o, answer)
	if err != nil {
		t.Fatalf("%v\noffer\n%s\nanswer\n%s", err, offer, answer)
	}
	leg := from.Clone()
	ours := "203.0.113.221"
	if v6, _ := o.IPv6(); v6 {
		ours = "2001:db8:ffff::221"
	}
	body, err := a.Write(leg, endpoints(ours, o.Streams()), rand.Reader)
	if err != nil {
		var r *Refusal
		if errors.As(err, &r) && r.WarningCode == warnAddress {
			return // lines of both families in one offer
		}
		t.Fatal(err)
	}
	o.from = from.Ours.ID // the next leg answers the same offer
	mustParse(t, body)
	if bytes.Contains(body, []byte("172.16.99")) {
		t.Fatalf("A is told B's address\n%s", body)
	}
	for i, l := range leg.Lines() {
		if l.Secure() && (l.Send.sameKey(l.Recv) || l.Send.sameKey(firstOr(to.Agreed[i].Send, l.Recv))) {
			t.Fatal("a key is used twice")
		}
		if from.Policy == SRTPRequired && !l.Disabled && !l.Secure() {
			t.Fatal("RTP where SRTP is required")
		}
	}
	var back Leg
	js, err := json.Marshal(leg)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(js, &back); err != nil || !reflect.DeepEqual(&back, leg) {
		t.Fatalf("JSON round trip: %v\n%s", err, js)
	}
}

func firstOr(a, b *Keys) *Keys {
	if a != nil {
		return a
	}
	return b
}

// checkOutput looks for anything that stands in the input as an address or a
// key.
func checkOutput(t *testing.T, in, out []byte, ours string) {
	s := mustParse(t, in)
	text := strings.ReplaceAll(string(out), ours, "OURS")
	var secrets []string
	addr := func(v string) {
		v, _, _ = strings.Cut(v, "/")
		if a, err := netip.ParseAddr(v); err == nil && !a.IsUnspecified() { // which names nobody
			secrets = append(secrets, v, a.String(), a.Unmap().String())
		}
	}
	addr(s.Origin.Addr)
	if s.Conn != nil {
		addr(s.Conn.Addr)
	}
	for i := range s.Media {
		m := &s.Media[i]
		if m.Conn != nil {
			addr(m.Conn.Addr)
		}
		for _, a := range m.Attrs {
			for f := range strings.FieldsFuncSeq(a.Value, func(r rune) bool { return strings.ContainsRune(" \t[]();,=", r) }) {
				addr(f)
			}
			if c, err := parseCrypto(a.Value); a.Name == "crypto" && err == nil {
				secrets = append(secrets, c.attr().Value[20:])
			}
		}
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Fatalf("%q of the input is in the output:\n%s", secret, out)
		}
	}
}
