package siptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/srtp/v3"
)

// window is how many samples are kept for tone detection: 200 ms.
const window = sampleRate / 5

// MediaStats counts the packets of one stream.
type MediaStats struct {
	Sent, Received uint64
	Bad            uint64 // not RTP, or authentication failed
}

// Media is one audio stream: a socket, a sender of a tone and a listener.
type Media struct {
	conn *net.UDPConn

	sent, received, bad atomic.Uint64

	mu       sync.Mutex
	remote   netip.AddrPort
	out, in  *srtp.Context
	payload  int
	tone     tone
	echo     bool
	sending  bool
	samples  []int16 // the last window
	source   netip.AddrPort
	lastSSRC uint32

	ssrc   uint32
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// newMedia opens a socket on an address of this host.
func newMedia(ip netip.Addr) (*Media, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, fmt.Errorf("open a media socket: %w", err)
	}
	var ssrc [4]byte
	copy(ssrc[:], token(2))
	ctx, cancel := context.WithCancel(context.Background())
	m := &Media{conn: c, ssrc: binary.BigEndian.Uint32(ssrc[:]), cancel: cancel}
	m.done.Go(m.read)
	m.done.Go(func() { m.send(ctx) })
	return m, nil
}

// Close ends the stream.
func (m *Media) Close() {
	m.cancel()
	m.conn.Close()
	m.done.Wait()
}

// Addr is the address that the session description names.
func (m *Media) Addr() netip.AddrPort { return m.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Remote is where the audio goes.
func (m *Media) Remote() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remote
}

// Play sends a tone from now on; 0 is silence.
func (m *Media) Play(freq float64) {
	m.mu.Lock()
	m.tone.freq = freq
	m.mu.Unlock()
}

// Echo sends back what comes instead of the tone.
func (m *Media) Echo(on bool) {
	m.mu.Lock()
	m.echo = on
	m.mu.Unlock()
}

// Stats reads the counters.
func (m *Media) Stats() MediaStats {
	return MediaStats{m.sent.Load(), m.received.Load(), m.bad.Load()}
}

// SSRC is that of the last packet heard.
func (m *Media) SSRC() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastSSRC
}

// SendRaw sends any octets from the media socket.
func (m *Media) SendRaw(b []byte, to netip.AddrPort) error {
	_, err := m.conn.WriteToUDPAddrPort(b, to)
	return err
}

// Heard says whether the last 200 ms were that tone.
func (m *Media) Heard(freq float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.samples) == window && share(m.samples, freq) > 0.9
}

// Forget drops what was heard, so that Heard speaks of what comes now.
func (m *Media) Forget() {
	m.mu.Lock()
	m.samples = m.samples[:0]
	m.mu.Unlock()
}

// WaitTone returns when the tone is heard.
func (m *Media) WaitTone(ctx context.Context, freq float64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !m.Heard(freq) {
		select {
		case <-ctx.Done():
			s := m.Stats()
			return fmt.Errorf("%.0f Hz not heard (%d packets received, %d bad, %d sent to %s): %w",
				freq, s.Received, s.Bad, s.Sent, m.Remote(), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// offer describes this end. suites are the SDES suites, none for RTP.
func (m *Media) offer(cryptos []Crypto, direction string) Session {
	s := Session{Addr: m.Addr(), Profile: "RTP/AVP", Payloads: []int{0, 8, 101}, Crypto: cryptos, Direction: direction}
	if len(cryptos) > 0 {
		s.Profile = "RTP/SAVP"
	}
	return s
}

// start sends to what the remote described. local and remote are the keys of
// either end, nil for plain RTP.
func (m *Media) start(remote Session, local, peer *Crypto) error {
	payload := -1
	for _, p := range remote.Payloads {
		if p == 0 || p == 8 {
			payload = p
			break
		}
	}
	if payload < 0 {
		return errors.New("no common codec")
	}
	var out, in *srtp.Context
	if (local == nil) != (peer == nil) {
		return errors.New("SRTP at one end only")
	}
	if local != nil {
		var err error
		if out, err = srtpContext(*local); err != nil {
			return err
		}
		if in, err = srtpContext(*peer, srtp.SRTPReplayProtection(64)); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remote, m.payload, m.out, m.in = remote.Addr, payload, out, in
	m.sending = remote.Direction == "sendrecv" || remote.Direction == "recvonly"
	m.samples = m.samples[:0]
	return nil
}

func srtpContext(c Crypto, opts ...srtp.ContextOption) (*srtp.Context, error) {
	profile := map[string]srtp.ProtectionProfile{
		SuiteCM80:                 srtp.ProtectionProfileAes128CmHmacSha1_80,
		"AES_CM_128_HMAC_SHA1_32": srtp.ProtectionProfileAes128CmHmacSha1_32,
		SuiteGCM:                  srtp.ProtectionProfileAeadAes256Gcm,
		SuiteGCM16:                srtp.ProtectionProfileAeadAes128Gcm,
	}[c.Suite]
	salt := 12
	if len(c.Key) == 30 {
		salt = 14
	}
	ctx, err := srtp.CreateContext(c.Key[:len(c.Key)-salt], c.Key[len(c.Key)-salt:], profile, opts...)
	if err != nil {
		return nil, fmt.Errorf("SRTP %s: %w", c.Suite, err)
	}
	return ctx, nil
}

// send plays the tone, one frame every 20 ms.
func (m *Media) send(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	seq, stamp := uint16(0), uint32(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stamp += frameSize
		m.mu.Lock()
		if !m.remote.IsValid() || !m.sending || m.echo {
			m.mu.Unlock()
			continue
		}
		seq++
		m.write(rtpPacket(m.payload, seq, stamp, m.ssrc, m.tone.frame(m.payload)))
		m.mu.Unlock()
	}
}

// write protects and sends; the caller holds mu.
func (m *Media) write(b []byte) {
	if m.out != nil {
		var err error
		if b, err = m.out.EncryptRTP(nil, b, nil); err != nil {
			return
		}
	}
	if _, err := m.conn.WriteToUDPAddrPort(b, m.remote); err == nil {
		m.sent.Add(1)
	}
}

func rtpPacket(payload int, seq uint16, stamp, ssrc uint32, frame []byte) []byte {
	b := make([]byte, 12, 12+len(frame))
	b[0], b[1] = 0x80, byte(payload)
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], stamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return append(b, frame...)
}

func (m *Media) read() {
	buf := make([]byte, 2048)
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error: the other end has no socket yet
		}
		m.packet(buf[:n], from)
	}
}

func (m *Media) packet(b []byte, from netip.AddrPort) {
	if len(b) < 12 || b[0]>>6 != 2 {
		m.bad.Add(1)
		return
	}
	if b[1] >= 192 && b[1] <= 223 {
		return // RTCP on the same port
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.in != nil {
		var err error
		if b, err = m.in.DecryptRTP(nil, b, nil); err != nil {
			m.bad.Add(1)
			return
		}
	}
	head := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < head+4 {
			m.bad.Add(1)
			return
		}
		head += 4 + 4*int(binary.BigEndian.Uint16(b[head+2:]))
	}
	if len(b) < head {
		m.bad.Add(1)
		return
	}
	m.received.Add(1)
	m.source = from
	m.lastSSRC = binary.BigEndian.Uint32(b[8:])
	payload := int(b[1] & 0x7f)
	if payload != 0 && payload != 8 {
		return
	}
	m.samples = append(m.samples, decodeFrame(payload, b[head:])...)
	if extra := len(m.samples) - window; extra > 0 {
		m.samples = append(m.samples[:0], m.samples[extra:]...)
	}
	if m.echo && m.sending && m.remote.IsValid() {
		binary.BigEndian.PutUint32(b[8:], m.ssrc)
		m.write(b)
	}
}
