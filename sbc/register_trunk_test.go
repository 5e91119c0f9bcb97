package sbc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// account makes the raw carrier one that wants us to register, and lets
// nothing but that identify it.
func account(change ...func(*sbc.TrunkAccount)) option {
	return func(c *worldConfig) {
		a := &sbc.TrunkAccount{Credentials: digest.Credentials{User: "4711", Password: digest.NewSecret("hunter2")}, Retry: 50 * time.Millisecond}
		for _, f := range change {
			f(a)
		}
		c.sbc.Peers[0].Register, c.sbc.Peers[0].IP = a, nil
		c.sbc.Stack.T1 = 200 * time.Millisecond
	}
}

const (
	sha256Challenge = `Digest realm="carrier", nonce="n1", qop="auth", algorithm=SHA-256, opaque="o"`
	md5Challenge    = `Digest realm="carrier", nonce="n2", qop="auth"`
)

// proves checks the answer to a challenge as the carrier would.
func proves(t *testing.T, m *siptest.Message, name, challenge, nc string) {
	t.Helper()
	got := m.Get(name)
	ch, err := digest.Parse(challenge)
	if err != nil {
		t.Fatal(err)
	}
	param := func(n string) string {
		_, s, _ := strings.Cut(got, n+`="`)
		s, _, _ = strings.Cut(s, `"`)
		return s
	}
	uses := map[string]uint32{"1": 1, "2": 2, "3": 3}[nc]
	want := digest.Credentials{User: "4711", Password: digest.NewSecret("hunter2")}.Answer(ch, m.Method, m.URI, param("cnonce"), uses)
	if got != want || len(param("cnonce")) < 16 {
		t.Errorf("%s of %s:\n got %s\nwant %s", name, m.Method, got, want)
	}
}

func field(n, v string) siptest.Field { return siptest.Field{Name: n, Value: v} }

// grant sees a registration through.
func (w *rawWorld) grant(expires string) (contact string) {
	w.t.Helper()
	m := w.a.request("REGISTER")
	w.a.reply(m, 200, "t", nil, field("Contact", m.Get("Contact")+";expires="+expires))
	return m.Get("Contact")
}

func TestTrunkRegisters(t *testing.T) {
	w := newRawWorld(t, account())
	first := w.a.request("REGISTER")
	host := w.a.addr().Addr().String()
	if first.URI != "sip:"+host || !strings.Contains(first.Get("From"), "sip:4711@"+host) || first.Get("Expires") != "3600" || first.Get("Authorization") != "" {
		t.Errorf("%s", first.Bytes())
	}
	w.a.reply(first, 401, "t", nil, field("WWW-Authenticate", md5Challenge), field("WWW-Authenticate", sha256Challenge))
	second := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "REGISTER" && m.Get("Authorization") != "" })
	proves(t, second, "Authorization", sha256Challenge, "1")
	if second.Get("Call-ID") != first.Get("Call-ID") || second.Get("CSeq") != "2 REGISTER" || second.Get("Via") == first.Get("Via") {
		t.Errorf("%s", second.Bytes())
	}
	w.a.reply(second, 423, "t", nil, field("Min-Expires", "7200"))
	third := w.a.expect("a longer one", func(m *siptest.Message) bool { return m.Get("Expires") == "7200" })
	w.a.reply(third, 401, "t", nil, field("WWW-Authenticate", sha256Challenge))
	fourth := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Get("CSeq") == "4 REGISTER" })
	proves(t, fourth, "Authorization", sha256Challenge, "2")
	w.a.reply(fourth, 200, "t", nil, field("Contact", "<sip:other@198.51.100.1>;expires=5"), field("Contact", fourth.Get("Contact")+";expires=2"))
	// It is refreshed before the two seconds are over, by the same Call-ID.
	again := w.a.expect("a refresh", func(m *siptest.Message) bool { return m.Get("CSeq") == "5 REGISTER" })
	if again.Get("Call-ID") != first.Get("Call-ID") {
		t.Error("a refresh with another Call-ID")
	}
	w.a.reply(again, 200, "t", nil, field("Expires", "600"))
	// The carrier calls us at the contact; nothing but the registration says who it is.
	eventually(t, "registered", func() bool { return w.gw.Trunks()["raw"].Registered })
	inv := w.a.invite("4711", func(m *siptest.Message) { m.URI = siptest.URIOf(again.Get("Contact")) })
	in := w.b.request("INVITE")
	w.b.reply(in, 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Peer != "raw" || r.Direction != call.Inbound {
		t.Errorf("record %+v", r)
	}
	// It is taken back at the end.
	done := make(chan struct{})
	go func() { defer close(done); w.gw.Close() }()
	last := w.a.expect("the end", func(m *siptest.Message) bool { return m.Method == "REGISTER" && m.Get("Expires") == "0" })
	w.a.reply(last, 200, "t", nil)
	<-done
	if strings.Contains(w.a.saw(), insideNet) || strings.Contains(w.a.saw(), "hunter2") {
		t.Errorf("the carrier saw too much:\n%s", w.a.saw())
	}
}

// TestTrunkRefused: a password that is wrong is an alert, and is not tried
// again and again.
func TestTrunkRefused(t *testing.T) {
	w := newRawWorld(t, account(func(a *sbc.TrunkAccount) { a.Retry = time.Hour }))
	for i := range 2 {
		m := w.a.expect("REGISTER", func(m *siptest.Message) bool {
			return m.Method == "REGISTER" && (m.Get("Authorization") != "") == (i == 1)
		})
		w.a.reply(m, 401, "t", nil, field("WWW-Authenticate", md5Challenge))
	}
	eventually(t, "the alert", func() bool { return w.rep.told(call.TrunkLost, "raw") })
	w.a.never("a third REGISTER", func(m *siptest.Message) bool { return m.Get("CSeq") == "3 REGISTER" })
	if s := w.gw.Trunks()["raw"]; s.Registered || !strings.Contains(s.Reason, "refuses our credentials") {
		t.Errorf("%+v", s)
	}
	// Who is not registered is not the carrier.
	w.a.invite("4711")
	eventually(t, "the refusal", func() bool { return has(w.rep.rules(), "base/plaintext") })
	w.a.never("an answer", func(m *siptest.Message) bool { return m.Code != 0 })
}

// TestTrunkComesBack: a carrier that fails is asked again, and both are told.
func TestTrunkComesBack(t *testing.T) {
	w := newRawWorld(t, account())
	w.a.reply(w.a.request("REGISTER"), 500, "t", nil)
	eventually(t, "the alert", func() bool { return w.rep.told(call.TrunkLost, "raw") })
	m := w.a.expect("another try", func(m *siptest.Message) bool { return m.Get("CSeq") == "2 REGISTER" })
	w.a.reply(m, 200, "t", nil, field("Expires", "600"))
	eventually(t, "the end of it", func() bool { return w.rep.told(call.TrunkRegistered, "raw") })
}

// TestCarrierChallengesCalls: INVITE, re-INVITE and BYE are answered with our
// credentials; the PBX and its phones see nothing of it.
func TestCarrierChallengesCalls(t *testing.T) {
	w := newRawWorld(t, account())
	w.grant("600")
	challenge := func(m *siptest.Message, code int) *siptest.Message {
		t.Helper()
		name, answer := "Proxy-Authenticate", "Proxy-Authorization"
		if code == 401 {
			name, answer = "WWW-Authenticate", "Authorization"
		}
		w.a.reply(m, code, "c", nil, field(name, sha256Challenge))
		if m.Method == "INVITE" {
			if ack := w.a.request("ACK"); siptest.Param(ack.Get("Via"), "branch") != siptest.Param(m.Get("Via"), "branch") {
				t.Error("the ACK is not that of the challenged INVITE")
			}
		}
		n, _ := m.CSeq()
		return w.a.expect("the answer", func(x *siptest.Message) bool {
			y, _ := x.CSeq()
			return x.Method == m.Method && y == n+1 && x.Get(answer) != ""
		})
	}
	inv := w.ring("sip:+442079460000@x")
	in := w.a.request("INVITE")
	in2 := challenge(in, 407)
	proves(t, in2, "Proxy-Authorization", sha256Challenge, "1")
	if in2.Get("Call-ID") != in.Get("Call-ID") || in2.Get("From") != in.Get("From") || string(in2.Body) != string(in.Body) {
		t.Error("the answer is another call")
	}
	w.a.reply(in2, 200, "t", w.a.sdp())
	ok := w.b.code(200)
	w.b.send(w.b.within("ACK", 1, inv, ok))
	n2, _ := in2.CSeq()
	w.a.expect("the ACK", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Method == "ACK" && n == n2 })
	// A re-INVITE.
	re := withSDP(w.b.within("INVITE", 2, inv, ok), w.b.sdp())
	w.b.send(re)
	mod := w.a.expect("the re-INVITE", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Method == "INVITE" && n == n2+1 })
	mod2 := challenge(mod, 401)
	proves(t, mod2, "Authorization", sha256Challenge, "2")
	w.a.reply(mod2, 200, "", w.a.sdp())
	res := w.b.expect("200 to the re-INVITE", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Code == 200 && n == 2 })
	w.b.send(w.b.within("ACK", 2, inv, res))
	w.a.expect("the ACK", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Method == "ACK" && n == n2+2 })
	// BYE.
	w.b.send(w.b.within("BYE", 3, inv, ok))
	w.b.answer("BYE", 200)
	bye := challenge(w.a.request("BYE"), 407)
	proves(t, bye, "Proxy-Authorization", sha256Challenge, "3")
	w.a.reply(bye, 200, "", nil)
	w.quiet()
	if s := w.b.saw(); strings.Contains(s, "Digest") || strings.Contains(s, publicNet) {
		t.Errorf("the inside saw the challenge:\n%s", s)
	}
	if s := w.a.saw(); strings.Contains(s, insideNet) {
		t.Errorf("the carrier saw the inside:\n%s", around(s, insideNet))
	}
}

// TestCarrierRefusesCredentials: the caller hears 403, the carrier is not
// asked a third time; a stale nonce is no refusal.
func TestCarrierRefusesCredentials(t *testing.T) {
	w := newRawWorld(t, account())
	w.grant("600")
	ask := func(code int, extra string, last bool) {
		t.Helper()
		inv := w.ring("sip:+442079460000@x")
		var m *siptest.Message
		for i := range 3 {
			if i == 2 && last {
				break
			}
			m = w.a.expect("INVITE", func(m *siptest.Message) bool { return m.Method == "INVITE" })
			for w.a.take(func(x *siptest.Message) bool { return x.Method == "INVITE" && x.Get("CSeq") == m.Get("CSeq") }) != nil {
			}
			w.a.reply(m, 407, "t", nil, field("Proxy-Authenticate", sha256Challenge+extra))
			w.a.expect("ACK", func(x *siptest.Message) bool {
				return x.Method == "ACK" && strings.Fields(x.Get("CSeq"))[0] == strings.Fields(m.Get("CSeq"))[0]
			})
		}
		w.b.ackFailure(inv, w.b.expect("403", func(m *siptest.Message) bool { return m.Code == code && m.Get("Call-ID") == inv.Get("Call-ID") }))
		w.quiet()
		w.a.never("one more INVITE", is("INVITE"))
	}
	ask(403, "", true)
	ask(403, ", stale=true", false)
}

// TestCancelBeforeAnswer: the caller hangs up while the answered INVITE has
// not been heard of; the CANCEL waits for it.
func TestCancelBeforeAnswer(t *testing.T) {
	w := newRawWorld(t, account())
	w.grant("600")
	inv := w.ring("sip:+442079460000@x")
	in := w.a.request("INVITE")
	w.a.reply(in, 100, "", nil)
	w.a.reply(in, 407, "c", nil, field("Proxy-Authenticate", sha256Challenge))
	in2 := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "INVITE" && m.Get("Proxy-Authorization") != "" })
	w.b.cancel(inv)
	w.b.ackFailure(inv, w.b.code(487))
	w.a.never("CANCEL", is("CANCEL"))
	w.a.reply(in2, 180, "t", nil)
	c := w.a.request("CANCEL")
	w.a.reply(c, 200, "t", nil)
	w.a.reply(in2, 487, "t", nil)
	w.quiet()
}

// TestCarrierChallengesMessages: as with calls, and the sender sees nothing.
func TestCarrierChallengesMessages(t *testing.T) {
	w := newRawWorld(t, account())
	w.grant("600")
	m := &siptest.Message{Method: "MESSAGE", URI: "sip:+442079460000@x", Body: []byte("hello")}
	for _, f := range []siptest.Field{field("Via", w.b.via()), field("Max-Forwards", "70"), field("From", "<sip:1001@"+domain+">;tag=f"), field("To", "<sip:+442079460000@x>"),
		field("Call-ID", unique("m")), field("CSeq", "1 MESSAGE"), field("Content-Type", "text/plain")} {
		m.Headers = append(m.Headers, f)
	}
	w.b.send(m)
	first := w.a.request("MESSAGE")
	w.a.reply(first, 401, "t", nil, field("WWW-Authenticate", sha256Challenge))
	again := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "MESSAGE" && m.Get("Authorization") != "" })
	proves(t, again, "Authorization", sha256Challenge, "1")
	w.a.reply(again, 200, "t", nil)
	w.b.answer("MESSAGE", 200)
	if strings.Contains(w.b.saw(), "Digest") {
		t.Errorf("the sender saw the challenge:\n%s", w.b.saw())
	}
}
