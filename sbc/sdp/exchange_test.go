package sdp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func phoneLeg() *Leg { return &Leg{SecureHop: true} }
func pbxLeg() *Leg   { return &Leg{Policy: SRTPOff} }

// endpoints are ours: 203.0.113.10 towards the public side, 10.0.0.2 inside.
func endpoints(addr string, n int) []Endpoint {
	var out []Endpoint
	for i := range n {
		a := netip.MustParseAddr(addr)
		out = append(out, Endpoint{netip.AddrPortFrom(a, uint16(20000+4*i)), netip.AddrPortFrom(a, uint16(20001+4*i))})
	}
	return out
}

// testCall is a phone (leg A, SDES) that calls the PBX (leg B, RTP).
type testCall struct {
	legA, legB *Leg
	outA, outB []byte // last description we wrote
}

func newCall(t *testing.T) *testCall {
	t.Helper()
	return &testCall{legA: phoneLeg(), legB: pbxLeg()}
}

func savpOffer(cryptos ...string) []byte {
	s := `v=0
		o=alice 53655765 2353687637 IN IP4 198.51.100.7
		s=Alice's phone
		c=IN IP4 198.51.100.7
		t=0 0
		m=audio 40000 RTP/SAVP 0 8 101
		a=rtpmap:101 telephone-event/8000
		a=fmtp:101 0-16
		a=ptime:20
		a=sendrecv`
	for _, c := range cryptos {
		s += "\na=crypto:" + c
	}
	return crlf(s)
}

const avpAnswer = `v=0
	o=root 17 17 IN IP4 10.0.0.5
	s=Asterisk
	c=IN IP4 10.0.0.5
	t=0 0
	m=audio 30000 RTP/AVP 8 101
	a=rtpmap:8 PCMA/8000
	a=rtpmap:101 telephone-event/8000
	a=fmtp:101 0-16
	a=ptime:20`

// exchange runs an offer from one leg and its answer from the other.
func exchange(from, to *Leg, offer, answer []byte, fromAddr, toAddr string) (outTo, outFrom []byte, err error) {
	o, err := ReadOffer(from, offer)
	if err != nil {
		return nil, nil, err
	}
	if outTo, err = o.Write(to, endpoints(toAddr, o.Streams()), rand.Reader); err != nil {
		return nil, nil, err
	}
	a, err := ReadAnswer(to, o, answer)
	if err != nil {
		return outTo, nil, err
	}
	outFrom, err = a.Write(from, endpoints(fromAddr, o.Streams()), rand.Reader)
	return outTo, outFrom, err
}

func (c *testCall) offerA(t *testing.T, offer, answer []byte) {
	t.Helper()
	var err error
	if c.outB, c.outA, err = exchange(c.legA, c.legB, offer, answer, "203.0.113.10", "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
}

func (c *testCall) start(t *testing.T) {
	t.Helper()
	c.offerA(t, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1+"|2^20"), crlf(avpAnswer))
}

func mustParse(t *testing.T, b []byte) *Session {
	t.Helper()
	s, err := Parse(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return s
}

func cryptoOf(t *testing.T, b []byte, i int) crypto {
	t.Helper()
	cs, err := readCryptos(mustParse(t, b).Media[i].Attrs)
	if err != nil || len(cs.usable) != 1 || cs.seen != 1 {
		t.Fatalf("%d crypto lines, %v\n%s", cs.seen, err, b)
	}
	return cs.usable[0]
}

func TestCallSDESToRTP(t *testing.T) {
	c := newCall(t)
	c.start(t)
	wantB := `v=0
		o=- ID 1 IN IP4 10.0.0.2
		s=-
		c=IN IP4 10.0.0.2
		t=0 0
		m=audio 20000 RTP/AVP 0 8 101
		a=rtpmap:101 telephone-event/8000
		a=fmtp:101 0-16
		a=ptime:20
		a=sendrecv`
	if got, want := string(c.outB), strings.Replace(string(crlf(wantB)), "ID", fmt.Sprint(c.legB.Ours.ID), 1); got != want {
		t.Errorf("offer to B:\n%s\nwant\n%s", got, want)
	}
	cr := cryptoOf(t, c.outA, 0)
	wantA := `v=0
		o=- ID 1 IN IP4 203.0.113.10
		s=-
		c=IN IP4 203.0.113.10
		t=0 0
		m=audio 20000 RTP/SAVP 8 101
		a=rtpmap:8 PCMA/8000
		a=rtpmap:101 telephone-event/8000
		a=fmtp:101 0-16
		a=ptime:20
		a=crypto:KEY
		a=sendrecv`
	if got, want := string(c.outA), strings.NewReplacer("ID", fmt.Sprint(c.legA.Ours.ID), "KEY", cr.attr().Value).Replace(string(crlf(wantA))); got != want {
		t.Errorf("answer to A:\n%s\nwant\n%s", got, want)
	}
	a, b := c.legA.Lines(), c.legB.Lines()
	theirs, _ := parseCrypto("1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + "|2^20")
	wantLine := Line{Kind: "audio", Proto: "RTP/SAVP", RTP: netip.MustParseAddrPort("198.51.100.7:40000"), RTCP: netip.MustParseAddrPort("198.51.100.7:40001"),
		Payloads: Payloads{8, 101}, Ptime: 20, Recv: theirs.keys, Send: cr.keys}
	if !reflect.DeepEqual(a, []Line{wantLine}) {
		t.Errorf("leg A %v", a)
	}
	wantLine = Line{Kind: "audio", Proto: "RTP/AVP", RTP: netip.MustParseAddrPort("10.0.0.5:30000"), RTCP: netip.MustParseAddrPort("10.0.0.5:30001"), Payloads: Payloads{0, 8, 101}, Ptime: 20}
	if !reflect.DeepEqual(b, []Line{wantLine}) {
		t.Errorf("leg B %v", b)
	}
	if cr.keys.sameKey(theirs.keys) || c.legA.Ours.ID == c.legB.Ours.ID {
		t.Error("key or session id is shared between the legs")
	}
	// What Lines returns is a copy.
	a[0].Send.Key[0]++
	if reflect.DeepEqual(a, c.legA.Lines()) {
		t.Error("Lines shares keys with the leg")
	}
}

func TestCallRTPToSDES(t *testing.T) {
	from, to := pbxLeg(), &Leg{SecureHop: true, Suites: Suites{GCM256, GCM128, CM80, CM32}}
	o, err := ReadOffer(from, crlf(avpAnswer))
	if err != nil {
		t.Fatal(err)
	}
	body, err := o.Write(to, endpoints("203.0.113.10", 1), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := mustParse(t, body).Media[0]
	cs, err := readCryptos(m.Attrs)
	if err != nil || m.Proto != "RTP/SAVP" || len(cs.usable) != 4 {
		t.Fatalf("offer\n%s", body)
	}
	keys := map[string]bool{}
	for i, cr := range cs.usable {
		if cr.tag != i+1 || cr.keys.Suite != to.Suites[i] {
			t.Errorf("line %d is %d %s", i, cr.tag, cr.keys.Suite)
		}
		keys[string(cr.keys.Key[:16])] = true
	}
	if len(keys) != 4 {
		t.Error("suites share a key")
	}
	a, err := ReadAnswer(to, o, crlf(`v=0
		o=- 1 1 IN IP4 198.51.100.7
		s=-
		c=IN IP4 198.51.100.7
		t=0 0
		m=audio 40000 RTP/SAVP 8
		a=crypto:2 AEAD_AES_128_GCM inline:`+b64(28, 5)))
	if err != nil {
		t.Fatal(err)
	}
	if len(to.Agreed)+len(from.Agreed) != 0 {
		t.Error("a leg changed before the answer was written")
	}
	out, err := a.Write(from, endpoints("10.0.0.2", 1), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("crypto")) || !bytes.Contains(out, []byte("m=audio 20000 RTP/AVP 8\r\n")) {
		t.Errorf("answer\n%s", out)
	}
	l := to.Lines()[0]
	if !l.Send.equal(cs.usable[1].keys) || l.Recv.Suite != GCM128 || string(l.Recv.Key) != strings.Repeat("\x05", 16) {
		t.Errorf("leg B %v", l)
	}
	// Re-offer with nothing changed: the same bytes, one crypto line, the key in use.
	o, err = ReadOffer(from, crlf(avpAnswer))
	if err != nil {
		t.Fatal(err)
	}
	b2, err := o.Write(to, endpoints("203.0.113.10", 1), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := cryptoOf(t, b2, 0); !got.keys.equal(l.Send) {
		t.Error("a refresh re-keys")
	}
	b3, err := o.Write(to, endpoints("203.0.113.10", 1), rand.Reader)
	if err != nil || !bytes.Equal(b2, b3) || to.Ours.Version != 2 {
		t.Errorf("the same offer again differs: version %d, %v\n%s\n%s", to.Ours.Version, err, b2, b3)
	}
}

func TestHoldResumeRekey(t *testing.T) {
	c := newCall(t)
	c.start(t)
	first := c.legA.Lines()[0]
	crypto1 := "1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + "|2^20"

	hold := bytes.Replace(savpOffer(crypto1), []byte("a=sendrecv"), []byte("a=sendonly"), 1)
	c.offerA(t, hold, crlf(avpAnswer+"\na=recvonly"))
	if !bytes.Contains(c.outB, []byte("a=sendonly\r\n")) || !bytes.Contains(c.outA, []byte("a=recvonly\r\n")) {
		t.Errorf("hold does not pass\n%s\n%s", c.outB, c.outA)
	}
	a, b := c.legA.Lines()[0], c.legB.Lines()[0]
	if a.Direction != SendOnly || b.Direction != RecvOnly || !a.Muted() || !b.Muted() {
		t.Errorf("directions %s %s", a.Direction, b.Direction)
	}
	if !a.Send.equal(first.Send) || !a.Recv.equal(first.Recv) {
		t.Error("hold re-keys")
	}
	if c.legA.Ours.Version != 2 || c.legB.Ours.Version != 2 {
		t.Errorf("versions %d %d", c.legA.Ours.Version, c.legB.Ours.Version)
	}
	id := c.legA.Ours.ID

	// Resume, with a better suite on offer beside the key in use: still no re-key.
	c.offerA(t, savpOffer("7 AEAD_AES_256_GCM inline:"+b64(44, 1), "8 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1+"|2^20"), crlf(avpAnswer))
	if got := c.legA.Lines()[0]; got.Muted() || !got.Send.equal(first.Send) || cryptoOf(t, c.outA, 0).tag != 8 {
		t.Errorf("resume: %v\n%s", got, c.outA)
	}
	// The peer re-keys: so do we.
	c.offerA(t, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey2), crlf(avpAnswer))
	if got := c.legA.Lines()[0]; got.Send.sameKey(first.Send) || got.Recv.sameKey(first.Recv) {
		t.Error("a re-key of theirs is not answered with one of ours")
	}
	if c.legA.Ours.ID != id || c.legA.Ours.Version != 4 {
		t.Errorf("session id %d → %d, version %d", id, c.legA.Ours.ID, c.legA.Ours.Version)
	}
	// The PBX holds: the offer towards the phone keeps our key.
	before := c.legA.Lines()[0]
	toPhone, toPBX, err := exchange(c.legB, c.legA, crlf(avpAnswer+"\na=inactive"),
		bytes.Replace(savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey2), []byte("a=sendrecv"), []byte("a=inactive"), 1), "10.0.0.2", "203.0.113.10")
	if err != nil {
		t.Fatal(err)
	}
	if got := cryptoOf(t, toPhone, 0); !got.keys.sameKey(before.Send) || !bytes.Contains(toPBX, []byte("a=inactive")) {
		t.Errorf("hold from the PBX\n%s\n%s", toPhone, toPBX)
	}
	if got := c.legA.Lines()[0]; !got.Send.equal(before.Send) || !got.Recv.equal(before.Recv) || got.Direction != Inactive {
		t.Errorf("leg A after hold from the PBX: %v", got)
	}
}

func TestRefusedOfferChangesNothing(t *testing.T) {
	c := newCall(t)
	c.start(t)
	a, b := c.legA.Clone(), c.legB.Clone()
	o, err := ReadOffer(c.legA, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write(c.legB, endpoints("10.0.0.9", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	// 488 from B: forget the offer.
	if !reflect.DeepEqual(a.Agreed, c.legA.Agreed) || !reflect.DeepEqual(b.Agreed, c.legB.Agreed) || !reflect.DeepEqual(a.Ours, c.legA.Ours) {
		t.Error("a refused offer changed a leg")
	}
	if c.legB.Ours.Version != b.Ours.Version+1 {
		t.Error("the version the peer saw is taken back")
	}
	// A provisional answer, then failure: Restore.
	ans, err := ReadAnswer(c.legB, o, crlf(avpAnswer))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ans.Write(c.legA, endpoints("203.0.113.10", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(a.Agreed, c.legA.Agreed) {
		t.Fatal("an answer changes nothing")
	}
	v := c.legA.Ours.Version
	c.legA.Restore(a)
	c.legB.Restore(b)
	if !reflect.DeepEqual(a.Agreed, c.legA.Agreed) || !reflect.DeepEqual(b.Agreed, c.legB.Agreed) || c.legA.Ours.Version != v {
		t.Error("Restore does not restore")
	}
	c.legA.Agreed[0].Send.Key[0]++
	if reflect.DeepEqual(a.Agreed, c.legA.Agreed) {
		t.Error("a clone shares keys")
	}
}

func TestProvisionalThenFinalAnswer(t *testing.T) {
	from, to := phoneLeg(), pbxLeg()
	o, err := ReadOffer(from, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write(to, endpoints("10.0.0.2", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	var outs [3][]byte
	for i, body := range []string{avpAnswer, avpAnswer, strings.Replace(avpAnswer, "30000", "30500", 1)} {
		a, err := ReadAnswer(to, o, crlf(body))
		if err != nil {
			t.Fatal(err)
		}
		if outs[i], err = a.Write(from, endpoints("203.0.113.10", 1), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(outs[0], outs[1]) || !bytes.Equal(outs[0], outs[2]) {
		t.Errorf("answers to one offer differ:\n%s\n%s\n%s", outs[0], outs[1], outs[2])
	}
	if to.Agreed[0].RTP.Port() != 30500 {
		t.Error("the last answer is not in force")
	}
}

func TestFailover(t *testing.T) {
	from, first, second := phoneLeg(), &Leg{SecureHop: true}, &Leg{SecureHop: true}
	o, err := ReadOffer(from, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1))
	if err != nil {
		t.Fatal(err)
	}
	b1, err1 := o.Write(first, endpoints("10.0.0.2", 1), rand.Reader)
	b2, err2 := o.Write(second, endpoints("10.0.0.3", 1), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	c1, _ := readCryptos(mustParse(t, b1).Media[0].Attrs)
	c2, _ := readCryptos(mustParse(t, b2).Media[0].Attrs)
	if c1.usable[0].keys.sameKey(c2.usable[0].keys) || first.Ours.ID == second.Ours.ID {
		t.Error("two legs share key or session id")
	}
	if _, err := ReadAnswer(&Leg{}, o, crlf(avpAnswer)); err == nil {
		t.Error("an answer on a leg without an offer is accepted")
	}
	a, err := ReadAnswer(first, o, savpOffer("1 AEAD_AES_256_GCM inline:"+b64(44, 2)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(second, endpoints("10.0.0.3", 1), rand.Reader); err == nil {
		t.Error("an answer is written for a leg that did not offer")
	}
}

func TestOurFailuresAreNotRefusals(t *testing.T) {
	broken := io.LimitReader(rand.Reader, 0)
	good := savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1)
	o, err := ReadOffer(phoneLeg(), good)
	if err != nil {
		t.Fatal(err)
	}
	unspecified := []Endpoint{{RTP: netip.MustParseAddrPort("0.0.0.0:20000")}}
	to := pbxLeg()
	var r *Refusal
	for name, f := range map[string]func() error{
		"no randomness for keys": func() error { _, err := o.Write(phoneLeg(), endpoints("10.0.0.2", 1), broken); return err },
		"no randomness for id":   func() error { _, err := o.Write(pbxLeg(), endpoints("10.0.0.2", 1), broken); return err },
		"too few endpoints":      func() error { _, err := o.Write(pbxLeg(), nil, rand.Reader); return err },
		"empty endpoint":         func() error { _, err := o.Write(pbxLeg(), make([]Endpoint, 1), rand.Reader); return err },
		"unspecified endpoint":   func() error { _, err := o.Write(pbxLeg(), unspecified, rand.Reader); return err },
		"answer, no randomness": func() error {
			if _, err := o.Write(to, endpoints("10.0.0.2", 1), rand.Reader); err != nil {
				t.Fatal(err)
			}
			a, err := ReadAnswer(to, o, crlf(avpAnswer))
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Write(phoneLeg(), endpoints("10.0.0.2", 1), broken)
			return err
		},
	} {
		if err := f(); err == nil || errors.As(err, &r) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(to.Agreed) != 0 {
		t.Error("a failed answer was committed")
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := newCall(t)
	c.start(t)
	c.legA.Suites = Suites{CM80}
	clone := c.legA.Clone()
	if !reflect.DeepEqual(clone, c.legA) {
		t.Fatal("a clone differs")
	}
	l := &c.legA.Agreed[0]
	l.Send.Key[0]++
	l.Recv.Salt[0]++
	l.Payloads[0]++
	c.legA.Suites[0] = CM32
	c.legA.Ours.Digest[0]++
	k := clone.Agreed[0]
	if k.Send.sameKey(l.Send) || k.Recv.sameKey(l.Recv) || k.Payloads[0] == l.Payloads[0] || clone.Suites[0] == CM32 || clone.Ours.Digest[0] == c.legA.Ours.Digest[0] {
		t.Error("a clone shares memory with its leg")
	}
}

// TestForksAnswerWithOneKey: the legs go back and forth between the answers
// of two forks; the phone sees one key all the time.
func TestForksAnswerWithOneKey(t *testing.T) {
	from, to := phoneLeg(), pbxLeg()
	o, err := ReadOffer(from, savpOffer("1 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write(to, endpoints("10.0.0.2", 1), rand.Reader); err != nil {
		t.Fatal(err)
	}
	var first *Keys
	for i, body := range []string{avpAnswer, strings.Replace(avpAnswer, "audio 30000", "audio 0", 1), avpAnswer} {
		a, err := ReadAnswer(to, o, crlf(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(from, endpoints("203.0.113.10", 1), rand.Reader); err != nil {
			t.Fatal(err)
		}
		switch l := from.Lines()[0]; i {
		case 0:
			first = l.Send
		case 1:
			if !l.Disabled {
				t.Fatal("a declined line is in force")
			}
		case 2:
			if !l.Send.equal(first) {
				t.Error("one offer is answered with two keys")
			}
		}
	}
}
