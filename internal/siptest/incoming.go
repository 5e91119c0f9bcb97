package siptest

import (
	"errors"
	"sync"
)

// Incoming is a call that is offered. It must be answered or rejected before
// OnInvite returns.
type Incoming struct {
	Request *Message
	Phone   *Phone

	path      *Path
	tag       string
	once      sync.Once
	final     sync.Once
	cancelled chan struct{}
}

// To is the user or number that was called, From the caller's.
func (in *Incoming) To() string   { return UserOf(in.Request.URI) }
func (in *Incoming) From() string { return UserOf(URIOf(in.Request.Get("From"))) }

// Cancelled is closed when the caller gives up. The caller has been answered
// then.
func (in *Incoming) Cancelled() <-chan struct{} { return in.cancelled }

func (in *Incoming) cancel() {
	in.once.Do(func() {
		in.Reject(487, "Request Terminated")
		close(in.cancelled)
	})
}

// Provisional sends a 1xx.
func (in *Incoming) Provisional(code int, reason string, extra ...Field) {
	m := response(in.Request, code, reason)
	if code > 100 {
		m.Set("To", m.Get("To")+";tag="+in.tag)
		m.Add("Contact", in.contact())
	}
	m.Headers = append(m.Headers, extra...)
	in.Phone.send(in.path, in.Request, m)
}

func (in *Incoming) contact() string { return in.Phone.contact() }

// Ring sends 180.
func (in *Incoming) Ring() { in.Provisional(180, "Ringing") }

// Reject sends a final answer of 300 or more, unless there was one.
func (in *Incoming) Reject(code int, reason string, extra ...Field) {
	in.final.Do(func() {
		m := response(in.Request, code, reason)
		m.Set("To", m.Get("To")+";tag="+in.tag)
		m.Headers = append(m.Headers, extra...)
		in.Phone.send(in.path, in.Request, m)
	})
}

// Answer sends 200 with our description and starts the audio.
func (in *Incoming) Answer() (*Call, error) {
	p := in.Phone
	offer, err := ParseSDP(in.Request.Body)
	if len(in.Request.Body) > 0 && err != nil {
		in.Reject(488, "Not Acceptable Here")
		return nil, err
	}
	if len(in.Request.Body) > 0 && len(p.cfg.SRTP) > 0 && offer.Profile != "RTP/SAVP" {
		in.Reject(488, "Not Acceptable Here")
		return nil, errors.New("RTP is offered, SRTP is wanted")
	}
	media, err := newMedia(p.cfg.Local)
	if err != nil {
		in.Reject(500, "Server Internal Error")
		return nil, err
	}
	media.Play(p.cfg.Tone)
	r := in.Request
	c := &Call{Media: media, Request: r, agent: p.Agent, path: in.path, id: r.Get("Call-ID"), localTag: in.tag,
		remoteTag: Param(r.Get("From"), "tag"), local: withoutTag(r.Get("To")), remote: withoutTag(r.Get("From")),
		target: URIOf(r.Get("Contact")), contact: in.contact(), cseq: 100,
		Infos: make(chan *Message, 16), acked: make(chan struct{}), done: make(chan struct{})}
	for _, line := range r.All("Record-Route") {
		c.routes = append(c.routes, line)
	}
	c.seen, _ = r.CSeq()
	var body []byte
	if len(r.Body) > 0 {
		if body, err = c.accept(r.Body, p.cfg.SRTP); err != nil {
			media.Close()
			in.Reject(488, "Not Acceptable Here")
			return nil, err
		}
	} else {
		c.late = true
		for i, s := range p.cfg.SRTP {
			c.keys = append(c.keys, newCrypto(i+1, s))
		}
		c.version = 1
		body = media.offer(c.keys, "sendrecv").Bytes(1, 1)
	}
	res := response(r, 200, "OK")
	res.Set("To", r.Get("To")+";tag="+in.tag)
	res.Add("Contact", c.contact)
	res.Add("Allow", allow)
	res.Add("Content-Type", "application/sdp")
	res.Body = body
	c.Answer = res
	sent := false
	in.final.Do(func() {
		p.addCall(c)
		p.noteAnswered(c)
		p.send(in.path, r, res)
		sent = true
	})
	if !sent {
		media.Close()
		return nil, errors.New("the caller gave up")
	}
	p.wg.Go(func() { c.repeat(in.path, res.Bytes()) })
	return c, nil
}

// withoutTag is an address value without its tag.
func withoutTag(v string) string {
	if URIOf(v) == "" {
		return v
	}
	out := "<" + URIOf(v) + ">"
	if i := indexAngle(v); i > 0 {
		out = v[:i] + out
	}
	return out
}

func indexAngle(v string) int {
	for i := range v {
		if v[i] == '<' {
			return i
		}
	}
	return -1
}
