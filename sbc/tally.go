package sbc

import (
	"net/netip"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// tally counts the calls that were refused for overload, by whose they were, so
// that there is a CDR of them: one for each user, peer or PBX and minute, which
// stands for all. To write one for each would be the next overload; nothing is
// allocated when a call is counted, but for who has none in this minute.
//
// Its size is fixed: who finds no place is counted with the strangers.
type tally struct {
	mu    sync.Mutex
	slots [tallySlots + 1]tallied // the last is of nobody
	used  int
	begun time.Time
}

const (
	tallySlots  = 512
	tallyProbes = 8
	tallyTime   = time.Minute
)

// tallied is the first refused call, and how many there were.
type tallied struct {
	who            uint64
	n              int
	first, last    time.Time
	kind           call.Kind
	name           string // of the peer or PBX
	user           string // of the phone
	from, to, call text
	source         netip.AddrPort
	side           call.Side
	transport      string
	silent         bool
}

// text is a piece of a message that is kept in place.
type text struct {
	n uint8
	b [120]byte
}

func (x *text) set(b []byte)   { x.n = uint8(copy(x.b[:], b)) }
func (x *text) String() string { return string(x.b[:x.n]) }

// refused counts a call. who is whose share it would have had.
func (t *tally) refused(q *request, id identity, who uint64, silent bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.slot(who)
	if x.n++; x.n == 1 {
		t.used++
		if t.begun.IsZero() {
			t.begun = now
		}
		*x = tallied{who: who, n: 1, first: now, kind: id.kind, name: id.name(), source: q.flow.Remote, side: q.flow.Side, transport: q.flow.Transport, silent: silent}
		x.from.set(userOf(q.from))
		x.to.set(userOf(q.uri))
		x.call.set(q.callID)
		if who, ok := q.user(id); ok {
			x.user = who.user
		}
	} else if x == &t.slots[tallySlots] && x.source != q.flow.Remote {
		x.source = netip.AddrPort{} // of several
	}
	x.last = now
}

// slot is that of who, the one of nobody when there is none.
func (t *tally) slot(who uint64) *tallied {
	for i := range uint64(tallyProbes) {
		if x := &t.slots[(who+i)%tallySlots]; who != 0 && (x.n == 0 || x.who == who) {
			return x
		}
	}
	return &t.slots[tallySlots]
}

func userOf(uri []byte) []byte {
	if user, _ := sipx.UserHost(uri); user != nil {
		return user
	}
	return uri
}

// take empties the tally when its time has come, or at once.
func (t *tally) take(now time.Time, all bool) (out []tallied) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == 0 || !all && now.Sub(t.begun) < tallyTime && !now.Before(t.begun) {
		return nil
	}
	out = make([]tallied, 0, t.used)
	for i := range t.slots {
		if t.slots[i].n > 0 {
			out = append(out, t.slots[i])
		}
		t.slots[i] = tallied{}
	}
	t.used, t.begun = 0, time.Time{}
	return out
}

// recordRefused writes the CDRs of what was refused for overload.
func (g *Gateway) recordRefused(now time.Time, all bool) {
	for _, x := range g.overload.tally.take(now, all) {
		g.deps.Reporter.Record(g.tallyRecord(&x))
	}
}

func (g *Gateway) tallyRecord(x *tallied) call.Record {
	r := call.Record{ID: newID(), CallID: newID(), Node: g.cfg.Node, From: x.from.String(), To: x.to.String(), Start: call.At(x.first), End: call.At(x.last),
		EndedBy: call.ByGateway, Code: 503, Verdict: call.Reject, Rule: "base/overload", Coalesced: x.n - 1}
	if x.silent {
		r.Code, r.Verdict = 0, call.Drop
	}
	if x.source.IsValid() {
		r.Source = x.source.String()
	}
	in, peer := number.Dialled, ""
	if x.kind != call.Phone {
		in = number.Trunk
	}
	switch x.kind {
	case call.Carrier:
		r.Peer, peer, r.Direction = x.name, x.name, call.Inbound
	case call.PBX:
		r.Account, r.Direction = x.name, call.Outbound
	case call.Phone:
		r.User = x.user
	}
	var to call.Party
	g.plan(peer).Normalise(unescape(r.To), in).Fill(&to)
	r.ToE164, r.ToNumber, r.ToKind, r.Country, r.Class = to.E164(), to.Number, to.Kind.String(), to.Country, to.Class
	if x.kind == call.Phone && to.E164() != "" {
		r.Direction = call.Outbound
	}
	r.Passes = []call.Pass{{SIPCallID: x.call.String(), From: x.side.String(), Peer: x.name, Code: r.Code, Rule: r.Rule, Source: r.Source, Transport: x.transport}}
	return r
}
