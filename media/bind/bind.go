// Package bind is how the media plane touches the network: it answers "which
// datagrams arrived, and how do I send one?".
//
// An [Engine] owns many UDP sockets and hands every datagram to the [Sink] of
// its socket. It promises that a Sink and the functions given to Do never run
// two at a time, so whatever they share needs no lock of its own. That is the
// whole contract. [New] gives the best engine of the system: on Linux a loop
// over epoll, which locks once for a batch of packets, elsewhere [Net], which
// has a goroutine for each socket and locks for each packet.
//
// It does not know RTP, calls or keys, and takes no decision on a packet. An
// engine owns its sockets and buffers; the owner of a Sink owns everything
// behind it. Time comes from the clock given at construction and is read once
// per batch. A socket that fails for a while is read again after a pause; a
// packet that cannot be sent is an error for the sender and nothing more.
//
// Start reading at [Engine].
package bind

import (
	"net/netip"
	"time"
)

const (
	// ReadSize is the largest datagram that is handed to a Sink unshortened.
	// It is above what a Sink accepts, so that "too large" can be seen.
	ReadSize = 1536
	// Tail is the spare capacity behind every datagram: room to append an
	// SRTP tag, an SRTCP index and an MKI in place (RFC 3711 §3.1, §3.4).
	Tail = 192
)

// A Sink takes the datagrams of one socket.
type Sink interface {
	// Receive owns data until it returns and may write into it, also into
	// its spare capacity of at least Tail bytes. The source address is never
	// a v4-mapped IPv6 address. at is the time of the batch.
	Receive(at time.Time, data []byte, from netip.AddrPort)
}

// A Socket is one bound UDP port.
type Socket interface {
	// Send sends one datagram and does not keep data. It is called from
	// Receive or Do, and never blocks for long: a full send buffer loses
	// the packet, as a network would.
	Send(data []byte, to netip.AddrPort) error
	// Close frees the port. After it returned, the Sink is not called any
	// more. It must not be called from Receive or Do.
	Close() error
}

// An Engine is one shard's sockets.
type Engine interface {
	// Listen binds addr, which names a port, and starts to deliver.
	Listen(addr netip.AddrPort, sink Sink) (Socket, error)
	// Do runs f between batches and returns when it is done. f must not
	// block, and must not call Do, Listen or Close.
	Do(f func())
	// Close closes what is still open and waits until nothing runs.
	Close() error
}

// Options are what every engine needs to know.
type Options struct {
	Clock func() time.Time // never nil
	DSCP  int              // 0 to 63, RFC 2474; 0 leaves the system's default
}
