package sipx

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// crlf writes a message of a test with its line ends; %0D etc. are left alone.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

const goodInvite = `INVITE sip:+442079460000@sip.example.com;user=phone SIP/2.0
Via: SIP/2.0/TLS 192.0.2.7:51234;branch=z9hG4bK-524287-1---7d1a;rport
Max-Forwards: 70
From: "Alice Smith" <sip:1001@sip.example.com>;tag=a8f3c2
To: <sip:+442079460000@sip.example.com>
Call-ID: 3848276298220188511@192.0.2.7
CSeq: 1 INVITE
Contact: <sip:1001@192.0.2.7:51234;transport=tls>;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
Supported: replaces, timer, outbound
Allow: INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS, REFER
User-Agent: Example Phone 3.2
Content-Type: application/sdp
Content-Length: 9

v=0
o=- 
`

const goodRegister = `REGISTER sip:sip.example.com SIP/2.0
Via: SIP/2.0/TLS [2001:db8::7]:51234;branch=z9hG4bKabc;rport
Max-Forwards: 70
From: <sip:1001@sip.example.com>;tag=a8f3c2
To: <sip:1001@sip.example.com>
Call-ID: reg-1
CSeq: 1 REGISTER
Contact: <sip:1001@[2001:db8::7]:51234;transport=tls>;expires=600, <sip:1001@192.0.2.7>
Content-Length: 0

`

const goodResponse = `SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKabc;received=10.0.0.2
From: <sip:1001@sip.example.com>;tag=a
To: <sip:1002@sip.example.com>;tag=b
Call-ID: c1
CSeq: 7 INVITE
Content-Length: 0

`

func TestCheckAccepts(t *testing.T) {
	edit := func(base, old, new string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("base has no %q", old)
		}
		return strings.Replace(base, old, new, 1)
	}
	for name, m := range map[string]string{
		"invite":             goodInvite,
		"register":           goodRegister,
		"response":           goodResponse,
		"unknown method":     strings.ReplaceAll(goodRegister, "REGISTER", "FoO.1"),
		"tel":                edit(goodInvite, "sip:+442079460000@sip.example.com;user=phone", "tel:+44-20-7946-0000;phone-context=example.com"),
		"urn":                edit(goodInvite, "sip:+442079460000@sip.example.com;user=phone", "urn:service:sos"),
		"star":               edit(goodRegister, `<sip:1001@[2001:db8::7]:51234;transport=tls>;expires=600, <sip:1001@192.0.2.7>`, "*"),
		"fold":               edit(goodInvite, "Supported: replaces, ", "Supported: replaces,\n\t"),
		"compact":            edit(edit(goodInvite, "Call-ID", "i"), "Content-Length", "L"),
		"spaced colon":       edit(goodInvite, "Via:", "Via \t :"),
		"bare addr":          edit(goodInvite, "<sip:+442079460000@sip.example.com>\n", "sip:+442079460000@sip.example.com\n"),
		"escapes":            edit(goodInvite, `"Alice Smith"`, `"Alice \"the\" \\ Smith"`),
		"utf-8 name":         edit(goodInvite, "Alice", "Алиса"),
		"empty header":       edit(goodInvite, "User-Agent: Example Phone 3.2", "User-Agent:"),
		"gruu":               edit(goodRegister, ";expires=600", `;pub-gruu="sip:1001@sip.example.com;gr=urn:uuid:1"`),
		"no reason":          edit(goodResponse, "180 Ringing", "180 "),
		"no Max-Forwards":    strings.ReplaceAll(edit(goodRegister, "Max-Forwards: 70\n", ""), "REGISTER", "OPTIONS"),
		"no length":          edit(goodRegister, "Content-Length: 0\n", ""),
		"hash in user":       edit(goodInvite, "sip:+442079460000@", "sip:*31#0123@"),
		"mapped":             edit(goodRegister, "192.0.2.7", "[::ffff:192.0.2.7]"),
		"no branch":          edit(goodInvite, ";branch=z9hG4bK-524287-1---7d1a", ""),
		"2543 branch":        edit(goodInvite, "z9hG4bK-", ""),
		"two Vias":           edit(goodInvite, ";rport\n", ";rport,SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\n"),
		"three Via headers":  edit(goodInvite, "Via:", "Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\nv: SIP/2.0/UDP b.example;branch=z9hG4bK2\nVia:"),
		"date":               edit(goodInvite, "Supported:", "Date: Sat, 13 Nov 2010 23:29:00 GMT\nSupported:"),
		"absolute host dot":  edit(goodRegister, "sip:sip.example.com", "sip:sip.example.com."),
		"weird other header": edit(goodInvite, "Supported:", "X: ;;,,;;\"\nSupported:"),
	} {
		msg := crlf(m)
		n, bad := Check(msg, false, Limits{})
		if bad != nil {
			t.Errorf("%s: %v", name, bad)
			continue
		}
		if n != len(msg) && name != "invite" && !strings.HasPrefix(m, "INVITE") {
			t.Errorf("%s: n = %d of %d", name, n, len(msg))
		}
		if !mayBeSIP(msg) {
			t.Errorf("%s: the first look drops it", name)
		}
		agree(t, msg[:n])
	}
}

func TestCheckRefuses(t *testing.T) {
	// Each case replaces old by new in a good message.
	type c struct {
		name, base, old, new string
		status               int
	}
	I, R, S := goodInvite, goodRegister, goodResponse
	cases := []c{
		{"bare LF in a header", I, "Phone 3.2", "Phone\x00LF3.2", 400},
		{"bare CR in a header", I, "Phone 3.2", "Phone\x00CR3.2", 400},
		{"bare LF as a line end", I, "\nMax-Forwards", "\x00LFMax-Forwards", 400},
		{"NUL", I, "Phone 3.2", "Phone\x00NUL", 400},
		{"escape character", I, "Phone 3.2", "Phone\x1b[2J", 400},
		{"DEL", I, "Phone 3.2", "Phone\x7f", 400},
		{"NUL in a quoted name", I, "Alice Smith", "Alice\x00NUL", 400},
		{"not UTF-8", I, "Phone 3.2", "Phone \xff\xfe", 400},
		{"no end", R, "Content-Length: 0\n\n", "Content-Length: 0\n", 400},
		{"blank continuation", I, "Supported: replaces,", "Supported: a,\n \n replaces,", 400},
		{"first line folded", I, "\nVia:", "\n Via:", 400},
		{"double space", I, "INVITE sip", "INVITE  sip", 400},
		{"tab in the start line", I, "INVITE sip", "INVITE\tsip", 400},
		{"trailing space", I, "SIP/2.0\nVia", "SIP/2.0 \nVia", 400},
		{"version 9.9", I, "SIP/2.0\nVia", "SIP/9.9\nVia", 505},
		{"version 2.00", I, "SIP/2.0\nVia", "SIP/2.00\nVia", 505},
		{"lower version", I, "SIP/2.0\nVia", "sip/2.0\nVia", 505},
		{"HTTP", I, "SIP/2.0\nVia", "HTTP/1.1\nVia", 400},
		{"method not a token", I, "INVITE sip", "INV(TE sip", 400},
		{"lower method", R, "REGISTER sip", "register sip", 400},
		{"two slashes before the user", I, "INVITE sip:+442079460000@sip.example.com;user=phone", "INVITE sip://bob@example.com", 400},
		{"bracket in a parameter without a user", I, "INVITE sip:+442079460000@sip.example.com;user=phone", "INVITE sip:example.com;maddr=[::1]", 400},
		{"method differs", I, "1 INVITE", "1 BYE", 400},
		{"CSeq too large", I, "1 INVITE", "2147483648 INVITE", 400},
		{"CSeq negative", I, "1 INVITE", "-1 INVITE", 400},
		{"CSeq without method", I, "1 INVITE", "1", 400},
		{"CSeq huge", I, "1 INVITE", "36893488147419103232 INVITE", 400},
		{"no From", I, "From:", "X-From:", 400},
		{"no To", I, "\nTo:", "\nX-To:", 400},
		{"no Call-ID", I, "Call-ID:", "X-ID:", 400},
		{"no CSeq", I, "CSeq:", "X-CSeq:", 400},
		{"no Via", I, "Via:", "X-Via:", 400},
		{"no Contact in INVITE", I, "Contact:", "X-Contact:", 400},
		{"body without type", I, "Content-Type:", "X-Type:", 400},
		{"two From", I, "\nTo:", "\nf: <sip:x@y>;tag=1\nTo:", 400},
		{"two To", I, "\nTo:", "\nt: <sip:x@y>\nTo:", 400},
		{"two Call-ID", I, "\nTo:", "\ni: x\nTo:", 400},
		{"two CSeq", I, "\nTo:", "\nCSeq: 1 INVITE\nTo:", 400},
		{"two Max-Forwards", I, "\nTo:", "\nmax-forwards: 70\nTo:", 400},
		{"two Content-Length", I, "\nTo:", "\nl: 9\nTo:", 400},
		{"two Content-Type", I, "\nTo:", "\nc: application/sdp\nTo:", 400},
		{"two Contact", I, "\nTo:", "\nm: <sip:x@y>\nTo:", 400},
		{"two Contact by comma", I, "\nContact: ", "\nContact: <sip:x@y>, ", 400},
		{"two From by comma", I, "tag=a8f3c2", "tag=a8f3c2, <sip:x@y>;tag=2", 400},
		{"two Max-Forwards by comma", I, ": 70", ": 70, 60", 400},
		{"star and another", R, "Contact: ", "Contact: *\nContact: ", 400},
		{"star in INVITE", I, "<sip:1001@192.0.2.7:51234;transport=tls>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"", "*", 400},
		{"Max-Forwards 256", I, ": 70", ": 256", 400},
		{"Max-Forwards -1", I, ": 70", ": -1", 400},
		{"Content-Length negative", I, "Length: 9", "Length: -9", 400},
		{"Content-Length plus", I, "Length: 9", "Length: +9", 400},
		{"Content-Length hex", I, "Length: 9", "Length: 0x9", 400},
		{"Content-Length too large", I, "Length: 9", "Length: 9999", 400},
		{"Content-Length overflow", I, "Length: 9", "Length: 18446744073709551625", 400},
		{"empty header name", I, "\nTo:", "\n: x\nTo:", 400},
		{"header name with space", I, "\nTo:", "\nX Y: x\nTo:", 400},
		{"header without colon", I, "\nTo:", "\nXY\nTo:", 400},
		{"Request-URI in <>", I, "INVITE sip:+442079460000@sip.example.com;user=phone", "INVITE <sip:a@b>", 400},
		{"Request-URI with headers", I, ";user=phone SIP", "?Route=%3Csip:x%3E SIP", 400},
		{"Request-URI with space", I, ";user=phone SIP", "; lr SIP", 400},
		{"Request-URI scheme", I, "INVITE sip:+44", "INVITE http://+44", 416},
		{"Request-URI without scheme", I, "INVITE sip:+442079460000@sip.example.com", "INVITE 1002", 400},
		{"Request-URI star", I, "INVITE sip:+442079460000@sip.example.com;user=phone", "INVITE *", 400},
		{"escape not hex", I, "INVITE sip:+44", "INVITE sip:%2x44", 400},
		{"escape cut", I, "INVITE sip:+442079460000@", "INVITE sip:44%2@", 400},
		{"two @", I, "INVITE sip:+44", "INVITE sip:a@b@+44", 400},
		{"quote in a URI", I, "INVITE sip:+44", "INVITE sip:\"+44", 400},
		{"UTF-8 in a URI", I, "INVITE sip:+44", "INVITE sip:é+44", 400},
		{"empty user", I, "INVITE sip:+442079460000@", "INVITE sip:@", 400},
		{"port 0", I, "@sip.example.com;user", "@sip.example.com:0;user", 400},
		{"port 65536", I, "@sip.example.com;user", "@sip.example.com:65536;user", 400},
		{"port -1", I, "@sip.example.com;user", "@sip.example.com:-1;user", 400},
		{"port empty", I, "@sip.example.com;user", "@sip.example.com:;user", 400},
		{"parameter twice", I, ";user=phone", ";user=phone;User=ip", 400},
		{"empty parameter", I, ";user=phone", ";;user=phone", 400},
		{"IPv6 without brackets", R, "REGISTER sip:sip.example.com", "REGISTER sip:2001:db8::10", 400},
		{"IPv6 three colons", R, "REGISTER sip:sip.example.com", "REGISTER sip:[2001:db8:::192.0.2.1]", 400},
		{"IPv6 two gaps", R, "REGISTER sip:sip.example.com", "REGISTER sip:[1::2::3]", 400},
		{"IPv6 nine groups", R, "REGISTER sip:sip.example.com", "REGISTER sip:[1:2:3:4:5:6:7:8:9]", 400},
		{"IPv6 zone", R, "REGISTER sip:sip.example.com", "REGISTER sip:[fe80::1%25eth0]", 400},
		{"IPv6 open", R, "REGISTER sip:sip.example.com", "REGISTER sip:[::1", 400},
		{"IPv4 too large", R, "<sip:1001@192.0.2.7>", "<sip:1001@192.0.2.256>", 400},
		{"IPv4 short", R, "<sip:1001@192.0.2.7>", "<sip:1001@192.0.2>", 400},
		{"host name", R, "REGISTER sip:sip.example.com", "REGISTER sip:sip..example.com", 400},
		{"open quote", I, `"Alice Smith"`, `"Alice Smith`, 400},
		{"open angle", I, "example.com>;tag", "example.com;tag", 400},
		{"comma in a bare name", I, `"Alice Smith"`, `Smith, Alice`, 400},
		{"name without angles", I, `"Alice Smith" <sip:1001@sip.example.com>`, `"Alice Smith" sip:1001@sip.example.com`, 400},
		{"space in angles", I, `<sip:1001@sip.example.com>`, `< sip:1001@sip.example.com >`, 400},
		{"headers without angles", R, "<sip:1001@192.0.2.7>", "sip:1001@192.0.2.7?Route=%3Cx%3E", 400},
		{"From scheme", I, "<sip:1001@sip.example.com>;", "<http://www.example.com>;", 400},
		{"no From tag", I, ";tag=a8f3c2", "", 400},
		{"two tags", I, ";tag=a8f3c2", ";tag=a8f3c2;TAG=b", 400},
		{"quoted tag", I, ";tag=a8f3c2", ";tag=\"a8f3c2\"", 400},
		{"tag hidden in quotes", I, ";tag=a8f3c2", ";x=\";tag=b\";tag=a8f3c2", 400},
		{"tag syntax", I, ";tag=a8f3c2", ";tag=a[8]", 400},
		{"empty tag", I, ";tag=a8f3c2", ";tag=", 400},
		{"trailing semicolons", I, "sip.example.com>\nCall", "sip.example.com>;;;;\nCall", 400},
		{"branch is the cookie", I, "z9hG4bK-524287-1---7d1a", "z9hG4bK", 400},
		{"two branches", I, ";rport", ";branch=z9hG4bKx", 400},
		{"branch syntax", I, "z9hG4bK-524287-1---7d1a", "z9hG4bK(x)", 400},
		{"Via separators", I, "192.0.2.7:51234;branch=z9hG4bK-524287-1---7d1a;rport", "192.0.2.15;;,;,,", 400},
		{"Via port", I, "192.0.2.7:51234;branch", "192.0.2.7:99999;branch", 400},
		{"Via port text", I, "192.0.2.7:51234;branch", "192.0.2.7:5a;branch", 400},
		{"Via host", I, "192.0.2.7:51234;branch", "192.0.2_7@x;branch", 400},
		{"Via version", I, "Via: SIP/2.0", "Via: SIP/3.0", 400},
		{"Via rport", I, ";rport", ";rport=x", 400},
		{"Via received", I, ";rport", ";received=::1::", 400},
		{"Call-ID with space", I, "3848276298220188511@192", "38 48@192", 400},
		{"Call-ID two @", I, "3848276298220188511@192", "a@b@192", 400},
		{"Call-ID empty", I, "3848276298220188511@192.0.2.7", "", 400},
		{"Content-Type", I, "application/sdp", "sdp", 400},
		{"Content-Type list", I, "application/sdp", "application/sdp, text/plain", 400},
		{"Expires", R, "Content-Length", "Expires: soon\nContent-Length", 400},
		{"Date zone", R, "Content-Length", "Date: Fri, 01 Jan 2010 16:00:00 EST\nContent-Length", 400},
		{"Route without angles", I, "Max-Forwards", "Route: sip:a@b;lr\nMax-Forwards", 400},
		{"Contact quotes split", R, "Contact: ", `Contact: "a\", <sip:evil@x>, \"b" <sip:x@y>, `, 400},
		{"status 99", S, "180 Ringing", "099 X", 400},
		{"status 700", S, "180 Ringing", "700 X", 400},
		{"status long", S, "180 Ringing", "4294967301 X", 400},
		{"status without reason", S, "180 Ringing", "180", 400},
		{"reason is a version", S, "180 Ringing", "180 SIP/2.0", 400},
		{"response with two Vias", S, "Via:", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\nVia:", 400},
		{"response version", S, "SIP/2.0 180", "SIP/7.0 180", 505},
	}
	for _, c := range cases {
		if !strings.Contains(c.base, c.old) {
			t.Fatalf("%s: base has no %q", c.name, c.old)
		}
		m := string(crlf(strings.Replace(c.base, c.old, c.new, 1)))
		m = strings.NewReplacer("\x00LF", "\n", "\x00CR", "\r", "\x00NUL", "\x00").Replace(m)
		_, bad := Check([]byte(m), false, Limits{})
		switch {
		case bad == nil:
			t.Errorf("%s: accepted", c.name)
		case bad.Status != c.status:
			t.Errorf("%s: %d (%v), want %d", c.name, bad.Status, bad, c.status)
		case bad.Response != strings.HasPrefix(c.base, "SIP/"):
			t.Errorf("%s: Response = %v", c.name, bad.Response)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	msg := crlf(goodInvite)
	for _, c := range []struct {
		name   string
		msg    []byte
		lim    Limits
		status int
	}{
		{"message", msg, Limits{Message: 200}, 513},
		{"start line", msg, Limits{Line: 20}, 414},
		{"header", msg, Limits{HeaderValue: 50}, 513},
		{"headers", msg, Limits{Headers: 5}, 513},
		{"body", msg, Limits{Body: 3}, 413},
		{"129 headers", bytes.Replace(msg, []byte("Supported:"), []byte(strings.Repeat("Y: y\r\n", 120)+"Supported:"), 1), Limits{}, 513},
		{"33 parameters", bytes.Replace(msg, []byte(";user=phone"), []byte(manyParams(33)), 1), Limits{}, 400},
	} {
		_, bad := Check(c.msg, false, c.lim)
		if bad == nil || bad.Status != c.status {
			t.Errorf("%s: %v, want %d", c.name, bad, c.status)
		}
	}
	if _, bad := Check(crlf(strings.Replace(goodInvite, "Supported: ", "X-Long: "+strings.Repeat("long", 900)+"\nSupported: ", 1)), false, Limits{}); bad != nil {
		t.Errorf("a header of 3,600 octets: %v", bad)
	}
	if _, bad := Check(msg, true, Limits{}); bad == nil {
		t.Error("stream: octets behind the body accepted")
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(";p" + strconv.Itoa(i))
	}
	return b.String()
}

func TestCheckAllocates(t *testing.T) {
	msg := crlf(goodInvite)
	if n := testing.AllocsPerRun(200, func() { Check(msg, false, Limits{}) }); n != 0 {
		t.Errorf("Check allocates %v times", n)
	}
	if n := testing.AllocsPerRun(200, func() { Tidy(msg) }); n != 0 {
		t.Errorf("Tidy allocates %v times", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	msg := crlf(strings.Replace(goodInvite, "Length: 9\n\n", "Length: 309\n\n"+strings.Repeat("v", 300), 1))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := Check(msg, false, Limits{}); bad != nil {
			b.Fatal(bad)
		}
	}
}

func BenchmarkTidy(b *testing.B) {
	msg := crlf(goodInvite)
	b.ReportAllocs()
	for b.Loop() {
		Tidy(msg)
	}
}

func TestTidy(t *testing.T) {
	in := crlf(`INVITE sip:a@b.example SIP/2.0
TO :
 sip:v@b.example ;   tag    = 1918
from   : "J \\\" \` + "\x01" + `"       <sip:j@x.example>
  ;
  TAG = 98;X=y
Max-Forwards: 0068
Call-ID: c
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;Branch=390skd
v:  SIP  / 2.0  / TCP     s.example   ;
  branch  =   z9h  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK3
s :
 a   b
m:"Q \"\"" <sip:j@x.example> ; newparam =
      newvalue ;
  second ; q = 0.33

`)
	want := crlf(`INVITE sip:a@b.example SIP/2.0
To: sip:v@b.example;tag=1918
From: "J \\\" ?" <sip:j@x.example>;tag=98;X=y
Max-Forwards: 0068
Call-ID: c
CSeq: 0009 INVITE
Via: SIP/2.0/UDP 192.0.2.2;branch=390skd
Via: SIP/2.0/TCP s.example;branch=z9h,SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK3
s :
 a   b
Contact: "Q \"\"" <sip:j@x.example>;newparam=newvalue;second;q=0.33

`)
	if _, bad := Check(in, false, Limits{}); bad != nil {
		t.Fatal(bad)
	}
	if got := Tidy(in); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if msg := crlf(goodInvite); &Tidy(msg)[0] != &msg[0] {
		t.Error("a tidy message is copied")
	}
	agree(t, in)
}

// oracle reads what decides about a message, in the plainest way: unfold,
// then cut. It knows quotes and nothing else.
func oracle(msg []byte) (out struct{ callID, cseq, fromTag, toTag, branch string }) {
	text, _, _ := strings.Cut(string(msg), "\r\n\r\n")
	for _, ws := range []string{"\r\n ", "\r\n\t"} {
		text = strings.ReplaceAll(text, ws, " ")
	}
	lines := strings.Split(text, "\r\n")
	first := true
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch strings.ToLower(strings.Trim(name, " \t")) {
		case "i", "call-id":
			out.callID = value
		case "cseq":
			f := strings.Fields(value)
			out.cseq = strings.TrimLeft(f[0], "0") + " " + f[1]
		case "f", "from":
			out.fromTag = oracleParam(value, "tag")
		case "t", "to":
			out.toTag = oracleParam(value, "tag")
		case "v", "via":
			if first {
				v, _, _ := strings.Cut(value, ",")
				out.branch = oracleParam(v, "branch")
				first = false
			}
		}
	}
	return out
}

func oracleParam(value, name string) string {
	inQuotes, inURI := false, false
	var parts []string
	part := ""
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case inQuotes && c == '\\':
			i++
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes:
		case c == '<':
			inURI = true
		case c == '>':
			inURI = false
		case c == ';' && !inURI:
			parts = append(parts, part)
			part = ""
			continue
		}
		part += string(c)
	}
	parts = append(parts, part)
	for _, p := range parts[1:] {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.Trim(k, " \t"), name) {
			return strings.Trim(v, " \t")
		}
	}
	return ""
}

// agree fails unless the parser reads an accepted message as oracle does, and
// writes nothing that Check would refuse.
func agree(t *testing.T, msg []byte) {
	t.Helper()
	tidy := Tidy(msg)
	if n, bad := Check(tidy, false, Limits{}); bad != nil || n != len(tidy) {
		t.Fatalf("Tidy made a message that is refused: %v (%d of %d)\n%q\n%q", bad, n, len(tidy), msg, tidy)
	}
	if again := Tidy(tidy); !bytes.Equal(again, tidy) {
		t.Fatalf("Tidy is not stable:\n%q\n%q", tidy, again)
	}
	m, err := sip.NewParser().ParseSIP(tidy)
	if err != nil {
		t.Fatalf("accepted, but the parser says: %v\n%q", err, tidy)
	}
	readVias(m, tidy)
	if m.CallID() == nil || m.From() == nil || m.To() == nil || m.CSeq() == nil || m.Via() == nil {
		t.Fatalf("a mandatory header is not seen by the parser\n%q", tidy)
	}
	want := oracle(msg)
	got := want
	got.callID = m.CallID().Value()
	got.cseq = strings.TrimLeft(strconv.Itoa(int(m.CSeq().SeqNo)), "0") + " " + string(m.CSeq().MethodName)
	got.fromTag, _ = m.From().Params.Get("tag")
	got.toTag, _ = m.To().Params.Get("tag")
	got.branch, _ = m.Via().Params.Get("branch")
	if got != want {
		t.Fatalf("the parser reads\n%+v\nbut the message says\n%+v\n%q", got, want, tidy)
	}
	if r, ok := m.(*sip.Request); ok {
		line, _, _ := bytes.Cut(tidy, []byte(" "))
		if !strings.EqualFold(string(r.Method), string(line)) {
			t.Fatalf("method %q of %q", r.Method, line)
		}
		r.Method = sip.RequestMethod(line) // the parser makes it upper case
	}
	for _, h := range m.GetHeaders("Via") {
		// The serializer forgets the brackets of an IPv4-mapped address.
		if v := h.(*sip.ViaHeader); strings.Contains(v.Host, ":") && strings.Contains(v.Host, ".") && v.Host[0] != '[' {
			v.Host = "[" + v.Host + "]"
		}
	}
	for _, h := range m.GetHeaders("Contact") {
		// It puts a value with a space into quotes that has them already.
		ps := h.(*sip.ContactHeader).Params
		for i := range ps {
			if v := ps[i].V; len(v) > 1 && v[0] == '"' && strings.ContainsAny(v, " \t") {
				ps[i].V = v[1 : len(v)-1]
			}
		}
	}
	out := []byte(m.String())
	n, bad := Check(out, false, Limits{Message: 65535, HeaderValue: 60000, Line: 60000})
	if bad != nil {
		t.Fatalf("written again it is refused: %v\n%q\n%q", bad, tidy, out)
	}
	if again := oracle(out[:n]); again != want {
		t.Fatalf("written again it says\n%+v\nnot\n%+v\n%q", again, want, out)
	}
	if a, b := bytes.Count(out[:bytes.Index(out, crlfcrlf)], []byte("\n")), bytes.Count(tidy[:bytes.Index(tidy, crlfcrlf)], []byte("\n")); a > b+1+bytes.Count(tidy, []byte(",")) {
		t.Fatalf("written again it has %d lines, not %d\n%q\n%q", a, b, tidy, out)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(crlf(goodInvite))
	f.Add(crlf(goodRegister))
	f.Add(crlf(goodResponse))
	for _, c := range siptest.Odd() {
		if strings.HasPrefix(c.Name, "Via ") || strings.HasPrefix(c.Name, "From name ") {
			f.Add(c.Bytes(trickValues))
		}
	}
	f.Add(crlf(strings.Replace(goodInvite, "\nMax", "\nv: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKq ,\n SIP/2.0/TCP [::1]:5;branch=z9hG4bKr\nMax", 1)))
	f.Add(crlf("OPTIONS tel:1 SIP/2.0\nv:SIP/2.0/UDP a;branch=b\nf:a:b;tag=c\nt:tel:1\ni:1\nCSeq:1 OPTIONS\nr:\"\\\"\" <sip:a?b=c>\nm: \"a\" <sip:b>;q=\"x\", sip:c\n\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		n, bad := Check(msg, false, Limits{})
		StatelessReply(msg, 400, "Bad Request", netip.MustParseAddrPort("192.0.2.1:5060"))
		if bad != nil {
			if n != 0 || bad.Status == 0 {
				t.Fatalf("n = %d with %+v", n, bad)
			}
			return
		}
		if r := StatelessReply(msg[:n], 400, "Bad Request", netip.MustParseAddrPort("192.0.2.1:5060")); r != nil {
			if _, bad := Check(r, true, Limits{HeaderValue: 60000}); bad != nil && bad.Header != "Via" {
				t.Fatalf("our own reply is refused: %v\n%q", bad, r)
			}
		}
		if m, kind, _ := Frame(msg[:n], Limits{}); kind == FrameMessage && m != n {
			t.Fatalf("Frame says %d, Check %d", m, n)
		}
		agree(t, msg[:n])
	})
}

// TestTidyOpenQuote: in fields of free text a quote need not end. What Check
// lets pass there, Tidy can read.
func TestTidyOpenQuote(t *testing.T) {
	t.Parallel()
	passed := 0
	for f, name := range fieldNames {
		for _, v := range []string{`"\`, `a "\`, "a\r\n \"0", "a \"x\\\r\n b", "a\r\n \"", "\"\r\n \\", "a;\r\n \"", `<sip:a@b>;x="\"`} {
			raw := []byte(strings.Replace(string(crlf(goodRegister)), "Content-Length: 0", name+": "+v+"\r\nContent-Length: 0", 1))
			n, bad := Check(raw, true, Limits{})
			if bad != nil {
				continue
			}
			passed++
			tidy := Tidy(raw[:n])
			if again, bad := Check(tidy, true, Limits{}); bad != nil || again != len(tidy) {
				t.Errorf("field %d: %q becomes %q: %v", f, v, tidy, bad)
			}
			if strings.Contains(string(tidy), "\r\n ") {
				t.Errorf("field %d: %q is still folded: %q", f, v, tidy)
			}
		}
	}
	if passed == 0 {
		t.Error("nothing passed")
	}
}
