package sbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// multipart puts parts behind the description of an INVITE or answer; each is
// header lines, an empty line and content.
func multipart(m *siptest.Message, sdp []byte, parts ...string) {
	var b strings.Builder
	for _, p := range append([]string{"Content-Type: application/sdp\r\n\r\n" + string(sdp)}, parts...) {
		b.WriteString("--cut\r\n" + p + "\r\n")
	}
	b.WriteString("--cut--\r\n")
	m.Set("Content-Type", "multipart/mixed;boundary=cut")
	m.Body = []byte(b.String())
}

func bodies(types ...string) option {
	return func(c *worldConfig) { c.sbc.PBXs[0].Bodies, c.sbc.Peers[0].Bodies = types, types }
}

const isup = "Content-Type: application/isup;version=itu-t92+;note=\"10.1.1.1\"\r\nContent-Disposition: signal;handling=required\r\n\r\n\x01\x00\x60\xff--cu\r\nt"

func pidf(host string) string {
	return "Content-Type: application/pidf+xml\r\nContent-ID: <here@" + host + ">\r\n\r\n<?xml version=\"1.0\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:+33199001234@" + host + "\">" +
		"<tuple id=\"a\"><status><geopriv><usage-rules/><civicAddress><A6>Rue de Rivoli</A6></civicAddress></geopriv></status><contact>sip:1@" + host + "</contact></tuple></presence>"
}

// TestMultipartDescription: the description of a multipart body is the offer;
// what merely accompanies it is left out.
func TestMultipartDescription(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	extra := "Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n\r\nfrom " + publicNet + "66"
	inv := w.a.invite("+33123456789", func(m *siptest.Message) {
		multipart(m, w.a.sdp(), extra, strings.Replace(isup, "required", "optional", 1), pidf(w.a.host()))
	})
	in := w.b.request("INVITE")
	if in.Get("Content-Type") != "application/sdp" || !strings.HasPrefix(string(in.Body), "v=0\r\n") {
		t.Errorf("B got %s", in.Bytes())
	}
	answer := &siptest.Message{}
	multipart(answer, w.b.sdp(), extra)
	w.b.reply(in, 200, "t1", answer.Body)
	// reply says application/sdp of its body: not a description at all.
	w.a.ackFailure(inv, w.a.code(488))
	w.b.request("ACK")
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()

	inv = w.a.invite("+33123456789", func(m *siptest.Message) { multipart(m, w.a.sdp(), extra) })
	in = w.b.request("INVITE")
	w.b.replyOf(in, 200, "t2", "multipart/mixed;boundary=cut", answer.Body)
	ok := w.a.code(200)
	if ok.Get("Content-Type") != "application/sdp" || !strings.HasPrefix(string(ok.Body), "v=0\r\n") {
		t.Errorf("A got %s", ok.Bytes())
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t2"}, 2)
	w.hidden()
}

// TestMultipartRefused: what cannot be read or must be understood.
func TestMultipartRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for _, c := range []struct {
		name   string
		code   int
		change func(*siptest.Message)
	}{
		{"two descriptions", 400, func(m *siptest.Message) {
			multipart(m, w.a.sdp(), "Content-Type: application/sdp\r\n\r\n"+string(w.a.sdp()))
		}},
		{"a part that must be understood", 415, func(m *siptest.Message) { multipart(m, w.a.sdp(), "Content-Type: application/x-secret\r\n\r\nx") }},
		{"signalling that nobody allowed", 415, func(m *siptest.Message) { multipart(m, w.a.sdp(), isup) }},
		{"cut off", 400, func(m *siptest.Message) { multipart(m, w.a.sdp()); m.Body = m.Body[:len(m.Body)-8] }},
		{"signed", 415, func(m *siptest.Message) {
			multipart(m, w.a.sdp())
			m.Set("Content-Type", "multipart/signed;boundary=cut")
		}},
		{"without a description", 415, func(m *siptest.Message) {
			m.Set("Content-Type", "multipart/mixed;boundary=cut")
			m.Body = []byte("--cut\r\nContent-Disposition: render;handling=optional\r\n\r\nhello\r\n--cut--\r\n")
		}},
		{"many parts", 400, func(m *siptest.Message) {
			multipart(m, w.a.sdp(), strings.Split(strings.Repeat("Content-Disposition: render;handling=optional\r\n\r\nx|", 9), "|")...)
		}},
	} {
		inv := w.a.invite("+33123456789", c.change)
		res := w.a.expect(fmt.Sprint(c.name, ": ", c.code), func(m *siptest.Message) bool { return m.Code >= 200 && m.Get("Call-ID") == inv.Get("Call-ID") })
		if res.Code != c.code {
			t.Errorf("%s: %d, want %d", c.name, res.Code, c.code)
		}
		w.a.ackFailure(inv, res)
	}
	w.b.never("an INVITE", is("INVITE"))
	// In a dialog as well; the call goes on.
	call := w.up()
	w.confirmed()
	re := withSDP(w.a.within("INVITE", 2, call.inv, call.ok), nil)
	multipart(re, w.a.sdp(), "Content-Type: application/sdp\r\n\r\n"+string(w.a.sdp()))
	w.a.send(re)
	w.a.ackFailure(re, w.a.code(400))
	w.bye(call, 3)
}

// TestSignallingBodies: ISUP crosses where both ends are configured for it.
func TestSignallingBodies(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, bodies("application/isup"))
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { multipart(m, w.a.sdp(), isup) })
	in := w.b.request("INVITE")
	got := string(in.Body)
	if !strings.HasPrefix(in.Get("Content-Type"), "multipart/mixed;boundary=") || strings.Contains(in.Get("Content-Type"), "cut") {
		t.Errorf("Content-Type %q", in.Get("Content-Type"))
	}
	for _, want := range []string{"Content-Type: application/isup; version=itu-t92+\r\n", "Content-Disposition: signal;handling=required\r\n", "\r\n\r\n\x01\x00\x60\xff--cu\r\nt\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Count(got, "v=0") != 1 || strings.Contains(got, "10.1.1.1") {
		t.Errorf("B got %q", got)
	}
	w.b.reply(in, 486, "t1", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	w.hidden()
}

// TestLocation: the caller's place goes with an emergency call and says not
// who the caller is.
func TestLocation(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("112", func(m *siptest.Message) {
		multipart(m, w.a.sdp(), pidf(w.a.host()), "Content-Type: application/x-secret\r\n\r\nx")
		m.Add("Geolocation", "<cid:here@"+w.a.host()+">;inserted-by=\""+w.a.host()+"\"")
		m.Add("Geolocation-Routing", "yes")
	})
	in := w.b.request("INVITE")
	got := string(in.Body)
	id := "location0@" + domain
	if in.Get("Geolocation") != "<cid:"+id+">" || in.Get("Geolocation-Routing") != "yes" || !strings.Contains(got, "Content-ID: <"+id+">\r\n") {
		t.Errorf("B got %s", in.Bytes())
	}
	if !strings.Contains(got, "<A6>Rue de Rivoli</A6>") || !strings.Contains(got, `entity="pres:anonymous@`+domain+`"`) || strings.Contains(got, "<contact") {
		t.Errorf("B got %s", got)
	}
	w.b.reply(in, 486, "t1", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	w.hidden()
}

// TestInfoBodies: keys pass, what could name a host does not.
func TestInfoBodies(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	c := w.up()
	w.confirmed()
	for i, b := range []struct{ ct, body string }{
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"}, {"application/dtmf", "5"},
		{"application/media_control+xml", "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>"},
	} {
		m := w.a.within("INFO", 2+i, c.inv, c.ok)
		m.Add("Content-Type", b.ct+";host="+w.a.host())
		m.Body = []byte(b.body)
		w.a.send(m)
		got := w.b.request("INFO")
		if got.Get("Content-Type") != b.ct || string(got.Body) != b.body {
			t.Errorf("%s: B got %s", b.ct, got.Bytes())
		}
		w.b.reply(got, 200, "", nil)
		w.a.answer("INFO", 200)
	}
	for i, ct := range []string{"application/sdp", "text/plain", "multipart/mixed;boundary=cut", "message/sipfrag", "application/isup", "application/dtmf"} {
		m := w.a.within("INFO", 10+i, c.inv, c.ok)
		m.Add("Content-Type", ct)
		m.Body = []byte("o=" + w.a.host() + strings.Repeat(" ", 2048))
		w.a.send(m)
		if res := w.a.answer("INFO", 415); !strings.Contains(res.Get("Accept"), "application/dtmf-relay") {
			t.Errorf("%s: Accept %q", ct, res.Get("Accept"))
		}
	}
	w.b.never("an INFO", w.b.another("INFO"))
	w.bye(c, 30)
	w.hidden()
}
