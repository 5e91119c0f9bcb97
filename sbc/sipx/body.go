package sipx

import "github.com/rampart-sbc/rampart/sbc/body"

// Bodies of calls. A multipart body that holds a session description reads as
// that description; what else is in it stands beside.

// bundle is a multipart body taken apart, or why it could not be.
type bundle struct {
	body.Bundle
	err error
}

// describing are the methods whose bodies are about the session.
func describing(method string) bool {
	switch method {
	case "INVITE", "ACK", "PRACK", "UPDATE":
		return true
	}
	return false
}

func unpack(method, contentType string, content []byte) *bundle {
	if !describing(method) || !body.IsMultipart(contentType) {
		return nil
	}
	b, err := body.Split(contentType, content)
	return &bundle{b, err}
}

func (r *Request) unpacked() *Request {
	r.bundle = unpack(r.Method(), r.Header("Content-Type"), r.msg.Body())
	return r
}

func (r *Response) unpacked() *Response {
	r.bundle = unpack(r.Method(), r.Header("Content-Type"), r.msg.Body())
	return r
}

func (b *bundle) described() bool { return b != nil && b.err == nil && b.SDP != nil }

// Body is the body, or the session description of a multipart one.
func (r *Request) Body() []byte {
	if r.bundle.described() {
		return r.bundle.SDP
	}
	return r.msg.Body()
}

// Body is the body, or the session description of a multipart one.
func (r *Response) Body() []byte {
	if r.bundle.described() {
		return r.bundle.SDP
	}
	return r.msg.Body()
}

// ContentType is the media type of Body in lower case without parameters.
func (r *Request) ContentType() string {
	if r.bundle.described() {
		return "application/sdp"
	}
	return mediaType(r.Header("Content-Type"))
}

// ContentType is the media type of Body in lower case without parameters.
func (r *Response) ContentType() string {
	if r.bundle.described() {
		return "application/sdp"
	}
	return mediaType(r.Header("Content-Type"))
}

// Parts are what a multipart body holds beside the description. The error, a
// [*body.Error], says that the body is broken or of a kind that is not read.
func (r *Request) Parts() ([]body.Part, error) { return r.bundle.parts() }

// Parts are what a multipart body holds beside the description.
func (r *Response) Parts() ([]body.Part, error) { return r.bundle.parts() }

func (b *bundle) parts() ([]body.Part, error) {
	if b == nil {
		return nil, nil
	}
	return b.Others, b.err
}
