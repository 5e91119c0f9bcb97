package sbc_test

import (
	"bytes"
	cryptotls "crypto/tls"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// line is a TLS connection that sends octets as they are, one record for each
// write, and gives back the messages of the gateway until it hangs up.
type line struct {
	t    *testing.T
	c    *cryptotls.Conn
	buf  []byte
	ends bool // the gateway hung up
}

func (w *rawWorld) line(from string) *line {
	w.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	c, err := cryptotls.DialWithDialer(&dialer, "tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &line{t: w.t, c: c}
}

// write sends the pieces of b that the cuts make; a gateway that hangs up
// before the last one is no failure here.
func (l *line) write(b []byte, cuts ...int) {
	from := 0
	for _, to := range append(cuts, len(b)) {
		if to = min(to, len(b)); from < to {
			if _, err := l.c.Write(b[from:to]); err != nil {
				return
			}
		}
		from = to
	}
}

// next gives the next message, nil when the gateway hung up.
func (l *line) next() *siptest.Message {
	l.t.Helper()
	chunk := make([]byte, 8192)
	for {
		for bytes.HasPrefix(l.buf, []byte("\r\n")) {
			l.buf = l.buf[2:]
		}
		if len(l.buf) > 0 {
			if m, used, err := siptest.Parse(l.buf, false); err == nil {
				l.buf = l.buf[used:]
				return m
			}
		}
		l.c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := l.c.Read(chunk)
		l.buf = append(l.buf, chunk[:n]...)
		var timeout net.Error
		switch {
		case n > 0:
		case errors.As(err, &timeout) && timeout.Timeout():
			l.t.Fatalf("neither a message nor the end; there is %q", l.buf)
		case err != nil:
			l.ends = true // or reset, as there was more that nobody read
			return nil
		}
	}
}

// until reads up to the answer to a fence, or to the end, and gives the final
// answers before it.
func (l *line) until(callID string) (before []*siptest.Message) {
	l.t.Helper()
	for {
		m := l.next()
		if m == nil || m.Get("Call-ID") == callID && m.Code >= 200 {
			return before
		}
		if m.Code >= 200 || m.Code == 0 {
			before = append(before, m)
		}
	}
}

// fence is a REGISTER of a phone; whoever is on the line gets an answer to it.
func fence(user, from string) (b []byte, callID string) {
	id := unique("fence")
	m := &siptest.Message{Method: "REGISTER", URI: "sip:" + domain}
	m.Add("Via", "SIP/2.0/TLS "+from+":5066;branch=z9hG4bK"+id+";rport")
	m.Add("Max-Forwards", "70")
	m.Add("From", "<sip:"+user+"@"+domain+">;tag="+id)
	m.Add("To", "<sip:"+user+"@"+domain+">")
	m.Add("Call-ID", id)
	m.Add("CSeq", "1 REGISTER")
	m.Add("Contact", "<sip:"+user+"@"+from+":5066;transport=tls>")
	m.Add("Expires", "3600")
	return m.Bytes(), id
}

var audio = regexp.MustCompile(`m=audio 40000 RTP/AVP([ 0-9]*)\r\n`)

// onTLS makes a trick one of a phone: its transport, its domain, its key.
func onTLS(c siptest.Trick, user, from, id string) []byte {
	c.Text = strings.NewReplacer("{user}@{host}", "{user}@"+domain, "SIP/2.0/UDP {me}", "SIP/2.0/TLS {me}", "{gw}", domain).Replace(c.Text)
	c.Text = audio.ReplaceAllString(c.Text, "m=audio 40000 RTP/SAVP$1\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+strings.Repeat("Abcd", 10)+"\r\n")
	return c.Bytes(map[string]string{"to": "+33123456789", "user": user, "host": from, "me": from + ":5066", "id": id})
}

// tricky is a world whose PBX keeps all that it got and refuses every call.
type tricky struct {
	*rawWorld
	mu     sync.Mutex
	inside [][]byte
	from   string
	line   *line
}

func newTricky(t *testing.T) *tricky {
	w := &tricky{rawWorld: newRawWorld(t), from: publicNet + "101"}
	w.b.tap.Store(func(b []byte) { w.mu.Lock(); w.inside = append(w.inside, b); w.mu.Unlock() })
	w.b.auto.Store(func(m *siptest.Message) bool {
		switch m.Method {
		case "", "ACK":
		case "INVITE":
			w.b.reply(m, 486, "busy", nil)
		case "REGISTER":
			if strings.Contains(m.Get("From"), "sip:1001@") {
				w.granted(m, 3600)
			} else {
				w.b.reply(m, 401, "no", nil, siptest.Field{Name: "WWW-Authenticate", Value: `Digest realm="x", nonce="n"`})
			}
		default:
			w.b.reply(m, 200, "fine", nil)
		}
		return true
	})
	return w
}

// phone is the line of a registered phone: the one there is while it lasts.
func (w *tricky) phone() *line {
	w.t.Helper()
	if w.line == nil || w.line.ends {
		w.line = w.rawWorld.line(w.from)
		b, id := fence("1001", w.from)
		w.line.write(b)
		if w.line.until(id); w.line.ends {
			w.t.Fatal("no registration")
		}
	}
	return w.line
}

// send writes a trick, cut as it is said, and a fence behind it, and gives the
// final codes of the trick. What is taken is waited for: it is answered by the
// PBX, which a fence can overtake.
func (w *tricky) send(l *line, user, from string, c siptest.Trick, cuts ...int) (codes []int) {
	w.t.Helper()
	id := unique("trick") + "x"
	mine := func(m *siptest.Message) bool {
		if m == nil || !strings.Contains(m.Get("Call-ID")+m.Branch(), id) || m.Code < 200 {
			return false
		}
		codes = append(codes, m.Code)
		return true
	}
	l.write(onTLS(c, user, from, id), cuts...)
	switch {
	case c.Cut == "wait": // for octets that were promised: what follows would be part of it
		l.c.CloseWrite()
	case taken(c):
		for m := l.next(); m != nil && !mine(m); m = l.next() {
		}
	}
	b, callID := fence(user, from)
	l.write(b)
	for _, m := range l.until(callID) {
		mine(m)
	}
	return codes
}

// taken: there is an answer to it in any case, by the gateway or the PBX.
func taken(c siptest.Trick) bool {
	return !c.Response() && (c.Code == 0 || c.Late) && c.Cut != "close"
}

// cutCodes are what a stream may be told when no boundary is left.
var cutCodes = []int{400, 413, 414, 513}

// TestSmuggledOverTLS sends every trick over TLS as a stream is read, by a phone
// that is registered and by somebody unknown. The connection ends where no
// boundary is left and goes on where there is one; what the PBX gets says one
// thing to every reader; and the next call is served.
func TestSmuggledOverTLS(t *testing.T) {
	t.Parallel()
	w := newTricky(t)
	stranger := publicNet + "77"
	var s *line
	closed := 0
	for _, c := range siptest.Smuggled() {
		l := w.phone()
		want := c.Code
		if want == 0 && c.Cut == "" {
			want = 486
		}
		codes := w.send(l, "1001", w.from, c)
		if taken(c) && len(codes) == 0 {
			t.Errorf("%s: no answer, want %d", c.Name, want)
		}
		for _, code := range codes {
			if c.Response() || code != want && !(c.Cut == "close" && slices.Contains(cutCodes, code)) {
				t.Errorf("%s: %d, want %d", c.Name, code, want)
			}
		}
		if l.ends != (c.Cut != "") {
			t.Errorf("%s: the connection ended: %v", c.Name, l.ends)
		}
		if l.ends {
			closed++
		}

		if s == nil || s.ends {
			s = w.rawWorld.line(stranger)
		}
		for _, code := range w.send(s, "1009", stranger, c) {
			// What is well-formed is refused as the request of somebody unknown.
			if c.Response() || code != want && code != 403 && !(c.Cut == "close" && slices.Contains(cutCodes, code)) || code == 486 {
				t.Errorf("%s: a stranger is told %d", c.Name, code)
			}
		}
		if c.Cut != "" && !s.ends {
			t.Errorf("%s: the connection of a stranger goes on", c.Name)
		}
	}
	if closed < 30 {
		t.Errorf("%d connections ended", closed)
	}
	w.arrived(50)
	w.serves()
}

// arrived looks at what the PBX got: at least so many calls of the phone, none
// of the stranger, each for one number and without what was smuggled.
func (w *tricky) arrived(least int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	invites := 0
	for _, b := range w.inside {
		if err := siptest.Ambiguous(b); err != nil {
			w.t.Errorf("the PBX got a message that can be read in two ways: %v\n%s", err, b)
		}
		if text := quietly(b); strings.Contains(text, "smuggled") {
			w.t.Errorf("the PBX got\n%s", b)
		}
		if bytes.HasPrefix(b, []byte("INVITE ")) {
			invites++
			if want := "INVITE sip:+33123456789@" + domain + " SIP/2.0\r\n"; !bytes.HasPrefix(b, []byte(want)) || !bytes.Contains(b, []byte("sip:1001@")) {
				w.t.Errorf("the PBX got a call of somebody else, or for somebody else\n%s", b)
			}
		}
	}
	if invites < least {
		w.t.Errorf("%d INVITEs came through, want %d", invites, least)
	}
}

// serves makes a call from end to end.
func (w *tricky) serves() {
	w.t.Helper()
	w.b.auto.Store(func(*siptest.Message) bool { return false })
	p := w.desk("1002")
	c := w.dial(p, "+33123456789")
	p.send(p.within("BYE", 2, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	w.hidden()
}

// TestSmuggledInPieces: where the records of TLS are cut makes no difference.
// What ends a connection is cut at every line and around its end, by a stranger;
// what does not, at steps of three octets and more, by a phone; and each comes an octet at a time.
func TestSmuggledInPieces(t *testing.T) {
	t.Parallel()
	w := newTricky(t)
	stranger := publicNet + "77"
	every := func(n int) (cuts []int) {
		for i := 1; i < n; i++ {
			cuts = append(cuts, i)
		}
		return cuts
	}
	names := []string{"a fold in To", "version SIP/2.1", "another method in CSeq", "NUL in a header", "a header behind a bare LF", "an end behind bare LFs", "two Content-Lengths",
		"Content-Length 5, 6", "a second request behind the body", "no length", "a length beyond the datagram", "response: two CSeqs", "response: two lengths"}
	step := map[string]int{"a fold in To": 30, "another method in CSeq": 2, "version SIP/2.1": 20, "NUL in a header": 20, "response: two CSeqs": 20}
	done := 0
	for _, c := range siptest.Smuggled() {
		if !slices.Contains(names, c.Name) {
			continue
		}
		done++
		b := onTLS(c, "1001", w.from, "0000000000")
		want := c.Code
		if want == 0 && c.Cut == "" {
			want = 486
		}
		try := func(l *line, user, from string, cuts ...int) {
			t.Helper()
			codes := w.send(l, user, from, c, cuts...)
			for _, code := range codes {
				if code != want && !(c.Cut == "close" && slices.Contains(cutCodes, code)) && !(user == "1009" && code == 403) {
					t.Errorf("%s in %d pieces from %v: %d, want %d", c.Name, len(cuts)+1, cuts[0], code, want)
				}
			}
			if taken(c) && len(codes) != 1 || c.Response() && len(codes) > 0 {
				t.Errorf("%s in %d pieces from %v: answers %v", c.Name, len(cuts)+1, cuts[0], codes)
			}
			if l.ends != (c.Cut != "") {
				t.Errorf("%s in %d pieces from %v: the connection ended: %v", c.Name, len(cuts)+1, cuts[0], l.ends)
			}
		}
		try(w.phone(), "1001", w.from, every(len(b))...)
		switch {
		case c.Cut == "":
			for at := 1; at < len(b); at += step[c.Name] + 1 {
				try(w.phone(), "1001", w.from, at)
			}
		default:
			for at := range b {
				if b[at] == '\n' && at < len(b)-1 {
					try(w.rawWorld.line(stranger), "1009", stranger, at, at+1)
				}
			}
		}
	}
	if done != len(names) {
		t.Errorf("%d of %d tricks", done, len(names))
	}
	w.arrived(15)
	w.serves()
}
