package bind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Net is the portable engine: package net, one goroutine per socket, one
// mutex per engine. It costs about twice the CPU of an epoll loop and runs
// everywhere.
type Net struct {
	opt Options
	// mu is the promise that Sinks and Do never overlap. Closing a socket
	// takes it too, so that no datagram is in flight afterwards.
	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool
	wg     sync.WaitGroup
}

// NewNet returns an engine without sockets.
func NewNet(opt Options) *Net {
	return &Net{opt: opt, open: make(map[*socket]struct{})}
}

type socket struct {
	engine *Net
	conn   *net.UDPConn
	sink   Sink
	closed atomic.Bool // written under engine.mu
}

// Listen binds addr. An error wraps the system's, so errors.Is(err,
// syscall.EADDRINUSE) tells a taken port.
func (n *Net) Listen(addr netip.AddrPort, sink Sink) (Socket, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6" // IPv6 only: an IPv4 packet never arrives here mapped
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, network == "udp6", n.opt.DSCP)
	}}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("bind: listen %s: %w", addr, err)
	}
	s := &socket{engine: n, conn: pc.(*net.UDPConn), sink: sink}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		s.conn.Close()
		return nil, fmt.Errorf("bind: listen %s: %w", addr, net.ErrClosed)
	}
	n.open[s] = struct{}{}
	n.wg.Add(1)
	go s.read()
	return s, nil
}

// Do runs f while no Sink runs.
func (n *Net) Do(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// Close closes every socket and waits for their readers.
func (n *Net) Close() error {
	n.mu.Lock()
	n.closed = true
	left := make([]*socket, 0, len(n.open))
	for s := range n.open {
		left = append(left, s)
	}
	n.mu.Unlock()
	var errs []error
	for _, s := range left {
		errs = append(errs, s.Close())
	}
	n.wg.Wait()
	return errors.Join(errs...)
}

func (s *socket) Send(data []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(data, to)
	return err
}

func (s *socket) Close() error {
	s.engine.mu.Lock()
	if s.closed.Load() {
		s.engine.mu.Unlock()
		return nil
	}
	s.closed.Store(true)
	delete(s.engine.open, s)
	s.engine.mu.Unlock()
	return s.conn.Close()
}

// read delivers until the socket is closed. An ICMP error or a short lack of
// memory must not silence a port for the rest of a call, so other errors only
// pause it.
func (s *socket) read() {
	defer s.engine.wg.Done()
	buf := make([]byte, ReadSize+Tail)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf[:ReadSize])
		if err != nil {
			if s.closed.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		s.engine.mu.Lock()
		if s.closed.Load() {
			s.engine.mu.Unlock()
			return
		}
		s.deliver(buf[:n], from)
	}
}

// deliver ends the locked section also when a Sink panics and the process has
// a reason to go on.
func (s *socket) deliver(data []byte, from netip.AddrPort) {
	defer s.engine.mu.Unlock()
	s.sink.Receive(s.engine.opt.Clock(), data, from)
}
