package sdp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// plainOffer is a description with one address and the given m-lines.
func plainOffer(addr string, lines string) []byte {
	typ := family(netip.MustParseAddr(addr))
	return crlf(fmt.Sprintf("v=0\no=- 1 1 IN %s %s\ns=-\nc=IN %s %s\nt=0 0\n%s", typ, addr, typ, addr, lines))
}

func wantRefusal(t *testing.T, err error, status, warning int) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if r.Status != status || warning != 0 && r.WarningCode != warning {
		t.Errorf("got %d, Warning %d (%v), want %d, %d", r.Status, r.WarningCode, r, status, warning)
	}
	return r
}

func TestOfferAddresses(t *testing.T) {
	audio := "m=audio 4000 RTP/AVP 0"
	for _, c := range []struct {
		name      string
		body      []byte
		status    int // 0: accepted
		warning   int
		rtp, rtcp string
	}{
		{"IPv4", plainOffer("192.0.2.1", audio), 0, 0, "192.0.2.1:4000", "192.0.2.1:4001"},
		{"IPv6", plainOffer("2001:db8::1", audio), 0, 0, "[2001:db8::1]:4000", "[2001:db8::1]:4001"},
		{"mapped IPv6", plainOffer("::ffff:192.0.2.1", audio), 0, 0, "192.0.2.1:4000", "192.0.2.1:4001"},
		{"loopback", plainOffer("127.0.0.1", audio), 0, 0, "127.0.0.1:4000", "127.0.0.1:4001"},
		{"media-level c=", plainOffer("192.0.2.1", audio+"\nc=IN IP6 2001:db8::9"), 0, 0, "[2001:db8::9]:4000", "[2001:db8::9]:4001"},
		{"only media-level c=", crlf("v=0\no=- 1 1 IN IP4 192.0.2.1\n" + audio + "\nc=IN IP4 192.0.2.3"), 0, 0, "192.0.2.3:4000", "192.0.2.3:4001"},
		{"rtcp port", plainOffer("192.0.2.1", audio+"\na=rtcp:53020"), 0, 0, "192.0.2.1:4000", "192.0.2.1:53020"},
		{"rtcp address", plainOffer("192.0.2.1", audio+"\na=rtcp:53020 IN IP4 192.0.2.2"), 0, 0, "192.0.2.1:4000", "192.0.2.2:53020"},
		{"no rtcp", plainOffer("192.0.2.1", audio+"\na=rtcp:0"), 0, 0, "192.0.2.1:4000", "invalid AddrPort"},
		{"rtcp-mux", plainOffer("192.0.2.1", audio+"\na=rtcp:53020\na=rtcp-mux"), 0, 0, "192.0.2.1:4000", "192.0.2.1:4000"},
		{"last port", plainOffer("192.0.2.1", "m=audio 65535 RTP/AVP 0"), 0, 0, "192.0.2.1:65535", "invalid AddrPort"},
		{"old-style hold", plainOffer("0.0.0.0", audio), 0, 0, "invalid AddrPort", "invalid AddrPort"},
		{"no c=", crlf("v=0\no=- 1 1 IN IP4 192.0.2.1\n" + audio), 400, 0, "", ""},
		{"host name", bytes.Replace(plainOffer("192.0.2.1", audio), []byte("c=IN IP4 192.0.2.1"), []byte("c=IN IP4 phone.example.com"), 1), 488, warnAddress, "", ""},
		{"multicast", bytes.Replace(plainOffer("192.0.2.1", audio), []byte("c=IN IP4 192.0.2.1"), []byte("c=IN IP4 224.2.1.1/127"), 1), 488, warnMulticast, "", ""},
		{"multicast IPv6", plainOffer("ff02::1", audio), 488, warnMulticast, "", ""},
		{"broadcast", plainOffer("255.255.255.255", audio), 488, warnAddress, "", ""},
		{"link-local", plainOffer("169.254.169.254", audio), 488, warnAddress, "", ""},
		{"wrong family", bytes.Replace(plainOffer("192.0.2.1", audio), []byte("c=IN IP4 192.0.2.1"), []byte("c=IN IP4 2001:db8::1"), 1), 400, 0, "", ""},
		{"zone", bytes.Replace(plainOffer("2001:db8::1", audio), []byte("c=IN IP6 2001:db8::1"), []byte("c=IN IP6 fe80::1%eth0"), 1), 488, warnAddress, "", ""},
		{"ttl on unicast", bytes.Replace(plainOffer("192.0.2.1", audio), []byte("c=IN IP4 192.0.2.1"), []byte("c=IN IP4 192.0.2.1/127"), 1), 400, 0, "", ""},
		{"ATM", bytes.Replace(plainOffer("192.0.2.1", audio), []byte("c=IN IP4"), []byte("c=ATM NSAP"), 1), 488, warnAddress, "", ""},
		{"rtcp host name", plainOffer("192.0.2.1", audio+"\na=rtcp:53020 IN IP4 x.example.com"), 488, warnAddress, "", ""},
		{"rtcp other family", plainOffer("192.0.2.1", audio+"\na=rtcp:53020 IN IP6 2001:db8::1"), 488, warnAddress, "", ""},
		{"rtcp port too big", plainOffer("192.0.2.1", audio+"\na=rtcp:65536"), 400, 0, "", ""},
		{"rtcp fields", plainOffer("192.0.2.1", audio+"\na=rtcp:53020 IN"), 400, 0, "", ""},
		{"payload type", plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 128"), 400, 0, "", ""},
		{"payload name", plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP PCMU"), 400, 0, "", ""},
		{"rtpmap twice", plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=rtpmap:96 speex/8000"), 400, 0, "", ""},
		{"too many attributes", plainOffer("192.0.2.1", audio+strings.Repeat("\na=fmtp:0 x=1", maxAttrs+1)), 413, 0, "", ""},
		{"too large attributes", plainOffer("192.0.2.1", audio+strings.Repeat("\na=fmtp:0 "+strings.Repeat("x", 1000), 50)), 413, 0, "", ""},
		{"too big", plainOffer("192.0.2.1", audio+strings.Repeat("\na=x", MaxLines)), 413, 0, "", ""},
		{"malformed", []byte("v=0\r\n"), 400, 0, "", ""},
		{"no m-line", plainOffer("192.0.2.1", ""), 488, warnFormat, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := pbxLeg()
			o, err := ReadOffer(from, c.body)
			if c.status != 0 {
				wantRefusal(t, err, c.status, c.warning)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := o.lines[0].rtp.String(); got != c.rtp {
				t.Errorf("RTP %s, want %s", got, c.rtp)
			}
			if got := o.lines[0].control(o.lines[0].mux).String(); got != c.rtcp {
				t.Errorf("RTCP %s, want %s", got, c.rtcp)
			}
			ap := o.lines[0].rtp
			if v6, known := o.IPv6(); known != ap.IsValid() || v6 != (known && ap.Addr().Is6()) {
				t.Errorf("IPv6() = %t, %t", v6, known)
			}
		})
	}
}

func TestDirections(t *testing.T) {
	// offer, answer → written to B, written to A, in force on A, on B
	for _, c := range []struct{ offer, answer, toB, toA, a, b string }{
		{"", "", "sendrecv", "sendrecv", "sendrecv", "sendrecv"},
		{"sendonly", "recvonly", "sendonly", "recvonly", "sendonly", "recvonly"},
		{"sendonly", "", "sendonly", "recvonly", "sendonly", "recvonly"}, // an answer that ignores the hold
		{"sendonly", "sendonly", "sendonly", "inactive", "inactive", "inactive"},
		{"recvonly", "sendrecv", "recvonly", "sendonly", "recvonly", "sendonly"},
		{"inactive", "sendrecv", "inactive", "inactive", "inactive", "inactive"},
		{"sendrecv", "sendonly", "sendrecv", "sendonly", "recvonly", "sendonly"},
		{"sendrecv", "inactive", "sendrecv", "inactive", "inactive", "inactive"},
		{"0.0.0.0", "", "sendonly", "recvonly", "sendonly", "recvonly"},
		{"0.0.0.0", "0.0.0.0", "sendonly", "inactive", "inactive", "inactive"},
		{"session recvonly", "", "recvonly", "sendonly", "recvonly", "sendonly"},
	} {
		t.Run(c.offer+"/"+c.answer, func(t *testing.T) {
			body := func(dir, addr string) []byte {
				audio := "m=audio 4000 RTP/AVP 0"
				switch {
				case dir == "0.0.0.0":
					addr = dir
				case strings.HasPrefix(dir, "session "):
					audio = "a=" + dir[8:] + "\n" + audio
				case dir != "":
					audio += "\na=" + dir
				}
				return plainOffer(addr, audio)
			}
			from, to := pbxLeg(), pbxLeg()
			outTo, outFrom, err := exchange(from, to, body(c.offer, "192.0.2.1"), body(c.answer, "192.0.2.2"), "10.0.0.2", "10.0.0.3")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(outTo, []byte("a="+c.toB+"\r\n")) || !bytes.HasSuffix(outFrom, []byte("a="+c.toA+"\r\n")) {
				t.Errorf("to B\n%sto A\n%s", outTo, outFrom)
			}
			a, b := from.Lines()[0], to.Lines()[0]
			if a.Direction.String() != c.a || b.Direction.String() != c.b {
				t.Errorf("in force: A %s, B %s", a.Direction, b.Direction)
			}
			if bytes.Contains(outTo, []byte("0.0.0.0")) || bytes.Contains(outFrom, []byte("0.0.0.0")) {
				t.Error("old-style hold crosses")
			}
			if c.offer == "0.0.0.0" && a.RTP.IsValid() {
				t.Errorf("hold leaves address %s", a.RTP)
			}
		})
	}
	for d := range Direction(4) {
		for e := range Direction(4) {
			if d.Reverse().Reverse() != d || d.and(e) != e.and(d) || d.and(d) != d || d.and(SendRecv) != d || d.and(Inactive) != Inactive {
				t.Errorf("%s, %s", d, e)
			}
		}
	}
}

func TestLinesWeDoNotCarry(t *testing.T) {
	offer := plainOffer("192.0.2.1", `m=audio 4000 RTP/AVP 0
		m=image 4002 udptl pdf
		m=video 0 RTP/AVP 31
		m=application 4006 UDP/DTLS/SCTP webrtc-datachannel
		m=message 4008 TCP/MSRP *
		m=evil.example.com 4010 192.0.2.66 192.0.2.67
		m=text 4012 RTP/AVP 98
		m=audio 4014/2 RTP/AVP 8
		m=video 4016 RTP/AVPF 31
		m=audio 4018 RTP/AVP 8`)
	from, to := pbxLeg(), pbxLeg()
	o, err := ReadOffer(from, offer)
	if err != nil {
		t.Fatal(err)
	}
	if o.Streams() != 10 {
		t.Fatalf("%d streams", o.Streams())
	}
	var carried []int
	for i := range o.Streams() {
		if o.Carried(i) {
			carried = append(carried, i)
		}
	}
	if !reflect.DeepEqual(carried, []int{0, 8, 9}) {
		t.Errorf("carried %v", carried)
	}
	toB, err := o.Write(to, endpoints("10.0.0.3", 10), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range strings.SplitSeq(string(toB), "\r\n") {
		if strings.HasPrefix(l, "m=") {
			got = append(got, l[2:])
		}
	}
	want := []string{"audio 20000 RTP/AVP 0", "image 0 udptl t38", "video 0 RTP/AVP 0", "application 0 UDP/DTLS/SCTP *", "message 0 TCP/MSRP *",
		"application 0 udp *", "text 0 udp *", "audio 0 RTP/AVP 0", "video 20032 RTP/AVPF 31", "audio 20036 RTP/AVP 8"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("m-lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// B declines the video line and accepts one that we declined: both stay out.
	a, err := ReadAnswer(to, o, plainOffer("192.0.2.2", `m=audio 5000 RTP/AVP 0
		m=image 5002 udptl t38
		m=video 0 RTP/AVP 31
		m=application 0 UDP/DTLS/SCTP *
		m=message 0 TCP/MSRP *
		m=application 0 udp *
		m=text 0 udp *
		m=audio 0 RTP/AVP 0
		m=video 0 RTP/AVPF 31
		m=audio 5018 RTP/AVP 8`))
	if err != nil {
		t.Fatal(err)
	}
	toA, err := a.Write(from, endpoints("10.0.0.2", 10), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, toA)
	for i, m := range s.Media {
		if (m.Port != 0) != (i == 0 || i == 9) || from.Agreed[i].Disabled != (m.Port == 0) || to.Agreed[i].Disabled != (m.Port == 0) {
			t.Errorf("line %d: %v, A %v, B %v", i, m, from.Agreed[i], to.Agreed[i])
		}
		if om := o.lines[i].media; m.Kind != om.Kind || m.Proto != om.Proto {
			t.Errorf("line %d: answer %s %s to %s %s", i, m.Kind, m.Proto, om.Kind, om.Proto)
		}
	}
	// A later offer must not lose lines.
	_, err = ReadOffer(from, plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0"))
	wantRefusal(t, err, 488, warnFormat)
	// Fax instead of audio: refused, the call stays.
	c := newCall(t)
	c.start(t)
	before := c.legA.Clone()
	fax, err := ReadOffer(c.legB, plainOffer("10.0.0.5", "m=image 4002 udptl t38"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fax.Write(c.legA, endpoints("203.0.113.1", 1), rand.Reader)
	wantRefusal(t, err, 488, warnTransport)
	if !reflect.DeepEqual(before.Agreed, c.legA.Agreed) {
		t.Error("a refused offer changed the leg")
	}
}

func TestMaxStreams(t *testing.T) {
	o, err := ReadOffer(pbxLeg(), plainOffer("192.0.2.1", strings.Repeat("m=audio 4000 RTP/AVP 0\n", MaxMedia)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range o.Streams() {
		if o.Carried(i) {
			n++
		}
	}
	if n != MaxStreams || o.Streams() != MaxMedia {
		t.Errorf("%d of %d lines are carried", n, o.Streams())
	}
}

// TestLegWithMoreLines hands a leg with two lines to a call with one.
func TestLegWithMoreLines(t *testing.T) {
	two := "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 31"
	a, b, c := pbxLeg(), pbxLeg(), pbxLeg()
	if _, _, err := exchange(a, b, plainOffer("192.0.2.1", two), plainOffer("192.0.2.2", two), "10.0.0.2", "10.0.0.3"); err != nil {
		t.Fatal(err)
	}
	one := plainOffer("192.0.2.3", "m=audio 4000 RTP/AVP 0")
	toA, toC, err := exchange(c, a, one, plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 31"), "10.0.0.4", "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(toA, []byte("m=video 0 RTP/AVP 0\r\n")) || bytes.Contains(toC, []byte("video")) || len(a.Agreed) != 2 || len(c.Agreed) != 1 {
		t.Errorf("to A\n%sto C\n%s", toA, toC)
	}
}

func TestAnswerRefused(t *testing.T) {
	key := "inline:" + b64(44, 4)
	plain := plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0 96\na=rtpmap:96 opus/48000/2")
	secure := &Leg{SecureHop: true, Suites: Suites{GCM256, CM80}}
	for _, c := range []struct {
		name   string
		to     *Leg
		answer string
		status int
		srtp   bool
	}{
		{"good", pbxLeg(), "m=audio 4000 RTP/AVP 0", 0, false},
		{"good SRTP", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM " + key, 0, false},
		{"feedback is tolerated", pbxLeg(), "m=audio 4000 RTP/AVPF 0", 0, false},
		{"stray crypto", pbxLeg(), "m=audio 4000 RTP/AVP 0\na=crypto:1 AEAD_AES_256_GCM " + key, 0, false},
		{"declined", pbxLeg(), "m=audio 0 RTP/AVP 0", 0, false},
		{"malformed", pbxLeg(), "m=audio", 502, false},
		{"no m-line", pbxLeg(), "", 502, false},
		{"one more", pbxLeg(), "m=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 31", 502, false},
		{"other kind", pbxLeg(), "m=video 4000 RTP/AVP 0", 502, false},
		{"fax", pbxLeg(), "m=image 4000 udptl t38", 502, false},
		{"other formats", pbxLeg(), "m=audio 4000 RTP/AVP 8", 488, false},
		{"same number, other codec", pbxLeg(), "m=audio 4000 RTP/AVP 96\na=rtpmap:96 speex/8000", 488, false},
		{"other family", pbxLeg(), "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1", 488, false},
		{"host name", pbxLeg(), "m=audio 4000 RTP/AVP 0\nc=IN IP4 a.example", 488, false},
		{"SRTP not offered", pbxLeg(), "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM " + key, 488, true},
		{"RTP to SRTP", secure, "m=audio 4000 RTP/AVP 0", 488, true},
		{"RTP with crypto to SRTP", secure, "m=audio 4000 RTP/AVP 0\na=crypto:1 AEAD_AES_256_GCM " + key, 488, true},
		{"no crypto", secure, "m=audio 4000 RTP/SAVP 0", 488, true},
		{"two crypto", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM " + key + "\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1, 488, true},
		{"same tag twice", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM " + key + "\na=crypto:1 AEAD_AES_256_GCM " + key, 488, true},
		{"other tag", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:3 AEAD_AES_256_GCM " + key, 488, true},
		{"tag of another suite", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:2 AEAD_AES_256_GCM " + key, 488, true},
		{"suite not offered", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey1, 488, true},
		{"unencrypted", secure, "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM " + key + " UNENCRYPTED_SRTP", 488, true},
		{"DTLS", secure, "m=audio 4000 UDP/TLS/RTP/SAVP 0", 488, true},
		{"emergency: RTP to SRTP", &Leg{SecureHop: true, TolerateRTP: true}, "m=audio 4000 RTP/AVP 0", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := pbxLeg(), c.to.Clone()
			_, _, err := exchange(from, to, plain, plainOffer("192.0.2.2", c.answer), "10.0.0.2", "10.0.0.3")
			if c.status == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if r := wantRefusal(t, err, c.status, 0); r.SRTP != c.srtp {
				t.Errorf("SRTP = %t: %v", r.SRTP, r)
			}
			if len(from.Agreed)+len(to.Agreed) > 0 {
				t.Error("a refused answer changed a leg")
			}
		})
	}
}

// TestOwnKeyComesBack refuses a peer that encrypts with our key.
func TestOwnKeyComesBack(t *testing.T) {
	to := &Leg{SecureHop: true}
	o, err := ReadOffer(pbxLeg(), plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := o.Write(to, endpoints("10.0.0.3", 1), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cr, _ := find(mustParse(t, body).Media[0].Attrs, "crypto")
	_, err = ReadAnswer(to, o, plainOffer("192.0.2.2", "m=audio 4000 RTP/SAVP 0\na=crypto:"+cr))
	if r := wantRefusal(t, err, 488, 0); !r.SRTP {
		t.Error("not about SRTP")
	}
	c := newCall(t)
	c.start(t)
	_, err = ReadOffer(c.legA, savpOffer(cryptoOf(t, c.outA, 0).attr().Value))
	if r := wantRefusal(t, err, 488, 0); !r.SRTP {
		t.Error("not about SRTP")
	}
}

func TestFormatsOfAnswer(t *testing.T) {
	offer := plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000")
	answer := plainOffer("192.0.2.2", `m=audio 4000 RTP/AVP 111 0 9 100 0 102
		a=rtpmap:111 OPUS/48000/2
		a=fmtp:111 useinbandfec=1
		a=rtpmap:0 PCMU/8000/1
		a=rtpmap:9 G722/8000
		a=rtpmap:100 telephone-event/8000
		a=rtpmap:102 speex/16000
		a=fmtp:102 x=1`)
	from, to := pbxLeg(), pbxLeg()
	_, toA, err := exchange(from, to, offer, answer, "10.0.0.2", "10.0.0.3")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(toA, []byte("m=audio 20000 RTP/AVP 111 0 100\r\n")) || !bytes.Contains(toA, []byte("useinbandfec")) {
		t.Errorf("answer\n%s", toA)
	}
	for _, gone := range []string{"G722", "speex", "x=1"} {
		if bytes.Contains(toA, []byte(gone)) {
			t.Errorf("%s was not offered:\n%s", gone, toA)
		}
	}
	if got := from.Lines()[0].Payloads; !reflect.DeepEqual(got, Payloads{111, 0, 100}) {
		t.Errorf("A may send %v", got)
	}
	if got := to.Lines()[0].Payloads; !reflect.DeepEqual(got, Payloads{0, 96, 101}) {
		t.Errorf("B may send %v", got)
	}
}

func TestRTCPAndMux(t *testing.T) {
	muxed := plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0\na=rtcp-mux")
	plain := plainOffer("192.0.2.2", "m=audio 5000 RTP/AVP 0")
	plainMux := plainOffer("192.0.2.2", "m=audio 5000 RTP/AVP 0\na=rtcp-mux")

	// Mux is a matter of one leg.
	from, to := pbxLeg(), pbxLeg()
	toB, toA, err := exchange(from, to, muxed, plainMux, "10.0.0.2", "10.0.0.3")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(toB, []byte("rtcp")) || !bytes.Contains(toA, []byte("a=rtcp-mux\r\n")) {
		t.Errorf("to B\n%sto A\n%s", toB, toA)
	}
	a, b := from.Lines()[0], to.Lines()[0]
	if !a.Mux || a.RTCP != a.RTP || b.Mux || b.RTCP.Port() != 5001 {
		t.Errorf("A %v mux %t, B %v mux %t", a, a.Mux, b.RTCP, b.Mux)
	}
	// Once agreed it is offered again; an answer without it ends it.
	for _, c := range []struct {
		answer []byte
		mux    bool
	}{{plainMux, true}, {plain, false}} {
		leg := from.Clone()
		body, _, err := exchange(pbxLeg(), leg, plain, c.answer, "10.0.0.3", "10.0.0.2")
		if err != nil {
			t.Fatal(err)
		}
		if l := leg.Lines()[0]; !bytes.Contains(body, []byte("a=rtcp-mux")) || l.Mux != c.mux {
			t.Errorf("mux %t, want %t\n%s", l.Mux, c.mux, body)
		}
	}
	want := &Leg{Policy: SRTPOff, OfferMux: true}
	body, _, err := exchange(pbxLeg(), want, plain, plainMux, "10.0.0.3", "10.0.0.2")
	if err != nil || !bytes.Contains(body, []byte("a=rtcp-mux")) || !want.Agreed[0].Mux {
		t.Errorf("%v\n%s", err, body)
	}

	// Our own RTCP port, where it is not the next one.
	for local, attr := range map[string]string{"10.0.0.2:20001": "", "10.0.0.2:20101": "a=rtcp:20101\r\n", "10.0.0.9:20001": "a=rtcp:20001 IN IP4 10.0.0.9\r\n", "": ""} {
		e := endpoints("10.0.0.2", 1)
		e[0].RTCP = netip.AddrPort{}
		if local != "" {
			e[0].RTCP = netip.MustParseAddrPort(local)
		}
		o, err := ReadOffer(pbxLeg(), plain)
		if err != nil {
			t.Fatal(err)
		}
		body, err := o.Write(pbxLeg(), e, rand.Reader)
		if err != nil || bytes.Contains(body, []byte("a=rtcp")) != (attr != "") || !bytes.Contains(body, []byte(attr)) {
			t.Errorf("%s: %v\n%s", local, err, body)
		}
	}
}

func TestFeedbackProfiles(t *testing.T) {
	lines := "m=audio 4000 RTP/AVPF 0\na=rtcp-fb:* nack\nm=video 4002 RTP/AVPF 96\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack pli\na=framerate:25\na=imageattr:96 send [x=[480:16:800],y=640] recv *"
	from, to := pbxLeg(), pbxLeg()
	toB, toA, err := exchange(from, to, plainOffer("192.0.2.1", lines),
		plainOffer("192.0.2.2", "m=audio 4000 RTP/AVP 0\na=rtcp-fb:* nack\nm=video 4002 RTP/AVPF 96\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack pli"), "10.0.0.2", "10.0.0.3")
	if err != nil {
		t.Fatal(err)
	}
	b, a := mustParse(t, toB), mustParse(t, toA)
	if b.Media[0].Proto != "RTP/AVP" || b.Media[1].Proto != "RTP/AVPF" || a.Media[0].Proto != "RTP/AVPF" || a.Media[1].Proto != "RTP/AVPF" {
		t.Errorf("to B\n%sto A\n%s", toB, toA)
	}
	if bytes.Contains(toB, []byte("rtcp-fb:*")) || !bytes.Contains(toB, []byte("a=rtcp-fb:96 nack pli")) || !bytes.Contains(toB, []byte("a=imageattr:96 send [x=[480:16:800],y=640] recv *")) {
		t.Errorf("to B\n%s", toB)
	}
	// What leg A agreed on is offered to it again.
	o, err := ReadOffer(to, plainOffer("192.0.2.2", "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVPF 96"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := o.Write(from, endpoints("10.0.0.2", 2), rand.Reader)
	if err != nil || mustParse(t, body).Media[0].Proto != "RTP/AVPF" {
		t.Errorf("%v\n%s", err, body)
	}
}

func TestIPv6AndMixedFamilies(t *testing.T) {
	from, to := pbxLeg(), pbxLeg()
	toB, toA, err := exchange(from, to, plainOffer("2001:db8::1", "m=audio 4000 RTP/AVP 0"), plainOffer("192.0.2.2", "m=audio 4000 RTP/AVP 0"), "2001:db8:1::10", "10.0.0.3")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(toB, []byte("c=IN IP4 10.0.0.3\r\n")) || !bytes.Contains(toA, []byte("c=IN IP6 2001:db8:1::10\r\n")) || !bytes.Contains(toA, []byte(" IN IP6 2001:db8:1::10\r\ns=-")) {
		t.Errorf("to B\n%sto A\n%s", toB, toA)
	}
	_, _, err = exchange(pbxLeg(), pbxLeg(), plainOffer("2001:db8::1", "m=audio 4000 RTP/AVP 0"), plainOffer("192.0.2.2", "m=audio 4000 RTP/AVP 0"), "10.0.0.2", "10.0.0.3")
	wantRefusal(t, err, 488, warnAddress)
	// Two addresses of ours in one description.
	o, err := ReadOffer(pbxLeg(), plainOffer("192.0.2.1", "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 31"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := o.Write(pbxLeg(), []Endpoint{endpoints("10.0.0.2", 1)[0], endpoints("10.0.0.3", 1)[0]}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s := mustParse(t, body); s.Conn.Addr != "10.0.0.2" || s.Media[0].Conn != nil || s.Media[1].Conn.Addr != "10.0.0.3" {
		t.Errorf("offer\n%s", body)
	}
}

// TestTopology lets two talkative ends describe themselves and looks for
// anything of one in what the other is told.
func TestTopology(t *testing.T) {
	offer := crlf(`v=0
		o=alice.smith 20518 0 IN IP4 192.168.7.77
		s=SIP Call from alice.smith
		i=desk of alice.smith
		u=http://alice.example.com/
		e=alice.smith@example.com
		p=+44 1234 567890
		c=IN IP4 198.51.100.7
		b=AS:128
		b=X-YZ:128
		t=0 0
		k=prompt
		a=tool:libfoo 1.2
		a=x-secret:hello
		a=group:BUNDLE one
		a=ice-lite
		m=audio 40000 RTP/SAVP 0 96 97
		i=alice.smith speaking
		b=TIAS:64000
		k=clear:c2VjcmV0
		a=rtpmap:0 PCMU/8000
		a=rtpmap:96 opus/48000/2
		a=fmtp:96 minptime=10;useinbandfec=1
		a=fmtp:97 relay=192.168.7.77
		a=rtpmap:99 unlisted/8000
		a=fmtp:0 host=[2001:db8:7::77]
		a=ptime:20
		a=maxptime:40.5
		a=silenceSupp:off - - - -
		a=rtcp:40001 IN IP4 198.51.100.7
		a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:` + rfcKey1 + `
		a=candidate:1 1 UDP 2130706431 192.168.7.77 40000 typ host
		a=ice-ufrag:8hhY
		a=ice-pwd:asd88fgpdd777uzjYhagZg
		a=fingerprint:sha-256 AA:BB
		a=setup:actpass
		a=ssrc:1234 cname:alice.smith@192.168.7.77
		a=cname:alice.smith
		a=msid:stream track
		a=mid:one
		a=label:alice-label
		a=rtcp-rsize
		a=sendrecv`)
	answer := crlf(`v=0
		o=pbxroot 17 17 IN IP4 10.9.9.9
		s=Asterisk PBX 20
		c=IN IP4 10.9.9.8
		t=0 0
		a=tool:pbxtool
		m=audio 30000 RTP/AVP 96
		a=rtpmap:96 opus/48000/2
		a=rtcp:30101 IN IP4 10.9.9.7
		a=ssrc:99 cname:pbxcname
		a=candidate:1 1 UDP 2130706431 10.9.9.6 40000 typ host
		a=sendrecv`)
	from, to := phoneLeg(), pbxLeg()
	toB, toA, err := exchange(from, to, offer, answer, "203.0.113.10", "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"alice", "192.168", "198.51.100", "2001:db8", "20518", "example", "1234", rfcKey1[:10], "tool", "x-secret", "candidate", "ice", "fingerprint", "setup", "cname",
		"ssrc", "msid", "mid:", "label", "rsize", "group", "X-YZ", "clear", "prompt", "unlisted", "fmtp:97", "fmtp:0", "40000", "40001", "crypto", "SAVP"} {
		if bytes.Contains(toB, []byte(secret)) {
			t.Errorf("B is told %q:\n%s", secret, toB)
		}
	}
	for _, secret := range []string{"pbx", "10.9.9", "10.0.0", "Asterisk", "cname", "candidate", "30000", "30101", "tool", " 17 "} {
		if bytes.Contains(toA, []byte(secret)) {
			t.Errorf("A is told %q:\n%s", secret, toA)
		}
	}
	for _, kept := range []string{"b=TIAS:64000", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 minptime=10;useinbandfec=1", "a=ptime:20", "a=maxptime:40.5", "a=silenceSupp:off - - - -"} {
		if !bytes.Contains(toB, []byte(kept+"\r\n")) {
			t.Errorf("B misses %q:\n%s", kept, toB)
		}
	}
	if cryptoOf(t, toA, 0).tag != 5 {
		t.Error("the answer has another tag")
	}
}

func TestHasAddress(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "0-16": false, "x=[480:16:800],y=[320:16:640],par=[1.2-1.3]": false, "profile-level-id=42e01f;packetization-mode=1": false,
		"1.2.3": false, "1.2.3.": false, "1..2.3.4": false, "a:b:c": false, "opus/48000/2": false, "1.2.3.x4": false,
		"192.0.2.1": true, "x192.0.2.1y": true, "9.9.9.1.2.3.4": true, "1.2.3.4.5": true, "::1": true, "x=fe80::1;": true, "2001:db8:0:0:0:0:0:1": true, "1:2:3:4:5:6:7.7.7.7": true, "::": true,
	} {
		if hasAddress(s) != want {
			t.Errorf("hasAddress(%q) = %t", s, !want)
		}
	}
}
