package sdp_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// A phone that speaks SRTP calls a PBX that does not.
func Example() {
	phone := &sdp.Leg{SecureHop: true}      // SRTP required
	pbx := &sdp.Leg{Policy: sdp.SRTPOff}    // plain RTP inside
	at := func(rtp string) []sdp.Endpoint { // our ports, opened by the caller
		return []sdp.Endpoint{{RTP: netip.MustParseAddrPort(rtp)}}
	}
	describe := func(addr, media string) []byte {
		return []byte("v=0\r\no=u 1 1 IN IP4 " + addr + "\r\ns=-\r\nc=IN IP4 " + addr + "\r\nt=0 0\r\n" + media)
	}

	_, err := sdp.ReadOffer(phone, describe("198.51.100.7", "m=audio 40000 RTP/AVP 0\r\n"))
	var r *sdp.Refusal
	if errors.As(err, &r) {
		fmt.Println(r.Status, r.WarningText)
	}

	offer, _ := sdp.ReadOffer(phone, describe("198.51.100.7", "m=audio 40000 RTP/SAVP 0\r\n"+
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"))
	inside, _ := offer.Write(pbx, at("10.0.0.2:20000"), rand.Reader)
	fmt.Println(lineOf(inside, "m="))

	answer, _ := sdp.ReadAnswer(pbx, offer, describe("10.0.0.5", "m=audio 30000 RTP/AVP 0\r\n"))
	public, _ := answer.Write(phone, at("203.0.113.10:22000"), rand.Reader)
	fmt.Println(lineOf(public, "m="))
	fmt.Println(phone.Lines()[0])
	// Output:
	// 488 SRTP required
	// m=audio 20000 RTP/AVP 0
	// m=audio 22000 RTP/SAVP 0
	// audio RTP/SAVP rtp=198.51.100.7:40000 sendrecv recv=AES_CM_128_HMAC_SHA1_80 [redacted] send=AES_CM_128_HMAC_SHA1_80 [redacted]
}

func lineOf(body []byte, prefix string) string {
	for l := range strings.SplitSeq(string(body), "\r\n") {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}
