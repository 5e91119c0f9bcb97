package sdp

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// crlf makes a description of indented lines readable in a table.
func crlf(s string) []byte {
	var b strings.Builder
	for l := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		b.WriteString(strings.TrimSpace(l) + "\r\n")
	}
	return []byte(b.String())
}

const minimal = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

func TestParseTolerates(t *testing.T) {
	for name, in := range map[string]string{
		"plain":              minimal,
		"LF line ends":       strings.ReplaceAll(minimal, "\r\n", "\n"),
		"no last line end":   strings.TrimSuffix(minimal, "\r\n"),
		"empty lines at end": minimal + "\r\n\r\n",
		"no s= and no t=":    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n",
		"spaces in o= user":  strings.Replace(minimal, "o=-", "o=Alice B. C", 1),
		"fax":                minimal + "m=image 4002 udptl t38\r\na=T38FaxVersion:0\r\n",
		"a= before c=":       "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\na=sendrecv\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n",
		"unknown type":       strings.Replace(minimal, "t=0 0", "t=0 0\r\nq=what", 1),
		"empty s=":           strings.Replace(minimal, "s=-", "s= ", 1),
		"trailing spaces":    minimal + "a=sendrecv \r\n",
		"huge session id":    strings.Replace(minimal, " 1 1 ", " 99999999999999999999999 1 ", 1),
		"declined, no fmt":   minimal + "m=video 0 RTP/AVP\r\n",
		"several ports":      minimal + "m=video 4004/2 RTP/AVP 31\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			out := s.Marshal()
			again, err := Parse(out)
			if err != nil {
				t.Fatalf("own output does not parse: %v\n%s", err, out)
			}
			if !bytes.Equal(again.Marshal(), out) {
				t.Errorf("not stable:\n%s\n%s", out, again.Marshal())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		line int
		big  bool
	}{
		"empty":            {"", 0, false},
		"only line ends":   {"\r\n\r\n", 0, false},
		"no v=":            {"o=- 1 1 IN IP4 192.0.2.1\r\n", 1, false},
		"v=1":              {"v=1\r\n", 1, false},
		"second v=":        {minimal[:5] + "v=0\r\n" + minimal[5:], 2, false},
		"second o=":        {strings.Replace(minimal, "s=-", "o=- 2 2 IN IP4 192.0.2.2", 1), 3, false},
		"second s=":        {strings.Replace(minimal, "t=0 0", "s=x", 1), 5, false},
		"second c=":        {minimal + "c=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n", 8, false},
		"no o=":            {"v=0\r\ns=-\r\n", 0, false},
		"short o=":         {"v=0\r\no=- 1 IN IP4 192.0.2.1\r\n", 2, false},
		"NUL":              {strings.Replace(minimal, "s=-", "s=a\x00b", 1), 3, false},
		"bare CR":          {strings.Replace(minimal, "s=-", "s=a\rm=audio", 1), 3, false},
		"CR CR LF":         {strings.Replace(minimal, "s=-\r", "s=-\r\r", 1), 3, false},
		"DEL":              {minimal + "a=x\x7f\r\n", 7, false},
		"empty line":       {strings.Replace(minimal, "s=-\r\n", "s=-\r\n\r\n", 1), 4, false},
		"space before =":   {strings.Replace(minimal, "s=-", "s =-", 1), 3, false},
		"upper case type":  {strings.Replace(minimal, "s=-", "S=-", 1), 3, false},
		"folded line":      {strings.Replace(minimal, "s=-", " s=-", 1), 3, false},
		"short m=":         {minimal + "m=audio 4000\r\n", 7, false},
		"m= without fmt":   {minimal + "m=audio 4000 RTP/AVP\r\n", 7, false},
		"port too big":     {minimal + "m=audio 65536 RTP/AVP 0\r\n", 7, false},
		"port with sign":   {minimal + "m=audio +4000 RTP/AVP 0\r\n", 7, false},
		"zero ports":       {minimal + "m=audio 4000/0 RTP/AVP 0\r\n", 7, false},
		"bad media":        {minimal + "m=au(dio 4000 RTP/AVP 0\r\n", 7, false},
		"bad proto":        {minimal + "m=audio 4000 RTP//AVP 0\r\n", 7, false},
		"short c=":         {minimal + "c=IN 192.0.2.1\r\n", 7, false},
		"attribute name":   {minimal + "a=se nd:1\r\n", 7, false},
		"empty attribute":  {minimal + "a=\r\n", 7, false},
		"t= after m=":      {minimal + "t=0 0\r\n", 7, false},
		"too big":          {minimal + strings.Repeat("a=x\r\n", MaxSize/5), 0, true},
		"too many lines":   {minimal + strings.Repeat("a=x\r\n", MaxLines), MaxLines + 1, true},
		"too long a line":  {minimal + "a=x:" + strings.Repeat("y", MaxLine) + "\r\n", 7, true},
		"too many m-lines": {minimal + strings.Repeat("m=audio 0 RTP/AVP 0\r\n", MaxMedia), 6 + MaxMedia, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(c.in))
			var pe *ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("got %+v, %v; want a *ParseError", s, err)
			}
			if pe.Line != c.line || pe.Big != c.big {
				t.Errorf("got %q (line %d, big %t), want line %d, big %t", pe, pe.Line, pe.Big, c.line, c.big)
			}
		})
	}
}

func TestParseKeepsEverything(t *testing.T) {
	in := crlf(`v=0
		o=alice 2890844526 2890844527 IN IP6 2001:db8::1
		s=A call
		i=about it
		u=http://example.com/
		e=a@example.com
		p=+1 555
		c=IN IP6 2001:db8::1
		b=AS:128
		t=1 2
		r=7d 1h 0
		a=recvonly
		m=audio 49170/2 RTP/AVP 0 8
		i=title
		c=IN IP4 192.0.2.9
		b=TIAS:64000
		k=prompt
		a=rtpmap:0 PCMU/8000
		a=empty:
		a=flag`)
	s, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Marshal(); !bytes.Equal(got, in) {
		t.Errorf("got\n%s\nwant\n%s", got, in)
	}
	if s.Origin.User != "alice" || s.Media[0].Ports != 2 || s.Media[0].Conn.Addr != "192.0.2.9" {
		t.Errorf("parsed %q %+v", s.Origin, s.Media[0])
	}
	if want := []Attr{value("rtpmap", "0 PCMU/8000"), value("empty", ""), flag("flag")}; !reflect.DeepEqual(s.Media[0].Attrs, want) {
		t.Errorf("attributes %v", s.Media[0].Attrs)
	}
}

func TestSessionFacts(t *testing.T) {
	for _, c := range []struct {
		media   string
		profile string
		srtp    bool
	}{
		{"", "", false},
		{"m=audio 4000 RTP/AVP 0", "RTP/AVP", false},
		{"m=audio 4000 RTP/SAVP 0", "RTP/SAVP", true},
		{"m=audio 4000 RTP/SAVP 0\nm=video 4002 RTP/AVP 31", "RTP/SAVP", false},
		{"m=audio 4000 RTP/SAVP 0\nm=video 0 RTP/AVP 31", "RTP/SAVP", true},
		{"m=image 4000 udptl t38", "udptl", false},
	} {
		s, err := Parse(crlf("v=0\no=- 1 1 IN IP4 192.0.2.1\n" + c.media))
		if err != nil {
			t.Fatal(err)
		}
		if s.Profile() != c.profile || s.SRTP() != c.srtp {
			t.Errorf("%q: %q %t", c.media, s.Profile(), s.SRTP())
		}
	}
}
