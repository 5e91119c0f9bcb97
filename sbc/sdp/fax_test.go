package sdp

import (
	"crypto/rand"
	"strings"
	"testing"
)

const faxLine = `m=image 4002 udptl t38
	b=AS:64
	a=T38FaxVersion:0
	a=T38MaxBitRate:14400
	a=t38faxfillbitremoval
	a=T38FaxTranscodingMMR:0
	a=T38FaxRateManagement:transferredTCF
	a=T38FaxMaxBuffer:1024
	a=T38FaxMaxDatagram:238
	a=T38FaxUdpEC:t38UDPRedundancy
	a=T38VendorInfo:10.1.1.1
	a=T38FaxMaxBuffer:999
	a=T38FaxMaxIFP:ten
	a=x:10.1.1.1`

func TestFax(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to Policy
		carried  bool
	}{
		{"in the clear", SRTPOff, SRTPOff, true},
		{"where both may", SRTPOptional, SRTPOff, true},
		{"from a leg with SRTP", SRTPRequired, SRTPOff, false},
		{"towards a leg with SRTP", SRTPOff, SRTPRequired, false},
	} {
		from, to := &Leg{Policy: c.from, SecureHop: true}, &Leg{Policy: c.to, SecureHop: true}
		o, err := ReadOffer(from, plainOffer("192.0.2.1", faxLine))
		var body []byte
		if err == nil {
			body, err = o.Write(to, endpoints("10.0.0.3", 1), rand.Reader)
		}
		if !c.carried {
			wantRefusal(t, err, 488, warnTransport)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := strings.ReplaceAll(`m=image 20000 udptl t38
b=AS:64
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxFillBitRemoval
a=T38FaxTranscodingMMR:0
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxBuffer:1024
a=T38FaxMaxDatagram:238
a=T38FaxUdpEC:t38UDPRedundancy
`, "\n", "\r\n")
		if _, got, _ := strings.Cut(string(body), "t=0 0\r\n"); got != want {
			t.Errorf("%s: wrote\n%s\nwant\n%s", c.name, got, want)
		}
		a, err := ReadAnswer(to, o, plainOffer("192.0.2.2", "m=image 5002 udptl t38\na=T38FaxVersion:0\na=T38FaxUdpEC:t38UDPRedundancy"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := a.Write(from, endpoints("10.0.0.2", 1), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(back), "m=image 20000 udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n") {
			t.Errorf("%s: answered\n%s", c.name, back)
		}
		if ln := from.Agreed[0]; ln.Kind != "image" || ln.Proto != "udptl" || ln.Disabled || ln.RTP.Port() != 4002 || ln.RTCP.IsValid() || ln.Secure() {
			t.Errorf("%s: A agreed on %+v", c.name, ln)
		}
		if ln := to.Agreed[0]; ln.Kind != "image" || ln.RTP.Port() != 5002 {
			t.Errorf("%s: B agreed on %+v", c.name, ln)
		}
	}
}

// TestFaxBesideAudio: only the line that cannot be encrypted is declined.
func TestFaxBesideAudio(t *testing.T) {
	from, to := pbxLeg(), phoneLeg()
	o, err := ReadOffer(from, plainOffer("10.0.0.5", "m=audio 4000 RTP/AVP 0\nm=image 4002 udptl t38"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := o.Write(to, endpoints("203.0.113.1", 2), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, body)
	if len(s.Media) != 2 || s.Media[0].Port == 0 || s.Media[0].Proto != "RTP/SAVP" || s.Media[1].Port != 0 || s.Media[1].Kind != "image" {
		t.Errorf("wrote\n%s", body)
	}
}

// TestFaxAndBack: a call goes from audio to fax and back, and declines fax
// without an end.
func TestFaxAndBack(t *testing.T) {
	a, b := pbxLeg(), pbxLeg()
	audio := "m=audio 4000 RTP/AVP 0"
	for _, lines := range [][2]string{{audio, audio}, {faxLine, "m=image 5000 udptl t38"}, {audio, audio}, {faxLine, "m=image 0 udptl t38"}} {
		if _, _, err := exchange(a, b, plainOffer("192.0.2.1", lines[0]), plainOffer("192.0.2.2", lines[1]), "10.0.0.2", "10.0.0.3"); err != nil {
			t.Fatalf("%s: %v", lines[0], err)
		}
	}
	if !a.Agreed[0].Disabled {
		t.Errorf("agreed on %+v", a.Agreed[0])
	}
	// An answer of another kind is none.
	o, err := ReadOffer(a, plainOffer("192.0.2.1", faxLine))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write(b, endpoints("10.0.0.3", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	_, err = ReadAnswer(b, o, plainOffer("192.0.2.2", audio))
	wantRefusal(t, err, 502, 0)
}
