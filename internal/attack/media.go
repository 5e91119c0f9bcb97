package attack

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

const (
	ownTone   = 1209 // what the telephone plays in the call that is attacked
	injection = 300  // packets of each kind
)

// rtpInject sends audio, ends of streams and questions of other protocols to
// the ports of a call, from an address of nobody and from the telephone's own
// address, and looks whether anything comes back or through.
func (y *yard) rtpInject(ctx context.Context, n *notes) {
	n.did = fmt.Sprintf("RTP, SRTP, RTCP BYE and STUN, %d of each, to all ports of a call, outside and inside", injection)
	p, err := y.phone(victim, y.attacker())
	if err != nil {
		n.wrong("%v", err)
		return
	}
	defer p.Close()
	call, err := p.Invite(ctx, siptest.ExtTone, siptest.Tone(ownTone))
	if err != nil {
		n.wrong("%s", why(err))
		return
	}
	defer call.Bye(context.WithoutCancel(ctx))
	short, cancel := context.WithTimeout(ctx, 2*stepTime)
	defer cancel()
	far, err := y.farEnd(short, ownTone)
	if err == nil {
		err = call.Media.WaitTone(short, siptest.ToneFreq)
	}
	if err != nil {
		n.wrong("the call has no audio: %v", err)
		return
	}
	outSSRC, inSSRC := call.Media.SSRC(), far.SSRC()
	var targets []netip.AddrPort
	for _, a := range []netip.AddrPort{call.Media.Remote(), far.Remote()} {
		targets = append(targets, a, netip.AddrPortFrom(a.Addr(), a.Port()+1))
	}
	back := 0
	for _, from := range []netip.Addr{y.attacker(), p.Addr().Addr()} {
		got, err := shoot(short, from, targets)
		if err != nil {
			n.wrong("%v", err)
		}
		back += got
	}
	if back > 0 {
		n.wrong("%d bytes came back to the attacker", back)
	} else {
		n.saw("not a byte came back")
	}
	call.Media.Forget()
	far.Forget()
	if err := call.Media.WaitTone(short, siptest.ToneFreq); err != nil {
		n.wrong("the telephone hears something else now: %v", err)
	}
	if err := far.WaitTone(short, ownTone); err != nil {
		n.wrong("the PBX hears something else now: %v", err)
	}
	if call.Media.SSRC() != outSSRC || far.SSRC() != inSSRC {
		n.wrong("packets of the attacker were passed on")
	}
	if bad := call.Media.Stats().Bad; bad > 0 {
		n.wrong("the telephone got %d packets that are not of its call", bad)
	}
	y.tell(ctx, n, netip.Addr{}, "media-injection")
}

// farEnd is the PBX's end of the call that plays a tone.
func (y *yard) farEnd(ctx context.Context, tone float64) (*siptest.Media, error) {
	for {
		for _, c := range y.pbx.Answered() {
			if c.Ended() == "" && c.Media.Heard(tone) {
				return c.Media, nil
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil, fmt.Errorf("the PBX does not hear the telephone: %w", ctx.Err())
		}
	}
}

// shoot sends everything to all targets and counts the bytes that come back.
func shoot(ctx context.Context, from netip.Addr, targets []netip.AddrPort) (back int, err error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
	if err != nil {
		return 0, fmt.Errorf("a socket of the attacker: %w", err)
	}
	defer c.Close()
	for i := range injection {
		for _, to := range targets {
			for _, b := range shots(i) {
				c.WriteToUDPAddrPort(b, to)
			}
		}
		if i%20 == 0 && !pause(ctx, 2*time.Millisecond) {
			break
		}
	}
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	buf := make([]byte, 2048)
	for {
		k, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return back, nil
		}
		back += k
	}
}

// shots are one packet of each kind.
func shots(i int) [][]byte {
	rtp := make([]byte, 12+160)
	rtp[0] = 0x80
	binary.BigEndian.PutUint16(rtp[2:], uint16(i))
	binary.BigEndian.PutUint32(rtp[4:], uint32(160*i))
	binary.BigEndian.PutUint32(rtp[8:], 0xdeadbeef)
	srtp := append(append([]byte{}, rtp...), make([]byte, 10)...)
	bye := []byte{0x81, 203, 0, 1, 0xde, 0xad, 0xbe, 0xef}
	stun := make([]byte, 20)
	stun[1] = 1
	binary.BigEndian.PutUint32(stun[4:], 0x2112a442)
	return [][]byte{rtp, srtp, bye, stun, []byte("\x16\xfe\xfd\x00\x00"), []byte("x")}
}
