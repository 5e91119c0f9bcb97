package sbc_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

func tagOf(m *siptest.Message) string { return siptest.Param(m.Get("To"), "tag") }

// pbxSRTP makes the raw PBX speak SRTP only, while the carrier speaks RTP.
func pbxSRTP(c *worldConfig) { c.sbc.PBXs[0].SRTP = sdp.SRTPRequired }

// secure is a description with SRTP audio: key fills the key of the crypto
// line.
func (r *raw) secure(port int, key string, extra ...string) []byte {
	b := bytes.Replace(r.sdpAt(port, extra...), []byte("RTP/AVP"), []byte("RTP/SAVP"), 1)
	return append(b, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+strings.Repeat(key, 40)+"\r\n"...)
}

// answered is the answer of an SRTP end to the offer in a message: it takes
// the line of AES_CM_128_HMAC_SHA1_80.
func (r *raw) answered(offer *siptest.Message, port int, key string, extra ...string) []byte {
	r.t.Helper()
	for l := range strings.SplitSeq(string(offer.Body), "\r\n") {
		if tag, ok := strings.CutPrefix(l, "a=crypto:"); ok && strings.Contains(l, "AES_CM_128_HMAC_SHA1_80") {
			tag, _, _ = strings.Cut(tag, " ")
			return bytes.Replace(r.secure(port, key, extra...), []byte("crypto:1 "), []byte("crypto:"+tag+" "), 1)
		}
	}
	r.t.Fatalf("no such crypto line in\n%s", offer.Body)
	return nil
}

// cryptoOf is the key of the first crypto line.
func cryptoOf(b []byte) string {
	_, v, _ := strings.Cut(string(b), "inline:")
	v, _, _ = strings.Cut(v, "\r\n")
	return v
}

func TestForks(t *testing.T) {
	w := newRawWorld(t, pbxSRTP)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 183, "one", w.b.answered(in, 40000, "k"))
	first := w.a.code(183)
	w.b.reply(in, 183, "two", w.b.answered(in, 40010, "m"))
	second := w.a.code(183)
	if tagOf(first) == tagOf(second) {
		t.Fatal("two forks are one dialog for A")
	}
	if len(first.Body) == 0 || len(second.Body) == 0 || bytes.Equal(first.Body, second.Body) {
		t.Fatalf("descriptions of the forks:\n%s\n%s", first.Body, second.Body)
	}
	// A fork keeps its tag and its description.
	w.b.reply(in, 180, "one", nil)
	if m := w.a.code(180); tagOf(m) != tagOf(first) {
		t.Errorf("the first fork has tag %s, then %s", tagOf(first), tagOf(m))
	}
	w.b.reply(in, 183, "two", w.b.answered(in, 40010, "m"))
	if m := w.a.code(183); tagOf(m) != tagOf(second) || !bytes.Equal(m.Body, second.Body) {
		t.Errorf("the second fork, repeated: %s\n%s\nwas\n%s", tagOf(m), m.Body, second.Body)
	}
	// The first one answers, without its description: A has that already.
	w.b.reply(in, 200, "one", nil)
	ok := w.a.code(200)
	if tagOf(ok) != tagOf(first) || !bytes.Equal(ok.Body, first.Body) {
		t.Errorf("200 of the first fork: %s\n%s", tagOf(ok), ok.Body)
	}
	if ack := w.b.request("ACK"); tagOf(ack) != "one" {
		t.Errorf("ACK to %s", ack.Get("To"))
	}
	w.a.send(w.a.within("ACK", 1, inv, ok))
	// The other fork answers too.
	w.b.reply(in, 200, "two", w.b.answered(in, 40010, "m"))
	if ack := w.b.request("ACK"); tagOf(ack) != "two" {
		t.Errorf("ACK to %s", ack.Get("To"))
	}
	bye := w.b.request("BYE")
	if tagOf(bye) != "two" {
		t.Errorf("BYE to %s", bye.Get("To"))
	}
	w.b.reply(bye, 200, "", nil)
	// What was said on the second fork's dialog at A ends with the call.
	w.a.send(w.a.within("INFO", 2, inv, second))
	w.a.answer("INFO", 481)
	if w.gw.Live() != 1 {
		t.Error("the answered fork must stay")
	}
	w.bye(rawCall{inv: inv, ok: ok}, 3)
	w.hidden()
}

// TestForkAnswersUnseen: the 2xx comes from a fork that never rang.
func TestForkAnswersUnseen(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "one", nil)
	ring := w.a.code(180)
	w.b.reply(in, 200, "two", w.b.sdpAt(40010))
	ok := w.a.code(200)
	if tagOf(ok) == tagOf(ring) {
		t.Error("the fork that answers has the tag of the one that rang")
	}
	if ack := w.b.request("ACK"); tagOf(ack) != "two" {
		t.Errorf("ACK to %s", ack.Get("To"))
	}
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.a.never("a 200 after its ACK", func(m *siptest.Message) bool { return m.Code == 200 })
	w.bye(rawCall{inv: inv, ok: ok}, 2)
}

// TestForkCap: a proxy behind the gateway cannot make dialogs without end, and
// the 2xx is heard all the same.
func TestForkCap(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	tags := map[string]bool{}
	for i := range 16 {
		w.b.reply(in, 180, fmt.Sprint("fork", i), nil)
		tags[tagOf(w.a.code(180))] = true
	}
	if len(tags) != 16 {
		t.Errorf("%d tags of 16 forks", len(tags))
	}
	before := w.gw.Tables()["dialogs"]
	for i := range 20 {
		w.b.reply(in, 183, fmt.Sprint("more", i), w.b.sdpAt(41000+2*i))
	}
	w.a.never("a fork too many", func(m *siptest.Message) bool { return m.Code == 183 })
	if n := w.gw.Tables()["dialogs"]; n != before {
		t.Errorf("%d dialogs, were %d", n, before)
	}
	w.b.reply(in, 200, "last", w.b.sdpAt(40010))
	ok := w.a.code(200)
	if tags[tagOf(ok)] {
		t.Error("the last fork has the tag of another")
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 2)
	if n := w.gw.Tables()["dialogs"]; n != 0 {
		t.Errorf("%d dialogs are left", n)
	}
}

// ear is a socket for RTP at a raw end.
type ear struct {
	*net.UDPConn
	heard chan byte
}

func (r *raw) ear() *ear {
	r.t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: r.conn.LocalAddr().(*net.UDPAddr).IP})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	e := &ear{c, make(chan byte, 1024)}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if n > 12 {
				select {
				case e.heard <- buf[12]:
				default:
				}
			}
		}
	}()
	return e
}

func (e *ear) port() int { return e.LocalAddr().(*net.UDPAddr).Port }

// talk sends packets with that payload to where a description says, until
// the other ear has heard one.
func talk(t *testing.T, from *ear, to *siptest.Message, say byte, other *ear) {
	t.Helper()
	dst := mediaOf(t, to.Body)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for seq := range 500 {
		p := make([]byte, 172)
		p[0], p[3] = 0x80, byte(seq)
		p[2] = byte(seq >> 8)
		p[11] = say
		for i := 12; i < len(p); i++ {
			p[i] = say
		}
		if _, err := from.WriteToUDPAddrPort(p, dst); err != nil {
			t.Fatal(err)
		}
		<-tick.C
		for len(other.heard) > 0 {
			if <-other.heard == say {
				return
			}
		}
	}
	t.Fatalf("%q was never heard", say)
}

// mediaOf is the address of the first m-line.
func mediaOf(t *testing.T, body []byte) netip.AddrPort {
	t.Helper()
	var host, port string
	for l := range strings.SplitSeq(string(body), "\r\n") {
		if v, ok := strings.CutPrefix(l, "c=IN IP4 "); ok && host == "" {
			host = v
		}
		if v, ok := strings.CutPrefix(l, "m="); ok && port == "" {
			port = strings.Fields(v)[1]
		}
	}
	a, err := netip.ParseAddrPort(host + ":" + port)
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return a
}

// TestForkMedia: the newest fork that described itself is heard, and in the
// end the one that answers.
func TestForkMedia(t *testing.T) {
	w := newRawWorld(t)
	a, one, two := w.a.ear(), w.b.ear(), w.b.ear()
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Body = w.a.sdpAt(a.port()) })
	in := w.b.request("INVITE")
	w.b.reply(in, 183, "one", w.b.sdpAt(one.port()))
	first := w.a.code(183)
	talk(t, a, first, 'a', one)
	talk(t, one, in, '1', a)
	w.b.reply(in, 183, "two", w.b.sdpAt(two.port()))
	second := w.a.code(183)
	talk(t, a, second, 'b', two)
	talk(t, two, in, '2', a)
	w.b.reply(in, 183, "one", w.b.sdpAt(one.port())) // said before
	w.a.code(183)
	talk(t, a, second, 'd', two)
	w.b.reply(in, 200, "one", nil)
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	talk(t, a, ok, 'c', one)
	talk(t, one, in, '3', a)
	w.bye(rawCall{inv: inv, ok: ok}, 2)
}
