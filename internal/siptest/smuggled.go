package siptest

import (
	"strconv"
	"strings"
)

// Trick is a message by which one reader could see something else than
// another: the gateway refuses it, or what it sends on says one thing only.
type Trick struct {
	Name string
	// Text has placeholders: {to}, {gw} whom and what host is called, {user},
	// {host}, {me} who calls, from what host and address, {id} unique, {n}
	// the length of the body.
	Text string
	// Code is what a known sender of a request gets; 0: it is taken.
	Code int
	// Late: it is well-formed by itself; what is wrong shows when it is read.
	Late bool
	// Cut says what a stream does: "" as a datagram, "close" the connection
	// ends as no boundary is left, "wait" for octets that the length promises,
	// "rest" one message and what follows it.
	Cut string
}

// Bytes fills in the placeholders.
func (t Trick) Bytes(values map[string]string) []byte {
	s := t.Text
	for k, v := range values {
		s = strings.ReplaceAll(s, "{"+k+"}", v)
	}
	_, body, _ := strings.Cut(s, "\r\n\r\n")
	return []byte(strings.ReplaceAll(s, "{n}", strconv.Itoa(len(body))))
}

// Response reports whether it is a response, which nobody answers.
func (t Trick) Response() bool { return strings.HasPrefix(strings.ToUpper(t.Text), "SIP/") }

const trickInvite = `INVITE sip:{to}@{gw} SIP/2.0
Via: SIP/2.0/UDP {me};branch=z9hG4bK{id};rport
Max-Forwards: 70
From: "Alice" <sip:{user}@{host}>;tag=f{id}
To: <sip:{to}@{gw}>
Call-ID: c{id}
CSeq: 1 INVITE
Contact: <sip:{user}@{me}>
Content-Type: application/sdp
Content-Length: {n}

v=0
o=- 1 1 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=audio 40000 RTP/AVP 0
`

const trickResponse = `SIP/2.0 200 OK
Via: SIP/2.0/UDP {me};branch=z9hG4bK{id}
From: <sip:{user}@{host}>;tag=f{id}
To: <sip:{to}@{gw}>;tag=t{id}
Call-ID: c{id}
CSeq: 1 INVITE
Contact: <sip:{user}@{me}>
Content-Length: 0

`

// tricks collects messages that are made of one base.
type tricks struct {
	base string
	list []Trick
}

// change replaces the first old by new.
func (s *tricks) change(name string, code int, old, new string, cut ...string) {
	if !strings.Contains(s.base, old) {
		panic("siptest: no " + old + " for " + name)
	}
	text := strings.ReplaceAll(strings.Replace(s.base, old, new, 1), "\n", "\r\n")
	text = strings.NewReplacer("<LF>", "\n", "<CR>", "\r", "<NUL>", "\x00", "<ESC>", "\x1b", "<DEL>", "\x7f", "<TAB>", "\t").Replace(text)
	t := Trick{Name: name, Text: text, Code: code, Late: code == 415 || code == 420 || code == 440 || code == 483}
	if len(cut) > 0 {
		t.Cut = cut[0]
	}
	s.list = append(s.list, t)
}

// add puts lines before Content-Type, or in a response before Content-Length.
func (s *tricks) add(name string, code int, lines string, cut ...string) {
	at := "Content-Type:"
	if !strings.Contains(s.base, at) {
		at = "Content-Length:"
	}
	s.change(name, code, at, lines+"\n"+at, cut...)
}

// Smuggled lists the tricks. "smuggled" stands in whatever must not arrive.
func Smuggled() []Trick {
	s := &tricks{base: trickInvite}
	s.startLines()
	s.lineEnds()
	s.doubles()
	s.lengths()
	s.uris()
	s.names()
	s.vias()
	s.credentials()
	s.limits()
	s.strays()
	s.bodies()
	s.base = trickResponse
	s.responses()
	return s.list
}

func (s *tricks) startLines() {
	for _, c := range []struct{ name, old, new string }{
		{"two spaces", "INVITE sip", "INVITE  sip"}, {"leading space", "INVITE sip", " INVITE sip"}, {"a tab", "INVITE sip", "INVITE<TAB>sip"},
		{"trailing space", "SIP/2.0\nVia", "SIP/2.0 \nVia"}, {"a fourth word", "SIP/2.0\nVia", "SIP/2.0 x\nVia"},
		{"no version", " SIP/2.0\nVia", "\nVia"}, {"a folded request line", " SIP/2.0\nVia", "\n SIP/2.0\nVia"},
		{"a lower-case method", "INVITE sip", "invite sip"}, {"a mixed-case method", "INVITE sip", "Invite sip"},
		{"a method that is no token", "INVITE sip", "INV@TE sip"}, {"a method with NUL", "INVITE sip", "INVITE<NUL> sip"},
		{"another method in CSeq", "1 INVITE", "1 ACK"}, {"CSeq in lower case", "1 INVITE", "1 invite"}, {"an unknown method in CSeq", "1 INVITE", "1 INVITES"},
		{"HTTP", "SIP/2.0\nVia", "HTTP/1.1\nVia"}, {"a Request-URI in <>", "sip:{to}@{gw} SIP", "<sip:{to}@{gw}> SIP"},
		{"a Request-URI with a space", "sip:{to}@{gw} SIP", "sip:{to} @{gw} SIP"}, {"two Request-URIs", "sip:{to}@{gw} SIP", "sip:{to}@{gw},sip:smuggled@{gw} SIP"},
		{"no scheme", "sip:{to}@{gw} SIP", "{to}@{gw} SIP"},
	} {
		cut := "close"
		switch c.name {
		case "leading space", "another method in CSeq", "CSeq in lower case", "an unknown method in CSeq", "a lower-case method", "a mixed-case method", "two spaces",
			"trailing space", "a fourth word", "a Request-URI in <>", "a Request-URI with a space", "two Request-URIs", "no scheme":
			cut = ""
		}
		s.change(c.name, 400, c.old, c.new, cut)
	}
	for _, v := range []string{"SIP/1.0", "SIP/2.1", "SIP/02.0", "SIP/2.00", "sip/2.0", "SIP/20.0"} {
		s.change("version "+v, 505, "SIP/2.0\nVia", v+"\nVia", map[bool]string{true: "close"}[v == "sip/2.0"])
	}
	s.change("scheme http", 416, "INVITE sip:", "INVITE http:")
}

func (s *tricks) lineEnds() {
	for _, c := range []struct{ name, old, new string }{
		{"a header behind a bare LF", "Max-Forwards: 70\n", "Max-Forwards: 70<LF>To: <sip:smuggled@{gw}>\n"},
		{"a header behind a bare CR", "Max-Forwards: 70\n", "Max-Forwards: 70<CR>To: <sip:smuggled@{gw}>\n"},
		{"an end behind bare LFs", "Max-Forwards: 70\n", "Max-Forwards: 70<LF><LF>smuggled"},
		{"a bare LF in a name", `"Alice"`, `"Al<LF>ice"`}, {"a bare CR in a name", `"Alice"`, `"Al<CR>ice"`}, {"CR CR LF", "Max-Forwards: 70\n", "Max-Forwards: 70<CR>\n"},
		{"a blank fold", "Max-Forwards: 70\n", "Subject: a\n \n smuggled\nMax-Forwards: 70\n"},
		{"NUL in a header", "Max-Forwards: 70", "Subject: a<NUL>smuggled\nMax-Forwards: 70"},
		{"NUL in a header name", "Max-Forwards: 70", "Sub<NUL>ject: smuggled\nMax-Forwards: 70"},
		{"an escape sequence", "Max-Forwards: 70", "Subject: <ESC>[2Jsmuggled\nMax-Forwards: 70"}, {"DEL", "Max-Forwards: 70", "Subject: <DEL>smuggled\nMax-Forwards: 70"},
		{"overlong UTF-8", "Max-Forwards: 70", "Subject: \xc0\x8asmuggled\nMax-Forwards: 70"}, {"half a UTF-8 character", `"Alice"`, "\"Al\xe2\x82\""},
		{"no header name", "Max-Forwards: 70", ": smuggled\nMax-Forwards: 70"}, {"a header name in quotes", "Max-Forwards: 70", "\"To\": smuggled\nMax-Forwards: 70"},
		{"a header without colon", "Max-Forwards: 70", "smuggled\nMax-Forwards: 70"}, {"a folded first header", "\nVia", "\n Via"},
	} {
		cut := "close"
		switch c.name {
		case "NUL in a header", "an escape sequence", "DEL", "overlong UTF-8", "half a UTF-8 character":
			cut = ""
		}
		s.change(c.name, 400, c.old, c.new, cut)
	}
	s.change("a fold in To", 0, "To: <sip:{to}@{gw}>", "To:\n <sip:{to}@{gw}>")
	s.change("a fold before a tag", 0, ">;tag=f", ">\n ;tag=f")
	s.add("a fold in a header that crosses", 0, "Subject: one\n two")
	s.add("a fold that looks like a header", 0, "X-Note: one\n To: <sip:smuggled@{gw}>")
	s.change("white space before the colon", 0, "To:", "To <TAB>:")
}

// doubles: what may stand once stands twice, in every spelling.
func (s *tricks) doubles() {
	for _, line := range []string{
		"From: <sip:smuggled@{host}>;tag=x", "f: <sip:smuggled@{host}>;tag=x", "FROM: <sip:smuggled@{host}>;tag=x",
		"To: <sip:smuggled@{gw}>", "t: <sip:smuggled@{gw}>", "tO : <sip:smuggled@{gw}>", "Call-ID: smuggled", "i: smuggled", "call-id: smuggled",
		"CSeq: 2 INVITE", "cseq: 1 INVITE", "Max-Forwards: 5", "Contact: <sip:smuggled@{me}>", "m: <sip:smuggled@{me}>",
		"c: application/smuggled", "content-type: application/smuggled", "Date: Sat, 13 Nov 2010 23:29:00 GMT\nDate: Sat, 13 Nov 2010 23:29:01 GMT",
		"Expires: 60\nExpires: 61", "Event: a\no: smuggled", "Refer-To: <sip:a@b>\nr: <sip:smuggled@b>", "Referred-By: <sip:a@b>\nb: <sip:smuggled@b>",
		"Replaces: a;to-tag=b;from-tag=c\nReplaces: smuggled;to-tag=b;from-tag=c", "Session-Expires: 1800\nx: 90", "Min-SE: 90\nMin-SE: 1800",
		"Subject: a\ns: smuggled", "Content-Encoding: identity\ne: gzip", "Content-Disposition: session\nContent-Disposition: smuggled",
		"Max-Breadth: 5\nMax-Breadth: 6", "Priority: normal\nPriority: emergency", "MIME-Version: 1.0\nMIME-Version: 1.1",
		"Session-ID: a\nSession-ID: b", "RAck: 1 1 INVITE\nRAck: 2 1 INVITE",
	} {
		s.add("twice: "+strings.ReplaceAll(line, "\n", " and "), 400, line)
	}
	s.change("two From by comma", 400, ";tag=f{id}", ";tag=f{id}, <sip:smuggled@{host}>;tag=x")
	s.change("two To by comma", 400, "To: <", "To: <sip:smuggled@{gw}>, <")
	s.change("two Call-IDs by comma", 400, "Call-ID: c{id}", "Call-ID: c{id}, smuggled")
	s.change("two Contacts by comma", 400, "Contact: <", "Contact: <sip:smuggled@{me}>, <")
	s.change("two tags", 400, ";tag=f{id}", ";tag=f{id};tag=x")
	s.change("a tag hidden in quotes", 400, ";tag=f{id}", `;x=";tag=smuggled";tag=f{id}`)
}

func (s *tricks) lengths() {
	s.add("two Content-Lengths", 400, "Content-Length: 5", "close")
	s.add("two Content-Lengths, one short", 400, "l: 5", "close")
	for _, v := range []string{"-1", "+5", "0x5", "5.0", "5, 6", "", "5 5", "18446744073709551621", "4294967301", "5;x"} {
		s.change("Content-Length "+v, 400, "Content-Length: {n}", "Content-Length: "+v, "close")
	}
	s.change("a length beyond the datagram", 400, "Content-Length: {n}", "Content-Length: 9{n}", "wait")
	s.change("a second request behind the body", 0, "RTP/AVP 0\n", "RTP/AVP 0\nINVITE sip:smuggled@{gw} SIP/2.0\n\n", "")
	last := &s.list[len(s.list)-1]
	last.Text = strings.Replace(last.Text, "{n}", "9", 1)
	last.Cut, last.Code, last.Late = "rest", 400, true // what is left of the body is no description
	s.change("no length", 0, "Content-Length: {n}\n", "", "close")
	s.change("a body without its type", 400, "Content-Type: application/sdp\n", "")
}

func (s *tricks) uris() {
	const ruri = "sip:{to}@{gw} SIP"
	for _, u := range []string{
		"sip:{to}@{gw}?To=smuggled", "sip:{to}@{gw}?Replaces=smuggled%3Bto-tag%3Da", "sip:{to}%0d%0aTo:smuggled@{gw}", "sip:{to}%0a@{gw}", "sip:{to}%00smuggled@{gw}",
		"sip:{to}%7f@{gw}", "sip:{to}%1b@{gw}", "sip:{to}%@{gw}", "sip:{to}%4@{gw}", "sip:{to}%zz@{gw}", "sip:smuggled@{to}@{gw}", "sip:@{gw}", "sip:", "sip:{to}@",
		"sip:{to}@{gw};x=%0d%0aTo:smuggled", "sip:{to}@{gw};x;x", "sip:{to}@{gw};transport=udp;transport=tcp", "sip:{to}@{gw};;x", "sip:{to}@{gw};=x", "sip:{to}@{gw};x=",
		"sip:{to}@{host}:0", "sip:{to}@{host}:65536", "sip:{to}@{host}:99999999999999999999", "sip:{to}@{host}:5060x", "sip:{to}@{host}:-5060", "sip:{to}@{host}:",
		"sip:{to}@[::1", "sip:{to}@::1", "sip:{to}@[::1%25lo]", "sip:{to}@1.2.3.4.5", "sip:{to}@256.1.1.1", "sip:{to}@01.2.3.4", "sip:{to}@a..b", "sip:{to}@a_b@c",
		"sip://{to}@{gw}", "sip:\"{to}\"@{gw}", "sip:{to}\\@{gw}", "sip:{to}^@{gw}", "sip:{to}|@{gw}", "sip:{to}{x}@{gw}", "tel:", "tel:+33 1", "sip:{gw}#smuggled",
	} {
		cut := ""
		if strings.Contains(u, "\\") {
			cut = "" // the line is one of SIP all the same
		}
		s.change("Request-URI "+u, 400, ruri, u+" SIP", cut)
	}
	for _, old := range []string{"To: <sip:{to}@", "From: \"Alice\" <sip:{user}@", "Contact: <sip:{user}@"} {
		head, _, _ := strings.Cut(old, ":")
		user := old[strings.Index(old, "<sip:")+5 : len(old)-1]
		for _, bad := range []string{"%0d%0aX:smuggled", "%00smuggled", "%0A", "%7F"} {
			s.change(head+" with "+bad, 400, old, strings.Replace(old, user, user+bad, 1))
		}
	}
	s.add("Refer-To with a line break", 400, "Refer-To: <sip:a@b?Subject=%0d%0asmuggled>")
	s.add("P-Asserted-Identity with a line break", 400, "P-Asserted-Identity: <sip:a%0d%0asmuggled@b>")
	s.add("Route without brackets", 400, "Route: sip:smuggled@b;lr")
	s.add("Record-Route of another scheme", 400, "Record-Route: <http+x://smuggled;lr>")
	s.change("parameters of the Request-URI", 0, ruri, "sip:{to}@{gw};maddr=192.0.2.66;ttl=255;method=BYE;lr;smuggled SIP")
	s.change("a password in the Request-URI", 0, ruri, "sip:{to}:smuggled@{gw} SIP")
	s.change("Contact with headers and method", 0, "Contact: <sip:{user}@{me}>", "Contact: <sip:{user}@{me};method=BYE?Route=%3Csip:smuggled%3E>")
}

func (s *tricks) names() {
	for _, n := range []string{`"Alice`, `Alice"`, `"Alice\"`, `"Al"ice"`, `Smith, Alice`, `<sip:smuggled@x>`, `"a" <sip:smuggled@x>,`, `Al<ice`, `Alice>`, `=?x`, `"a\` + "\xc3\xa9" + `"`} {
		s.change("name "+n, 400, `"Alice"`, n)
	}
	for _, n := range []string{`"<sip:smuggled@x>"`, `"a\" <sip:smuggled@x>;x=\""`, `"a\\"`, `"\\\" <sip:smuggled@x>"`, `"sip:smuggled@x;tag=1"`, `"a, <sip:smuggled@x>"`, `Alice Smith`, "\"\xd0\x90\xd0\xbb\"", `""`} {
		s.change("name "+n, 0, `"Alice"`, n)
	}
	s.change("From is no SIP", 400, "<sip:{user}@{host}>", "<http://smuggled>")
	s.change("no brackets, with headers", 400, "<sip:{to}@{gw}>", "sip:{to}@{gw}?Subject=smuggled")
	s.change("text behind To", 400, "To: <sip:{to}@{gw}>", "To: <sip:{to}@{gw}> smuggled")
	s.change("To with an empty parameter", 400, "To: <sip:{to}@{gw}>", "To: <sip:{to}@{gw}>;;")
}

func (s *tricks) vias() {
	for _, v := range []string{"SIP/3.0/UDP {me};branch=z9hG4bK{id}", "HTTP/1.1/UDP {me};branch=z9hG4bK{id}", "SIP/2.0/UDP;branch=z9hG4bK{id}", "SIP/2.0/UDP {me};branch=z9hG4bK",
		"SIP/2.0/UDP {me};branch=", "SIP/2.0/UDP {me};branch=z9hG4bK{id};branch=z9hG4bKsmuggled", "SIP/2.0/UDP {me};branch=\"z9hG4bK{id}\"", "SIP/2.0/UDP {host}:99999;branch=z9hG4bK{id}",
		"SIP/2.0/UDP {host} :5060;branch=z9hG4bK{id}", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport=0", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport=70000", "SIP/2.0/UDP {me};branch=z9hG4bK{id};received=;x",
		"SIP/2.0/UDP {me};branch=z9hG4bK{id};maddr=a b", "SIP/2.0/UDP {me};branch=z9hG4bK{id};ttl=300", "SIP/2.0/UDP {me},SIP/2.0/UDP smuggled;branch=z9hG4bK{id}", "SIP/2.0/UDP {me};;branch=z9hG4bK{id}"} {
		s.change("Via "+v, 400, "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport", v)
	}
	s.change("Via with maddr and received", 0, ";rport", ";rport;maddr=192.0.2.66;received=192.0.2.67")
	s.change("a second Via", 0, "Max-Forwards", "v: SIP/2.0/UDP smuggled.example;branch=z9hG4bKq\nMax-Forwards")
}

func (s *tricks) credentials() {
	const good = `Digest username="smuggled", realm="r", nonce="n", uri="sip:a", response="0"`
	for _, c := range []string{
		`Authorization: Digest username="1001", username="smuggled", realm="r", nonce="n", uri="sip:a", response="0"`,
		`Authorization: Digest username="1001", Username="smuggled", realm="r"`, `Authorization: Digest username="1001`, `Authorization: Digest username=a"b"`,
		`Authorization: Digest username`, `Authorization: Digest username="a" realm="r"`, "Authorization: " + good + ", Digest username=\"x\"",
		"Authorization: " + good + "\nAuthorization: " + strings.Replace(good, "smuggled", "1001", 1), "Proxy-Authorization: " + good + "\nPROXY-AUTHORIZATION: " + good,
		`Authorization:`, `Authorization: "Digest"`, "Authorization: Digest username=\"a\x01\"",
	} {
		s.add(strings.ReplaceAll(c, "\n", " and "), 400, c)
		s.list[len(s.list)-1].Late = strings.Contains(c, "\n") // two for one realm
	}
}

func (s *tricks) limits() {
	s.add("a header of 9,000 octets", 513, "X-Long: "+strings.Repeat("smuggled", 1125))
	s.add("130 headers", 513, strings.Repeat("X-Y: smuggled\n", 129)+"X-Y: smuggled", "close")
	s.change("a Request-URI of 9,000 octets", 414, "sip:{to}@", "sip:"+strings.Repeat("smuggled", 1125)+"@")
	s.change("a method of 65 characters", 400, "INVITE sip", strings.Repeat("M", 65)+" sip", "close")
	s.change("a Call-ID of 1,100 characters", 400, "Call-ID: c", "Call-ID: "+strings.Repeat("c", 1100))
	s.change("a tag of 1,100 characters", 400, ";tag=f", ";tag="+strings.Repeat("f", 1100))
	s.change("a branch of 1,100 characters", 400, "z9hG4bK{id}", "z9hG4bK{id}"+strings.Repeat("b", 1100))
	s.change("33 parameters", 400, "sip:{to}@{gw} SIP", "sip:{to}@{gw}"+params(33)+" SIP")
	s.change("80 Vias", 400, "Max-Forwards", strings.Repeat("Via: SIP/2.0/UDP a;branch=z9hG4bKv\n", 79)+"Max-Forwards")
	s.change("80 Vias in two headers", 400, "Max-Forwards", "v: SIP/2.0/UDP a;branch=z9hG4bKv"+strings.Repeat(",SIP/2.0/UDP a;branch=z9hG4bKv", 79)+"\nMax-Forwards")
	s.add("40 Record-Routes", 513, strings.TrimSuffix(strings.Repeat("Record-Route: <sip:smuggled;lr>\n", 40), "\n"))
	s.list[len(s.list)-1].Late = true
	for _, v := range []string{"256", "-1", "70 ", "7 0", "0x46", "99999999999999999999"} {
		if v != "70 " {
			s.change("Max-Forwards "+v, 400, "Max-Forwards: 70", "Max-Forwards: "+v)
		}
	}
	for _, v := range []string{"2147483648 INVITE", "-1 INVITE", "1", "INVITE", "1INVITE", "1 INVITE x", "18446744073709551617 INVITE"} {
		s.change("CSeq "+v, 400, "CSeq: 1 INVITE", "CSeq: "+v)
	}
	s.change("no hop left", 483, "Max-Forwards: 70", "Max-Forwards: 0")
	s.add("no branch left", 440, "Max-Breadth: 0")
	s.add("Max-Breadth -1", 400, "Max-Breadth: -1")
	s.add("Expires soon", 400, "Expires: soon")
	s.add("a required extension", 420, "Require: smuggled")
}

// strays are header fields that strangers to the other side write; all of them
// pass and none arrives.
func (s *tricks) strays() {
	for _, line := range []string{
		"P-Asserted-Identity: <sip:smuggled@x>", "P-Preferred-Identity: <sip:smuggled@x>", "P-Charging-Vector: icid-value=smuggled", "P-Access-Network-Info: smuggled",
		"P-Asserted-Service: smuggled", "P-Served-User: <sip:smuggled@x>", "Remote-Party-ID: <sip:smuggled@x>;privacy=off", "Route: <sip:smuggled@192.0.2.66;lr>",
		"Record-Route: <sip:smuggled@192.0.2.66;lr>", "Path: <sip:smuggled@x;lr>", "Service-Route: <sip:smuggled@x;lr>", "X-Smuggled: smuggled", "Alert-Info: <http://smuggled>",
		"Call-Info: <http://smuggled>;purpose=icon", "Error-Info: <sip:smuggled@x>", "Identity: smuggled;info=<http://smuggled>", "Target-Dialog: smuggled", "Join: smuggled;to-tag=a;from-tag=b",
		"In-Reply-To: smuggled", "User-Agent: smuggled", "Server: smuggled", "Organization: smuggled", "Warning: 399 smuggled \"smuggled\"", "Security-Client: smuggled", "Resource-Priority: smuggled.0",
		"Answer-Mode: Auto;smuggled", "Flow-Timer: 1", "Geolocation: <http://smuggled>", "User-to-User: smuggled", "Accept-Contact: *;smuggled", "Request-Disposition: smuggled", "Proxy-Require-Smuggled: smuggled",
		"SIP-If-Match: smuggled", "Accept-Language: smuggled", "Via-Smuggled: smuggled", "Content-ID: <smuggled@x>", "Timestamp: 54 smuggled",
	} {
		s.add("stray "+line, 0, line)
	}
	s.add("encoded", 415, "Content-Encoding: gzip")
	s.add("encoded, short", 415, "e: deflate")
}

func (s *tricks) bodies() {
	_, sdp, _ := strings.Cut(trickInvite, "\n\n")
	body := func(name string, code int, contentType, content string) {
		text := strings.Replace(strings.Replace(trickInvite, "application/sdp", contentType, 1), "\n\n"+sdp, "\n\n"+content, 1)
		s.list = append(s.list, Trick{Name: name, Code: code, Late: true, Text: strings.ReplaceAll(text, "\n", "\r\n")})
	}
	part := func(ct, content string) string { return "--b\nContent-Type: " + ct + "\n\n" + content + "\n" }
	nested := sdp
	ct := "application/sdp"
	for i := range 12 {
		b := "b" + strconv.Itoa(i)
		nested = "--" + b + "\nContent-Type: " + ct + "\n\n" + nested + "\n--" + b + "--\n"
		ct = "multipart/mixed;boundary=" + b
	}
	body("twelve multiparts deep", 400, ct, nested)
	body("two descriptions", 400, "multipart/mixed;boundary=b", part("application/sdp", sdp)+part("application/sdp", sdp)+"--b--\n")
	body("no end of the multipart", 400, "multipart/mixed;boundary=b", part("application/sdp", sdp))
	body("an empty boundary", 400, "multipart/mixed;boundary=\"\"", part("application/sdp", sdp)+"--b--\n")
	body("a hundred parts", 400, "multipart/mixed;boundary=b", strings.Repeat(part("text/plain;handling=optional", "smuggled"), 100)+"--b--\n")
	body("a description in base64", 415, "multipart/mixed;boundary=b", part("application/sdp\nContent-Transfer-Encoding: base64", "smuggled")+"--b--\n")
	body("an XML body", 415, "application/pidf+xml", "<!DOCTYPE x [<!ENTITY a \"smuggled\"><!ENTITY b \"&a;&a;&a;&a;\">]><x>&b;</x>")
	body("a zip", 415, "application/zip", "PK\x03\x04smuggled")
	body("no description", 400, "application/sdp", "smuggled")
	body("33 m-lines", 413, "application/sdp", sdp+strings.Repeat("m=audio 40000 RTP/AVP 0\n", 33))
	body("SDP with NUL", 400, "application/sdp", strings.Replace(sdp, "s=-", "s=\x00smuggled", 1))
	body("a key beside plain RTP and names", 0, "application/sdp", strings.Replace(sdp, "s=-", "s=smuggled\ni=smuggled\nu=http://smuggled\ne=smuggled@x", 1)+"a=tool:smuggled\na=x-smuggled:1\na=ice-ufrag:smuggled\n")
}

func (s *tricks) responses() {
	for _, c := range []struct{ name, old, new, cut string }{
		{"two CSeqs", "Call-ID", "CSeq: 1 BYE\nCall-ID", ""}, {"two Call-IDs", "CSeq", "i: x\nCSeq", ""}, {"two To", "Call-ID", "t: <sip:smuggled@x>;tag=y\nCall-ID", ""}, {"two From", "Call-ID", "f: <sip:smuggled@x>;tag=y\nCall-ID", ""},
		{"two Vias", "From", "Via: SIP/2.0/UDP smuggled;branch=z9hG4bKx\nFrom", ""}, {"two Vias by comma", "{me};branch=z9hG4bK{id}", "{me};branch=z9hG4bK{id},SIP/2.0/UDP smuggled;branch=z9hG4bKx", ""},
		{"two Contacts", "CSeq", "m: <sip:smuggled@x>\nCSeq", ""}, {"no Via", "Via:", "X-Via:", ""}, {"no CSeq", "CSeq:", "X-CSeq:", ""}, {"no To", "\nTo:", "\nX-To:", ""},
		{"code 099", "200 OK", "099 OK", ""}, {"code 700", "200 OK", "700 OK", ""}, {"code 2000", "200 OK", "2000 OK", ""}, {"code -200", "200 OK", "-200 OK", ""}, {"no code", "200 OK", "OK", ""},
		{"version 2.1", "SIP/2.0 200", "SIP/2.1 200", ""}, {"a request line as reason", "200 OK", "200 SIP/2.0", ""}, {"a bare LF in the reason", "200 OK", "200 O<LF>K", "close"}, {"NUL in the reason", "200 OK", "200 O<NUL>K", "close"},
		{"a line break in Contact", "Contact: <sip:{user}@", "Contact: <sip:{user}%0d%0a@", ""}, {"NUL in Contact", "Contact: <sip:{user}@", "Contact: <sip:{user}%00@", ""}, {"two lengths", "CSeq", "l: 0\nCSeq", "close"},
		{"a broadcast Via before ours", "Via:", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\nVia:", ""},
	} {
		code := 400
		if c.name == "version 2.1" {
			code = 505
		}
		s.change("response: "+c.name, code, c.old, c.new, c.cut)
	}
}

func params(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(";p" + strconv.Itoa(i))
	}
	return b.String()
}
