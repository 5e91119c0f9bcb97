package sdp

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Answer is an answer that passed the checks of the leg it came on. It takes
// effect when it is written for the leg that offered.
type Answer struct {
	to    *Leg
	offer *Offer
	sent  *written
	lines []mline // as many as the offer we wrote
	keys  []pair  // per line; zero: plain RTP or declined
}

// pair is the keys of one line of the answering leg.
type pair struct{ recv, send *Keys }

// ReadAnswer reads the answer that came on to, for an offer that was written
// for it. The error is a [*Refusal] with the status for the side that offered;
// no leg is changed, and another answer may follow.
//
// An answer must have as many m-lines as the offer, of the same kind and
// security, one crypto line that picks one of ours by tag and suite, and at
// least one of the formats offered; formats beyond those are dropped. A line
// that we declined and the peer accepts all the same stays declined.
func ReadAnswer(to *Leg, offer *Offer, body []byte) (*Answer, error) {
	w := offer.written[to.Ours.ID]
	if w == nil {
		return nil, fmt.Errorf("sdp: an answer on a leg to which this offer was never written")
	}
	lines, r := read(body)
	if r == nil && len(lines) != len(w.lines) {
		r = malformed("answer has %d m-lines, the offer %d", len(lines), len(w.lines))
	}
	a := &Answer{to: to, offer: offer, sent: w, lines: lines, keys: make([]pair, len(w.lines))}
	for i := 0; i < len(lines) && r == nil; i++ {
		r = onLine(i, a.read(i))
	}
	if r != nil {
		if r.Status != 488 {
			r.Status, r.WarningCode, r.WarningText = 502, warnOther, "Malformed answer" // not the fault of the one who offered
		}
		return nil, r
	}
	return a, nil
}

// read checks one line of the answer against what was offered.
func (a *Answer) read(i int) *Refusal {
	l, w := &a.lines[i], &a.sent.lines[i]
	if w.disabled || l.media.Port == 0 {
		*l = mline{media: l.media, kind: l.kind}
		return nil
	}
	o := &a.offer.lines[i]
	if !l.carried || l.kind != o.kind {
		return malformed("%s %s answers %s %s", quote(l.media.Kind), quote(l.media.Proto), o.kind, w.profile)
	}
	if l.rtp.IsValid() && l.rtp.Addr().Is6() != w.addr.Is6() {
		return unacceptable(warnAddress, "Incompatible address family", "answer with %s to an offer with %s", l.rtp.Addr(), w.addr)
	}
	if l.profile.udptl {
		l.dir = l.dir.and(o.dir.Reverse())
		return nil
	}
	l.restrict(o)
	if len(l.payloads) == 0 {
		return unacceptable(warnFormat, "Incompatible media format", "answer has none of the offered formats")
	}
	l.mux = l.mux && w.mux
	l.dir = l.dir.and(o.dir.Reverse()) // RFC 3264 §6.1; some answer sendrecv to everything
	return a.agree(i)
}

// agree settles the keys of one accepted line.
func (a *Answer) agree(i int) *Refusal {
	l, w := &a.lines[i], &a.sent.lines[i]
	switch {
	case len(w.offered) == 0 && l.profile.secure:
		return insecure("SRTP not offered", "answer is %s, SRTP was not offered", l.media.Proto)
	case len(w.offered) == 0:
		return nil // a stray a=crypto means nothing
	case w.profile.secure && !l.profile.secure && a.to.TolerateRTP:
		return nil // wrong by RFC 3264, but the call goes through
	case w.profile.secure && !l.profile.secure:
		return insecure("SRTP required", "answer is %s to an offer of %s", l.media.Proto, w.profile)
	case l.cryptos.seen == 0 && !l.profile.secure:
		return nil // RFC 8643: the peer declines to encrypt
	case l.cryptos.seen != 1:
		return insecure("No acceptable SRTP suite", "answer has %d crypto lines, one is needed", l.cryptos.seen)
	case len(l.cryptos.usable) == 0:
		return insecure("No acceptable SRTP suite", "answer's crypto line: %s", l.cryptos.why)
	}
	got := l.cryptos.usable[0]
	for j := range a.sent.lines {
		for _, c := range a.sent.lines[j].offered {
			if c.keys.sameKey(got.keys) {
				return insecure("SRTP key reused", "the peer sent our own key back")
			}
		}
	}
	for _, c := range w.offered {
		if c.tag == got.tag && c.keys.Suite == got.keys.Suite {
			a.keys[i] = pair{recv: got.keys, send: c.keys}
		}
	}
	if a.keys[i].send == nil {
		return insecure("No acceptable SRTP suite", "answer picks tag %d %s, which was not offered", got.tag, got.keys.Suite)
	}
	return nil
}

// IPv6 reports which address family the answer wants to receive on; known is
// false when it names no address.
func (a *Answer) IPv6() (ipv6, known bool) { return familyOf(a.lines) }

// String shows the shape of an answer; keys never print.
func (a Answer) String() string { return fmt.Sprintf("answer of %d m-lines", len(a.lines)) }

// Format keeps keys out of every verb of fmt.
func (a Answer) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// LogValue keeps keys out of structured logs.
func (a Answer) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Write writes the answer for the leg from, on which the offer came, with
// local as our addresses, one for each m-line, and commits: both legs now hold
// what was agreed. On an error neither has changed (but for the version in
// o=). A second Write for the same offer, of this answer or another, answers
// with the same keys: a provisional answer and the final one must agree.
//
// Our key on a line stays as long as the peer keeps its own; when the peer
// re-keys, so do we, because a new key often means a new device, which knows
// nothing of how far our counters ran.
func (a *Answer) Write(from *Leg, local []Endpoint, rand io.Reader) ([]byte, error) {
	o := a.offer
	if from.Ours.ID != o.from {
		return nil, fmt.Errorf("sdp: the offer did not come on this leg")
	}
	if len(local) < len(o.lines) {
		return nil, fmt.Errorf("sdp: %d endpoints for an offer of %d m-lines", len(local), len(o.lines))
	}
	b := builder{}
	fromLines := make([]Line, len(o.lines))
	toLines := make([]Line, len(a.lines))
	for i := range a.lines {
		toLines[i] = a.lineTo(i)
	}
	for i := range o.lines {
		ol, al := &o.lines[i], &a.lines[i]
		m := Media{Kind: ol.media.Kind, Proto: ol.media.Proto}
		if !al.carried {
			m.Formats = ol.media.Formats // its own, given back
			b.decline(m)
			fromLines[i] = Line{Kind: ol.kind, Proto: ol.media.Proto, Disabled: true}
			continue
		}
		if !usable(local[i]) {
			return nil, fmt.Errorf("sdp: m-line %d is carried and has no endpoint of ours", i)
		}
		if ol.rtp.IsValid() && ol.rtp.Addr().Is6() != local[i].RTP.Addr().Unmap().Is6() {
			return nil, onLine(i, unacceptable(warnAddress, "Incompatible address family", "offer with %s, our side is %s", ol.rtp.Addr(), local[i].RTP.Addr()))
		}
		ours, err := a.ours(from, i, rand)
		if err != nil {
			return nil, err
		}
		m.Attrs = al.shared(ol.profile.feedback)
		if ours != nil {
			m.Attrs = append(m.Attrs, crypto{o.chosen[i].tag, ours}.attr())
		}
		b.carry(m, al, local[i], ol.mux, ol.mux, al.dir)
		l := Line{Kind: ol.kind, Proto: ol.media.Proto, RTP: ol.rtp, RTCP: ol.control(ol.mux), Mux: ol.mux,
			Direction: al.dir.Reverse(), Payloads: al.payloads, Clocks: clocks(al.payloads, al.codecs, ol.codecs), Ptime: al.ptime(), Send: ours}
		if ours != nil {
			l.Recv = o.chosen[i].keys
		}
		fromLines[i] = l.clone()
	}
	body, err := b.finish(from, rand)
	if err != nil {
		return nil, err
	}
	o.from = from.Ours.ID
	from.Agreed, a.to.Agreed = fromLines, toLines
	return body, nil
}

// ours is our key for one line of the leg that offered, nil for plain RTP.
func (a *Answer) ours(from *Leg, i int, rand io.Reader) (*Keys, error) {
	o := a.offer
	c := o.chosen[i]
	if c == nil || o.ours[i] != nil {
		return o.ours[i], nil
	}
	if old := from.at(i, o.lines[i].kind); old != nil && old.Secure() && old.Recv.equal(c.keys) {
		o.ours[i] = old.Send.clone()
		return o.ours[i], nil
	}
	k, err := newKeys(c.keys.Suite, rand)
	o.ours[i] = k
	return k, err
}

// lineTo is what the answering leg agreed on for one line.
func (a *Answer) lineTo(i int) Line {
	l, w := &a.lines[i], &a.sent.lines[i]
	if !l.carried {
		return Line{Kind: strings.ToLower(l.media.Kind), Proto: l.media.Proto, Disabled: true}
	}
	prof := w.profile
	prof.secure = prof.secure && l.profile.secure // differs only where missing SRTP is tolerated
	return Line{Kind: l.kind, Proto: prof.String(), RTP: l.rtp, RTCP: l.control(l.mux), Mux: l.mux, Direction: l.dir,
		Payloads: a.offer.lines[i].payloads, Clocks: clocks(a.offer.lines[i].payloads, a.offer.lines[i].codecs), Ptime: a.offer.lines[i].ptime(),
		Recv: a.keys[i].recv, Send: a.keys[i].send}.clone()
}
