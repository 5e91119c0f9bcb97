package sdp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

func TestPolicy(t *testing.T) {
	good := "1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1
	savp := savpOffer(good)
	avp := bytes.Replace(savpOffer(), []byte("RTP/SAVP"), []byte("RTP/AVP"), 1)
	both := bytes.Replace(savp, []byte("RTP/SAVP"), []byte("RTP/AVP"), 1)
	dtls := bytes.Replace(savp, []byte("RTP/SAVP"), []byte("UDP/TLS/RTP/SAVPF"), 1)
	video := append(bytes.Clone(savp), "m=video 40002 RTP/AVP 31\r\n"...)
	for _, c := range []struct {
		name   string
		leg    Leg
		offer  []byte
		refuse string // warning text; empty: accepted
		srtp   bool   // accepted as SRTP
	}{
		{"required, SAVP", Leg{SecureHop: true}, savp, "", true},
		{"required, RTP", Leg{SecureHop: true}, avp, "SRTP required", false},
		{"required, RTP with crypto", Leg{SecureHop: true}, both, "SRTP required", false},
		{"required, one line RTP", Leg{SecureHop: true}, video, "SRTP required", false},
		{"required, plaintext hop", Leg{}, savp, "SRTP keys need encrypted signalling", false},
		{"required, no crypto", Leg{SecureHop: true}, savpOffer(), "No acceptable SRTP suite", false},
		{"required, unusable", Leg{SecureHop: true}, savpOffer(good + " UNENCRYPTED_SRTP"), "No acceptable SRTP suite", false},
		{"required, no common suite", Leg{SecureHop: true, Suites: Suites{GCM256}}, savp, "No acceptable SRTP suite", false},
		{"SHA1_32 must be asked for", Leg{SecureHop: true}, savpOffer("1 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey1), "No acceptable SRTP suite", false},
		{"SHA1_32 asked for", Leg{SecureHop: true, Suites: Suites{CM32}}, savpOffer("1 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey1), "", true},
		{"required, tag twice", Leg{SecureHop: true}, savpOffer(good, good), "Ambiguous SRTP keys", false},
		{"required, DTLS", Leg{SecureHop: true}, dtls, "DTLS-SRTP not supported", false},
		{"optional, SAVP", Leg{Policy: SRTPOptional, SecureHop: true}, savp, "", true},
		{"optional, RTP", Leg{Policy: SRTPOptional, SecureHop: true}, avp, "", false},
		{"optional, RTP with crypto", Leg{Policy: SRTPOptional, SecureHop: true}, both, "", true},
		{"optional, RTP with crypto, plaintext hop", Leg{Policy: SRTPOptional}, both, "", false},
		{"optional, SAVP, plaintext hop", Leg{Policy: SRTPOptional}, savp, "SRTP keys need encrypted signalling", false},
		{"off, RTP", Leg{Policy: SRTPOff}, avp, "", false},
		{"off, RTP with crypto", Leg{Policy: SRTPOff, SecureHop: true}, both, "", false},
		{"off, SAVP", Leg{Policy: SRTPOff, SecureHop: true}, savp, "SRTP not accepted", false},
		{"emergency, RTP", Leg{TolerateRTP: true}, avp, "", false},
		{"emergency, RTP with crypto", Leg{SecureHop: true, TolerateRTP: true}, both, "", true},
		{"emergency, SAVP over plaintext", Leg{TolerateRTP: true}, savp, "", true},
		{"emergency, SAVP without keys", Leg{TolerateRTP: true}, savpOffer(), "No acceptable SRTP suite", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := ReadOffer(&c.leg, c.offer)
			if c.refuse != "" {
				var r *Refusal
				if !errors.As(err, &r) {
					t.Fatalf("got %v, want a refusal", err)
				}
				if r.Status != 488 || r.WarningText != c.refuse || !r.SRTP || r.WarningCode == 0 {
					t.Errorf("got %+v, want 488 %q", r, c.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Secure() != c.srtp {
				t.Errorf("Secure() = %t", o.Secure())
			}
			// The answer speaks the profile of the offer.
			to := pbxLeg()
			if _, err := o.Write(to, endpoints("10.0.0.2", 1), rand.Reader); err != nil {
				t.Fatal(err)
			}
			a, err := ReadAnswer(to, o, crlf(avpAnswer))
			if err != nil {
				t.Fatal(err)
			}
			out, err := a.Write(&c.leg, endpoints("203.0.113.10", 1), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			m := mustParse(t, out).Media[0]
			if _, has := find(m.Attrs, "crypto"); has != c.srtp || m.Proto != o.Profile() || c.leg.Lines()[0].Secure() != c.srtp {
				t.Errorf("answer\n%s", out)
			}
		})
	}
}

func TestOfferedProfile(t *testing.T) {
	plain := bytes.Replace(savpOffer(), []byte("RTP/SAVP"), []byte("RTP/AVP"), 1)
	for _, c := range []struct {
		name    string
		leg     Leg
		proto   string
		cryptos int
		refuse  bool
	}{
		{"required", Leg{SecureHop: true}, "RTP/SAVP", 3, false},
		{"required, plaintext hop", Leg{}, "", 0, true},
		{"required, emergency", Leg{SecureHop: true, TolerateRTP: true}, "RTP/SAVP", 3, false},
		{"required, plaintext hop, emergency", Leg{TolerateRTP: true}, "RTP/AVP", 0, false},
		{"optional", Leg{Policy: SRTPOptional, SecureHop: true}, "RTP/AVP", 3, false},
		{"optional, plaintext hop", Leg{Policy: SRTPOptional}, "RTP/AVP", 0, false},
		{"off", Leg{Policy: SRTPOff, SecureHop: true}, "RTP/AVP", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := ReadOffer(pbxLeg(), plain)
			if err != nil {
				t.Fatal(err)
			}
			body, err := o.Write(&c.leg, endpoints("203.0.113.10", 1), rand.Reader)
			if c.refuse {
				var r *Refusal
				if !errors.As(err, &r) || !r.SRTP || r.Status != 488 {
					t.Errorf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := mustParse(t, body).Media[0]
			if cs, _ := readCryptos(m.Attrs); m.Proto != c.proto || cs.seen != c.cryptos {
				t.Errorf("got %s with %d crypto lines\n%s", m.Proto, cs.seen, body)
			}
		})
	}
}

// TestOptionalStays checks that an optional leg keeps what was agreed.
func TestOptionalStays(t *testing.T) {
	plain := bytes.Replace(savpOffer(), []byte("RTP/SAVP"), []byte("RTP/AVP"), 1)
	for answer, want := range map[string]int{"": 0, "\na=crypto:2 AEAD_AES_128_GCM inline:" + b64(28, 3): 1} {
		from, to := pbxLeg(), &Leg{Policy: SRTPOptional, SecureHop: true}
		if _, _, err := exchange(from, to, plain, crlf(avpAnswer+answer), "203.0.113.10", "10.0.0.2"); err != nil {
			t.Fatal(err)
		}
		if got := to.Lines()[0]; got.Secure() != (want == 1) || got.Proto != "RTP/AVP" {
			t.Errorf("agreed %v", got)
		}
		o, err := ReadOffer(from, plain)
		if err != nil {
			t.Fatal(err)
		}
		body, err := o.Write(to, endpoints("10.0.0.2", 1), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if cs, _ := readCryptos(mustParse(t, body).Media[0].Attrs); cs.seen != want {
			t.Errorf("%d crypto lines offered again, want %d", cs.seen, want)
		}
	}
}

// TestEmergencyStaysPlain: an emergency call that was let in without SRTP is
// not asked for it when the other side holds.
func TestEmergencyStaysPlain(t *testing.T) {
	phone, pbx := &Leg{SecureHop: true, TolerateRTP: true}, pbxLeg()
	plain := bytes.Replace(savpOffer(), []byte("RTP/SAVP"), []byte("RTP/AVP"), 1)
	if _, _, err := exchange(phone, pbx, plain, crlf(avpAnswer), "203.0.113.10", "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	body, _, err := exchange(pbx, phone, crlf(avpAnswer+"\na=sendonly"), plain, "10.0.0.2", "203.0.113.10")
	if err != nil || bytes.Contains(body, []byte("crypto")) || !bytes.Contains(body, []byte("RTP/AVP ")) {
		t.Errorf("%v\n%s", err, body)
	}
}
