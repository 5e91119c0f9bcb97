//go:build !linux

package sipx

import (
	"errors"
	"net"
	"net/netip"

	"github.com/rampart-sbc/rampart/call"
)

// udpSocket sends and takes datagrams by the net package, one at a time.
type udpSocket struct {
	conn *net.UDPConn
	buf  []byte // of the one reader
	n    int
	from netip.AddrPort
}

func newUDPSocket(c *net.UDPConn) (*udpSocket, error) { return &udpSocket{conn: c}, nil }

func (s *udpSocket) send(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (s *udpSocket) receive() (n int, err error) {
	if s.buf == nil {
		s.buf = make([]byte, 65536)
	}
	s.n, s.from, err = s.conn.ReadFromUDPAddrPort(s.buf)
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (s *udpSocket) datagram(int) ([]byte, netip.AddrPort) { return s.buf[:s.n], call.FoldAddr(s.from) }
func (s *udpSocket) finish()                               {}
func (s *udpSocket) pressed() (waited, more bool)          { return true, false }
func (s *udpSocket) dropped() uint64                       { return 0 }
func (s *udpSocket) close() error                          { return s.conn.Close() }

func (s *udpSocket) shape(int) error                         { return errors.ErrUnsupported }
func (s *udpSocket) siege(int, []netip.Prefix, uint32) error { return errors.ErrUnsupported }
func (s *udpSocket) thin(thinning) error                     { return errors.ErrUnsupported }
func (s *udpSocket) unfilter() error                         { return nil }
func (s *udpSocket) enlarge(octets int) (int, error)         { return octets, s.conn.SetReadBuffer(octets) }
