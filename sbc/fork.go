package sbc

import (
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Forks: one INVITE, answered by several (RFC 3261 §12.1, RFC 5853 §3.1.1).
// Each of B's To tags is a dialog of its own, and A gets one of its own for
// it, with a tag of ours that stays.
//
// The legs of a session hold the dialogs and descriptions of the fork that is
// being dealt with; those of the others lie in their forks. turn changes
// them over. So whoever works on a leg need not know that there are forks.

// maxForks of one INVITE; provisional responses of more are not heard. A 2xx
// always is: it is the call.
const maxForks = 16

// fork is one dialog that B's side made of our INVITE, and A's for it.
type fork struct {
	tag   string // B's; "" once the INVITE that it answered is over
	early []byte // the description that A was last given for it
	said  []byte // the one of B's that it was made of
	held  *held  // nil while the legs hold it
	n     int    // its number, as the machine counts

	rseq    uint32            // B's last reliable provisional response, in order; 0: none
	ours    uint32            // our last RSeq towards A
	acks    []*acked          // what A is to acknowledge, at most maxReliable
	prack   *sipx.ServerTx    // A's PRACK with an offer, which B is to answer
	updates [2]*sipx.ServerTx // the UPDATE of a leg that the other is to answer
}

// held is what belongs to a fork.
type held struct {
	dialogs [2]sipx.Dialog
	sdp     [2]sdp.Leg
	offer   *sdp.Offer
}

// hold copies what the legs have now.
func (s *session) hold() *held {
	h := &held{offer: s.offer}
	for l := range s.legs {
		h.dialogs[l], h.sdp[l] = s.legs[l].dialog, s.legs[l].sdp
	}
	return h
}

func (s *session) load(h *held) {
	s.offer = h.offer
	for l := range s.legs {
		s.legs[l].dialog, s.legs[l].sdp = h.dialogs[l], h.sdp[l]
	}
}

// known is the fork with B's tag.
func (s *session) known(tag string) *fork {
	for _, f := range s.forks {
		if f.tag == tag {
			return f
		}
	}
	return nil
}

// forkOf finds or makes the fork with B's tag; nil beyond the cap.
func (s *session) forkOf(tag string, final bool) *fork {
	if f := s.known(tag); f != nil {
		return f
	}
	if len(s.forks) >= maxForks && !final {
		return nil
	}
	if s.at == nil {
		s.root = s.hold()
	}
	a, b := &s.root.dialogs[b2bua.A], &s.root.dialogs[b2bua.B]
	f := &fork{tag: tag, n: len(s.forks), held: &held{dialogs: s.root.dialogs, offer: s.root.offer.Fork()}}
	for l := range f.held.sdp {
		f.held.sdp[l] = *s.root.sdp[l].Clone()
	}
	if s.told { // A knows the transaction's own tag for another fork
		x := &f.held.dialogs[b2bua.A]
		x.LocalTag = sipx.NewTag()
		s.g.calls.index(s, b2bua.A, s.legs[b2bua.A].side, sipx.DialogKey{CallID: a.CallID, LocalTag: x.LocalTag, RemoteTag: a.RemoteTag})
	}
	s.told = true
	key := sipx.DialogKey{CallID: b.CallID, LocalTag: b.LocalTag, RemoteTag: tag}
	s.g.calls.index(s, b2bua.B, s.legs[b2bua.B].side, key)
	s.g.calls.pair(s, f.held.dialogs[b2bua.A].Key(), key)
	s.forks = append(s.forks, f)
	return f
}

// turn makes the legs those of the fork.
func (s *session) turn(f *fork) {
	if f == nil || s.at == f || s.legs[b2bua.B].confirmed && s.at != nil {
		return // a confirmed call stays with its fork
	}
	if s.at != nil {
		s.at.held = s.hold()
	}
	s.load(f.held)
	s.at, f.held = f, nil
}

// unfork forgets the forks: the INVITE goes out anew. CSeq goes on from where
// the furthest of them was.
func (s *session) unfork() {
	if s.at == nil {
		return
	}
	seq := s.furthest()
	s.lapse()
	s.load(s.root)
	s.legs[b2bua.B].dialog.LocalSeq = seq
	s.forks, s.at, s.root, s.heard = nil, nil, nil, nil
}

// outlive keeps the forks, as what is open inside them may have its answer
// yet, but takes no more of B's answers for theirs: the INVITE goes out anew on
// the same route, with that CSeq.
func (s *session) outlive(seq uint32) {
	s.legs[b2bua.B].dialog.LocalSeq = seq
	if s.at == nil {
		return
	}
	s.lapse()
	for _, f := range s.forks {
		f.tag = ""
	}
	s.root.dialogs[b2bua.B].LocalSeq = seq
}

// furthest is the last CSeq towards B in all forks.
func (s *session) furthest() uint32 {
	seq := s.legs[b2bua.B].dialog.LocalSeq
	for _, f := range s.forks {
		if f.held != nil {
			seq = max(seq, f.held.dialogs[b2bua.B].LocalSeq)
		}
	}
	return seq
}

// forkFor is the fork that a request of leg l belongs to: by our tag on A's
// side, by theirs on B's. False when there are forks and it is none of them,
// or one that the call did not go on with.
func (s *session) forkFor(l b2bua.Leg, r *sipx.Request) (*fork, bool) {
	if len(s.forks) == 0 {
		return nil, true
	}
	for _, f := range s.forks {
		d := &s.legs[l].dialog
		if f.held != nil {
			d = &f.held.dialogs[l]
		}
		if d.LocalTag == r.ToTag() && d.RemoteTag == r.FromTag() {
			return f, !s.legs[b2bua.B].confirmed || s.at == f
		}
	}
	return nil, false
}

// dialogWith is a copy of B's dialog as the fork with that tag left it.
func (s *session) dialogWith(tag string) sipx.Dialog {
	switch f := s.known(tag); {
	case f != nil && f.held != nil:
		return f.held.dialogs[b2bua.B]
	case f == nil && s.root != nil:
		return s.root.dialogs[b2bua.B]
	}
	return s.legs[b2bua.B].dialog
}

// hear gives the media to the fork at hand. Of several forks that send early
// media the newest that described itself is heard (RFC 3960 §2 leaves it to
// the gateway), and the one of the 2xx in the end.
func (s *session) hear() error {
	if err := s.setMedia(); err != nil {
		return err
	}
	s.heard = s.at
	return nil
}
