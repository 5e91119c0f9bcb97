package sbc

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// mailboxSize bounds what waits for a call's owner. A full mailbox refuses
// requests with 503 and forgets responses, which UDP repeats.
const mailboxSize = 64

// input is one thing for the owner of a call: an event, with the message it
// is about.
type input struct {
	b2bua.Event
	req  *sipx.Request
	tx   *sipx.ServerTx
	res  *sipx.Response
	try  *tried // of B's answers: which INVITE of ours they are to
	fork *fork  // the one it belongs to
	// of a PRACK: RSeq on B's side of what it acknowledges
	rseq    uint32
	offer   *sdp.Offer // of a request or response that makes one
	carries bool       // UpdateDone: the UPDATE had an offer
	out     *relayed   // what crosses of req, where that was rewritten
	do      func()     // something of our own instead of an event
}

// leg is one side of the call as SIP and SDP know it.
type leg struct {
	side    call.Side
	kind    call.Kind
	name    string // peer or PBX
	aor     aor    // Phone
	token   string // Phone: its binding, where that is known
	flow    *sipx.Flow
	connect func(context.Context) (*sipx.Flow, error) // to reach it again
	dialog  sipx.Dialog
	sdp     sdp.Leg

	theirs    *sipx.ServerTx // their INVITE that is open or awaits its ACK
	last      *sipx.ServerTx // of the public side, its last request in the dialog: was it challenged?
	ours      *sipx.ClientTx // our INVITE to them
	oursSeq   uint32         // its CSeq
	asked     uint32         // the CSeq of our re-INVITE before a challenge was answered
	confirmed bool           // the dialog is established
	referred  string         // the target of its last REFER that was let through
	refers    []referID      // REFERs sent to it whose NOTIFYs may come
	still     still          // while its PBX or peer is dead
}

// session owns one pass of a call. Everything but the mailbox, view and the
// fields set at birth belongs to the goroutine in run.
type session struct {
	g        *Gateway
	key      attemptKey
	group    *group
	pass     *pass
	a        *call.Attempt
	decision call.Decision
	mailbox  chan *input   // pointers: most calls never have more than two waiting
	quit     chan struct{} // closed when run has ended

	door sync.RWMutex // held to post; closed under the lock
	shut bool

	state  b2bua.State
	legs   [2]leg
	routes []route
	queue  []input // events that actions gave rise to

	offer       *sdp.Offer // the open one
	forks       []*fork
	lapsed      []lapsed
	taken       *sipx.ServerTx // the request that take looked at last
	at          *fork          // whose dialogs and descriptions the legs hold; nil before the first
	heard       *fork          // whose media is relayed
	root        *held          // what forks begin with
	owed        bool           // the 2xx that was passed last had an offer: the ACK brings the answer
	told        bool           // A has seen the tag of its INVITE's transaction
	media       *media.Session
	spec        [2]media.LegSpec
	mediaGen    int // counts the sessions that media had
	timers      [b2bua.Timers]*time.Timer
	timerGen    [b2bua.Timers]uint64
	firstSeq    uint32             // CSeq of A's first INVITE; set at birth
	retries     int                // answers to challenges so far
	finished    bool               // finish has been done
	why         []sipx.HeaderField // Reason of the CANCEL, for when B may be sent one
	sessionUUID string
	indexed     []dialogKey         // guarded by calls.mu
	waiting     bool                // counted in calls.circles as lap; guarded by calls.mu
	lap         lap                 // set with waiting
	pairs       [][2]sipx.DialogKey // the dialogs of each fork; guarded by calls.mu
	ends        [2]dialogSide       // what other calls may see of the legs; guarded by calls.mu
	replaces    string              // Replaces for B; set at birth
	view        atomic.Pointer[CallView]
	caller      *sipx.Flow // the connection that calls knows A's INVITE by
	setups      int        // outstanding children that connect
	trying      *tried     // our INVITE to B that is open
	counted     string     // the peer that guards count this call for
	full        string     // the peer that they would not have it go to
	fullCode    int
	redir       redirects
	out         *outward       // the half that goes out again, in the event stream
	outs        int            // how many of those there were before
	due         atomic.Int64   // when the call is looked at again, in ns; 0 before the answer
	watched     admission.Told // rules about calls that are up that were told
}

func newSession(g *Gateway, key attemptKey, a *call.Attempt, grp *group, tx *sipx.ServerTx, id identity, from sdp.Leg, offer *sdp.Offer, routes []route) *session {
	s := &session{g: g, key: key, a: a, group: grp, offer: offer, routes: routes,
		mailbox: make(chan *input, mailboxSize), quit: make(chan struct{})}
	r := tx.Request()
	l := &s.legs[b2bua.A]
	l.side, l.kind, l.name, l.flow, l.sdp, l.theirs = r.Flow.Side, id.kind, id.name(), r.Flow, from, tx
	if id.kind == call.Phone {
		l.aor, _ = id.speaker(r)
		l.token = g.bindings.on(r.Flow, l.aor)
	}
	s.firstSeq = r.CSeq()
	s.caller = r.Flow
	l.connect = g.reconnect(l)
	l.dialog = r.Accept(tx.ToTag(), r.Flow.ContactURI(sipx.ContactUser))
	s.sessionUUID = g.mapped("session", grp.id)
	s.post(input{Event: b2bua.Event{Kind: b2bua.Invite, Routes: len(routes), Bare: offer == nil}, req: r, tx: tx})
	return s
}

// reconnect is how a leg is reached when its flow has gone.
func (g *Gateway) reconnect(l *leg) func(context.Context) (*sipx.Flow, error) {
	switch l.kind {
	case call.PBX:
		p := g.peers.pbxByName(l.name)
		return func(ctx context.Context) (*sipx.Flow, error) { return g.connectPBX(ctx, p) }
	case call.Carrier:
		p := g.peers.byName(l.name)
		return func(ctx context.Context) (*sipx.Flow, error) {
			if p.Host == "" {
				return nil, sipx.ErrFlowClosed
			}
			return g.connectPeer(ctx, p)
		}
	}
	who, token := l.aor, l.token
	return func(context.Context) (*sipx.Flow, error) {
		// A phone that came back over another connection (RFC 5626 §5.3); not
		// another phone of the same user.
		for _, b := range g.bindings.of(who, time.Now()) {
			if (token == "" || b.token == token) && b.flow != nil && b.flow.Alive() {
				return b.flow, nil
			}
		}
		return nil, sipx.ErrFlowClosed
	}
}

// run is the owner: one input at a time until the call has ended.
func (s *session) run() {
	defer s.g.calls.remove(s)
	defer s.close()
	defer func() {
		// A panic ends this call and nothing else.
		if p := recover(); p != nil {
			s.g.Counters.Panics.Add(1)
			s.g.log.Error("call failed", "call", s.group.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.crash(fmt.Sprint(p))
		}
		for t := range s.timers {
			s.stopTimer(b2bua.Timer(t))
		}
	}()
	deepen()
	for s.state.Phase != b2bua.Ended || s.setups > 0 {
		select {
		case in := <-s.mailbox:
			s.handle(*in)
		case <-s.g.ctx.Done():
			s.abandon()
			return
		}
	}
}

// deepen makes the goroutine's stack as large as setting up a call needs, while
// there is little on it: else it grows, and is copied, several times on the
// way. The collector takes back what a call that is up does not use.
//
//go:noinline
func deepen() {
	var room [6 << 10]byte
	deepest(&room)
}

//go:noinline
func deepest(*[6 << 10]byte) {}

// lighten lets go of what an ended call does not need: its transactions live
// on for half a minute, and hold it.
func (s *session) lighten() {
	s.offer, s.routes, s.queue = nil, nil, nil
	s.forks, s.at, s.heard, s.root, s.lapsed, s.trying, s.taken = nil, nil, nil, nil, nil, nil, nil
	for i := range s.legs {
		l := &s.legs[i]
		if l.ours != nil {
			l.ours.Release()
		}
		l.sdp, l.theirs, l.ours, l.connect = sdp.Leg{}, nil, nil, nil
	}
}

// close ends the mailbox. What was posted before is taken all the same: a
// request that came too late gets its 481, nobody waits for an answer.
func (s *session) close() {
	s.door.Lock()
	s.shut = true
	s.door.Unlock()
	close(s.quit)
	defer func() {
		if p := recover(); p != nil {
			s.g.log.Error("ended call failed", "call", s.group.id, "panic", fmt.Sprint(p))
		}
	}()
	for {
		select {
		case in := <-s.mailbox:
			s.handle(*in)
		default:
			s.lighten()
			return
		}
	}
}

// abandon is the end when the process ends: what BYE could do was tried.
func (s *session) abandon() {
	s.state.Phase, s.state.Finished = b2bua.Ended, true
	s.closeMedia()
	if !s.finished {
		s.finish(b2bua.Action{Verb: b2bua.Finish, Code: 503, By: call.ByGateway, Cause: "shutdown"})
	}
}

// handle takes one input and what it gives rise to.
func (s *session) handle(in input) {
	s.queue = append(s.queue[:0], in)
	for i := 0; i < len(s.queue); i++ { // what is done may make it longer
		in := s.queue[i]
		if in.do != nil {
			in.do()
			continue
		}
		s.turn(in.fork)
		if !s.prepare(&in) {
			continue
		}
		s.interval(&in)
		var actions []b2bua.Action
		s.state, actions = b2bua.Step(s.state, in.Event)
		for _, a := range actions {
			s.perform(a, in)
		}
	}
	clear(s.queue) // its messages are not needed any more
	s.show()
}

// follow puts an event behind those that wait.
func (s *session) follow(e b2bua.Event) { s.queue = append(s.queue, input{Event: e}) }

// perform carries out one action; each verb has its place in a file.
func (s *session) perform(a b2bua.Action, in input) {
	switch a.Verb {
	case b2bua.SendInvite:
		s.sendInvite()
	case b2bua.ReplyInvite:
		s.replyInvite(a, in)
	case b2bua.ReplyReliable:
		s.replyReliable(a, in)
	case b2bua.SendPrack:
		s.sendPrack(in)
	case b2bua.ReplyPrack:
		s.replyPrack(a, in)
	case b2bua.SendUpdate:
		s.sendUpdate(a.Leg, in)
	case b2bua.ReplyUpdate:
		s.replyUpdate(a, in)
	case b2bua.SendAck:
		s.sendAck(in)
	case b2bua.AckAndBye:
		s.ackAndBye(in)
	case b2bua.SendCancel:
		s.sendCancel(in)
	case b2bua.Confirmed:
		if tx := s.legs[a.Leg].theirs; tx != nil {
			tx.Acknowledged()
		}
	case b2bua.SendBye:
		s.sendBye(a, in)
	case b2bua.Reply:
		s.reply(a, in)
	case b2bua.SendModify:
		s.sendModify(a.Leg, in)
	case b2bua.ReplyModify:
		s.replyModify(a, in)
	case b2bua.AckModify:
		s.ackModify(a.Leg, in)
	case b2bua.CancelModify:
		if tx := s.legs[a.Leg].ours; tx != nil {
			tx.Cancel(nil)
		}
	case b2bua.RelayRequest:
		s.relayRequest(a.Leg, in)
	case b2bua.Abandon:
		s.abandonTry()
	case b2bua.CloseMedia:
		s.closeMedia()
	case b2bua.StartTimer:
		s.startTimer(a.Timer)
	case b2bua.StopTimer:
		s.stopTimer(a.Timer)
	case b2bua.Finish:
		s.finish(a)
	}
}

// later is force for those who must not wait.
func (s *session) later(in input) {
	if !s.put(in) {
		go s.force(in)
	}
}

// crash ends a call whose owner failed: nobody is left waiting, nothing open.
func (s *session) crash(reason string) {
	defer func() { recover() }() // the second failure is the first one's
	// Whatever still waits in the mailbox finds a call that is over.
	s.state.Phase, s.state.Finished = b2bua.Ended, true
	defer func() { s.finished = true }()
	s.g.deps.Reporter.System(call.SystemEvent{At: time.Now(), Action: call.CallFailed, Severity: call.Critical, Rule: "base/call-failed",
		Reason: reason, CallID: s.group.id, Subject: call.Subject{Kind: "account", Value: s.a.Account}})
	for _, tx := range s.unansweredTx() {
		if tx != nil {
			tx.Respond(500, "", "", nil, nil)
		}
	}
	for l := range s.legs {
		if x := &s.legs[l]; x.confirmed {
			s.send(x, x.dialog.Request("BYE", 0, []sipx.HeaderField{{Name: "Reason", Value: `SIP;cause=500`}}, nil), nil)
		} else if x.ours != nil {
			x.ours.Cancel(nil)
		}
	}
	s.closeMedia()
	if !s.finished {
		s.finish(b2bua.Action{Verb: b2bua.Finish, Code: 500, By: call.ByGateway, Cause: "failure"})
	}
}

// unansweredTx are the transactions that may wait for the owner.
func (s *session) unansweredTx() []*sipx.ServerTx {
	txs := []*sipx.ServerTx{s.legs[b2bua.A].theirs, s.legs[b2bua.B].theirs, s.taken}
	for _, f := range s.forks {
		txs = append(txs, f.prack, f.updates[b2bua.A], f.updates[b2bua.B])
	}
	for _, in := range s.queue {
		txs = append(txs, in.tx)
	}
	return txs
}

// send puts a request on the leg's flow. When the flow has gone, a child
// connects again; notify may get the failure from there.
func (s *session) send(l *leg, o *sipx.Out, notify func(sipx.Outcome)) {
	s.sendAnswer(l, o, 0, notify)
}

// sendAnswer is send for a request that has answered so many challenges.
func (s *session) sendAnswer(l *leg, o *sipx.Out, answers int, notify func(sipx.Outcome)) {
	notify = s.answering(l, o, answers, notify)
	if l.flow != nil && l.flow.Alive() {
		tx, err := s.g.stack.Send(l.flow, o, notify)
		if err == nil {
			if o.Method == "INVITE" {
				l.ours = tx
			}
			return
		}
		if l.flow.Transport == "udp" || l.connect == nil {
			if notify != nil {
				go notify(sipx.Outcome{Err: err})
			}
			return
		}
	}
	if l.connect == nil {
		if notify != nil {
			go notify(sipx.Outcome{Err: sipx.ErrFlowClosed})
		}
		return
	}
	connect := l.connect
	stack := s.g.stack
	s.setups++
	go func() {
		ctx, cancel := context.WithTimeout(s.g.ctx, 6*time.Second)
		defer cancel()
		f, err := connect(ctx)
		var tx *sipx.ClientTx
		if err == nil {
			tx, err = stack.Send(f, o, notify)
		}
		s.force(input{do: func() {
			s.setups--
			if err == nil {
				l.flow = f
				if o.Method == "INVITE" {
					l.ours = tx
				}
			}
		}})
		if err != nil && notify != nil {
			notify(sipx.Outcome{Err: err})
		}
	}()
}

// show publishes what the admin sees.
func (s *session) show() {
	old, state, ends := s.view.Load(), s.state.Phase.String(), s.bothEnds()
	if old != nil && old.State == state && len(old.Suites) > 0 && old.ends == ends {
		return
	}
	v := &CallView{ID: s.group.id, Account: s.a.Account, User: s.a.User, Peer: s.a.Peer, State: state,
		From: s.a.From.User, To: s.a.To.User, Source: s.a.Source.Addr.String(), Direction: s.a.Direction,
		Since: s.a.At, Answered: s.pass.answer, Passes: 1, CallIDs: []string{s.a.SIPCallID}, ends: ends}
	if s.pass.SIPCallIDTo != "" {
		v.CallIDs = append(v.CallIDs, s.pass.SIPCallIDTo)
	}
	if s.media != nil {
		for l := range s.legs {
			suite := "RTP"
			for _, ln := range s.legs[l].sdp.Lines() {
				if ln.Secure() {
					suite = ln.Recv.Suite
				}
			}
			v.Suites = append(v.Suites, s.legs[l].side.String()+":"+suite)
		}
	}
	s.view.Store(v)
}

var random = rand.Reader
