package b2bua

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// Desc says what a message carries of a session description, as its place in
// the exchange makes it (RFC 6337 §2.2).
type Desc uint8

const (
	Nothing Desc = iota // none, or one that counts for nothing here
	Offer
	Answer
)

// Exchange is where offer and answer of a dialog stand (RFC 3264 §4). At most
// one offer is open at a time.
//
//	          ┌─18x, 2xx with the answer──┐
//	OfferA ───┘                           ▼   PRACK, UPDATE, re-INVITE with an offer
//	None ──18x, 2xx with an offer──▶ OfferB ──▶ Agreed ──▶ OfferA or OfferB ──▶ Agreed
//	                          PRACK, ACK with the answer
type Exchange uint8

const (
	OfferA Exchange = iota // an offer of A's is with B; so begins an INVITE that has one
	OfferB                 // an offer of B's is with A
	None                   // nobody has made one
	Agreed
)

var exchangeNames = [...]string{"offer-a", "offer-b", "none", "agreed"}

func (x Exchange) String() string { return exchangeNames[x] }

func offerOf(l Leg) Exchange { return Exchange(l) }

// Dialog is one fork of the INVITE: what is open inside it.
type Dialog struct {
	Exchange Exchange `json:"exchange"`
	Prack    bool     `json:"prack"`   // A's PRACK, with an offer, is with B
	Update   [2]bool  `json:"update"`  // this leg's UPDATE is with the other
	Carries  [2]bool  `json:"carries"` // and has an offer
}

// Initial: the open offer is that of A's INVITE.
func (d Dialog) Initial() bool { return d.Exchange == OfferA && !d.Prack && !d.Carries[A] }

// busy is what a leg is told that makes an offer while another is open: 491
// when it has one of ours to answer, 500 when its own has no answer yet (RFC
// 3261 §14.2, RFC 3311 §5.2). 0: it may.
func (d Dialog) busy(l Leg) int {
	switch d.Exchange {
	case Agreed:
		return 0
	case offerOf(l):
		return 500
	}
	return 491
}

// Dialog is the fork with that number as it stands; one that is new has what
// the INVITE had.
func (s State) Dialog(fork int) Dialog {
	if fork < len(s.Dialogs) {
		return s.Dialogs[fork]
	}
	if s.Bare {
		return Dialog{Exchange: None}
	}
	return Dialog{}
}

// dialog is the same to be changed. The state before the step keeps its own.
func (m *machine) dialog(fork int) *Dialog {
	m.Dialogs = slices.Clone(m.Dialogs)
	for len(m.Dialogs) <= fork {
		m.Dialogs = append(m.Dialogs, m.Dialog(len(m.Dialogs)))
	}
	return &m.Dialogs[fork]
}

// reliable passes a provisional response of B's that A must acknowledge (RFC
// 3262).
func (m *machine) reliable(e Event) {
	d := m.dialog(e.Fork)
	switch e.Desc {
	case Answer:
		d.Exchange = Agreed
	case Offer:
		d.Exchange = OfferB
	}
	m.Phase = Ringing
	m.do(Action{Verb: ReplyReliable, Fork: e.Fork, Code: e.Code})
	m.do(Action{Verb: StartTimer, Timer: Setup})
}

// prack passes A's PRACK. One without an offer has its answer at once: it
// says only that the provisional response came.
func (m *machine) prack(e Event) {
	d := m.dialog(e.Fork)
	m.do(Action{Verb: SendPrack, Leg: B, Fork: e.Fork})
	switch {
	case e.Code >= 300: // what it carried was no use
		m.reply(e.Code)
	case e.Desc == Offer && d.Exchange == Agreed:
		d.Exchange, d.Prack = OfferA, true
	case e.Desc == Answer && d.Exchange == OfferB:
		d.Exchange = Agreed
		m.reply(200)
	default:
		m.reply(200)
	}
}

func (m *machine) prackDone(e Event) {
	if !m.Dialog(e.Fork).Prack {
		return
	}
	d := m.dialog(e.Fork)
	d.Prack, d.Exchange = false, Agreed
	m.do(Action{Verb: ReplyPrack, Fork: e.Fork, Code: e.Code, Relay: true})
}

// update passes an UPDATE (RFC 3311).
func (m *machine) update(e Event) {
	d := m.dialog(e.Fork)
	switch {
	case d.Update[e.Leg]:
		m.reply(500)
		return
	case e.Desc == Offer && d.busy(e.Leg) != 0:
		m.reply(d.busy(e.Leg))
		return
	case e.Desc == Offer:
		d.Exchange, d.Carries[e.Leg] = offerOf(e.Leg), true
	}
	d.Update[e.Leg] = true
	m.do(Action{Verb: SendUpdate, Leg: e.Leg.Other(), Fork: e.Fork})
}

// updateDone gives the answer to the leg whose UPDATE it was.
func (m *machine) updateDone(e Event) {
	if !m.Dialog(e.Fork).Update[e.Leg] {
		return
	}
	d := m.dialog(e.Fork)
	d.Update[e.Leg] = false
	if d.Carries[e.Leg] {
		d.Carries[e.Leg], d.Exchange = false, Agreed
	}
	m.do(Action{Verb: ReplyUpdate, Leg: e.Leg, Fork: e.Fork, Code: e.Code, Relay: true})
	confirmed := m.Phase == Up || m.Phase == Modifying
	switch {
	case confirmed && e.Code < 300:
		m.expire(e.Interval) // a refresh, RFC 4028 §7.4
	case confirmed && (e.Code == 481 || e.Code == 408): // the dialog is gone, as with a re-INVITE
		m.endModify()
		m.lost(e.Leg.Other(), e.Code)
	}
}

// inside is what may happen in a dialog, early or confirmed; false when it is
// something else.
func (m *machine) inside(e Event) bool {
	if m.Finished { // one leg has been released already
		return false
	}
	switch e.Kind {
	case Prack:
		m.prack(e)
	case PrackDone:
		m.prackDone(e)
	case Update:
		m.update(e)
	case UpdateDone:
		m.updateDone(e)
	default:
		return false
	}
	return true
}

// drop answers what is open in the dialogs: all of them end, but for one.
func (m *machine) drop(but int) {
	for i, d := range m.Dialogs {
		if i == but || d == (Dialog{Exchange: d.Exchange}) {
			continue
		}
		if d.Prack {
			m.do(Action{Verb: ReplyPrack, Fork: i, Code: 487})
		}
		for l, open := range d.Update {
			if open {
				m.do(Action{Verb: ReplyUpdate, Leg: Leg(l), Fork: i, Code: 487})
			}
		}
		*m.dialog(i) = Dialog{Exchange: d.Exchange}
	}
}

// accept takes B's 2xx: the fork it comes from is the call.
func (m *machine) accept(e Event) {
	m.drop(e.Fork)
	d := m.dialog(e.Fork)
	m.Phase, m.Tag, m.Fork = Answered, e.Tag, e.Fork
	m.do(Action{Verb: StopTimer, Timer: Setup})
	switch {
	case d.Exchange == None && e.Desc == Offer: // A's ACK brings the answer
		d.Exchange, m.AckDue = OfferB, true
	case d.Exchange == None:
		m.do(Action{Verb: SendAck, Leg: B})
		m.do(Action{Verb: ReplyInvite, Code: 488})
		m.bye(B)
		m.Phase = Ending
		m.finish(488, call.ByGateway, "refused")
		return
	default:
		if d.Initial() {
			d.Exchange = Agreed
		}
		m.do(Action{Verb: SendAck, Leg: B})
	}
	m.do(Action{Verb: ReplyInvite, Code: e.Code, Relay: true})
	m.do(Action{Verb: StartTimer, Timer: Duration})
	m.expire(e.Interval)
}

// settle acknowledges a 2xx whose ACK waits for the other leg's answer: with
// that, or with an answer that declines when there will be none.
func (m *machine) settle() {
	if !m.AckDue {
		return
	}
	m.AckDue = false
	m.dialog(m.Fork).Exchange = Agreed
	if m.Phase == Modifying {
		m.do(Action{Verb: AckModify, Leg: m.Modifier.Other()})
		return
	}
	m.do(Action{Verb: SendAck, Leg: B})
}

// modify passes a re-INVITE to the other leg.
func (m *machine) modify(e Event) {
	d := m.dialog(m.Fork)
	if code := d.busy(e.Leg); code != 0 {
		m.reply(code)
		return
	}
	d.Exchange = None
	if !e.Bare {
		d.Exchange = offerOf(e.Leg)
	}
	m.Phase, m.Modifier, m.Replied = Modifying, e.Leg, false
	m.do(Action{Verb: SendModify, Leg: e.Leg.Other()})
}

// modified takes the other leg's 2xx to the re-INVITE.
func (m *machine) modified(e Event) {
	other := m.Modifier.Other()
	d := m.dialog(m.Fork)
	switch {
	case m.Replied: // repeated, while its ACK waits
	case d.Exchange == None && e.Desc == Offer:
		d.Exchange, m.AckDue, m.Replied = offerOf(other), true, true
		m.expire(e.Interval)
		m.ModifyAck[m.Modifier] = true
		m.do(Action{Verb: ReplyModify, Leg: m.Modifier, Code: e.Code, Relay: true})
	case d.Exchange == None: // no offer that can be used: the other leg is out of step
		m.do(Action{Verb: AckModify, Leg: other})
		m.do(Action{Verb: ReplyModify, Leg: m.Modifier, Code: 488})
		m.release(call.ByGateway, "media-refused", A, B)
	default:
		m.Phase, d.Exchange = Up, Agreed
		m.expire(e.Interval)
		m.ModifyAck[m.Modifier] = true
		m.do(Action{Verb: AckModify, Leg: other})
		m.do(Action{Verb: ReplyModify, Leg: m.Modifier, Code: e.Code, Relay: true})
	}
}

// endModify answers the open re-INVITE, or acknowledges for it.
func (m *machine) endModify() {
	switch {
	case m.Phase != Modifying:
	case m.Replied:
		m.settle()
	default:
		m.do(Action{Verb: ReplyModify, Leg: m.Modifier, Code: 487})
	}
}

// unmodified is the end of a re-INVITE without success.
func (m *machine) unmodified(code int, relay bool) {
	m.Phase, m.dialog(m.Fork).Exchange = Up, Agreed
	m.do(Action{Verb: ReplyModify, Leg: m.Modifier, Code: code, Relay: relay})
}
