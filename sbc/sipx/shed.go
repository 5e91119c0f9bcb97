package sipx

import (
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"strconv"
	"sync"
)

// Shedding: while there is too much, requests are refused by a glance at them,
// for a small part of what a refusal costs otherwise. Nothing is kept of them.

// Shedder says which requests are looked at while there is too much of
// everything. Its methods are called like those of [Handler].
type Shedder interface {
	// Busy is asked for every message: may anything be refused at all?
	Busy() bool
	// Shed judges a request outside of a dialog that belongs to no transaction.
	Shed(*Glance) Shed
}

// Shed is what becomes of a request.
type Shed struct {
	What       ShedKind
	RetryAfter int // seconds, with ShedRefuse
}

// ShedKind is one of these.
type ShedKind uint8

const (
	ShedUnsure ShedKind = iota // to be looked at in full, and asked about again
	ShedPass                   // let in
	ShedRefuse                 // 503
	ShedSilent                 // no answer; the end of a connection
)

var glances = sync.Pool{New: func() any { return new(Glance) }}

// shed reports whether the message is done with, and whether it was let in.
func (s *Stack) shed(f *Flow, b []byte) (done, asked bool) {
	g := glances.Get().(*Glance)
	defer glances.Put(g)
	*g = Glance{}
	if !g.of(f, b) {
		return false, false
	}
	key := g.key()
	tag := s.shedTag(key)
	if g.Method == "ACK" {
		return string(g.toTag) == string(tag[:]), false // RFC 3261 §17.2.1; nothing is kept, nothing waits for it
	}
	if tx, _, over := s.tx.server(key); tx != nil || over {
		return false, false // it came again: its transaction answers
	}
	v := s.cfg.Shed.Shed(g)
	switch v.What {
	case ShedRefuse:
		s.refuseShed(g, tag[:], v.RetryAfter)
		return true, true
	case ShedSilent:
		f.Close()
		return true, true
	}
	return false, v.What == ShedPass
}

// shedTag is the To tag of such a refusal: the same for every retransmission,
// and known again in the ACK.
func (s *Stack) shedTag(key txKey) (tag [18]byte) {
	var sum [8]byte
	n := maphash.Bytes(s.shedSeed, key[:])
	for i := range sum {
		sum[i] = byte(n >> (8 * i))
	}
	tag[0], tag[1] = 'o', 'v'
	hex.Encode(tag[2:], sum[:])
	return tag
}

var shedRoom = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// refuseShed answers 503 with what a response must repeat (RFC 3261 §8.2.6).
func (s *Stack) refuseShed(g *Glance, tag []byte, after int) {
	room := shedRoom.Get().(*[]byte)
	defer shedRoom.Put(room)
	b := append((*room)[:0], "SIP/2.0 503 Service Unavailable\r\n"...)
	for i, v := range g.vias[:g.nvias] {
		b = append(b, "Via: "...)
		if i == 0 {
			b = appendTopVia(b, v, g.Flow.Remote)
		} else {
			b = appendUnfolded(b, v)
		}
		b = append(b, "\r\n"...)
	}
	for _, f := range [...]field{fieldFrom, fieldTo, fieldCallID, fieldCSeq} {
		b = append(append(b, fieldNames[f]...), ": "...)
		if b = appendUnfolded(b, g.lines[f]); f == fieldTo {
			b = append(append(b, ";tag="...), tag...)
		}
		b = append(b, "\r\n"...)
	}
	b = append(b, "Retry-After: "...)
	b = strconv.AppendInt(b, int64(after), 10)
	b = append(b, "\r\nContent-Length: 0\r\n\r\n"...)
	f := g.Flow
	if port := g.via.answerPort(); f.udp != nil && !g.via.rport && port != f.Remote.Port() {
		f = f.listener.flow(f.udp, netip.AddrPortFrom(f.Remote.Addr(), port))
	}
	s.send(f, b)
	*room = b[:0]
}

// answerPort is where an answer goes without rport (RFC 3261 §18.2.2).
func (t *topVia) answerPort() uint16 {
	if t.port == 0 {
		return 5060
	}
	return uint16(t.port)
}
