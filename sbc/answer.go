package sbc

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/digest"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// The challenges of carriers are answered here, with what the carrier gave us;
// a phone neither sees them nor is its password ever of use there. Those of a
// PBX are answered for a phone that has proven itself, where we know its hash.

// account is what challenges are answered with.
type account struct {
	digest.Credentials
	nonces *nonces
}

// credit is what a carrier gave us; nil when it gave us nothing.
func (g *Gateway) credit(p *Peer) *account {
	if p == nil || p.Register == nil {
		return nil
	}
	return &account{p.Register.Credentials, &g.trunks[p.Name].nonces}
}

// maxAnswers bounds the answers to one request: one for the challenge, one
// for a nonce that had become stale.
const maxAnswers = 2

// nonces counts the uses of each nonce of one carrier (RFC 7616 §3.4).
type nonces struct {
	mu   sync.Mutex
	used map[string]uint32
}

// maxNonces bounds them; a carrier that makes a new one each time is the rule.
const maxNonces = 256

func (n *nonces) next(nonce string) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.used[nonce]; n.used == nil || !ok && len(n.used) >= maxNonces {
		n.used = map[string]uint32{}
	}
	n.used[nonce]++
	return n.used[nonce]
}

// asksUs: a response that asks us for credentials.
func asksUs(out sipx.Outcome) bool {
	return out.Res != nil && (out.Res.Code() == 401 || out.Res.Code() == 407)
}

// authorised builds the request anew with our answer to the challenge and the
// given CSeq (RFC 3261 §22.2); false when there is nothing to answer with, or
// the answer was refused already.
func (g *Gateway) authorised(c *account, o *sipx.Out, res *sipx.Response, seq uint32, answers int) (*sipx.Out, bool) {
	if c == nil || answers >= maxAnswers {
		return nil, false
	}
	from, name := "WWW-Authenticate", "Authorization"
	if res.Code() == 407 {
		from, name = "Proxy-Authenticate", "Proxy-Authorization"
	}
	ch, err := c.Choose(res.Headers(from))
	if err != nil || answers > 0 && !ch.Stale {
		return nil, false
	}
	b := make([]byte, 12)
	rand.Read(b)
	n := *o
	n.Headers = nil
	for _, h := range o.Headers {
		switch h.Name {
		case name:
			continue
		case "CSeq":
			h.Value = strconv.FormatUint(uint64(seq), 10) + " " + o.Method
		}
		n.Headers = append(n.Headers, h)
	}
	n.Headers = append(n.Headers, sipx.HeaderField{Name: name, Value: c.Answer(ch, o.Method, o.URI, hex.EncodeToString(b), c.nonces.next(ch.Nonce))})
	return &n, true
}

// creditor is what we answer the challenges of a leg with: what the carrier gave
// us, or towards a PBX the credentials of the phone on the other leg.
func (s *session) creditor(l *leg) *account {
	switch l.kind {
	case call.Carrier:
		if l.name != "" {
			return s.g.credit(s.g.peers.byName(l.name))
		}
	case call.PBX:
		other := &s.legs[b2bua.A]
		if l == other {
			other = &s.legs[b2bua.B]
		}
		if other.kind == call.Phone {
			return s.g.account(other.aor)
		}
	}
	return nil
}

// answering puts the answer to a challenge between a request in a dialog and
// its owner, who sees the final outcome only.
func (s *session) answering(l *leg, o *sipx.Out, answers int, notify func(sipx.Outcome)) func(sipx.Outcome) {
	p := s.creditor(l)
	if p == nil || notify == nil {
		return notify
	}
	at := s.at
	return func(out sipx.Outcome) {
		if !asksUs(out) {
			notify(out)
			return
		}
		again := func() {
			old, _ := strconv.ParseUint(cseqOf(o), 10, 32)
			stays := at == nil || slices.Contains(s.forks, at)
			if stays {
				s.turn(at)
			}
			seq := max(l.dialog.LocalSeq, uint32(old)) + 1 // a second fork is hung up on by a dialog of its own
			n, ok := s.g.authorised(p, o, out.Res, seq, answers)
			if !ok || !stays || o.Method == "INVITE" && (s.state.Phase != b2bua.Modifying || uint32(old) != l.oursSeq) {
				notify(out)
				return
			}
			l.dialog.LocalSeq = seq
			if o.Method == "INVITE" {
				l.oursSeq = seq
			}
			s.sendAnswer(l, n, answers+1, notify)
		}
		go func() {
			if !s.force(input{do: again}) {
				notify(out) // the call is over, but who asked still waits
			}
		}()
	}
}

// cseqOf is the number in the CSeq of a request.
func cseqOf(o *sipx.Out) string {
	n, _, _ := strings.Cut(header(o, "CSeq"), " ")
	return n
}

func header(o *sipx.Out, name string) string {
	for _, h := range o.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// sendFor sends a request outside of a dialog, and answers the challenge of
// whom it goes to, if there is something to answer with.
func (g *Gateway) sendFor(c *account, f *sipx.Flow, o *sipx.Out, answers int, notify func(sipx.Outcome)) error {
	_, err := g.stack.Send(f, o, func(out sipx.Outcome) {
		if asksUs(out) {
			n, ok := g.authorised(c, o, out.Res, out.Res.CSeq()+1, answers)
			if ok && g.sendFor(c, f, n, answers+1, notify) == nil {
				return
			}
		}
		notify(out)
	})
	return err
}

// inviteAgain answers the challenge to our INVITE to B. It runs in the owner.
func (s *session) inviteAgain(try *tried, out sipx.Outcome) {
	if s.trying != try {
		return // given up meanwhile; the challenge has had its ACK
	}
	b := &s.legs[b2bua.B]
	seq := s.furthest() + 1
	n, ok := s.g.authorised(s.creditor(b), try.out, out.Res, seq, try.answers)
	if !ok || s.state.Phase != b2bua.Calling && s.state.Phase != b2bua.Ringing {
		s.queue = append(s.queue, input{Event: b2bua.Event{Kind: b2bua.Failure, Leg: b2bua.B, Code: out.Res.Code()}, res: out.Res, try: try})
		return
	}
	s.outlive(seq)
	b.oursSeq = seq
	s.trying = &tried{answers: try.answers + 1, pbx: try.pbx}
	s.launch(n)
}

// launch sends the INVITE to B that s.trying stands for.
func (s *session) launch(o *sipx.Out) {
	b, try := &s.legs[b2bua.B], s.trying
	ours := s.creditor(b) != nil // b is somebody else's when a late answer comes
	try.seq, try.flow, try.dialog, try.out = b.oursSeq, b.flow, b.dialog, o
	tx, err := s.g.stack.Send(b.flow, o, func(out sipx.Outcome) {
		if asksUs(out) && ours && !try.over.Load() {
			go s.force(input{do: func() { s.inviteAgain(try, out) }})
			return
		}
		s.outcome(out, try)
	})
	if err != nil {
		s.follow(b2bua.Event{Kind: b2bua.Failure, Code: 503, TryNext: true})
		return
	}
	b.ours = tx
	try.tx.Store(tx)
}
