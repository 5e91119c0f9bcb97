package sdp

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// Offer is an offer that passed the checks of the leg it came on. It can be
// written for several legs in turn or at once (failover, forks), and answered
// more than once (a provisional response and the final one). Until
// [Answer.Write] no leg has changed, so to refuse an offer is to forget it.
type Offer struct {
	from    uint64 // session id of the leg it came on, 0 before our first description
	lines   []mline
	chosen  []*crypto // per line: their crypto line that will be answered; nil: plain RTP
	ours    []*Keys   // per line: our keys for the answer, made once
	written map[uint64]*written
}

// written is what was offered to one leg.
type written struct{ lines []wline }

type wline struct {
	disabled bool
	profile  profile
	offered  []crypto // with our keys; empty: plain RTP
	mux      bool
	addr     netip.Addr
}

// ReadOffer reads an offer that came on from and holds it against the policy
// of that leg. The error is a [*Refusal]; from is not changed.
//
// An offer in a dialog must not have fewer m-lines than there were (RFC 3264
// §8). Lines that are not carried (declined, not RTP audio or video, more than
// [MaxStreams]) are declined on both sides; when none is left the offer is
// refused.
func ReadOffer(from *Leg, body []byte) (*Offer, error) {
	lines, r := read(body)
	if r != nil {
		return nil, r
	}
	if len(lines) < len(from.Agreed) {
		return nil, unacceptable(warnFormat, "Media lines are missing", "%d m-lines, there were %d", len(lines), len(from.Agreed))
	}
	o := &Offer{
		from:    from.Ours.ID,
		lines:   lines,
		chosen:  make([]*crypto, len(lines)),
		ours:    make([]*Keys, len(lines)),
		written: map[uint64]*written{},
	}
	carried, fax := false, false
	for i := range lines {
		if lines[i].profile.udptl && !from.takesFax() {
			fax = true
			lines[i] = mline{media: lines[i].media, kind: lines[i].kind}
		}
		if !lines[i].carried {
			continue
		}
		carried = true
		if lines[i].profile.udptl {
			continue
		}
		c, r := from.protect(i, &lines[i])
		if r != nil {
			return nil, onLine(i, r)
		}
		o.chosen[i] = c
	}
	if !carried && fax {
		return nil, unacceptable(warnTransport, "T.38 cannot be encrypted", "T.38 where SRTP is required")
	}
	if !carried {
		return nil, unacceptable(warnFormat, "No acceptable media", "none of %d m-lines is active RTP audio or video", len(lines))
	}
	return o, nil
}

// Fork returns the offer for one more dialog that the same description began
// (RFC 3261 §12.1). It was written for the same leg, and all dialogs get the
// same keys of ours: they share a port, where nothing tells them apart. Fork
// an offer before it is answered. A nil offer stays nil.
func (o *Offer) Fork() *Offer {
	if o == nil {
		return nil
	}
	c := *o
	return &c
}

// Decline is the answer that takes nothing of the offer, for the leg from on
// which it came: it is well formed, as RFC 3261 §13.2.2.4 asks before a BYE.
// Nothing is agreed by it.
func (o *Offer) Decline(from *Leg, rand io.Reader) ([]byte, error) {
	b := builder{}
	for i := range o.lines {
		m := o.lines[i].media
		b.decline(Media{Kind: m.Kind, Proto: m.Proto, Formats: m.Formats})
	}
	return b.finish(from, rand)
}

// protect holds one offered line against the policy of the leg and chooses
// the crypto line to answer; nil means plain RTP.
func (l *Leg) protect(i int, m *mline) (*crypto, *Refusal) {
	sdes := l.SecureHop || l.TolerateRTP && m.profile.secure
	switch {
	case m.profile.secure && l.Policy == SRTPOff:
		return nil, insecure("SRTP not accepted", "%s offered where SRTP is off", m.media.Proto)
	case m.profile.secure && !sdes:
		return nil, insecure("SRTP keys need encrypted signalling", "SRTP keys came over a hop that is not encrypted")
	case !m.profile.secure && l.Policy == SRTPRequired && !l.TolerateRTP:
		return nil, insecure("SRTP required", "%s offered where SRTP is required", m.media.Proto)
	case !m.profile.secure && (l.Policy == SRTPOff || !sdes):
		return nil, nil // a=crypto beside RTP/AVP is optional: ignored
	}
	var current *Keys
	if old := l.at(i, m.kind); old != nil {
		current = old.Recv
	}
	c := m.cryptos.choose(l.Suites, current)
	if c == nil {
		if !m.profile.secure {
			return nil, nil
		}
		why := m.cryptos.why
		if why == "" {
			why = fmt.Sprintf("%d crypto lines, no suite in common", m.cryptos.seen)
		}
		return nil, insecure("No acceptable SRTP suite", "no usable crypto line: %s", why)
	}
	if r := l.echoed(c.keys); r != nil {
		return nil, r
	}
	return c, nil
}

// echoed refuses keys that are our own: two senders with one key encrypt with
// one key stream, RFC 3711 §9.1.
func (l *Leg) echoed(k *Keys) *Refusal {
	for i := range l.Agreed {
		if ours := l.Agreed[i].Send; ours != nil && ours.sameKey(k) {
			return insecure("SRTP key reused", "the peer sent our own key back")
		}
	}
	return nil
}

// Streams is the number of m-lines, carried or not. Endpoints are given for
// each of them.
func (o *Offer) Streams() int { return len(o.lines) }

// Carried reports whether m-line i is to be relayed and needs an endpoint.
func (o *Offer) Carried(i int) bool { return o.lines[i].carried }

// Profile is the transport profile of the first carried line.
func (o *Offer) Profile() string {
	for i := range o.lines {
		if o.lines[i].carried {
			return o.lines[i].media.Proto
		}
	}
	return ""
}

// Secure reports whether every carried line will be SRTP on the leg the offer
// came on.
func (o *Offer) Secure() bool {
	for i := range o.lines {
		if o.lines[i].carried && o.chosen[i] == nil {
			return false
		}
	}
	return true
}

// IPv6 reports which address family the offer wants to receive on; known is
// false when it names no address (old-style hold).
func (o *Offer) IPv6() (ipv6, known bool) { return familyOf(o.lines) }

func familyOf(lines []mline) (ipv6, known bool) {
	for i := range lines {
		if a := lines[i].rtp.Addr(); lines[i].carried && a.IsValid() {
			return a.Is6(), true
		}
	}
	return false, false
}

// String shows the shape of an offer; keys never print.
func (o Offer) String() string {
	return fmt.Sprintf("offer of %d m-lines, %s", len(o.lines), o.Profile())
}

// Format keeps keys out of every verb of fmt.
func (o Offer) Format(f fmt.State, _ rune) { io.WriteString(f, o.String()) }

// LogValue keeps keys out of structured logs.
func (o Offer) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Write writes the offer for the leg to, with local as our addresses, one for
// each m-line. Only the version in to's o= changes. The error is a [*Refusal]
// when policy or addresses forbid it, else a failure of our own.
//
// What is agreed on the leg stays: a line that is SRTP offers the key and
// suite in use, one line only, so that hold, resume and session refresh
// neither re-key nor change a byte. A new line offers a fresh key for each of
// the leg's suites. RTP/AVPF becomes RTP/AVP for audio, where feedback is of
// little use and many PBXs refuse the profile; video keeps it.
//
// When to has more m-lines than the offer (a leg taken over from another
// call), they are filled up with declined ones.
func (o *Offer) Write(to *Leg, local []Endpoint, rand io.Reader) ([]byte, error) {
	if len(local) < len(o.lines) {
		return nil, fmt.Errorf("sdp: %d endpoints for an offer of %d m-lines", len(local), len(o.lines))
	}
	n := max(len(o.lines), len(to.Agreed))
	w := &written{lines: make([]wline, n)}
	b := builder{}
	fax := 0 // lines that this leg cannot have
	for i := range n {
		unfit := i < len(o.lines) && o.lines[i].carried && o.lines[i].profile.udptl && !to.takesFax()
		if unfit {
			fax++
		}
		if i >= len(o.lines) || !o.lines[i].carried || unfit {
			w.lines[i].disabled = true
			b.decline(o.stand(to, i))
			continue
		}
		wl, err := o.wline(to, i, local[i], rand)
		if err != nil {
			return nil, err
		}
		w.lines[i] = wl
		m := &o.lines[i]
		med := Media{Kind: m.kind, Proto: wl.profile.String(), Attrs: m.shared(wl.profile.feedback)}
		for _, c := range wl.offered {
			med.Attrs = append(med.Attrs, c.attr())
		}
		b.carry(med, m, local[i], wl.mux, false, m.dir)
	}
	if fax > 0 && b.s.Conn == nil {
		return nil, unacceptable(warnTransport, "T.38 cannot be encrypted", "T.38 towards a leg where SRTP is required")
	}
	body, err := b.finish(to, rand)
	if err != nil {
		return nil, err
	}
	o.written[to.Ours.ID] = w
	return body, nil
}

// wline decides profile, keys and mux of one line of an offer.
func (o *Offer) wline(to *Leg, i int, local Endpoint, rand io.Reader) (wline, error) {
	m := &o.lines[i]
	if !usable(local) {
		return wline{}, fmt.Errorf("sdp: m-line %d is carried and has no endpoint of ours", i)
	}
	w := wline{addr: local.RTP.Addr().Unmap()}
	if m.profile.udptl {
		w.profile = m.profile
		return w, nil
	}
	w.profile.feedback = m.profile.feedback && m.kind == "video"
	old := to.at(i, m.kind)
	w.mux = to.OfferMux
	if old != nil {
		p, _ := parseProfile(old.Proto)
		w.profile.feedback = p.feedback
		w.mux = w.mux || old.Mux
	}

	crypt := false
	switch {
	case to.Policy == SRTPOff:
	case old != nil && (to.Policy == SRTPOptional || to.TolerateRTP):
		p, _ := parseProfile(old.Proto)
		crypt = old.Secure()
		w.profile.secure = crypt && p.secure
	case to.Policy == SRTPOptional:
		crypt = to.SecureHop
	default:
		crypt = to.SecureHop || !to.TolerateRTP
		w.profile.secure = crypt
	}
	if !crypt {
		return w, nil
	}
	if !to.SecureHop && !to.TolerateRTP {
		return w, onLine(i, insecure("SRTP keys need encrypted signalling", "SRTP is required towards a hop that is not encrypted"))
	}
	if old != nil && old.Secure() {
		w.offered = []crypto{{1, old.Send.clone()}}
		return w, nil
	}
	for n, suite := range to.Suites.list() {
		k, err := newKeys(suite, rand)
		if err != nil {
			return w, err
		}
		w.offered = append(w.offered, crypto{n + 1, k})
	}
	return w, nil
}

// stand says what is shown of a line that is not carried: nothing that the
// other leg chose but a well-known name. When the leg already has this line
// it keeps its kind and protocol.
func (o *Offer) stand(to *Leg, i int) Media {
	kind, proto := "application", "udp"
	if i < len(to.Agreed) {
		kind, proto = to.Agreed[i].Kind, to.Agreed[i].Proto
	} else if i < len(o.lines) {
		kind, proto = o.lines[i].kind, o.lines[i].media.Proto
	}
	if !slices.Contains([]string{"audio", "video", "image", "text", "message"}, kind) {
		kind = "application"
	}
	if !slices.Contains([]string{"udptl", "TCP/MSRP", "TCP/TLS/MSRP", "UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "UDP/TLS/UDPTL"}, proto) {
		if p, ok := parseProfile(proto); ok && carriedKind(kind) {
			proto = p.String() // DTLS is not ours to offer, even declined
		} else {
			proto = "udp"
		}
	}
	format := "*"
	switch {
	case strings.HasPrefix(proto, "RTP/"):
		format = "0"
	case kind == "image":
		format = "t38"
	}
	return Media{Kind: kind, Proto: proto, Formats: []string{format}}
}

// shared is what of the line's attributes may cross.
func (m *mline) shared(feedback bool) []Attr {
	var out []Attr
	for _, k := range m.attrs {
		if !k.feedback || feedback {
			out = append(out, k.attr)
		}
	}
	return out
}
