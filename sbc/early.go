package sbc

import (
	"strconv"
	"sync"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// maxEarly requests may wait for one contact.
const maxEarly = 4

// early holds what a PBX sends to a phone while the phone's REGISTER is with
// it: Asterisk tells of new voicemail before its 200, and over UDP datagrams
// change places. The contact is nobody's until the 200 comes.
//
// There is an entry for each contact of a REGISTER on its way, which has a
// transaction. INVITEs do not wait: their CANCEL would not find them.
type early struct {
	mu       sync.Mutex
	contacts map[string]*expected // by token
}

type expected struct {
	registers int               // on their way
	held      map[string]func() // by Call-ID and CSeq: a retransmission is no second request
	order     []string
}

// expect is told of a REGISTER that goes to the PBX.
func (e *early) expect(tokens []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.contacts == nil {
		e.contacts = map[string]*expected{}
	}
	for _, t := range tokens {
		if e.contacts[t] == nil {
			e.contacts[t] = &expected{}
		}
		e.contacts[t].registers++
	}
}

// answered is told of its end, and lets go what has waited for it.
func (e *early) answered(tokens []string) {
	var ready []func()
	e.mu.Lock()
	for _, t := range tokens {
		x := e.contacts[t]
		if x == nil {
			continue
		}
		for _, k := range x.order {
			ready = append(ready, x.held[k])
		}
		x.held, x.order = nil, nil
		if x.registers--; x.registers == 0 {
			delete(e.contacts, t)
		}
	}
	e.mu.Unlock()
	for _, f := range ready {
		f()
	}
}

// hold keeps a request for a contact that is being registered; again is called
// once that has come to an end. False: it need not wait, or may not.
func (e *early) hold(r *sipx.Request, token string, again func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.contacts[token]
	if x == nil {
		return false
	}
	key := r.CallID() + "\x00" + strconv.FormatUint(uint64(r.CSeq()), 10)
	if x.held[key] != nil {
		return true
	}
	if len(x.order) >= maxEarly {
		return false
	}
	if x.held == nil {
		x.held = map[string]func(){}
	}
	x.held[key] = again
	x.order = append(x.order, key)
	return true
}

// tooEarly holds a NOTIFY or MESSAGE of a PBX for a phone that is not there yet.
func (g *Gateway) tooEarly(r *sipx.Request, id identity) bool {
	if id.kind != call.PBX || r.Method() != "NOTIFY" && r.Method() != "MESSAGE" {
		return false
	}
	token := r.URI().User
	if _, there := g.bindings.get(token, r.At); there {
		return false
	}
	return g.early.hold(r, token, func() { g.relay(r, id) })
}

// tokens are the contacts of a REGISTER as the PBX gets them.
func (q *registration) tokens() []string {
	var out []string
	for _, c := range q.contacts {
		out = append(out, q.g.token(q.aor, c))
	}
	return out
}
