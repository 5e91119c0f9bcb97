//go:build !linux

package sipx

import (
	"net"
	"net/netip"
)

// udpSocket sends datagrams by the net package.
type udpSocket struct{ conn *net.UDPConn }

func newUDPSocket(c *net.UDPConn) (*udpSocket, error) { return &udpSocket{c}, nil }

func (s *udpSocket) send(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (s *udpSocket) receive(b []byte) (int, netip.AddrPort, error) {
	return s.conn.ReadFromUDPAddrPort(b)
}

func (s *udpSocket) close() error { return s.conn.Close() }
