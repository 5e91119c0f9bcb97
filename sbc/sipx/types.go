package sipx

import "github.com/rampart-sbc/rampart/sbc/body"

// maxType is how much of the name of a media type is read (RFC 6838 §4.2: 127
// characters for each half, and nobody comes near that).
const maxType = 128

// onlySDP is what most requests with a body carry.
var onlySDP = []string{"application/sdp"}

// contentTypes names what a body is, and what the parts of a multipart are:
// in lower case, without parameters, as they call themselves. They are at most
// [body.MaxParts] and the multipart itself. Of a broken multipart only its own
// name is known.
func (r *Request) contentTypes() []string {
	content := r.msg.Body()
	if len(content) == 0 {
		return nil
	}
	ct := r.Header("Content-Type")
	typ := mediaType(ct)
	if typ == "application/sdp" {
		return onlySDP
	}
	out := []string{typ[:min(len(typ), maxType)]}
	if !body.IsMultipart(ct) {
		return out
	}
	b := r.bundle
	if b == nil { // not a method whose body is about the session
		split, err := body.Split(ct, content)
		b = &bundle{split, err}
	}
	if b.err != nil {
		return out
	}
	if b.SDP != nil {
		out = append(out, onlySDP...)
	}
	for _, p := range b.Others {
		out = append(out, p.Named[:min(len(p.Named), maxType)])
	}
	return out
}
