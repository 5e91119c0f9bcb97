package media

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

var (
	loop4 = netip.MustParseAddr("127.0.0.1")
	loop6 = netip.MustParseAddr("::1")
)

// planeFunc makes a plane on some engine.
type planeFunc func(t testing.TB, change func(*Config)) *Plane

// engines are what this system has; elsewhere than on Linux both are one.
var engines = map[string]func(bind.Options) (bind.Engine, error){
	"default": bind.New,
	"net":     func(o bind.Options) (bind.Engine, error) { return bind.NewNet(o), nil },
}

// onEngines runs a test on every engine.
func onEngines(t *testing.T, test func(t *testing.T, plane planeFunc)) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			test(t, func(t testing.TB, change func(*Config)) *Plane {
				t.Helper()
				return testPlane(t, func(c *Config) {
					c.Engine = engine
					if change != nil {
						change(c)
					}
				})
			})
		})
	}
}

func testPlane(t testing.TB, change func(*Config)) *Plane {
	t.Helper()
	cfg := Config{
		Public: []Address{{Bind: loop4}, {Bind: loop6}}, Inside: []Address{{Bind: loop4}, {Bind: loop6}},
		PortMin: 30000, PortMax: 31999, Shards: 2,
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// phone is the far end of one stream: two sockets, and pion as its SRTP.
type phone struct {
	t         testing.TB
	rtp, rtcp *net.UDPConn
	in, out   *srtp.Context // what it receives, what it sends; nil: plain
	keysOut   *Keys
}

func newPhone(t testing.TB, ip netip.Addr) *phone {
	t.Helper()
	p := &phone{t: t, rtp: listen(t, ip), rtcp: listen(t, ip)}
	return p
}

func listen(t testing.TB, ip netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()) }

// secured gives the phone fresh keys and returns its Remote.
func (p *phone) secured(suite Suite, mki []byte) Remote {
	p.t.Helper()
	r := p.remote()
	r.Recv, r.Send = newKeys(p.t, suite, mki), newKeys(p.t, suite, mki)
	p.use(r)
	return r
}

func (p *phone) use(r Remote) {
	p.t.Helper()
	p.out, p.keysOut = phoneContext(p.t, r.Recv), r.Recv
	p.in = phoneContext(p.t, r.Send)
}

func (p *phone) remote() Remote { return Remote{RTP: addrOf(p.rtp), RTCP: addrOf(p.rtcp)} }

func newKeys(t testing.TB, suite Suite, mki []byte) *Keys {
	t.Helper()
	k, err := NewKeys(suite, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.MKI = mki
	return k
}

// profiles are pion's names: the phones are another implementation.
var profiles = map[Suite]srtp.ProtectionProfile{
	AEAD_AES_256_GCM:        srtp.ProtectionProfileAeadAes256Gcm,
	AEAD_AES_128_GCM:        srtp.ProtectionProfileAeadAes128Gcm,
	AES_CM_128_HMAC_SHA1_80: srtp.ProtectionProfileAes128CmHmacSha1_80,
	AES_CM_128_HMAC_SHA1_32: srtp.ProtectionProfileAes128CmHmacSha1_32,
}

func phoneContext(t testing.TB, k *Keys) *srtp.Context {
	t.Helper()
	if k == nil {
		return nil
	}
	c, err := srtp.CreateContext(k.Key, k.Salt, profiles[k.Suite],
		srtp.SRTPReplayProtection(64), srtp.SRTCPReplayProtection(64), srtp.MasterKeyIndicator(k.MKI))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rtpPacket(ssrc uint32, seq uint16, payload string) []byte {
	b := make([]byte, 12, 12+len(payload))
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], uint32(seq)*160)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return append(b, payload...)
}

// seal protects a packet as the phone would; plain it stays as it is.
func (p *phone) seal(b []byte) []byte {
	p.t.Helper()
	if p.out == nil {
		return b
	}
	var err error
	if isRTCP(b) {
		b, err = p.out.EncryptRTCP(nil, b, nil)
	} else {
		b, err = p.out.EncryptRTP(nil, b, nil)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func send(t testing.TB, c *net.UDPConn, b []byte, to netip.AddrPort) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// read returns the next datagram, or nil after a short silence.
func read(t testing.TB, c *net.UDPConn, wait time.Duration) ([]byte, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(wait))
	n, from, err := c.ReadFromUDPAddrPort(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, from
	}
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], unmap(from)
}

// expect waits for one packet on c, opens it and compares.
func (p *phone) expect(c *net.UDPConn, want []byte) {
	p.t.Helper()
	b, _ := read(p.t, c, 3*time.Second)
	if b == nil {
		p.t.Fatalf("nothing arrived, want %d bytes", len(want))
	}
	if p.in != nil {
		if len(want) > 16 && bytes.Contains(b, want[12:]) {
			p.t.Fatal("payload is in the clear")
		}
		var err error
		if isRTCP(b) {
			b, err = p.in.DecryptRTCP(nil, b, nil)
		} else {
			b, err = p.in.DecryptRTP(nil, b, nil)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if !bytes.Equal(b, want) {
		p.t.Fatalf("got %x\nwant %x", b, want)
	}
}

// eventually polls cond; nothing in here sleeps blindly.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("timed out: ", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func refused(s *Session, leg Leg, c Cause) uint64 { return s.Stats()[leg].Refused[c] }

// waitRefused waits until the counter of a cause reaches n.
func waitRefused(t testing.TB, s *Session, leg Leg, c Cause, n uint64) {
	t.Helper()
	eventually(t, c.String()+" to be counted", func() bool { return refused(s, leg, c) >= n })
	if got := refused(s, leg, c); got != n {
		t.Fatalf("%s counted %d times, want %d", c, got, n)
	}
}

// rig is a session with a phone on each leg.
type rig struct {
	t    testing.TB
	p    *Plane
	s    *Session
	ph   [2]*phone
	rem  [2]Remote
	rtp  [2]netip.AddrPort // the gateway's
	rtcp [2]netip.AddrPort
}

type rigSpec struct {
	v6    bool
	suite [2]Suite // zero: plain
	mki   []byte
	spec  func(*Spec)
	rem   func(leg Leg, r *Remote)
}

func newRig(t testing.TB, p *Plane, o rigSpec) *rig {
	t.Helper()
	ip := loop4
	if o.v6 {
		ip = loop6
	}
	spec := Spec{ID: t.Name(), Streams: 1,
		Legs: [2]LegSpec{{Side: call.Public, IPv6: o.v6}, {Side: call.Inside, IPv6: o.v6}}}
	if o.spec != nil {
		o.spec(&spec)
	}
	s, err := p.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := &rig{t: t, p: p, s: s}
	for leg := A; leg <= B; leg++ {
		r.ph[leg] = newPhone(t, ip)
		r.rtp[leg], r.rtcp[leg] = s.Local(leg, 0)
		r.rem[leg] = r.ph[leg].remote()
		if o.suite[leg] != 0 {
			r.rem[leg] = r.ph[leg].secured(o.suite[leg], o.mki)
		}
		if o.rem != nil {
			o.rem(leg, &r.rem[leg])
		}
		r.set(leg)
	}
	return r
}

func (r *rig) set(leg Leg) {
	r.t.Helper()
	if err := r.s.Set(leg, 0, r.rem[leg]); err != nil {
		r.t.Fatal(err)
	}
}

// pass sends one RTP packet from a leg and expects it on the other.
func (r *rig) pass(from Leg, b []byte) {
	r.t.Helper()
	ph := r.ph[from]
	send(r.t, ph.rtp, ph.seal(b), r.rtp[from])
	other := r.ph[from.Other()]
	other.expect(other.rtp, b)
}

func listenOn(a netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}
