package sdp

import (
	"crypto/rand"
	"testing"
)

// BenchmarkExchange is one whole offer and answer: two parses, two writes.
func BenchmarkExchange(b *testing.B) {
	offer, answer := savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1), crlf(avpAnswer)
	ours := endpoints("203.0.113.10", 1)
	b.ReportAllocs()
	for b.Loop() {
		from, to := phoneLeg(), pbxLeg()
		o, err := ReadOffer(from, offer)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := o.Write(to, ours, rand.Reader); err != nil {
			b.Fatal(err)
		}
		a, err := ReadAnswer(to, o, answer)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Write(from, ours, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	offer := savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(offer); err != nil {
			b.Fatal(err)
		}
	}
}
