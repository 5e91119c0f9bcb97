package sipx

import (
	"sync"
	"time"
)

// ServerTx is one server transaction, RFC 3261 §17.2 with RFC 6026.
//
//	INVITE:     Proceeding ──2xx──▶ Accepted ──ACK──▶ (absorbs 64·T1) ──▶ Terminated
//	                │ 300–699
//	                ▼
//	            Completed ──ACK──▶ Confirmed ──T4──▶ Terminated
//	                └──────────64·T1 (no ACK)──────▶ Terminated
//	non-INVITE: Proceeding ──final──▶ Completed ──64·T1──▶ Terminated
//
// Over an unreliable transport the last state of each row is a [past]; over a
// reliable one it is skipped.
//
// Unlike RFC 6026 §7.1 the transaction itself repeats a 2xx until the owner
// says that the ACK came (Acknowledged): the owner then has no timer to keep.
type ServerTx struct {
	stack  *Stack
	key    txKey
	req    *Request
	invite bool
	tag    string

	mu       sync.Mutex
	state    txState
	last     []byte // the newest response, as sent
	code     int
	timer    *time.Timer
	due      time.Time // when the timer is meant to fire; an earlier one is late news
	interval time.Duration
	deadline time.Time
	onCancel func(*Request)
	onNoAck  func()
	trying   bool // 100 is sent unless something else is before it is due
}

type txState uint8

const (
	txProceeding txState = iota
	txAccepted
	txCompleted
	txTerminated
)

// Begin makes the server transaction of the request. It returns nil when the
// table is full, after refusing the request with 503, and when the same
// request began one a moment ago, on another socket: that one is answered.
func (r *Request) Begin() *ServerTx {
	if r.tx != nil {
		return r.tx
	}
	tx := &ServerTx{stack: r.stack, key: serverKey(r), req: r, invite: r.Method() == "INVITE", tag: r.ToTag()}
	if tx.tag == "" {
		tx.tag = NewTag()
	}
	if !r.stack.tx.addServer(tx) {
		if other, _, over := r.stack.tx.server(tx.key); other == nil && !over {
			r.Refuse(503, nil)
		}
		return nil
	}
	r.tx = tx
	return tx
}

// Request is the request that began it.
func (tx *ServerTx) Request() *Request { return tx.req }

// ToTag is our tag in its responses.
func (tx *ServerTx) ToTag() string { return tx.tag }

// OnCancel is called once when a CANCEL for this INVITE arrives before a
// final response; OnNoAck when a final response to an INVITE was not
// acknowledged within 64·T1. Both run in a reading or timer goroutine.
func (tx *ServerTx) OnCancel(f func(cancel *Request)) { tx.mu.Lock(); tx.onCancel = f; tx.mu.Unlock() }
func (tx *ServerTx) OnNoAck(f func())                 { tx.mu.Lock(); tx.onNoAck = f; tx.mu.Unlock() }

// Respond sends a response; reason "" takes the usual phrase. Responses after
// a final one are dropped. tag "" takes the transaction's own To tag.
func (tx *ServerTx) Respond(code int, reason, tag string, hs []HeaderField, body []byte) {
	if reason == "" {
		reason = reasonPhrase(code)
	}
	if tag == "" {
		tag = tx.tag
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state != txProceeding {
		return
	}
	b := tx.req.reply(code, reason, tag, hs, body)
	tx.last, tx.code = b, code
	if tx.trying {
		tx.trying = false
		tx.timer.Stop()
	}
	tx.stack.sendResponse(tx.req, b)
	if code < 200 {
		return
	}
	tx.onCancel = nil // too late from here on; and it holds a whole call
	cfg := &tx.stack.cfg
	switch {
	case tx.invite && code < 300:
		tx.state = txAccepted
		tx.finalIn(cfg.T1)
	case tx.invite && tx.req.Flow.Reliable():
		tx.state = txCompleted
		tx.finalIn(64 * cfg.T1)
	case tx.invite:
		tx.state = txCompleted
		tx.finalIn(cfg.T1)
	default:
		tx.over(64*cfg.T1, b)
	}
}

// finalIn begins the wait for an ACK. Called with mu held.
func (tx *ServerTx) finalIn(first time.Duration) {
	tx.deadline = time.Now().Add(64 * tx.stack.cfg.T1)
	tx.interval = tx.stack.cfg.T1
	tx.arm(first)
}

// Trying answers with 100, but not before it is needed: within 200 ms there is
// mostly something better to say (RFC 3261 §17.2.1).
func (tx *ServerTx) Trying() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state == txProceeding && tx.last == nil && !tx.trying {
		tx.trying = true
		tx.arm(tx.stack.cfg.T1 * 2 / 5)
	}
}

// try sends the 100 that is due. Called with mu held.
func (tx *ServerTx) try() {
	if tx.trying {
		tx.trying = false
		tx.last, tx.code = tx.req.reply(100, reasonPhrase(100), "", nil, nil), 100
		tx.stack.sendResponse(tx.req, tx.last)
	}
}

// Code is the newest status sent, 0 before any.
func (tx *ServerTx) Code() int { tx.mu.Lock(); defer tx.mu.Unlock(); return tx.code }

// arm, end and the like are called with mu held.
func (tx *ServerTx) arm(d time.Duration) {
	tx.due = time.Now().Add(d)
	if tx.timer != nil {
		tx.timer.Reset(d)
		return
	}
	tx.timer = time.AfterFunc(d, func() { tx.stack.safely("server transaction", tx.tick) })
}

func (tx *ServerTx) end() {
	tx.finish()
	tx.stack.tx.dropServer(tx)
}

// over ends the transaction. Where the transport repeats requests, they are
// known for d more, and answered by again if that is set.
func (tx *ServerTx) over(d time.Duration, again []byte) {
	tx.finish()
	if tx.req.Flow.Reliable() {
		tx.stack.tx.dropServer(tx)
		return
	}
	p := past{again: again}
	if tx.invite {
		p.tag = tx.tag // a CANCEL may ask
	}
	tx.stack.tx.pastServer(tx, d, p)
}

func (tx *ServerTx) finish() {
	tx.state = txTerminated
	if tx.timer != nil {
		tx.timer.Stop()
	}
	tx.last, tx.onCancel, tx.onNoAck = nil, nil, nil // the owner may keep us
	tx.req.echoed.Store(nil)
}

// tick is the wait of Trying, Timer G (and the 2xx timer of RFC 3261 §13.3.1.4) and Timer H.
func (tx *ServerTx) tick() {
	tx.mu.Lock()
	now := time.Now()
	if tx.state == txProceeding && !now.Before(tx.due) {
		tx.try()
	}
	if tx.state != txAccepted && tx.state != txCompleted || now.Before(tx.due) {
		tx.mu.Unlock()
		return
	}
	if !now.Before(tx.deadline) {
		f := tx.onNoAck
		tx.end()
		tx.mu.Unlock()
		if f != nil {
			f()
		}
		return
	}
	defer tx.mu.Unlock()
	if tx.state == txCompleted && tx.req.Flow.Reliable() {
		tx.arm(time.Until(tx.deadline))
		return
	}
	tx.stack.Stats.Retransmits.Add(1)
	tx.stack.sendResponse(tx.req, tx.last)
	tx.interval = min(2*tx.interval, tx.stack.cfg.T2)
	tx.arm(tx.interval)
}

// retransmit answers a repeated request with the newest response.
func (tx *ServerTx) retransmit() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.trying {
		tx.timer.Stop()
		tx.try()
		return
	}
	if tx.last != nil && (tx.state == txProceeding || tx.state == txCompleted) {
		tx.stack.sendResponse(tx.req, tx.last)
	}
}

// ack takes an ACK with the INVITE's branch. After a 2xx that is a client of
// the old kind; the call gets it like any other ACK.
func (tx *ServerTx) ack(r *Request) {
	tx.mu.Lock()
	if !tx.invite || tx.state == txProceeding {
		tx.mu.Unlock()
		return
	}
	if tx.state == txAccepted {
		tx.mu.Unlock()
		tx.stack.handler.Ack(r)
		return
	}
	defer tx.mu.Unlock()
	if tx.state == txCompleted {
		tx.over(tx.stack.cfg.T4, nil) // Timer I
	}
}

// Acknowledged stops the repetition of a 2xx: its ACK arrived (which the
// owner knows by dialog, as the ACK has a branch of its own). The transaction
// stays to absorb retransmissions of the INVITE.
func (tx *ServerTx) Acknowledged() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state == txAccepted {
		tx.over(time.Until(tx.deadline), nil)
	}
}

func (tx *ServerTx) cancelled(r *Request) {
	tx.mu.Lock()
	f := tx.onCancel
	if tx.state != txProceeding {
		f = nil
	}
	tx.onCancel = nil
	tx.mu.Unlock()
	if f != nil {
		f(r)
	}
}

func (tx *ServerTx) stop() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.state = txTerminated
	if tx.timer != nil {
		tx.timer.Stop()
	}
}
