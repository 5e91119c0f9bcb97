package media

import (
	"fmt"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v5/replaydetector"
)

// maxSources is how many synchronisation sources one set of keys may see.
// A source costs state that must outlive it (forgetting it would let its
// packets be replayed or its key stream be reused), so beyond the cap a new
// source is refused until the keys change. A call sees a few.
const maxSources = 128

// source is the state of one synchronisation source under one key.
type source struct {
	ssrc uint32
	win  *window
}

// secure is one direction of one stream under one set of keys: either what a
// leg sends to us or what we send to it, never both. It is owned by its shard
// and holds nothing about a source that has not authenticated.
type secure struct {
	keys *Keys
	ctx  *srtp.Context
	rtp  []source
	rtcp []source
	// spare is the detector that the context uses while it authenticates a
	// packet of an unknown source. It becomes that source's own if the
	// packet is good, and is used again if not: strangers cost no state.
	spare *window
	hdr   rtp.Header // scratch, so that parsing does not allocate
	chdr  rtcp.Header
}

// newSecure derives the session keys. k is kept.
func newSecure(k *Keys) (*secure, error) {
	s := &secure{keys: k, spare: new(window)}
	detector := func() replaydetector.ReplayDetector { return s.spare }
	var err error
	s.ctx, err = srtp.CreateContext(k.Key, k.Salt, suites[k.Suite].profile,
		srtp.SRTPReplayDetectorFactory(detector),
		srtp.SRTCPReplayDetectorFactory(detector),
		srtp.MasterKeyIndicator(k.MKI))
	if err != nil {
		return nil, fmt.Errorf("SRTP context for %s: %w", k.Suite, err)
	}
	return s, nil
}

func find(list []source, ssrc uint32) *window {
	for i := range list {
		if list[i].ssrc == ssrc {
			return list[i].win
		}
	}
	return nil
}

// accepted is the end of authenticating a packet: the spare detector goes to
// a source that was new.
func (s *secure) accepted(list *[]source, ssrc uint32, known bool) {
	if !known {
		*list = append(*list, source{ssrc, s.spare})
		s.spare = new(window)
	}
}

// openRTP authenticates and decrypts in place. newest is false for a packet
// that was overtaken. The cause is meaningful when out is nil.
func (s *secure) openRTP(b []byte) (out []byte, newest bool, why Cause) {
	ssrc := rtpSSRC(b)
	win := find(s.rtp, ssrc)
	known := win != nil
	if !known {
		if len(s.rtp) >= maxSources {
			return nil, false, Sources
		}
		win = s.spare
	}
	if known && !win.fresh(win.estimate(sequence(b))) {
		return nil, false, Replay // as the context would say, without building an error
	}
	top, any := win.top, win.any
	out, err := s.ctx.DecryptRTP(b[:0], b, &s.hdr)
	if err != nil {
		return nil, false, Auth
	}
	newest = !any || win.top > top
	s.accepted(&s.rtp, ssrc, known)
	return out, newest, 0
}

// sealRTP encrypts in place and appends the tag.
func (s *secure) sealRTP(b []byte) (out []byte, why Cause) {
	ssrc := rtpSSRC(b)
	win := find(s.rtp, ssrc)
	if win == nil {
		if len(s.rtp) >= maxSources {
			return nil, Sources
		}
		win = new(window)
		s.rtp = append(s.rtp, source{ssrc, win})
	}
	i := win.estimate(sequence(b))
	if !win.fresh(i) {
		return nil, Repeat
	}
	win.mark(i) // before the context moves: on an error the index is spent, never reused
	out, err := s.ctx.EncryptRTP(b[:0], b, &s.hdr)
	if err != nil {
		return nil, Malformed
	}
	return out, 0
}

func (s *secure) openRTCP(b []byte) (out []byte, newest bool, why Cause) {
	ssrc := rtcpSSRC(b)
	win := find(s.rtcp, ssrc)
	known := win != nil
	if !known {
		if len(s.rtcp) >= maxSources {
			return nil, false, Sources
		}
		win = s.spare
	}
	if i, ok := s.srtcpIndex(b); !ok {
		return nil, false, Malformed
	} else if known && !win.fresh(uint64(i)) {
		return nil, false, Replay
	}
	top, any := win.top, win.any
	out, err := s.ctx.DecryptRTCP(b[:0], b, &s.chdr)
	if err != nil {
		return nil, false, Auth
	}
	newest = !any || win.top > top
	s.accepted(&s.rtcp, ssrc, known)
	return out, newest, 0
}

// srtcpIndex reads the index in the clear (RFC 3711 §3.4, RFC 7714 §9).
func (s *secure) srtcpIndex(b []byte) (uint32, bool) {
	tail := 4 + len(s.keys.MKI)
	if s.keys.Suite == AES_CM_128_HMAC_SHA1_80 || s.keys.Suite == AES_CM_128_HMAC_SHA1_32 {
		tail += 10 // SRTCP has the long tag in both suites (RFC 4568 §6.2)
	}
	at := len(b) - tail
	if at < rtcpHeader {
		return 0, false
	}
	return uint32(b[at]&0x7f)<<24 | uint32(b[at+1])<<16 | uint32(b[at+2])<<8 | uint32(b[at+3]), true
}

// sealRTCP encrypts in place and appends index and tag.
func (s *secure) sealRTCP(b []byte) (out []byte, why Cause) {
	ssrc := rtcpSSRC(b)
	if find(s.rtcp, ssrc) == nil {
		if len(s.rtcp) >= maxSources {
			return nil, Sources
		}
		// The context counts the index itself; only the source is noted.
		s.rtcp = append(s.rtcp, source{ssrc, new(window)})
	}
	out, err := s.ctx.EncryptRTCP(b[:0], b, &s.chdr)
	if err != nil {
		return nil, Malformed
	}
	return out, 0
}
