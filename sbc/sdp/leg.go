package sdp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// Policy says how the media of a leg must be protected. The zero value
// demands SRTP, so a leg nobody configured fails closed.
type Policy uint8

const (
	// SRTPRequired refuses RTP/AVP and offers RTP/SAVP.
	SRTPRequired Policy = iota
	// SRTPOptional accepts both. Towards the leg it offers RTP/AVP with
	// a=crypto (RFC 8643), or plain RTP/AVP when the hop is not encrypted;
	// once agreed, what was agreed.
	SRTPOptional
	// SRTPOff refuses RTP/SAVP and offers RTP/AVP.
	SRTPOff
)

var policies = [...]string{"required", "optional", "off"}

func (p Policy) String() string {
	if int(p) < len(policies) {
		return policies[p]
	}
	return "policy(" + strconv.Itoa(int(p)) + ")"
}

func (p Policy) MarshalText() ([]byte, error) {
	if int(p) >= len(policies) {
		return nil, fmt.Errorf("sdp: unknown SRTP policy %d", p)
	}
	return []byte(policies[p]), nil
}

func (p *Policy) UnmarshalText(b []byte) error {
	i := slices.Index(policies[:], string(b))
	if i < 0 {
		return fmt.Errorf("sdp: unknown SRTP policy %q (required, optional or off)", clip(string(b), 40))
	}
	*p = Policy(i)
	return nil
}

// Leg is what one leg of a call has agreed on. It is plain data that can be
// written as JSON and read back, keys included. The call owns it and sets the
// exported settings before the first exchange.
type Leg struct {
	Policy Policy `json:"policy"`
	// SecureHop says that signalling with this leg is encrypted. Without it
	// keys in a description are worth nothing, so they are refused and never
	// written.
	SecureHop bool `json:"secure_hop"`
	// TolerateRTP accepts a call without (or with badly protected) SRTP where
	// it is required: an emergency call. Once agreed, what was agreed stays.
	TolerateRTP bool   `json:"tolerate_rtp,omitempty"`
	Suites      Suites `json:"suites,omitempty"`
	// OfferMux offers rtcp-mux (RFC 5761) towards this leg. It is answered
	// whenever the leg offers it, and stays once agreed.
	OfferMux bool `json:"offer_mux,omitempty"`

	Ours   Ours   `json:"ours"`            // our o= towards this leg
	Agreed []Line `json:"lines,omitempty"` // one per m-line, after the first exchange
}

// Ours is our side of the session on one leg: what stands in o=, RFC 8866
// §5.2. Digest tells whether the next description differs from the last.
type Ours struct {
	ID      uint64 `json:"id"`
	Version uint64 `json:"version"`
	Digest  []byte `json:"digest,omitempty"` // SHA-256 of the last description, its version left out
}

// Line is what media must know about one m-line of one leg.
type Line struct {
	Kind  string `json:"kind"`  // audio, video, image (T.38); something else only when Disabled
	Proto string `json:"proto"` // profile spoken with this leg
	// Disabled: port 0, or a line that is not carried. Nothing is relayed and
	// everything below is empty.
	Disabled bool           `json:"disabled,omitempty"`
	RTP      netip.AddrPort `json:"rtp,omitzero"`  // where this leg receives; zero when it receives nothing (old-style hold)
	RTCP     netip.AddrPort `json:"rtcp,omitzero"` // equal to RTP with Mux; zero when unknown
	Mux      bool           `json:"mux,omitempty"`
	// Direction is in force as this leg sees it: SendOnly means that it sends
	// and does not receive.
	Direction Direction `json:"direction"`
	// Payloads are the RTP payload types this leg may send: those of the
	// description we wrote to it.
	Payloads Payloads `json:"payloads,omitempty"`
	// Clocks are the RTP clocks of those of them that do not count at 8000 Hz.
	Clocks map[uint8]uint32 `json:"clocks,omitempty"`
	// Ptime is the milliseconds of sound per packet that the leg was asked to
	// send, 0 when nobody said.
	Ptime uint16 `json:"ptime,omitempty"`
	Recv  *Keys  `json:"recv,omitempty"` // their keys, for what comes from this leg; nil: plain RTP
	Send  *Keys  `json:"send,omitempty"` // our keys, for what goes to this leg; nil: plain RTP
}

// Payloads is a list of RTP payload types; in JSON an array of numbers (a
// plain byte slice would be base64).
type Payloads []uint8

func (p Payloads) MarshalJSON() ([]byte, error) {
	n := make([]int, len(p))
	for i, v := range p {
		n[i] = int(v)
	}
	return json.Marshal(n)
}

// Muted reports whether media flows in fewer than both directions, as on
// hold: silence is then no sign of a dead call.
func (l Line) Muted() bool { return l.Direction != SendRecv }

// Secure reports whether the line is SRTP.
func (l Line) Secure() bool { return l.Recv != nil && l.Send != nil }

func (l Line) clone() Line {
	l.Recv, l.Send, l.Payloads = l.Recv.clone(), l.Send.clone(), slices.Clone(l.Payloads)
	l.Clocks = maps.Clone(l.Clocks)
	return l
}

// String shows addresses and suites, never keys.
func (l Line) String() string {
	if l.Disabled {
		return l.Kind + " disabled"
	}
	return fmt.Sprintf("%s %s rtp=%s %s recv=%s send=%s", l.Kind, l.Proto, l.RTP, l.Direction, l.Recv, l.Send)
}

// LogValue keeps keys out of structured logs, JSON handlers included.
func (l Line) LogValue() slog.Value { return slog.StringValue(l.String()) }

// Lines returns a copy of what the leg agreed on, one entry per m-line; empty
// before the first exchange.
func (l *Leg) Lines() []Line { return cloneLines(l.Agreed) }

func cloneLines(ls []Line) []Line {
	if ls == nil {
		return nil
	}
	out := make([]Line, len(ls))
	for i := range ls {
		out[i] = ls[i].clone()
	}
	return out
}

// Clone returns a copy that shares nothing with the leg.
func (l *Leg) Clone() *Leg {
	c := *l
	c.Suites = slices.Clone(l.Suites)
	c.Ours.Digest = slices.Clone(l.Ours.Digest)
	c.Agreed = cloneLines(l.Agreed)
	return &c
}

// Restore takes what was agreed back to a clone made earlier. It is needed
// only where an answer was already written, in a provisional response, and
// the exchange then failed. The version of o= is not taken back: the peer may
// have seen it, and a version must never name two descriptions.
func (l *Leg) Restore(saved *Leg) { l.Agreed = cloneLines(saved.Agreed) }

// String shows settings and lines, never keys.
func (l Leg) String() string {
	return fmt.Sprintf("srtp=%s secure_hop=%t lines=%v", l.Policy, l.SecureHop, l.Agreed)
}

// LogValue keeps keys out of structured logs, JSON handlers included.
func (l Leg) LogValue() slog.Value { return slog.StringValue(l.String()) }

// at returns what was agreed on m-line i, nil when it is new, disabled or of
// another kind: a line that changes its kind begins anew.
func (l *Leg) at(i int, kind string) *Line {
	if i < len(l.Agreed) && !l.Agreed[i].Disabled && l.Agreed[i].Kind == kind {
		return &l.Agreed[i]
	}
	return nil
}

// sign gives s our o= and raises the version when s differs from the last
// description on this leg, RFC 3264 §8. This is the only change of a leg
// outside of a finished exchange.
func (l *Leg) sign(s *Session, addr netip.Addr, rand io.Reader) error {
	if l.Ours.ID == 0 {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return fmt.Errorf("sdp: reading randomness for a session id: %w", err)
		}
		// 53 bits: some peers read the id as a floating point number.
		l.Ours.ID = binary.BigEndian.Uint64(b[:])>>11 | 1<<52
	}
	s.Origin = Origin{User: "-", ID: strconv.FormatUint(l.Ours.ID, 10), Version: "0", Net: "IN", Type: family(addr), Addr: addr.String()}
	sum := sha256.Sum256(s.Marshal())
	if string(sum[:]) != string(l.Ours.Digest) {
		l.Ours.Version++
		l.Ours.Digest = sum[:]
	}
	s.Origin.Version = strconv.FormatUint(l.Ours.Version, 10)
	return nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IP4"
	}
	return "IP6"
}

// Endpoint is our own advertised address for one m-line of one leg. It is
// ignored for lines that are not carried. RTCP may be zero when it is RTP's
// port plus one.
type Endpoint struct{ RTP, RTCP netip.AddrPort }

// Direction of a stream as one end sees it, RFC 8866 §6.7.
type Direction uint8

const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

var directions = [...]string{"sendrecv", "sendonly", "recvonly", "inactive"}

func (d Direction) String() string {
	if int(d) < len(directions) {
		return directions[d]
	}
	return "direction(" + strconv.Itoa(int(d)) + ")"
}

func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Direction) UnmarshalText(b []byte) error {
	i := slices.Index(directions[:], string(b))
	if i < 0 {
		return fmt.Errorf("sdp: unknown direction %q", clip(string(b), 40))
	}
	*d = Direction(i)
	return nil
}

func (d Direction) sends() bool    { return d == SendRecv || d == SendOnly }
func (d Direction) receives() bool { return d == SendRecv || d == RecvOnly }

func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

// Reverse is the same stream seen from the other end.
func (d Direction) Reverse() Direction { return direction(d.receives(), d.sends()) }

// and is what both allow, seen from the same end.
func (d Direction) and(o Direction) Direction {
	return direction(d.sends() && o.sends(), d.receives() && o.receives())
}
