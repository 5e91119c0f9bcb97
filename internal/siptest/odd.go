package siptest

import "strings"

// Odd lists requests that telephones, trunks and PBXs send, and that are legal,
// or so widely meant that refusing them would cost calls. All of them pass: Code
// is 0, and {to} is called by {user}.
func Odd() []Trick {
	s := &tricks{base: trickInvite}
	s.oddFields()
	s.oddNames()
	s.oddURIs()
	s.oddVias()
	s.oddExtras()
	s.oddBodies()
	return s.list
}

func (s *tricks) oddFields() {
	s.change("compact forms", 0, "", "")
	last := &s.list[len(s.list)-1]
	last.Text = strings.NewReplacer("Via:", "v:", "From:", "f:", "To:", "t:", "Call-ID:", "i:", "Contact:", "m:", "Content-Type:", "c:", "Content-Length:", "l:").Replace(last.Text)
	s.change("compact forms in capitals", 0, "", "")
	last = &s.list[len(s.list)-1]
	last.Text = strings.NewReplacer("Via:", "V:", "From:", "F:", "To:", "T:", "Call-ID:", "I:", "Contact:", "M:", "Content-Type:", "C:", "Content-Length:", "L:").Replace(last.Text)
	s.change("no spaces", 0, "", "")
	last = &s.list[len(s.list)-1]
	head, body, _ := strings.Cut(last.Text, "\r\n\r\n")
	last.Text = strings.ReplaceAll(head, ": ", ":") + "\r\n\r\n" + body
	for _, c := range []struct{ name, old, new string }{
		{"no Max-Forwards", "Max-Forwards: 70\n", ""},
		{"Max-Forwards with zeros", "Max-Forwards: 70", "Max-Forwards: 070"},
		{"names in capitals", "Call-ID:", "CALL-ID:"}, {"Cseq", "CSeq:", "Cseq:"}, {"Call-Id", "Call-ID:", "Call-Id:"},
		{"a space before the colon", "Contact:", "Contact :"}, {"a tab behind the colon", "Contact: ", "Contact:<TAB>"}, {"many spaces behind the colon", "Content-Length: ", "Content-Length:      "},
		{"spaces at the end of a line", "Max-Forwards: 70\n", "Max-Forwards: 70  \n"}, {"spaces behind Call-ID", "Call-ID: c{id}\n", "Call-ID: c{id} \n"},
		{"Content-Length with zeros", "Content-Length: {n}", "Content-Length: 000{n}"},
		{"CSeq with spaces", "CSeq: 1 INVITE", "CSeq:   1    INVITE"}, {"CSeq 0", "CSeq: 1 ", "CSeq: 0 "}, {"CSeq 101", "CSeq: 1 ", "CSeq: 101 "}, {"CSeq at its end", "CSeq: 1 ", "CSeq: 2147483647 "}, {"CSeq with a tab", "CSeq: 1 INVITE", "CSeq: 1<TAB>INVITE"},
		{"CSeq folded", "CSeq: 1 INVITE", "CSeq: 1\n INVITE"}, {"Via folded", ";branch", "\n ;branch"}, {"From folded", `"Alice" <`, "\"Alice\"\n\t<"}, {"To folded", "To: <", "To:\n  <"},
		{"a Call-ID with brackets", "Call-ID: c{id}", "Call-ID: <c{id}>@[::1]"}, {"a Call-ID of words", "Call-ID: c{id}", `Call-ID: {c{id}}%/?"(x)@host-1.example`}, {"a Call-ID as of BroadWorks", "Call-ID: c{id}", "Call-ID: BW163412{id}@198.51.100.7"},
		{"a Call-ID as of Cisco", "Call-ID: c{id}", "Call-ID: 7B9E2B3A-4F0111EC-8{id}@198.51.100.7"}, {"a Call-ID without host", "Call-ID: c{id}", "Call-ID: 1-{id}"},
		{"tag as of Asterisk", ";tag=f{id}", ";tag=as58f{id}"}, {"tag as of Sonus", ";tag=f{id}", ";tag=gK0a{id}"}, {"tag with signs", ";tag=f{id}", ";tag={id}-._~!%*'+`"}, {"Tag", ";tag=f{id}", ";Tag=f{id}"},
		{"From with epid", ";tag=f{id}", ";tag=f{id};epid=0123456789"}, {"From with a value in quotes", ";tag=f{id}", `;tag=f{id};x="a-b"`}, {"a space before the tag", ";tag=f{id}", " ; tag = f{id}"}, {"To with user=phone outside", "To: <sip:{to}@{gw}>", "To: <sip:{to}@{gw}>;user=phone"},
	} {
		s.change(c.name, 0, c.old, c.new)
	}
}

func (s *tricks) oddNames() {
	for _, n := range []string{`Alice`, `Alice Smith`, `J. Smith`, `O'Brien`, `Alice-1 +x *`, `""`, `" "`, `"Al\"ice\""`, `"back\\slash"`, `"Smith, Alice"`, `"Alice <1001>"`, `"Alice; Bob"`, `"+33199001234"`, `1001`, "\"\xd0\x90\xd0\xbb\xd0\xb8\xd1\x81\xd0\xb0\"",
		"\"\xe5\xb1\xb1\xe7\x94\xb0\"", "Ren\xc3\xa9e", "Ren\xc3\xa9e M\xc3\xbcller", `"Alice (Sales)"`, `"sip:1001"`, `"Tab` + "<TAB>" + `bed"`, `"Alice"  `, ``, `"WIRELESS CALLER"`, `"user@example.com"`} {
		s.change("From name "+n, 0, `"Alice"`, n)
	}
	s.change("no space before <", 0, `"Alice" <`, `"Alice"<`)
	s.change("From without brackets", 0, `"Alice" <sip:{user}@{host}>`, "sip:{user}@{host}")
	s.change("From a tel: without brackets", 0, `"Alice" <sip:{user}@{host}>`, "tel:+33199001234")
	s.change("To without brackets", 0, "<sip:{to}@{gw}>", "sip:{to}@{gw}")
	s.change("To with a name", 0, "To: <", `To: "{to}" <`)
	s.change("Contact without brackets", 0, "Contact: <sip:{user}@{me}>", "Contact: sip:{user}@{me}")
	s.change("Contact without user", 0, "Contact: <sip:{user}@{me}>", "Contact: <sip:{me}>")
	s.change("Contact with a name", 0, "Contact: <", `Contact: "Alice" <`)
}

func (s *tricks) oddURIs() {
	const ruri = "INVITE sip:{to}@{gw} SIP"
	for _, u := range []string{
		"sip:{to}@{gw};user=phone", "sip:{to}@{gw};transport=UDP", "sip:{to}@{gw};transport=udp;lr", "SIP:{to}@{gw}", "sip:%2B33123456789@{gw}", "sip:+33%31%323456789@{gw}", "sip:+33-1-23-45-67-89@{gw}", "sip:+33.1.23.45.67.89@{gw}", "sip:+33(1)23456789@{gw};user=phone",
		"sip:{to};npdi@{gw};user=phone", "sip:{to};rn=+33199000000;npdi@{gw}", "sip:{to};phone-context=+33@{gw};user=phone", "sip:{to};tgrp=tg1;trunk-context=example.com@{gw};user=phone", "sip:{to};cpc=ordinary;oli=0@{gw}", "sip:{to}@{gw};line=sr-abc123", "sip:{to}@{gw};rinstance=0a1b2c", "sip:{to}@{gw};isup-oli=00;noa=international",
		"sip:{to}@{gw};ob", "sip:{to}@{gw};gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "sip:{to}@{gw};alias=192.0.2.7~5060~1", "sip:{to}@{gw};fs_path=sip%3Aproxy.example.com%3Blr", "sip:{to}@{gw};x-nat=yes;cause=302;target=sip%3A1001%40x", "sip:{to}@{gw};ftag=as1;did=a7.b2;nat=yes", "sip:{to}@{gw};dtg=TG-1_x", "sip:{to}@{gw};phone-context=private",
		"sip:{to}@{gw};maddr=192.0.2.9", "sip:{to}@{gw};method=INVITE", "sip:{to}@{gw};ttl=1", "sip:{to}:@{gw}", "tel:+33123456789", "tel:+33-1-23-45-67-89", "tel:+33(1)23456789", "tel:+33123456789;npdi;rn=+33199000000", "TEL:+33123456789", "tel:123456789;phone-context=+33", "tel:+33123456789;isub=1234", "tel:+33123456789;cpc=ordinary;x-y=z",
	} {
		s.change("Request-URI "+u, 0, ruri, "INVITE "+u+" SIP")
	}
	for _, u := range []string{"<tel:+33199001234>", "<sip:{user}@{host}:5060;transport=UDP>", "<sip:{user};cpc=ordinary@{host};user=phone>", "<sip:%2B33199001234@{host}>", "<SIP:{user}@{host}>", "<sip:{user}@[2001:db8::7]:5060>", "<sip:{user}@[2001:db8::7]>", "<sip:{user}@GW-1_a.example.com.>",
		"<sip:{user}@{host};user=phone;noa=national>", "<sip:{user}@gw.invalid;otg=TG_1;x>", "<sip:{user}@1a.example>"} {
		s.change("From "+u, 0, "<sip:{user}@{host}>", u)
	}
	for _, u := range []string{"<tel:{to}>", "<sip:{to}@sip.carrier.example:5060;user=phone>", "<sip:{to}@sip.carrier.example>", "<sip:{to}@[2001:db8::1]>", "<sip:*31%23{to}@{gw}>", "<sip:*31#{to}@{gw}>", "<sip:{gw}>", "<sips:{to}@{gw}>"} {
		s.change("To "+u, 0, "<sip:{to}@{gw}>", u)
	}
	for _, u := range []string{"<sip:{user}@{me};transport=udp>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";reg-id=1", "<sip:{user}@{me};ob>;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"",
		"<sip:{user}@{me}>;+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\";+u.sip!model.ccm.cisco.com=\"684\";video", "<sip:{user}@{me}>;methods=\"INVITE, ACK, BYE, CANCEL, OPTIONS, INFO\"", "<sip:{user}@{me}>;isfocus;audio;q=0.5", "<sip:{user}@{me}>;+org.linphone.specs=\"groupchat/1.1,lime\"",
		"<sip:{user}@{me};fs_nat=yes;fs_path=sip%3A{me}>", "<sip:asterisk@{me}>", "<sip:{user}-0x7f3c2c01b0a0@{me}>", "<sip:mod_sofia@{me}>", "<sip:{user}@{me};alias=192.0.2.7~5060~1>;+sip.ice;reg-id=1", "<sip:{user}@{me};x-ast-orig-host=192.0.2.8:5060>", "<sip:{me};transport=udp;gr>", "<sip:gw+carrier@{me};transport=udp;gtd=1>;expires=60"} {
		s.change("Contact "+u, 0, "<sip:{user}@{me}>", u)
	}
}

func (s *tricks) oddVias() {
	for _, v := range []string{"SIP/2.0/UDP {me};rport;branch=z9hG4bK{id}", "SIP/2.0/UDP {me};branch=z9hG4bK{id}", "SIP/2.0/UDP {me};received=192.0.2.1;rport=5060;branch=z9hG4bK{id}", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport=5060;received=192.0.2.1", "SIP/2.0/udp {me};branch=z9hG4bK{id};rport",
		"SIP / 2.0 / UDP {me} ; branch = z9hG4bK{id} ; rport", "sip/2.0/UDP {me};branch=z9hG4bK{id};rport", "SIP/2.0/UDP {me};BRANCH=z9hG4bK{id};RPORT", "SIP/2.0/UDP {me};branch=z9hG4bK-524287-1---{id};rport", "SIP/2.0/UDP {me};branch=z9hG4bK.{id}~!;rport;alias", "SIP/2.0/UDP {me};branch={id};rport",
		"SIP/2.0/UDP gw-1.example.com:5060;branch=z9hG4bK{id};rport", "SIP/2.0/UDP gw_1;branch=z9hG4bK{id};rport", "SIP/2.0/UDP [2001:db8::7]:5060;branch=z9hG4bK{id};rport", "SIP/2.0/UDP [2001:db8::7];branch=z9hG4bK{id};rport;received=2001:db8::9", "SIP/2.0/UDP {me};maddr=192.0.2.9;branch=z9hG4bK{id};rport", "SIP/2.0/UDP {me};ttl=16;maddr=224.2.0.1;branch=z9hG4bK{id};rport",
		"SIP/2.0/UDP {me};x-route-tag=\"cid:SITE@192.0.2.1\";branch=z9hG4bK{id};rport", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport;ms-received-port=5061;ms-received-cid=2600", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport;i=b2;cpp", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport;comp=sigcomp;sigcomp-id=\"urn:uuid:1\"",
		"SIP/2.0/UDP {me};branch=z9hG4bK{id};rport, SIP/2.0/UDP 192.0.2.8:5060;branch=z9hG4bKb;received=192.0.2.8", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport\nVia: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKb\nv:SIP/2.0/TLS b.example;branch=z9hG4bKc", "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport,\n SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKb",
		"SIP/2.0/UDP {me};branch=z9hG4bK{id};keep;rport", "SIP/2.0/UDP {me};hidden;branch=z9hG4bK{id};rport"} {
		s.change("Via "+v, 0, "SIP/2.0/UDP {me};branch=z9hG4bK{id};rport", v)
	}
}

// oddExtras are header fields beside those that every request has.
func (s *tricks) oddExtras() {
	for _, l := range []string{
		"Supported:", "Supported: ", "k: timer,,100rel", "Supported: timer, replaces ,\n path", "Allow:INVITE,ACK,BYE\nAllow: CANCEL, OPTIONS", "Require:", "Proxy-Require:", "Subject:", "Subject: call \"me", "Organization:", "User-Agent:", "Accept: application/sdp;level=1, application/x-private, text/html", "Accept-Language:", "Allow-Events: presence,\n dialog",
		"Session-Expires: 1800;refresher=uac\nMin-SE: 90", "x:1800", "Session-Expires: 1800 ; refresher=UAC", "Expires: 180", "Date: Sat, 13 Nov 2010 23:29:00 GMT", "Timestamp: 1590", "Priority: normal", "MIME-Version: 1.0", "Content-Disposition: session;handling=required", "Content-Encoding: identity", "Content-Language: fr", "Max-Breadth: 60",
		"P-Asserted-Identity: \"Alice\" <sip:{user}@{host}>, <tel:+33199001234>", "P-Asserted-Identity: sip:{user}@{host}", "P-Asserted-Identity: tel:+33199001234", "P-Asserted-Identity: <sip:{user}@{host};user=phone>\nP-Asserted-Identity: <tel:+33199001234>", "P-Preferred-Identity: <sip:{user}@{host}>", "P-Asserted-Identity: Alice <sip:{user}@{host}>", "Privacy: none", "Privacy: id;header;user",
		"Remote-Party-ID: \"Alice\" <sip:{user}@{host}>;party=calling;screen=yes;privacy=off", "Diversion: \"B\" <sip:1001@{host}>;reason=unconditional;counter=1;privacy=off", "History-Info: <sip:1001@x?Reason=SIP%3Bcause%3D302>;index=1,<sip:1002@x>;index=1.1", "Cisco-Guid: 1234567890-1234567890-1234567890-1234567890", "Session-ID: 00007c4200105000a0000cd9961c5a0b;remote=00000000000000000000000000000000",
		"Session-ID: f81d4fae7dec11d0a76500a0c91e6bf6", "X-Grandstream-PBX: true", "X-FS-Support: update_display,send_info", "X-Asterisk-HangupCause: Normal Clearing", "Call-Info: <urn:x-cisco-remotecc:callinfo>;x-cisco-video-traffic-class=MIXED", "Alert-Info: <file://Bellcore-dr1/>", "Alert-Info: info=alert-internal", "P-Early-Media: supported", "P-Charging-Vector: icid-value=\"a;b\";icid-generated-at=192.0.2.1",
		"P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=2620112345678", "User-to-User: 56a390f3d2b7310023;encoding=hex", "Identity: eyJhbGciOiJFUzI1NiJ9.e30.c2ln;info=<https://cert.example.org/p.cer>;alg=ES256;ppt=shaken", "Recv-Info: x-broadworks-client-session-info", "Route: <sip:{gw};lr>", "Route: <sip:{gw};lr=on>,<sip:192.0.2.9;lr>", "Record-Route: <sip:192.0.2.9;lr;ftag=as1;did=a.b>", "Record-Route: <sip:192.0.2.9;r2=on;lr=on>,\n <sip:192.0.2.10;transport=tcp;r2=on;lr=on>",
		"Record-Route: \"proxy\" <sip:p1.example.com:5060;lr;nat=yes;vst=AAA->", "Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"", "Request-Disposition: no-fork", "Geolocation: <cid:a@b>", "Proxy-Authorization: Digest username=\"a\",realm=\"b\",nonce=\"c\",uri=\"sip:x\",response=\"0\"", "Proxy-Authorization: Digest  username = \"a\" , realm=\"b\",\n\tnonce=\"c\", uri=\"sip:x\", response=\"0\", algorithm=MD5,",
		"Authorization: Digest username=\"a\", realm=\"b \\\"c\\\"\", nonce=\"n\", uri=sip:x, response=\"0\", algorithm=\"MD5\", qop=\"auth\", nc=00000001, cnonce=\"\", opaque=\"\"", "Authorization: digest username=a,realm=b,nonce=c,uri=\"sip:x\",response=0", "Authorization: Digest username=\"\", realm=\"b\", nonce=\"\", uri=\"sip:x\", response=\"\"", "Referred-By: <sip:1001@{host}>;cid=\"2UWQFN309shb3@ref.example\"", "b: sip:1001@{host}", "In-Reply-To: a@b, c@d",
		"Reply-To: <sip:1001@{host}>", "Warning: 399 host \"misc\"", "Server: x", "X-Empty:", "X-Semicolons: ;;,,=\"", "x-lower: 1", "P-Hint: outbound", "ms-asserted-verification-level: ms-source-verified-user=verified", "Join-Me: x", "X-Long: " + strings.Repeat("long ", 400), strings.TrimSuffix(strings.Repeat("X-Many: 1\n", 80), "\n"),
	} {
		s.add(strings.ReplaceAll(l[:min(len(l), 90)], "\n", " and "), 0, l)
	}
}

func (s *tricks) oddBodies() {
	_, sdp, _ := strings.Cut(trickInvite, "\n\n")
	body := func(name, contentType, content string) {
		text := strings.Replace(strings.Replace(trickInvite, "application/sdp", contentType, 1), "\n\n"+sdp, "\n\n"+content, 1)
		s.list = append(s.list, Trick{Name: name, Text: strings.ReplaceAll(text, "\n", "\r\n")})
	}
	for _, ct := range []string{"Application/SDP", "application/sdp;charset=utf-8", "application/sdp ; charset=\"UTF-8\""} {
		body("type "+ct, ct, sdp)
	}
	isup := "--b1\nContent-Type: application/ISUP;version=itu-t92+;base=itu-t92+\nContent-Disposition: signal;handling=optional\n\n\x01\x00\x49\x00\x00\x03\x02\x00\x07\x04\x10\x00\n"
	sdpPart := "--b1\nContent-Type: application/sdp\n\n" + sdp + "\n"
	body("ISUP behind the description", "multipart/mixed;boundary=b1", sdpPart+isup+"--b1--\n")
	body("ISUP before the description", "multipart/mixed; boundary=\"b1\"", isup+sdpPart+"--b1--")
	body("a preamble and an epilogue", "multipart/mixed;boundary=b1;type=x", "preamble\n"+sdpPart+"--b1--\nepilogue\n")
	body("parts with their headers", "multipart/mixed;boundary=b1", strings.Replace(sdpPart, "\n\n", "\nContent-ID: <a@b>\nContent-Length: 10\nContent-Transfer-Encoding: binary\n\n", 1)+"--b1\nContent-Type: application/pidf+xml\nContent-Disposition: render;handling=optional\n\n<presence/>\n--b1--\n")
	odd := func(name, old, new string) {
		if !strings.Contains(sdp, old) {
			panic("siptest: no " + old)
		}
		body("SDP "+name, "application/sdp", strings.Replace(sdp, old, new, 1))
	}
	odd("with no name", "s=-", "s=")
	odd("with a space for a name", "s=-", "s= ")
	odd("with a long name", "s=-", "s=SIP Call / Asterisk PBX 18.9-cert1")
	odd("with more of the session", "t=0 0", "b=AS:84\nb=TIAS:64000\nt=0 0\na=X-nat:0\na=silenceSupp:off - - - -")
	odd("with formats", "RTP/AVP 0\n", "RTP/AVP 0 8 18 4 101\na=rtpmap:0 PCMU/8000/1\na=rtpmap:8 PCMA/8000\na=fmtp:18 annexb=no\na=fmtp:4 bitrate=5.3;annexa=no\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16,32-36\na=maxptime:150\na=ptime:20\na=sendrecv\n")
	odd("with one more line end", "RTP/AVP 0\n", "RTP/AVP 0\n\n")
	odd("with its times in full", "t=0 0", "t=3826051200 3826054800")
	odd("as of Cisco", "o=- 1 1 IN", "o=CiscoSystemsSIP-GW-UserAgent 5842 9283 IN")
	odd("with a large session", "o=- 1 1 IN", "o=user1 18446744073709551615 9223372036854775807 IN")
	s.change("no body", 0, "Content-Type: application/sdp\n", "")
	last := &s.list[len(s.list)-1]
	head, _, _ := strings.Cut(last.Text, "\r\n\r\n")
	last.Text = strings.Replace(head, "{n}", "0", 1) + "\r\n\r\n"
	s.change("no length", 0, "Content-Length: {n}\n", "", "close")
}

const oddRegister = `REGISTER sip:{gw} SIP/2.0
Via: SIP/2.0/TLS {me};branch=z9hG4bK{id};rport
Max-Forwards: 70
From: <sip:{user}@{gw}>;tag=f{id}
To: <sip:{user}@{gw}>
Call-ID: c{id}
CSeq: 1 REGISTER
Contact: <sip:{user}@{me};transport=tls>;expires=3600
Expires: 3600
Content-Length: 0

`

// OddRegisters lists registrations as telephones write them. All of them pass.
func OddRegisters() []Trick {
	s := &tricks{base: oddRegister}
	const contact = "Contact: <sip:{user}@{me};transport=tls>;expires=3600"
	for _, c := range []string{
		"Contact: <sip:{user}@{me};transport=TLS;ob>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0004f2000001>\"",
		"Contact: <sip:0f9d1a2b-3c4d@{me};transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-001122334455>\";+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\";+u.sip!model.ccm.cisco.com=\"684\";video",
		"Contact: <sip:{user}@{me};transport=tls>;methods=\"INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, SUBSCRIBE, NOTIFY, PRACK, UPDATE, REFER\"",
		"Contact: <sip:{user}@{me};transport=tls;line=ovjr6spb>;reg-id=1;q=1.0;+sip.instance=\"<urn:uuid:1>\";audio;mobility=\"fixed\";duplex=\"full\";description=\"snom870\";actor=\"principal\";events=\"dialog\";methods=\"INVITE,ACK\"",
		"Contact: <sip:{user}@{me};transport=tls;rinstance=0a1b2c3d4e5f>", "Contact: \"1001\" <sip:{user}@{me};transport=tls>;expires=60;q=0.5", "Contact: sip:{user}@{me};expires=600", "m: <sip:{user}@{me};transport=tls> ; expires = 600",
		"Contact: <sips:{user}@{me}>", "Contact: <sip:{user}@[2001:db8::7]:5061;transport=tls>", "Contact: <sip:{user}@desk.local:5061;transport=tls>", "Contact: <sip:{user}@{me};transport=tls;registering_acc=example_com>;expires=600", "Contact: <sip:{user}@{me};transport=tls>;+org.linphone.specs=\"conference/2.0,ephemeral/1.1,groupchat/1.2,lime\";+sip.instance=\"<urn:uuid:2>\"",
		"Contact: <sip:{user}@{me};x-ast-txp=TLS>;cn=x;pn-provider=apns;pn-prid=\"00fc13adff78512\"", "Contact: <sip:{user}@{me};pn-provider=acme;pn-param=acme-param;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K;transport=tls>", "Contact:\n <sip:{user}@{me};transport=tls>", "Contact: <sip:{user}@{me};transport=tls>;expires=0600;temp-gruu=\"sip:tgruu.7@{gw};gr\"",
	} {
		s.change(c, 0, contact, c)
	}
	for _, l := range []string{"Allow-Events: talk,hold,conference,dialog,as-feature-event", "Path: <sip:192.0.2.9;lr;ob>", "Supported: path, outbound, gruu", "Event: registration", "User-Agent: Yealink SIP-T46S 66.86.0.15", "User-Agent: PolycomVVX-VVX_411-UA/5.9.3.2857", "User-Agent: Grandstream GXP2170 1.0.11.6 (C074AD000001)",
		"Authorization: Digest username=\"{user}\",realm=\"x\",nonce=\"n\",uri=\"sip:{gw}\",response=\"0123456789abcdef0123456789abcdef\",algorithm=MD5", "Authorization: Digest username=\"{user}\", realm=\"x\", nonce=\"\", uri=\"sip:{gw}\", response=\"\"", "Mac: 00:15:65:00:00:01\nLine: 1", "X-Real-IP: 192.0.2.7", "Accept-Encoding: identity", "Accept: application/reginfo+xml", "Reason: SIP;cause=200;text=\"cisco-alarm:22 Name=SEP001122334455 Load=sip88xx.12-5-1\"",
		"Date: Sat, 13 Nov 2010 23:29:00 GMT", "Cisco-Guid: 1-2-3-4"} {
		s.add(strings.ReplaceAll(l, "\n", " and "), 0, l)
	}
	s.change("no Max-Forwards", 0, "Max-Forwards: 70\n", "")
	s.change("no Expires", 0, "Expires: 3600\n", "")
	s.change("From and To with names", 0, "To: <sip:{user}@{gw}>", "To: \"Desk 1\" <sip:{user}@{gw}>;x=y")
	s.change("To without brackets", 0, "To: <sip:{user}@{gw}>", "To: sip:{user}@{gw}")
	s.change("the domain in capitals", 0, "REGISTER sip:{gw}", "REGISTER sip:SIP.EXAMPLE.TEST")
	s.change("a transport in the Request-URI", 0, "REGISTER sip:{gw}", "REGISTER sip:{gw}:5061;transport=tls;lr")
	s.change("a port in To", 0, "To: <sip:{user}@{gw}>", "To: <sip:{user}@{gw}:5061;user=phone>")
	return s.list
}

// OddAnswers lists changes to a 200 for an INVITE as PBXs and carriers write it:
// what stands in it and what for. <contact> is the contact.
func OddAnswers() [][2]string {
	return [][2]string{
		{"SIP/2.0 200 Whatever", "SIP/2.0 200 "}, {"SIP/2.0 200 Whatever", "SIP/2.0 200 D\xc3\xa9croch\xc3\xa9"}, {"SIP/2.0 200 Whatever", "SIP/2.0 200 OK (SIP/2.0)"}, {"SIP/2.0 200 Whatever", "SIP/2.0 200 OK - 100%; \"fine\""},
		{"From:", "f:"}, {"To:", "t :"}, {"Call-ID:", "i:"}, {"CSeq: 1 INVITE", "CSeq:1  INVITE"}, {"Contact:", "m:"}, {"Content-Type: application/sdp", "c:application/sdp"}, {"Content-Type: application/sdp", "Content-Type: application/sdp;charset=utf-8"},
		{"Via: ", "v:\n "}, {"Contact: <", "Contact: \"Asterisk\" <"}, {"Contact: ", "Server: Asterisk PBX 18.9-cert1\nAllow: INVITE, ACK\nSupported: replaces, timer\nSession-Expires: 1800;refresher=uas\nContact: "}, {"Contact: ", "Server: FreeSWITCH-mod_sofia/1.10.7-release~64bit\nRequire:\nAccept: application/sdp\nAllow-Events: talk, hold\nRemote-Party-ID: \"x\" <sip:1@h>;party=calling;privacy=off;screen=no\nContact: "},
		{"Contact: ", "X-Asterisk-HangupCause: Normal Clearing\nX-Asterisk-HangupCauseCode: 16\nContact: "}, {"Contact: ", "P-Asserted-Identity: \"Bob\" <sip:1002@h>, <tel:+33123456789>\nPrivacy: none\nContact: "}, {"Contact: ", "Date: Sat, 13 Nov 2010 23:29:00 GMT\nAllow:INVITE,ACK,CANCEL\nWarning: 399 192.0.2.1 \"x y\"\nContact: "}, {"Contact: ", "Record-Route: <sip:192.0.2.9;lr;ftag=x>\nContact: "},
		{"Contact: ", "Session-ID: 00007c4200105000a0000cd9961c5a0b;remote=00000000000000000000000000000000\nContact: "}, {"Contact: ", "Supported:\nUser-Agent:\nOrganization: \nContact: "}, {"Contact: ", "MIME-Version: 1.0\nContent-Disposition: session;handling=required\nContact: "}, {"Contact: ", "Subject:\nX-Long: " + strings.Repeat("long ", 400) + "\nContact: "},
	}
}
