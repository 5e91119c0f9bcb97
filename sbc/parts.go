package sbc

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/body"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// What of a multipart body crosses beside the session description: the
// caller's location on an emergency call, and what the peers at both ends are
// configured to exchange. The description itself is sdp's to write.

// locationType is a location in a presence document (RFC 4119, RFC 5491).
const locationType = "application/pidf+xml"

// bodiesOf are the types that a PBX or peer may send and get beside SDP.
func (g *Gateway) bodiesOf(kind call.Kind, name string) []string {
	switch kind {
	case call.PBX:
		if p := g.peers.pbxByName(name); p != nil {
			return p.Bodies
		}
	case call.Carrier:
		if p := g.peers.byName(name); p != nil {
			return p.Bodies
		}
	}
	return nil
}

// bodyFault finds what is wrong with a multipart body: broken (400), of a kind
// that is not read, or with a part that must be understood and never crosses
// (415). An emergency call is not refused for what merely accompanies it.
func (g *Gateway) bodyFault(r *sipx.Request, kind call.Kind, name string, emergency bool) *body.Error {
	parts, err := r.Parts()
	if err != nil {
		if e, ok := err.(*body.Error); ok {
			return e
		}
		return &body.Error{Status: 400, Reason: err.Error()}
	}
	allowed := g.bodiesOf(kind, name)
	for _, p := range parts {
		if p.Required && p.Type != locationType && !emergency && !slices.Contains(allowed, p.Type) {
			return &body.Error{Status: 415, Reason: fmt.Sprintf("a part of type %q must be understood", clip60(p.Type))}
		}
	}
	return nil
}

// acceptFor goes with a 415 (RFC 3261 §21.4.13).
func acceptFor(code int) []sipx.HeaderField {
	if code != 415 {
		return nil
	}
	return []sipx.HeaderField{acceptField}
}

// acceptField says what bodies of calls are read here.
var acceptField = sipx.HeaderField{Name: "Accept", Value: "application/sdp, multipart/mixed, multipart/related, multipart/alternative"}

func clip60(v string) string { return v[:min(len(v), 60)] }

// crossing selects the parts that go on to leg to, rewritten.
func (s *session) crossing(parts []body.Part, to b2bua.Leg) (out []body.Part, err error) {
	x, y := &s.legs[to.Other()], &s.legs[to]
	from, into := s.g.bodiesOf(x.kind, x.name), s.g.bodiesOf(y.kind, y.name)
	for _, p := range parts {
		switch {
		case p.Type == locationType:
			if !s.a.Emergency() || y.kind != call.PBX && y.kind != call.Carrier {
				continue
			}
			doc, ok := location(p.Content, s.g.cfg.Domains[0])
			if !ok {
				continue
			}
			out = append(out, body.Part{Type: p.Type, ID: p.ID, Content: doc})
		case slices.Contains(from, p.Type) && slices.Contains(into, p.Type):
			p.ID, p.Params, p.Disposition = "", isupParams(p), "signal"
			out = append(out, p)
		case p.Required && !s.a.Emergency():
			return nil, &body.Error{Status: 415, Reason: "a part of type " + clip60(p.Type) + " does not cross to " + y.name}
		}
	}
	return out, nil
}

// isupParams are the parameters of RFC 3204: which dialect it is.
func isupParams(p body.Part) map[string]string {
	out := map[string]string{}
	for _, n := range []string{"version", "base"} {
		if v := p.Params[n]; v != "" && len(v) < 40 && strings.Trim(strings.ToLower(v), "abcdefghijklmnopqrstuvwxyz0123456789-+") == "" {
			out[n] = v
		}
	}
	return out
}

// bodied is a request or response that may have a multipart body.
type bodied interface {
	Parts() ([]body.Part, error)
	Headers(name string) []string
}

// withParts puts what crosses of a multipart body beside the description that
// was written for leg to.
func (s *session) withParts(m bodied, to b2bua.Leg, hs []sipx.HeaderField, desc []byte) ([]sipx.HeaderField, []byte, error) {
	all, err := m.Parts()
	if err != nil || len(all) == 0 {
		return hs, desc, nil // a broken one was refused, or had no description
	}
	parts, err := s.crossing(all, to)
	if err != nil || len(parts) == 0 {
		return hs, desc, err
	}
	for i := range parts {
		if parts[i].Type != locationType {
			continue
		}
		// The header names the part (RFC 6442 §4.1); both get a name of ours.
		named := parts[i].ID != "" && slices.ContainsFunc(m.Headers("Geolocation"), func(v string) bool {
			return strings.Contains(v, "<cid:"+parts[i].ID+">")
		})
		parts[i].ID = fmt.Sprintf("location%d@%s", i, s.g.cfg.Domains[0])
		if named {
			hs = append(hs, sipx.HeaderField{Name: "Geolocation", Value: "<cid:" + parts[i].ID + ">"})
			if v := m.Headers("Geolocation-Routing"); len(v) == 1 && (v[0] == "yes" || v[0] == "no") {
				hs = append(hs, sipx.HeaderField{Name: "Geolocation-Routing", Value: v[0]})
			}
		}
	}
	b := body.Bundle{SDP: desc, Others: parts}
	ct, content := body.Join(b, body.Boundary(b, "part-"+newID()))
	out := slices.DeleteFunc(slices.Clone(hs), func(h sipx.HeaderField) bool { return h.Name == "Content-Type" })
	return append(out, sipx.HeaderField{Name: "Content-Type", Value: ct}, sipx.HeaderField{Name: "MIME-Version", Value: "1.0"}), content, nil
}

// infoTypes are the bodies of INFO that cross: keys that were pressed, and what
// one video end asks of the other (RFC 5168).
var infoTypes = []string{"application/dtmf-relay", "application/dtmf", "application/media_control+xml"}

const maxInfo = 2 << 10

// bareType leaves the parameters of a type that has none away.
func bareType(t string, hs []sipx.HeaderField) []sipx.HeaderField {
	for i := range hs {
		if hs[i].Name == "Content-Type" && slices.Contains(infoTypes, t) {
			hs[i].Value = t
		}
	}
	return hs
}

// infoBody reports whether the body of an INFO may cross.
func (s *session) infoBody(r *sipx.Request) bool {
	t := r.ContentType()
	if len(r.Body()) == 0 {
		return true
	}
	if slices.Contains(infoTypes, t) {
		return len(r.Body()) <= maxInfo && identityEncoding(r.Header("Content-Encoding"))
	}
	a, b := &s.legs[b2bua.A], &s.legs[b2bua.B]
	return slices.Contains(s.g.bodiesOf(a.kind, a.name), t) && slices.Contains(s.g.bodiesOf(b.kind, b.name), t)
}

// Caps on a location document.
const (
	maxLocation      = 16 << 10
	maxLocationDepth = 32
)

// named tells apart what of a presence document is about the location and
// what names the sender and its devices.
var (
	dropped = []string{"contact", "note", "deviceID", "user-input", "provided-by"}
	entity  = regexp.MustCompile(`(\sentity\s*=\s*)("[^"]*"|'[^']*')`)
)

// location rewrites a presence document for the other side: where, and not
// who. It is copied element by element as it came, without contacts and notes;
// false when it is too large, too deep or no document.
func location(doc []byte, domain string) ([]byte, bool) {
	if len(doc) > maxLocation {
		return nil, false
	}
	d := xml.NewDecoder(bytes.NewReader(doc))
	d.Strict = true
	var out bytes.Buffer
	depth, skip, root := 0, 0, false
	for {
		start := d.InputOffset()
		t, err := d.RawToken()
		if err != nil {
			return out.Bytes(), root && depth == 0 && d.InputOffset() == int64(len(doc))
		}
		raw := doc[start:d.InputOffset()]
		switch t := t.(type) {
		case xml.Directive:
			return nil, false // a document type can declare anything
		case xml.ProcInst:
			if t.Target != "xml" || root {
				return nil, false
			}
		case xml.Comment:
			continue
		case xml.StartElement:
			if depth++; depth > maxLocationDepth || depth == 1 && root {
				return nil, false
			}
			root = true
			if skip == 0 && slices.Contains(dropped, t.Name.Local) {
				skip = depth
			}
			raw = entity.ReplaceAll(raw, []byte(`${1}"pres:anonymous@`+domain+`"`))
		case xml.EndElement:
			if depth--; depth < 0 {
				return nil, false
			}
			if skip > 0 {
				if depth < skip {
					skip = 0
				}
				continue
			}
		}
		if skip == 0 {
			out.Write(raw)
		}
	}
}
