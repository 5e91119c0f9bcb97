package sipx

import (
	"errors"
	"strings"
	"sync"
	"time"
)

// Outcome is what a client transaction tells its owner: a response, or the
// end without one.
type Outcome struct {
	Res *Response // nil when Err is set
	Err error     // ErrTimeout, or why the request could not be sent
}

// ErrTimeout is the end of a client transaction nobody answered (408).
var ErrTimeout = errors.New("no answer")

// ErrTooBusy is returned when the transaction table is full.
var ErrTooBusy = errors.New("too many transactions")

// ClientTx is one client transaction, RFC 3261 §17.1 with RFC 6026.
//
//	INVITE:     Calling ──1xx──▶ Proceeding ──2xx──▶ Accepted ──64·T1──▶ Terminated
//	               │ 300–699 (ACK sent)  │
//	               └────────▶ Completed ─┴─64·T1─▶ Terminated
//	non-INVITE: Trying/Proceeding ──final──▶ Terminated
//
// Completed is a [past], and so is Accepted once the owner has gone.
//
// The owner's function is called for every response that tells something
// new, in order, from a reading or timer goroutine; it must not block. In
// Accepted, a repeated 2xx of an acknowledged tag gets its ACK again here; one
// with a new tag (another fork) goes to the owner.
type ClientTx struct {
	stack  *Stack
	flow   *Flow
	key    txKey
	branch string
	out    *Out
	raw    []byte
	invite bool
	notify func(Outcome)

	mu       sync.Mutex
	state    clientState
	timer    *time.Timer
	due      time.Time // when the timer is meant to fire; an earlier one is late news
	interval time.Duration
	deadline time.Time         // no final response after this; zero while an INVITE rings
	cancel   bool              // a CANCEL was sent: the deadline stays whatever comes
	cancels  *Out              // waits for a provisional response (RFC 3261 §9.1)
	givenUp  bool              // not repeated any more, though answers are still taken
	acks     map[string][]byte // To tag of a 2xx → its ACK, at most maxForks
}

type clientState uint8

const (
	cCalling clientState = iota
	cProceeding
	cAccepted
	cTerminated
)

// maxForks bounds how many 2xx of one INVITE are told apart.
const maxForks = 16

// Send begins a client transaction on the flow. notify may be nil.
func (s *Stack) Send(f *Flow, o *Out, notify func(Outcome)) (*ClientTx, error) {
	return s.sendBranch(f, o, newBranch(), notify)
}

func (s *Stack) sendBranch(f *Flow, o *Out, branch string, notify func(Outcome)) (*ClientTx, error) {
	tx := &ClientTx{stack: s, flow: f, out: o, branch: branch, key: clientKey(branch, o.Method),
		invite: o.Method == "INVITE", notify: notify, interval: s.cfg.T1, deadline: time.Now().Add(64 * s.cfg.T1)}
	if err := o.safe(); err != nil {
		return nil, err
	}
	tx.raw = o.serialize(f.via(branch))
	if !s.tx.addClient(tx) {
		return nil, ErrTooBusy
	}
	f.wait(tx)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := f.send(tx.raw); err != nil {
		tx.end()
		return nil, err
	}
	tx.arm()
	return tx, nil
}

// Flow is the flow the request was sent on.
func (tx *ClientTx) Flow() *Flow { return tx.flow }

// arm sets the timer for the next retransmission or the deadline, whichever
// is first. Called with mu held.
func (tx *ClientTx) arm() {
	d := time.Until(tx.deadline)
	if !tx.flow.Reliable() && !tx.givenUp && (tx.state == cCalling || tx.state == cProceeding && !tx.invite) {
		d = min(d, tx.interval)
	}
	tx.set(d)
}

func (tx *ClientTx) set(d time.Duration) {
	d = max(d, 0)
	tx.due = time.Now().Add(d)
	if tx.timer != nil {
		tx.timer.Reset(d)
		return
	}
	tx.timer = time.AfterFunc(d, func() { tx.stack.safely("client transaction", tx.tick) })
}

// flowEnded gives an INVITE that rings as long as one that nobody answers:
// the peer may come back over another connection, but need not.
func (tx *ClientTx) flowEnded() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state == cProceeding && tx.deadline.IsZero() {
		tx.deadline = time.Now().Add(64 * tx.stack.cfg.T1)
		tx.arm()
	}
}

// tick is Timer A or E, B or F, and the end of Accepted.
func (tx *ClientTx) tick() {
	tx.mu.Lock()
	if tx.state == cAccepted && !time.Now().Before(tx.due) {
		tx.end()
	}
	if tx.state != cCalling && tx.state != cProceeding || tx.deadline.IsZero() || time.Now().Before(tx.due) {
		tx.mu.Unlock()
		return
	}
	if !time.Now().Before(tx.deadline) {
		tx.end()
		tx.mu.Unlock()
		tx.tell(Outcome{Err: ErrTimeout})
		return
	}
	defer tx.mu.Unlock()
	if !tx.flow.Reliable() && !tx.givenUp && !(tx.invite && tx.state == cProceeding) {
		tx.stack.Stats.Retransmits.Add(1)
		tx.stack.send(tx.flow, tx.raw)
		tx.interval *= 2
		if !tx.invite {
			tx.interval = min(tx.interval, tx.stack.cfg.T2)
		}
	}
	tx.arm()
}

func (tx *ClientTx) tell(o Outcome) {
	tx.mu.Lock()
	notify := tx.notify
	tx.mu.Unlock()
	if notify != nil {
		notify(o)
	}
}

// receive takes one response; responses of one flow come in order.
func (tx *ClientTx) receive(res *Response) {
	code := res.Code()
	tx.mu.Lock()
	switch tx.state {
	case cCalling, cProceeding:
		switch {
		case code < 200:
			tx.state = cProceeding
			if o := tx.cancels; o != nil {
				tx.cancels = nil
				tx.deadline = time.Now().Add(64 * tx.stack.cfg.T1)
				tx.arm()
				defer tx.stack.sendBranch(tx.flow, o, tx.branch, nil)
			}
			if tx.invite {
				// Timer C is the owner's (RFC 3261 §16.6 step 11).
				if !tx.cancel && tx.flow.Alive() {
					tx.deadline = time.Time{}
					tx.timer.Stop()
				}
			} else {
				tx.interval = tx.stack.cfg.T2
			}
		case tx.invite && code < 300:
			tx.state = cAccepted
			tx.raw, tx.out = nil, nil
			tx.set(64 * tx.stack.cfg.T1)
		case tx.invite:
			ack := tx.ackFor(res)
			tx.stack.send(tx.flow, ack)
			tx.over(64*tx.stack.cfg.T1, past{again: ack, flow: tx.flow}) // Timer D: 32 s where T1 is the default
		default:
			// Timer K would keep it for late repetitions; who knows none of
			// their transactions drops them just as well.
			tx.end()
		}
		tx.mu.Unlock()
		tx.tell(Outcome{Res: res})
	case cAccepted:
		if code < 200 || code >= 300 {
			tx.mu.Unlock()
			return
		}
		ack, known := tx.acks[res.ToTag()]
		if known || len(tx.acks) >= maxForks {
			if ack != nil {
				tx.stack.send(tx.flow, ack)
			}
			tx.mu.Unlock()
			return
		}
		tx.mu.Unlock()
		tx.tell(Outcome{Res: res})
	default:
		tx.mu.Unlock()
	}
}

// over ends an INVITE whose final response may come again and want its ACK
// again.
func (tx *ClientTx) over(d time.Duration, p past) {
	tx.finish()
	if p.tag == "" && tx.flow.Reliable() {
		tx.stack.tx.dropClient(tx)
		return
	}
	tx.stack.tx.pastClient(tx, d, p)
}

// Release says that the owner has gone and takes no more answers: a 2xx that
// comes again still gets its ACK.
func (tx *ClientTx) Release() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.notify = nil
	if tx.state != cAccepted || len(tx.acks) != 1 {
		return // of several forks each has its ACK
	}
	for tag, ack := range tx.acks {
		if tag != "" {
			tx.over(time.Until(tx.due), past{again: ack, tag: tag, flow: tx.flow})
		}
	}
}

func (tx *ClientTx) end() {
	tx.finish()
	tx.stack.tx.dropClient(tx)
}

func (tx *ClientTx) finish() {
	tx.state = cTerminated
	if tx.timer != nil {
		tx.timer.Stop()
	}
	tx.flow.forget(tx)
	tx.raw, tx.out, tx.acks = nil, nil, nil // the owner may keep us
}

func (tx *ClientTx) stop() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.state = cTerminated
	if tx.timer != nil {
		tx.timer.Stop()
	}
}

// ackFor is the ACK of a non-2xx: same Via, Request-URI and Route as the
// INVITE, To of the response (RFC 3261 §17.1.1.3).
func (tx *ClientTx) ackFor(res *Response) []byte {
	o := tx.derived("ACK")
	for i := range o.Headers {
		if o.Headers[i].Name == "To" {
			o.Headers[i].Value = res.Header("To")
		}
	}
	return o.serialize(tx.flow.via(tx.branch))
}

// derived is the ACK or CANCEL of the INVITE: what RFC 3261 §9.1 and
// §17.1.1.3 copy.
func (tx *ClientTx) derived(method string) *Out {
	o := &Out{Method: method, URI: tx.out.URI, MaxForwards: 70}
	for _, h := range tx.out.Headers {
		switch h.Name {
		case "Route", "From", "To", "Call-ID":
			o.Headers = append(o.Headers, h)
		case "CSeq":
			n, _, _ := strings.Cut(h.Value, " ")
			o.Headers = append(o.Headers, HeaderField{"CSeq", n + " " + method})
		}
	}
	return o
}

// Ack sends the ACK of a 2xx with that To tag, and again for each time the
// 2xx is repeated (RFC 3261 §13.2.2.4).
func (tx *ClientTx) Ack(f *Flow, toTag string, o *Out) error {
	if err := o.safe(); err != nil {
		return err
	}
	b := o.serialize(f.via(newBranch()))
	tx.mu.Lock()
	if tx.acks == nil {
		tx.acks = map[string][]byte{}
	}
	if len(tx.acks) < maxForks {
		tx.acks[toTag] = b
	}
	tx.mu.Unlock()
	return f.send(b)
}

// GiveUp stops repeating an INVITE that nobody answered: the call goes on
// elsewhere, and should not ring here once the other side comes back. Answers
// to what was sent are still taken until 64·T1 are over.
func (tx *ClientTx) GiveUp() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state == cCalling {
		tx.givenUp = true
		tx.arm()
	}
}

// Cancel sends a CANCEL, once, and not before a provisional response has come
// (RFC 3261 §9.1). The final response still comes through notify, or
// ErrTimeout after 64·T1.
func (tx *ClientTx) Cancel(extra []HeaderField) {
	tx.mu.Lock()
	if tx.state != cProceeding && tx.state != cCalling || tx.cancel {
		tx.mu.Unlock()
		return
	}
	tx.cancel = true
	o := tx.derived("CANCEL")
	o.Headers = append(o.Headers, extra...)
	if tx.state == cCalling {
		tx.cancels = o // an answer to a challenge that is not heard of yet
		tx.mu.Unlock()
		return
	}
	tx.deadline = time.Now().Add(64 * tx.stack.cfg.T1)
	tx.arm()
	tx.mu.Unlock()
	tx.stack.sendBranch(tx.flow, o, tx.branch, nil)
}
