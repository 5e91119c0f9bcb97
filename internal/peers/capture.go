package peers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/internal/tone"
)

// maxCapture bounds what a capture keeps; a test that needs more fails.
const maxCapture = 256 << 20

// Packet is one UDP datagram or one TCP segment with octets in it.
type Packet struct {
	At       time.Time
	TCP      bool
	From, To netip.AddrPort
	Payload  []byte
}

// Capture sees every octet that goes over loopback from or to a test's block of
// addresses, whoever sends it. What is inside TLS it sees encrypted: there a
// telephone's log or the tap of a TLSRelay shows the text.
type Capture struct {
	tb    testing.TB
	ports []uint16

	reading sync.Mutex // held while the socket is emptied
	fd      int
	buf     [1 << 17]byte

	mu      sync.Mutex
	packets []Packet
	size    int
	dropped uint32
	next    map[[2]netip.AddrPort]uint32 // expected TCP sequence number
}

// StartCapture captures until the test ends. With ports it also takes packets
// between IPv6 addresses of which one has such a port: ::1 is everybody's.
// It needs a packet socket, hence root or CAP_NET_RAW.
func StartCapture(tb testing.TB, n *Net, ports ...uint16) *Capture {
	tb.Helper()
	c := &Capture{tb: tb, ports: ports, next: map[[2]netip.AddrPort]uint32{}}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("peers: capture: packet socket: %v", err)
	}
	lo, err := loopbackIndex()
	if err == nil {
		err = c.setup(fd, lo, n)
	}
	if err != nil {
		unix.Close(fd)
		tb.Fatalf("peers: capture: %v", err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	c.fd = fd
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			c.drain()
		}
	}()
	tb.Cleanup(func() {
		close(stop)
		<-done
		if st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && st.Drops > 0 {
			tb.Logf("peers: the capture has lost %d packets", st.Drops)
		}
		c.reading.Lock()
		defer c.reading.Unlock()
		unix.Close(fd)
		c.fd = -1
	})
	return c
}

func loopbackIndex() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("index of lo: %w", err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, fmt.Errorf("index of lo: %w", err)
	}
	return int(r.Uint32()), nil
}

func (c *Capture) setup(fd, lo int, n *Net) error {
	net := binary.BigEndian.Uint32([]byte{127, n.a, n.b, 0})
	const mask = 0xFFFFFF00
	ins := func(code uint16, jt, jf uint8, k uint32) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k}
	}
	const and, eq, ret = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const word, octet = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	prog := []unix.SockFilter{
		ins(octet, 0, 0, 0), // version
		ins(and, 0, 0, 0xF0),
		ins(eq, 0, 6, 0x40), // not IPv4: take it, the ports decide later
		ins(word, 0, 0, 12), // source
		ins(and, 0, 0, mask),
		ins(eq, 3, 0, net),
		ins(word, 0, 0, 16), // destination
		ins(and, 0, 0, mask),
		ins(eq, 0, 1, net),
		ins(ret, 0, 0, 1<<18),
		ins(ret, 0, 0, 0),
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<20)
	}
	const all = unix.ETH_P_ALL<<8&0xFF00 | unix.ETH_P_ALL>>8 // network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo}); err != nil {
		return fmt.Errorf("bind to lo: %w", err)
	}
	return nil
}

// drain takes everything that the kernel has queued. A packet is queued before
// its receiver sees it, so what the test knows to have arrived is in it.
func (c *Capture) drain() {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		size, from, err := unix.Recvfrom(c.fd, c.buf[:], unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		// Loopback shows each packet twice, going out and coming in.
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING {
			c.take(c.buf[:size], time.Now())
		}
	}
}

// take keeps the payload of one IP packet.
func (c *Capture) take(b []byte, at time.Time) {
	p, seq, ok := parseIP(b)
	if !ok || len(p.Payload) == 0 {
		return
	}
	if p.From.Addr().Is6() && !slices.Contains(c.ports, p.From.Port()) && !slices.Contains(c.ports, p.To.Port()) {
		return
	}
	p.At = at
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.TCP {
		// A segment sent twice counts once.
		flow := [2]netip.AddrPort{p.From, p.To}
		want, known := c.next[flow]
		end := seq + uint32(len(p.Payload))
		if known && int32(end-want) <= 0 && int32(want-seq) < 1<<20 {
			return
		}
		c.next[flow] = end
	}
	if c.size += len(p.Payload); c.size > maxCapture {
		c.dropped++
		return
	}
	p.Payload = bytes.Clone(p.Payload)
	c.packets = append(c.packets, p)
}

// parseIP takes an IPv4 or IPv6 packet with UDP or TCP in it apart.
func parseIP(b []byte) (p Packet, seq uint32, ok bool) {
	if len(b) < 20 {
		return p, 0, false
	}
	var src, dst netip.Addr
	var proto byte
	switch b[0] >> 4 {
	case 4:
		h, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if h < 20 || total < h || total > len(b) {
			return p, 0, false
		}
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
		b = b[h:total]
	case 6:
		if len(b) < 40 {
			return p, 0, false
		}
		src, dst, proto = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6]
		b = b[40:]
	default:
		return p, 0, false
	}
	if len(b) < 8 {
		return p, 0, false
	}
	p.From = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	p.To = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	switch proto {
	case unix.IPPROTO_UDP:
		p.Payload = b[8:]
	case unix.IPPROTO_TCP:
		if len(b) < 20 || int(b[12]>>4)*4 > len(b) {
			return p, 0, false
		}
		p.TCP, seq = true, binary.BigEndian.Uint32(b[4:])
		p.Payload = b[int(b[12]>>4)*4:]
	default:
		return p, 0, false
	}
	return p, seq, true
}

// Packets are the packets so far for which keep is true; nil keeps all.
func (c *Capture) Packets(keep func(Packet) bool) []Packet {
	c.tb.Helper()
	c.drain()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped > 0 {
		c.tb.Fatalf("peers: the capture is full: %d packets were not kept", c.dropped)
	}
	var out []Packet
	for _, p := range c.packets {
		if keep == nil || keep(p) {
			out = append(out, p)
		}
	}
	return out
}

// Bytes joins the payloads of the packets for which keep is true, a stream or a
// list of datagrams, for a search in the text.
func (c *Capture) Bytes(keep func(Packet) bool) []byte {
	c.tb.Helper()
	var b []byte
	for _, p := range c.Packets(keep) {
		b = append(b, p.Payload...)
		if !p.TCP {
			b = append(b, '\n')
		}
	}
	return b
}

// Ladder shows the SIP messages in clear that went between the given ports (5060
// when none), in order, for failures.
func (c *Capture) Ladder(ports ...uint16) string {
	c.tb.Helper()
	if len(ports) == 0 {
		ports = []uint16{5060}
	}
	var b strings.Builder
	for _, p := range c.Packets(func(p Packet) bool {
		return slices.Contains(ports, p.From.Port()) || slices.Contains(ports, p.To.Port())
	}) {
		fmt.Fprintf(&b, "%s %v → %v\n%s\n", p.At.Format("05.000"), p.From, p.To, p.Payload)
	}
	return b.String()
}

// Sent and Received choose packets by address, for Packets and Bytes.
func Sent(by netip.Addr) func(Packet) bool { return func(p Packet) bool { return p.From.Addr() == by } }

// Received chooses the packets that an address receives.
func Received(by netip.Addr) func(Packet) bool {
	return func(p Packet) bool { return p.To.Addr() == by }
}

// Stream is one RTP stream (one SSRC from one address to another).
type Stream struct {
	From, To netip.AddrPort
	SSRC     uint32
	Type     uint8 // payload type of its first packet
	Packets  int
	Audio    tone.Audio // decoded G.711, in order of arrival; of SRTP it is noise
}

// Streams are the RTP streams that a receiver got so far, in order of their
// first packet. RTCP and whatever is not RTP is left out (RFC 5761 §4).
func (c *Capture) Streams(keep func(Packet) bool) []Stream {
	c.tb.Helper()
	type key struct {
		from, to netip.AddrPort
		ssrc     uint32
	}
	var out []Stream
	at := map[key]int{}
	for _, p := range c.Packets(keep) {
		b := p.Payload
		if p.TCP || len(b) < 12 || b[0]>>6 != 2 || b[1]&0x7F >= 64 && b[1]&0x7F < 96 {
			continue
		}
		k := key{p.From, p.To, binary.BigEndian.Uint32(b[8:])}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Stream{From: k.from, To: k.to, SSRC: k.ssrc, Type: b[1] & 0x7F, Audio: tone.Audio{Rate: 8000}})
		}
		s := &out[i]
		s.Packets++
		if b[0]&0x3F == 0 { // neither padding nor extension nor CSRC: the peers send none
			s.Audio.Samples = append(s.Audio.Samples, tone.DecodeG711(b[1]&0x7F, b[12:])...)
		}
	}
	return out
}

// HearsRTP waits until a receiver of plain RTP gets a tone for half a second.
func (c *Capture) HearsRTP(keep func(Packet) bool, hz float64, limit time.Duration) {
	c.tb.Helper()
	var heard []string
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		heard = heard[:0]
		for _, s := range c.Streams(func(p Packet) bool { return !p.TCP && (keep == nil || keep(p)) }) {
			r := s.Audio.Last(0.5).Report()
			if r.Seconds > 0.45 && r.Is(hz) {
				return
			}
			heard = append(heard, fmt.Sprintf("%v → %v: %d packets, %v", s.From, s.To, s.Packets, r))
		}
		<-time.After(50 * time.Millisecond)
	}
	c.tb.Fatalf("peers: no RTP stream with %.0f Hz after %v: %q", hz, limit, heard)
}
