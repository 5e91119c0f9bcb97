package siptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Call is one dialog with its audio.
type Call struct {
	Media *Media
	// Request is the INVITE as it was sent or came in, Answer the 2xx.
	Request, Answer *Message
	// Infos gets the INFO requests of the other end.
	Infos chan *Message

	agent     *Agent
	path      *Path
	id        string
	localTag  string
	remoteTag string
	local     string // address values without tag
	remote    string
	target    string
	routes    []string
	contact   string

	mu       sync.Mutex
	cseq     int
	seen     int // last CSeq of the other end
	version  int // of our session description
	keys     []Crypto
	answered bool // an ACK came
	acked    chan struct{}
	late     bool // our offer went out in the 2xx, the answer comes in the ACK
	held     bool // the other end put us on hold
	ended    string
	done     chan struct{}
}

// ID is the Call-ID.
func (c *Call) ID() string { return c.id }

// Done is closed when the call is over.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ended says how the call ended: "bye" (we), "remote bye", "closed"; "" while
// it is up.
func (c *Call) Ended() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Held says whether the other end has put us on hold.
func (c *Call) Held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

func (c *Call) end(how string) {
	c.mu.Lock()
	if c.ended != "" {
		c.mu.Unlock()
		return
	}
	c.ended = how
	close(c.done)
	c.mu.Unlock()
	if c.Media != nil {
		c.Media.Close()
	}
	c.agent.mu.Lock()
	delete(c.agent.calls, c.id+" "+c.localTag)
	c.agent.mu.Unlock()
}

func (a *Agent) addCall(c *Call) {
	a.mu.Lock()
	a.calls[c.id+" "+c.localTag] = c
	a.mu.Unlock()
}

// NewRequest builds a request within the dialog, to be sent with Do.
func (c *Call) NewRequest(method string) *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if method != "ACK" {
		c.cseq++
	}
	m := &Message{Method: method, URI: c.target}
	m.Add("Max-Forwards", "70")
	m.Add("From", c.local+";tag="+c.localTag)
	m.Add("To", c.remote+";tag="+c.remoteTag)
	m.Add("Call-ID", c.id)
	m.Add("CSeq", fmt.Sprintf("%d %s", c.cseq, method))
	for _, r := range c.routes {
		m.Add("Route", r)
	}
	if method == "INVITE" || method == "UPDATE" {
		m.Add("Contact", c.contact)
	}
	return m
}

// Do sends a request of the dialog and waits for the final answer.
func (c *Call) Do(ctx context.Context, req *Message) (*Message, error) {
	return c.agent.Do(ctx, c.path, req)
}

// Bye ends the call.
func (c *Call) Bye(ctx context.Context) error {
	if c.Ended() != "" {
		return nil
	}
	res, err := c.Do(ctx, c.NewRequest("BYE"))
	c.end("bye")
	if err == nil && res.Code != 200 {
		err = fmt.Errorf("BYE answered by %s", res)
	}
	return err
}

// Info sends an INFO with a body.
func (c *Call) Info(ctx context.Context, contentType string, body []byte) (*Message, error) {
	m := c.NewRequest("INFO")
	m.Add("Content-Type", contentType)
	m.Body = body
	return c.Do(ctx, m)
}

// Hold sends a re-INVITE with sendonly, Resume one with sendrecv.
func (c *Call) Hold(ctx context.Context) error   { return c.reinvite(ctx, "sendonly", false) }
func (c *Call) Resume(ctx context.Context) error { return c.reinvite(ctx, "sendrecv", false) }

// Rekey sends a re-INVITE with new SRTP keys.
func (c *Call) Rekey(ctx context.Context) error { return c.reinvite(ctx, "sendrecv", true) }

func (c *Call) reinvite(ctx context.Context, direction string, rekey bool) error {
	c.mu.Lock()
	if rekey {
		for i := range c.keys {
			c.keys[i] = newCrypto(c.keys[i].Tag, c.keys[i].Suite)
		}
	}
	keys := append([]Crypto(nil), c.keys...)
	c.version++
	version := c.version
	c.mu.Unlock()
	m := c.NewRequest("INVITE")
	m.Add("Content-Type", "application/sdp")
	m.Body = c.Media.offer(keys, direction).Bytes(1, version)
	t, err := c.agent.begin(c.path, m)
	if err != nil {
		return err
	}
	defer t.end()
	for {
		res, err := t.next(ctx)
		switch {
		case err != nil:
			return err
		case res.Code < 200:
			continue
		case res.Code >= 300:
			return &Refused{res}
		}
		c.sendAck(m.Branch())
		return c.negotiated(res.Body, keys)
	}
}

// sendAck acknowledges a 2xx; branch is that of the INVITE, under which a
// retransmitted 2xx gets the ACK again.
func (c *Call) sendAck(branch string) {
	ack := c.NewRequest("ACK")
	ack.Push("Via", c.path.via(newBranch()))
	c.agent.acked(branch, ack.Bytes())
	c.path.Send(ack.Bytes())
}

// negotiated starts the audio by the answer to our offer.
func (c *Call) negotiated(body []byte, keys []Crypto) error {
	s, err := ParseSDP(body)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return c.Media.start(s, nil, nil)
	}
	if len(s.Crypto) != 1 {
		return fmt.Errorf("%d keys in the answer, want 1", len(s.Crypto))
	}
	for i := range keys {
		if keys[i].Tag == s.Crypto[0].Tag && keys[i].Suite == s.Crypto[0].Suite {
			c.mu.Lock()
			c.keys = keys[i : i+1 : i+1]
			c.mu.Unlock()
			return c.Media.start(s, &keys[i], &s.Crypto[0])
		}
	}
	return errors.New("the answer's key answers no key of the offer")
}

// accept answers an offer: it starts the audio and returns our description.
func (c *Call) accept(body []byte, suites []string) ([]byte, error) {
	s, err := ParseSDP(body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	var keys []Crypto
	if s.Profile == "RTP/SAVP" {
		peer := choose(s.Crypto, suites)
		if peer == nil {
			return nil, errors.New("no common SRTP suite")
		}
		// A new offer for the same suite keeps our key, so that audio on its
		// way stays readable.
		if len(c.keys) == 1 && c.keys[0].Suite == peer.Suite {
			keys = []Crypto{{peer.Tag, peer.Suite, c.keys[0].Key}}
		} else {
			keys = []Crypto{newCrypto(peer.Tag, peer.Suite)}
		}
		if err := c.Media.start(s, &keys[0], peer); err != nil {
			return nil, err
		}
	} else if err := c.Media.start(s, nil, nil); err != nil {
		return nil, err
	}
	c.keys = keys
	c.held = s.Direction == "sendonly" || s.Direction == "inactive"
	return c.Media.offer(keys, mirror(s.Direction)).Bytes(1, c.version), nil
}

func choose(offered []Crypto, suites []string) *Crypto {
	for i := range offered {
		for _, s := range suites {
			if offered[i].Suite == s {
				return &offered[i]
			}
		}
	}
	return nil
}

// receive handles a request of the dialog. It runs in the reader and does
// not block.
func (c *Call) receive(m *Message, p *Path) {
	n, _ := m.CSeq()
	c.mu.Lock()
	stale := n < c.seen
	c.seen = max(c.seen, n)
	suites := make([]string, 0, 3)
	for _, k := range c.keys {
		suites = append(suites, k.Suite)
	}
	c.mu.Unlock()
	switch {
	case stale:
		c.agent.Reply(p, m, 500, "Server Internal Error")
	case m.Method == "BYE":
		c.agent.Reply(p, m, 200, "OK")
		c.agent.wg.Go(func() { c.end("remote bye") })
	case m.Method == "INVITE" || m.Method == "UPDATE":
		res := response(m, 200, "OK")
		res.Add("Contact", c.contact)
		if len(m.Body) > 0 {
			answer, err := c.accept(m.Body, suites)
			if err != nil {
				c.agent.Reply(p, m, 488, "Not Acceptable Here")
				return
			}
			res.Add("Content-Type", "application/sdp")
			res.Body = answer
		} else if m.Method == "INVITE" {
			c.mu.Lock()
			c.version++
			c.late = true
			res.Add("Content-Type", "application/sdp")
			res.Body = c.Media.offer(c.keys, "sendrecv").Bytes(1, c.version)
			c.mu.Unlock()
		}
		c.agent.send(p, m, res)
	case m.Method == "INFO":
		c.agent.Reply(p, m, 200, "OK")
		select {
		case c.Infos <- m:
		default:
		}
	case m.Method == "OPTIONS":
		c.agent.Reply(p, m, 200, "OK")
	default:
		c.agent.Reply(p, m, 405, "Method Not Allowed", Field{"Allow", allow})
	}
}

const allow = "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS, UPDATE"

// ack takes the ACK of a 2xx we sent.
func (c *Call) ack(m *Message) {
	c.mu.Lock()
	if !c.answered {
		c.answered = true
		close(c.acked)
	}
	late, keys := c.late, append([]Crypto(nil), c.keys...)
	c.late = false
	c.mu.Unlock()
	if late && len(m.Body) > 0 {
		if err := c.negotiated(m.Body, keys); err != nil {
			c.agent.logf("answer in ACK: %v", err)
		}
	}
}

// repeat sends the 2xx of an INVITE until its ACK comes (RFC 3261 §13.3.1.4).
func (c *Call) repeat(p *Path, b []byte) {
	for wait, total := t1, time.Duration(0); total < 64*t1; wait = min(2*wait, 8*t1) {
		timer := time.NewTimer(wait)
		total += wait
		select {
		case <-c.acked:
			timer.Stop()
			return
		case <-c.done:
			timer.Stop()
			return
		case <-timer.C:
			p.Send(b)
		}
	}
	c.agent.logf("call %s: no ACK", c.id)
}

// WaitAck returns when the ACK of our 2xx has come.
func (c *Call) WaitAck(ctx context.Context) error {
	select {
	case <-c.acked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no ACK: %w", ctx.Err())
	}
}

// WaitEnd returns when the call is over.
func (c *Call) WaitEnd(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the call is still up: %w", ctx.Err())
	}
}
