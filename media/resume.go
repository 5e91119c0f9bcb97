package media

import (
	"errors"
	"fmt"

	"github.com/rampart-sbc/rampart/media/srtp"
)

// srtcpGap is how far a restored SRTCP index is moved on. The other gateway
// may have sent under indices after the snapshot, and for GCM one index used
// twice gives away the authentication key. It is hours of RTCP.
const srtcpGap = 1 << 14

var errSnapshot = errors.New("damaged snapshot")

// open makes the state that a KeySnapshot describes; nil for nil.
func (k *KeySnapshot) open(sending bool) (*secure, error) {
	if k == nil {
		return nil, nil
	}
	suite, ok := ParseSuite(k.Suite)
	if !ok {
		return nil, fmt.Errorf("suite %q: %w", k.Suite, ErrKeys)
	}
	keys := (&Keys{Suite: suite, Key: k.Key, Salt: k.Salt, MKI: k.MKI}).clone()
	if err := keys.check(); err != nil {
		return nil, err
	}
	if len(k.RTP) > maxSources || len(k.RTCP) > maxSources {
		return nil, fmt.Errorf("%d and %d sources, at most %d: %w", len(k.RTP), len(k.RTCP), maxSources, errSnapshot)
	}
	s, err := newSecure(keys)
	if err != nil {
		return nil, err
	}
	if s.rtp, err = resume(s.rtp, k.RTP, srtp.MaxIndex); err != nil {
		return nil, err
	}
	if s.rtcp, err = resume(nil, k.RTCP, srtp.MaxRTCPIndex); err != nil {
		return nil, err
	}
	if sending {
		for i := range s.rtcp {
			w := &s.rtcp[i].win
			w.top = min(w.top+srtcpGap, srtp.MaxRTCPIndex)
		}
	}
	return s, nil
}

// resume brings sources to where they were, behind those in out. One that saw
// nothing is none.
func resume(out []source, list []SourceSnapshot, top uint64) ([]source, error) {
	for _, src := range list {
		if find(out, src.SSRC) != nil || len(src.Bits) != len(window{}.bits) || src.Top > top {
			return nil, fmt.Errorf("source %08x: %w", src.SSRC, errSnapshot)
		}
		if !src.Seen {
			continue
		}
		s := source{ssrc: src.SSRC, win: window{top: src.Top, any: true}}
		copy(s.win.bits[:], src.Bits)
		out = append(out, s)
	}
	return out, nil
}

// relabel is the state of s under the same key and salt with another suite or
// MKI.
func (s *secure) relabel(k *Keys, sending bool) (*secure, error) {
	snap := s.snapshot()
	snap.Suite, snap.MKI = k.Suite.String(), k.MKI
	return snap.open(sending)
}
