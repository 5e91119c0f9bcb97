package sipx

import (
	"strconv"
	"strings"
)

// Dialog is one leg's dialog (RFC 3261 §12): plain data, owned by the call.
// Local is our end.
type Dialog struct {
	CallID    string   `json:"call_id"`
	LocalTag  string   `json:"local_tag"`
	RemoteTag string   `json:"remote_tag"`
	Local     string   `json:"local"`  // our name-addr, without tag
	Remote    string   `json:"remote"` // theirs
	LocalSeq  uint32   `json:"local_seq"`
	RemoteSeq uint32   `json:"remote_seq"`
	Target    string   `json:"target"` // remote target: Request-URI of our requests
	Routes    []string `json:"routes"`
	Contact   string   `json:"contact"` // our Contact URI
}

// DialogKey finds a dialog by what its requests carry, seen from us. Call-ID
// alone never does: a PBX that is a proxy sends our own Call-ID back.
type DialogKey struct {
	CallID, LocalTag, RemoteTag string
}

// Key of the dialog.
func (d *Dialog) Key() DialogKey { return DialogKey{d.CallID, d.LocalTag, d.RemoteTag} }

// DialogKey of a request inside a dialog: To is our end.
func (r *Request) DialogKey() DialogKey { return DialogKey{r.CallID(), r.ToTag(), r.FromTag()} }

// Request builds a request inside the dialog. It takes the next CSeq, but for
// ACK, which has that of its INVITE (seq).
func (d *Dialog) Request(method string, seq uint32, hs []HeaderField, body []byte) *Out {
	if method != "ACK" {
		d.LocalSeq++
		seq = d.LocalSeq
	}
	uri, routes := d.Target, d.Routes
	if len(routes) > 0 {
		if first, err := ParseNameAddr(routes[0]); err == nil && !looseRouter(first.URI) {
			// A strict router wants itself as Request-URI (RFC 3261 §12.2.1.1).
			uri = targetOf(first.URI)
			routes = append(append([]string{}, routes[1:]...), "<"+d.Target+">")
		}
	}
	o := &Out{Method: method, URI: uri, Body: body}
	for _, r := range routes {
		o.Headers = append(o.Headers, HeaderField{"Route", r})
	}
	o.Headers = append(o.Headers,
		HeaderField{"From", withTag(d.Local, d.LocalTag)},
		HeaderField{"To", withTag(d.Remote, d.RemoteTag)},
		HeaderField{"Call-ID", d.CallID},
		HeaderField{"CSeq", strconv.FormatUint(uint64(seq), 10) + " " + method})
	switch method {
	case "INVITE", "ACK", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY":
		o.Headers = append(o.Headers, HeaderField{"Contact", "<" + d.Contact + ">"})
	}
	o.Headers = append(o.Headers, hs...)
	return o
}

// maxRoutes bounds a route set: every request of a dialog repeats it. A
// message with more Record-Route values is not taken.
const maxRoutes = 16

func looseRouter(u URI) bool {
	for _, p := range u.UriParams {
		if strings.EqualFold(p.K, "lr") {
			return true
		}
	}
	return false
}

func withTag(nameAddr, tag string) string {
	if tag == "" {
		return nameAddr
	}
	return nameAddr + ";tag=" + tag
}

// Accept makes the dialog of a request that we answer: routes in order, the
// request's Contact is the target (RFC 3261 §12.1.1).
func (r *Request) Accept(localTag, contact string) Dialog {
	d := Dialog{CallID: r.CallID(), LocalTag: localTag, RemoteTag: r.FromTag(), RemoteSeq: r.CSeq(), Contact: contact}
	from, to := r.From(), r.To()
	d.Remote = NameAddrText(from.Display, from.URI.String())
	d.Local = NameAddrText(to.Display, to.URI.String())
	d.Routes = r.RecordRoutes()
	if c, ok := r.Contact(); ok {
		d.Refresh(c)
	}
	return d
}

// Established takes tag, routes and target of a response that makes or
// confirms the dialog (RFC 3261 §12.1.2).
func (d *Dialog) Established(res *Response) {
	d.RemoteTag = res.ToTag()
	rr := res.RecordRoutes()
	d.Routes = d.Routes[:0:0]
	for i := len(rr) - 1; i >= 0; i-- {
		d.Routes = append(d.Routes, rr[i])
	}
	if c, ok := res.Contact(); ok {
		d.Refresh(c)
	}
}

// Refresh takes the Contact of a request or 2xx inside the dialog as the new
// target (RFC 3261 §12.2).
func (d *Dialog) Refresh(c NameAddr) { d.Target = targetOf(c.URI) }

// InOrder checks and takes the CSeq of a request inside the dialog (RFC 3261
// §12.2.2): false means it is old and gets 500.
func (d *Dialog) InOrder(seq uint32) bool {
	if seq <= d.RemoteSeq {
		return false
	}
	d.RemoteSeq = seq
	return true
}

// NextHop is the host and port that a request of this dialog would go to by
// its route set, else its target.
func (d *Dialog) NextHop() (URI, error) {
	if len(d.Routes) > 0 {
		n, err := ParseNameAddr(d.Routes[0])
		return n.URI, err
	}
	return ParseURI(d.Target)
}
