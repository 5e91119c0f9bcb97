package sipx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/call"
)

// udpListener is one UDP address with one or more sockets that share it.
type udpListener struct {
	s     *Stack
	l     Listener
	conns []*udpSocket
	shown string // host:port for Via and Contact; "" on a wildcard address
	flows [flowCache]atomic.Pointer[Flow]
}

// udpBuffer is the send buffer asked for; the kernel may give less.
const udpBuffer = 4 << 20

func (s *Stack) listenUDP(l Listener) error {
	u := &udpListener{s: s, l: l}
	n := s.cfg.UDPShards
	// A socket without SO_REUSEPORT first: another process on the port
	// must be an error, not a silent sharing of its traffic.
	if l.Bind.Port() != 0 {
		probe, err := net.ListenUDP(ipNetwork("udp", l.Bind), net.UDPAddrFromAddrPort(l.Bind))
		if err != nil {
			return fmt.Errorf("listen %s udp %s: %w", l.Side, l.Bind, portHint(err))
		}
		probe.Close()
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		merr := mark(c, u.l.Bind.Addr().Is6(), s.cfg.DSCP)
		if n < 2 {
			return merr
		}
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(merr, err, serr)
	}}
	for range n {
		pc, err := lc.ListenPacket(context.Background(), ipNetwork("udp", u.l.Bind), u.l.Bind.String())
		if err != nil {
			for _, c := range u.conns {
				c.close()
			}
			return fmt.Errorf("listen %s udp %s: %w", l.Side, l.Bind, portHint(err))
		}
		c := pc.(*net.UDPConn)
		c.SetWriteBuffer(udpBuffer)
		sock, err := newUDPSocket(c)
		var got int
		if err == nil {
			got, err = sock.enlarge(s.cfg.UDPBuffer)
		}
		if err != nil {
			c.Close()
			for _, c := range u.conns {
				c.close()
			}
			return fmt.Errorf("listen %s udp %s: %w", l.Side, l.Bind, err)
		}
		u.guard(sock)
		u.conns = append(u.conns, sock)
		u.l.Bind = foldAddrPort(c.LocalAddr())
		if got < s.cfg.UDPBuffer && len(u.conns) == 1 {
			s.log.Warn("the kernel gives UDP sockets a smaller receive buffer than was asked for, so that bursts are lost earlier; raise net.core.rmem_max (sysctl)",
				"listener", u.l.Bind.String(), "octets", got, "asked", s.cfg.UDPBuffer)
		}
	}
	if l.Advertise.IsValid() || !u.l.Bind.Addr().IsUnspecified() {
		u.shown = advertise(l, u.l.Bind, netip.Addr{})
	}
	s.udp = append(s.udp, u)
	return nil
}

// ipNetwork names one family, so that 0.0.0.0 and [::] are two listeners.
func ipNetwork(transport string, a netip.AddrPort) string {
	if a.Addr().Is4() {
		return transport + "4"
	}
	return transport + "6"
}

func portHint(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (another program uses this port; find it with: ss -lntup)", err)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%w (this host has no such address; see: ip address)", err)
	}
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w (ports below 1024 need CAP_NET_BIND_SERVICE)", err)
	}
	return err
}

// read is the loop of one socket. Only closing the socket ends it.
func (u *udpListener) read(c *udpSocket) {
	defer c.finish()
	var p pace
	waits := u.s.newLag(u.l.Side)
	for {
		n, err := c.receive()
		if err != nil {
			if u.s.closing.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// ICMP errors and the like: the socket lives on.
			u.s.log.Debug("udp read", "error", err)
			if !isTransient(err) {
				time.Sleep(time.Millisecond)
			}
			continue
		}
		waits.look(c)
		waited, more := c.pressed()
		p.woke(time.Now(), waited)
		p.shed = u.s.cfg.Shed != nil && u.s.cfg.Shed.Busy()
		for i := range n {
			b, from := c.datagram(i)
			if !u.datagram(c, from, b) {
				p.dropped++
			} else if p.worked(time.Now()) {
				p.rest()
			}
		}
		if p.read(time.Now(), waited, more) {
			p.rest()
		}
	}
}

// datagram reports whether it was more than dropped.
func (u *udpListener) datagram(c *udpSocket, from netip.AddrPort, b []byte) bool {
	defer u.s.recovered("datagram")
	if !mayBeSIP(b) {
		u.s.Stats.Junk.Add(1)
		return false
	}
	if from.Port() == 0 || !u.s.handler.AdmitDatagram(u.l.Side, from.Addr(), len(b)) {
		u.s.Stats.Dropped.Add(1) // nothing can be answered to port 0
		return false
	}
	if isKeepAlive(b) {
		return true // needs no answer on UDP
	}
	u.s.handle(u.flow(c, from), b)
	return true
}

func isTransient(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// flowCache is how many flows a listener keeps at hand: those of the PBXs and
// trunks, and of the datagrams that follow each other.
const flowCache = 256

// flow of a socket and a remote. Flows of UDP are equal, not the same, for one
// remote: which ones are kept changes nothing but what is allocated.
func (u *udpListener) flow(c *udpSocket, remote netip.AddrPort) *Flow {
	a := remote.Addr().As16()
	kept := &u.flows[(uint(a[12])*31+uint(a[15])*7+uint(a[14])+uint(remote.Port()))%flowCache]
	if f := kept.Load(); f != nil && f.Remote == remote && f.udp == c {
		return f
	}
	f := &Flow{Side: u.l.Side, Transport: "udp", Local: u.l.Bind, Remote: remote, udp: c, listener: u}
	kept.Store(f)
	return f
}

// hostPort is what the remote should know us by. On a wildcard address that
// takes a look at the routes, so it is not asked before it is needed.
func (u *udpListener) hostPort(remote netip.Addr) string {
	if u.shown != "" {
		return u.shown
	}
	return advertise(u.l, u.l.Bind, remote)
}

// advertise is host:port for Via and Contact. A wildcard socket asks the
// kernel which of its addresses reaches the remote.
func advertise(l Listener, local netip.AddrPort, remote netip.Addr) string {
	a := l.Advertise
	if !a.IsValid() {
		a = local.Addr()
	}
	if a.IsUnspecified() {
		if c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9))); err == nil {
			a = foldAddrPort(c.LocalAddr()).Addr()
			c.Close()
		}
	}
	return hostPort(a, local.Port())
}

func hostPort(a netip.Addr, port uint16) string {
	return net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
}

// udpFlow finds the socket of a side that reaches the remote.
func (s *Stack) udpFlow(side call.Side, remote netip.AddrPort) (*Flow, error) {
	for _, u := range s.udp {
		if u.l.Side == side && (u.l.Bind.Addr().Is4() == remote.Addr().Is4() || u.l.Bind.Addr().IsUnspecified()) {
			return u.flow(u.conns[0], remote), nil
		}
	}
	return nil, fmt.Errorf("no %s udp listener for %s", side, remote)
}

// KernelDrops counts the datagrams for a side that the kernel dropped before
// they were read: a receive buffer was full, or a socket filter refused them.
func (s *Stack) KernelDrops(side call.Side) (n uint64) {
	for _, u := range s.udp {
		if u.l.Side != side {
			continue
		}
		for _, c := range u.conns {
			n += c.dropped()
		}
	}
	return n
}
