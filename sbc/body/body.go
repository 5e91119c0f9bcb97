// Package body takes the body of a SIP message apart and puts one together. It
// answers: which part of a multipart body (RFC 2046, RFC 5621) is the session
// description, and what else is there.
//
// It does not read what is in a part and does not decide which parts may
// cross; sbc does. Parts are never copied in their frame: what crosses is
// written anew with a boundary of our own, so that two readers cannot disagree
// about where a part ends. It keeps no state, knows no time, and everything
// that a sender can grow (parts, depth, header lines) has a cap. What is
// broken is an [*Error] with the SIP status that answers it.
//
// Start reading at [Split].
package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
)

// Caps on one body. The size as a whole is the message's.
const (
	MaxParts  = 8 // leaves, however deep
	MaxDepth  = 3 // multiparts within each other
	maxHeader = 8 // header fields of a part
)

// Error is a body that cannot be taken, and the status that says so.
type Error struct {
	Status int // 400 or 415
	Reason string
}

func (e *Error) Error() string { return e.Reason }

func malformed(format string, args ...any) *Error {
	return &Error{400, fmt.Sprintf("multipart body: "+format, args...)}
}

// Part is one leaf of a body.
type Part struct {
	Type        string // lower case, without parameters; "" when nobody here can read it
	Named       string // what it calls itself, readable or not
	Params      map[string]string
	Disposition string // lower case; "" when not given
	Required    bool   // the receiver must understand it (RFC 3261 §20.11)
	ID          string // Content-ID without brackets
	Content     []byte
}

// Bundle is a body taken apart.
type Bundle struct {
	SDP    []byte // the session description; nil when there is none
	Others []Part
}

// Split takes a multipart body apart. contentType is the header's value.
func Split(contentType string, content []byte) (Bundle, error) {
	var b Bundle
	sp := splitter{to: &b}
	if err := sp.multipart(contentType, content, 1); err != nil {
		return Bundle{}, err
	}
	return b, nil
}

// IsMultipart reports whether a Content-Type value names a multipart.
func IsMultipart(contentType string) bool {
	return len(contentType) > 10 && strings.EqualFold(contentType[:10], "multipart/")
}

type splitter struct {
	to    *Bundle
	parts int
}

func (s *splitter) multipart(contentType string, content []byte, depth int) error {
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return malformed("Content-Type: %v", err)
	}
	// What else there is (signed, encrypted, report) means something as a whole.
	if !slices.Contains([]string{"multipart/mixed", "multipart/alternative", "multipart/related"}, typ) {
		return &Error{415, "body of type " + clip(typ)}
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > 70 {
		return malformed("boundary of %d characters", len(boundary))
	}
	if depth > MaxDepth {
		return malformed("nested more than %d deep", MaxDepth)
	}
	r := multipart.NewReader(bytes.NewReader(content), boundary)
	n := 0
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			return malformed("part %d: %v", n+1, err)
		}
		n++
		if err := s.part(p, depth); err != nil {
			return err
		}
	}
}

func (s *splitter) part(p *multipart.Part, depth int) error {
	if s.parts++; s.parts > MaxParts {
		return malformed("more than %d parts", MaxParts)
	}
	fields := 0
	for name, vs := range p.Header {
		fields += len(vs)
		if len(vs) > 1 && strings.HasPrefix(name, "Content-") {
			return malformed("two %s in a part", clip(name))
		}
	}
	if fields > maxHeader {
		return malformed("%d header fields in a part", fields)
	}
	content, err := io.ReadAll(p)
	if err != nil {
		return malformed("part %d: %v", s.parts, err)
	}
	ct := p.Header.Get("Content-Type")
	if IsMultipart(ct) {
		return s.multipart(ct, content, depth+1)
	}
	leaf, plain, err := read(p.Header.Get, content)
	if err != nil {
		return err
	}
	if leaf.Type == "application/sdp" && (leaf.Disposition == "" || leaf.Disposition == "session") {
		switch {
		case !plain:
			return &Error{415, "an encoded session description"}
		case s.to.SDP != nil:
			return malformed("two session descriptions")
		case len(content) == 0:
			return malformed("an empty session description")
		}
		s.to.SDP = content
		return nil
	}
	leaf.Named = leaf.Type
	if !plain {
		leaf.Type = "" // nobody here can read it, whatever it is called
	}
	s.to.Others = append(s.to.Others, leaf)
	return nil
}

// read reads the header fields of a leaf; plain says that the content is not encoded.
func read(field func(string) string, content []byte) (p Part, plain bool, err error) {
	p = Part{Type: "text/plain", Content: content} // RFC 2045 §5.2
	if ct := field("Content-Type"); ct != "" {
		if p.Type, p.Params, err = mime.ParseMediaType(ct); err != nil {
			return p, false, malformed("Content-Type of a part: %v", err)
		}
	}
	// A part that says nothing of its handling is required, but for the
	// signalling of telephone networks (RFC 3204 §3.1).
	p.Required = p.Type != "application/isup" && p.Type != "application/qsig"
	if cd := field("Content-Disposition"); cd != "" {
		var params map[string]string
		if p.Disposition, params, err = mime.ParseMediaType(cd); err != nil {
			return p, false, malformed("Content-Disposition of a part: %v", err)
		}
		switch strings.ToLower(params["handling"]) {
		case "optional":
			p.Required = false
		case "required":
			p.Required = true
		}
	}
	p.ID = strings.Trim(strings.TrimSpace(field("Content-Id")), "<>")
	plain = field("Content-Encoding") == "" || strings.EqualFold(field("Content-Encoding"), "identity")
	switch strings.ToLower(field("Content-Transfer-Encoding")) {
	case "", "binary", "8bit", "7bit":
	default:
		plain = false
	}
	return p, plain, nil
}

func clip(s string) string { return s[:min(len(s), 60)] }

// Join writes a multipart/mixed body: the description first, where there is
// one, then the parts. boundary must not stand in any content; see [Boundary].
func Join(b Bundle, boundary string) (contentType string, content []byte) {
	var w bytes.Buffer
	line := func(s string) { w.WriteString(s + "\r\n") }
	if b.SDP != nil {
		line("--" + boundary)
		line("Content-Type: application/sdp")
		line("")
		w.Write(b.SDP)
		line("")
	}
	for _, p := range b.Others {
		line("--" + boundary)
		line("Content-Type: " + mime.FormatMediaType(p.Type, p.Params))
		if p.Disposition != "" {
			handling := "optional"
			if p.Required {
				handling = "required"
			}
			line("Content-Disposition: " + p.Disposition + ";handling=" + handling)
		}
		if p.ID != "" {
			line("Content-ID: <" + p.ID + ">")
		}
		line("")
		w.Write(p.Content)
		line("")
	}
	line("--" + boundary + "--")
	return "multipart/mixed;boundary=" + boundary, w.Bytes()
}

// Boundary is one that no part holds: token is tried and made longer until it
// fits.
func Boundary(b Bundle, token string) string {
	for stands(b, token) {
		token += "x"
	}
	return token
}

func stands(b Bundle, token string) bool {
	if bytes.Contains(b.SDP, []byte(token)) {
		return true
	}
	return slices.ContainsFunc(b.Others, func(p Part) bool { return bytes.Contains(p.Content, []byte(token)) })
}
