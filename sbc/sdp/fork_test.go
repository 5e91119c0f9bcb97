package sdp

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
)

const line1 = "1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1

// TestForkedOffer: one offer of a phone is answered by two ends behind the
// same INVITE. Each dialog has an o= of its own, both have our one key, and
// neither changes the other.
func TestForkedOffer(t *testing.T) {
	from, to := phoneLeg(), pbxLeg()
	offer, err := ReadOffer(from, savpOffer(line1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := offer.Write(to, endpoints("10.0.0.2", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	var bodies [][]byte
	var legs []*Leg
	for _, addr := range []string{"10.0.0.5", "10.0.0.6"} {
		a, b, o := from.Clone(), to.Clone(), offer.Fork()
		ans, err := ReadAnswer(b, o, crlf(strings.ReplaceAll(avpAnswer, "10.0.0.5", addr)))
		if err != nil {
			t.Fatal(err)
		}
		first, err := ans.Write(a, endpoints("203.0.113.10", 1), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ans.Write(a, endpoints("203.0.113.10", 1), rand.Reader)
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("answered again: %v\n%s", err, again)
		}
		bodies, legs = append(bodies, first), append(legs, a, b)
	}
	if legs[0].Ours.ID == legs[2].Ours.ID {
		t.Error("two dialogs have one session")
	}
	if !legs[0].Agreed[0].Send.equal(legs[2].Agreed[0].Send) {
		t.Error("two dialogs on one port have two keys")
	}
	if legs[1].Agreed[0].RTP == legs[3].Agreed[0].RTP {
		t.Error("the second answer is the first one's")
	}
	if bytes.Equal(bodies[0], bodies[1]) {
		t.Error("two sessions have one o=")
	}
	if (*Offer)(nil).Fork() != nil {
		t.Error("no offer, no fork")
	}
}

// TestDecline: every line is refused, in the words of the offer, and nothing
// is agreed.
func TestDecline(t *testing.T) {
	from := phoneLeg()
	offer, err := ReadOffer(from, append(savpOffer(line1), "m=video 40002 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=crypto:"+line1+"\r\n"...))
	if err != nil {
		t.Fatal(err)
	}
	body, err := offer.Decline(from, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(body)
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	if len(s.Media) != 2 || s.Media[0].Port != 0 || s.Media[1].Port != 0 || s.Media[0].Proto != "RTP/SAVP" || s.Media[1].Kind != "video" {
		t.Errorf("declined with\n%s", body)
	}
	if len(from.Agreed) != 0 || bytes.Contains(body, []byte("crypto")) {
		t.Errorf("something is agreed: %v\n%s", from, body)
	}
}
