package sipx

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Responses are written straight into octets: a call has four of them, and
// what they repeat of the request is the same each time.

// wire collects the octets of a message.
type wire []byte

// WriteString implements io.StringWriter, which sipgo's headers write to.
func (w *wire) WriteString(s string) (int, error) {
	*w = append(*w, s...)
	return len(s), nil
}

func (w *wire) field(name, value string) {
	*w = append(append(append(append(*w, name...), ": "...), value...), "\r\n"...)
}

func (w *wire) number(n int) { *w = strconv.AppendInt(*w, int64(n), 10) }

// echo is what every response to a request repeats of it (RFC 3261 §8.2.6.2),
// in the order of the message: Vias, Record-Routes, From and To, Call-ID and
// CSeq.
type echo struct {
	b      wire
	routes int // where the Record-Routes begin
	from   int // where From begins
	to     int // where To ends, without the line's end
	tagged bool
}

// echo of the request; that of an INVITE, which has several responses, is
// written once.
func (r *Request) echo() *echo {
	if e := r.echoed.Load(); e != nil {
		return e
	}
	e := &echo{b: make(wire, 0, 384)}
	top := true
	for _, h := range ordered(r.msg) {
		if v, ok := h.(*sip.ViaHeader); ok {
			e.b.via(v, r.Flow.Remote, top)
			top = false
		}
	}
	e.routes = len(e.b)
	for _, h := range ordered(r.msg) {
		if _, ok := h.(*sip.RecordRouteHeader); ok {
			h.StringWrite(&e.b)
			e.b.WriteString("\r\n")
		}
	}
	e.from = len(e.b)
	r.msg.From().StringWrite(&e.b)
	e.b.WriteString("\r\n")
	to := r.msg.To()
	to.StringWrite(&e.b)
	e.to, e.tagged = len(e.b), to.Params.Has("tag")
	e.b.WriteString("\r\n")
	e.b.field("Call-ID", string(*r.msg.CallID()))
	seq := r.msg.CSeq()
	e.b.WriteString("CSeq: ")
	e.b.number(int(seq.SeqNo))
	e.b.WriteString(" ")
	e.b.WriteString(string(seq.MethodName))
	e.b.WriteString("\r\n")
	if r.Method() == "INVITE" {
		r.echoed.Store(e)
	}
	return e
}

// via writes one Via. Into the topmost one goes where the request came from:
// a client's own idea of that never stays.
func (w *wire) via(v *sip.ViaHeader, src netip.AddrPort, top bool) {
	w.WriteString("Via: ")
	w.WriteString(v.ProtocolName)
	w.WriteString("/")
	w.WriteString(v.ProtocolVersion)
	w.WriteString("/")
	w.WriteString(v.Transport)
	w.WriteString(" ")
	if strings.Contains(v.Host, ":") && v.Host[0] != '[' { // the parser takes the brackets off
		w.WriteString("[")
		w.WriteString(v.Host)
		w.WriteString("]")
	} else {
		w.WriteString(v.Host)
	}
	if v.Port > 0 {
		w.WriteString(":")
		w.number(v.Port)
	}
	received := !top
	for _, p := range v.Params {
		w.WriteString(";")
		w.WriteString(p.K)
		switch {
		case top && p.K == "received":
			w.WriteString("=")
			w.addr(src.Addr())
			received = true
		case top && p.K == "rport":
			w.WriteString("=")
			w.number(int(src.Port()))
		case p.V == "":
		case strings.ContainsAny(p.V, " \t"):
			w.WriteString(`="`)
			w.WriteString(p.V)
			w.WriteString(`"`)
		default:
			w.WriteString("=")
			w.WriteString(p.V)
		}
	}
	if !received {
		w.WriteString(";received=")
		w.addr(src.Addr())
	}
	w.WriteString("\r\n")
}

func (w *wire) addr(a netip.Addr) { *w = a.WithZone("").AppendTo(*w) }

// reply writes the response to the request. The To tag is added to every
// response but 100.
func (r *Request) reply(code int, reason, toTag string, hs []HeaderField, body []byte) []byte {
	e := r.echo()
	size := len(e.b) + len(body) + len(reason) + len(toTag) + 64
	for _, h := range hs {
		size += len(h.Name) + len(h.Value) + 4
	}
	w := wire(slices.Grow([]byte(nil), size))
	w.WriteString("SIP/2.0 ")
	w.number(code)
	w.WriteString(" ")
	w.WriteString(reason)
	w.WriteString("\r\n")
	w = append(w, e.b[:e.routes]...)
	if code > 100 && code < 300 && makesDialog(r.Method()) {
		// The proxies on the way stay in the dialog (RFC 3261 §12.1.1).
		w = append(w, e.b[e.routes:e.from]...)
	}
	w = append(w, e.b[e.from:e.to]...)
	if code != 100 && !e.tagged {
		w.WriteString(";tag=")
		w.WriteString(toTag)
	}
	w = append(w, e.b[e.to:]...)
	if code == 100 {
		if ts := r.Header("Timestamp"); ts != "" {
			w.field("Timestamp", ts)
		}
	}
	for _, h := range hs {
		if h.safe() { // the answer must go out; see Out.safe
			w.field(h.Name, h.Value)
		}
	}
	w.WriteString("Content-Length: ")
	w.number(len(body))
	w.WriteString("\r\n\r\n")
	return append(w, body...)
}
