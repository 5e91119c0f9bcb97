package sbc

import (
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Calls that are made because somebody transferred another. Whoever obeys a
// REFER calls anew, often without a word of why, so the gateway remembers for
// a while whom it let be called by whom.

const (
	maxTransfers = 4096             // beyond it an INVITE is only what it says of itself
	transferTime = 30 * time.Second // whoever obeys a REFER does so at once
)

// transferred: the INVITE says that it takes over another call (RFC 3891), or
// who sent the caller here (RFC 3892).
func transferred(r *sipx.Request) bool {
	return len(r.Headers("Replaces")) > 0 || len(r.Headers("Referred-By")) > 0
}

// obeyed is who was sent to call whom.
type obeyed struct {
	kind   call.Kind
	who    string // PBX or peer, or the user of a phone
	number string
}

// transfers are the REFERs that were let through lately.
type transfers struct {
	mu    sync.Mutex
	until map[obeyed]time.Time
}

// note remembers that x was sent to the party of a.
func (t *transfers) note(x *leg, a *call.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := obeyed{x.kind, x.name, numberOf(a)}
	if x.kind == call.Phone {
		k.who = x.aor.user
	}
	if t.until == nil {
		t.until = map[obeyed]time.Time{}
	}
	if _, again := t.until[k]; again || len(t.until) < maxTransfers {
		t.until[k] = a.At.Add(transferTime)
	}
}

// led reports whether a REFER led to the attempt. It may do so again: an INVITE
// is tried by several ways.
func (t *transfers) led(a *call.Attempt) bool {
	who := a.Peer
	if a.PeerKind == call.Phone {
		who = a.User
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return a.At.Before(t.until[obeyed{a.PeerKind, who, numberOf(a)}])
}

func (t *transfers) expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, until := range t.until {
		if !now.Before(until) {
			delete(t.until, k)
		}
	}
}

// wayHere notes how the call came to be: of a further pass what is known of
// the first, that it came in from outside and goes out again, that a REFER
// asked for it.
func (g *Gateway) wayHere(a *call.Attempt, grp *group) {
	if a.Pass > 1 {
		first := grp.attempt
		a.Transferred = a.Transferred || first.Transferred
		a.Forwarded = first.Direction == call.Inbound && a.Direction == call.Outbound
	}
	a.Transferred = a.Transferred || g.transfers.led(a)
}

// decideTransfer decides a REFER: by what is said of REFERs, and by what is
// said of the call that it leads to, as if the one who asks for it made it
// himself. The call is counted like one, but for those in progress.
func (g *Gateway) decideTransfer(a *call.Attempt) call.Decision {
	p := g.policy.Load() // once for both
	a.Policy = p.Revision
	a.Transferred = true
	d := admission.Decide(p.Guards, a)
	if d.Permits() && a.To.Kind != call.Emergency {
		b := asCall(a)
		d = stricter(d, admission.Decide(p.Guards, &b))
	}
	g.enact(a, &d, p.Guards)
	return d
}

// asCall is the call that a request leads to. It is none yet, so it has no id
// under which guards would count it as one in progress.
func asCall(a *call.Attempt) call.Attempt {
	b := *a
	b.Method, b.ID, b.Pass, b.SIPCallID, b.AuthUser, b.ContentTypes = "INVITE", "", 1, "", "", nil
	return b
}

// stricter takes the stricter of two decisions about one request; the first
// where they are alike. What is told beside them is told of both.
func stricter(d, e call.Decision) call.Decision {
	trace, also, counts := d.Trace, d.Also, append(slices.Clone(d.Counts), e.Counts...)
	effects := append(slices.Clone(d.Effects), e.Effects...)
	for _, id := range e.Trace {
		if !slices.Contains(trace, id) {
			trace = append(slices.Clone(trace), id)
		}
	}
	for _, x := range e.Also {
		if !slices.ContainsFunc(also, func(y call.Decision) bool { return y.Rule == x.Rule }) {
			also = append(slices.Clone(also), x)
		}
	}
	if e.Verdict > d.Verdict {
		d = e
		if d.Action == call.CallRejected {
			d.Action = call.RequestRejected
		}
	}
	d.Trace, d.Also, d.Counts, d.Effects = trace, also, counts, effects
	return d
}
