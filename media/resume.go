package media

import (
	"encoding/binary"
	"errors"
	"fmt"
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
	for _, src := range k.RTP {
		if err := s.resumeRTP(src, sending); err != nil {
			return nil, fmt.Errorf("source %08x: %w", src.SSRC, err)
		}
	}
	for _, src := range k.RTCP {
		if err := s.resumeRTCP(src, sending); err != nil {
			return nil, fmt.Errorf("source %08x: %w", src.SSRC, err)
		}
	}
	return s, nil
}

// relabel is the state of s under the same key and salt with another suite or
// MKI.
func (s *secure) relabel(k *Keys, sending bool) (*secure, error) {
	snap := s.snapshot(sending)
	snap.Suite, snap.MKI = k.Suite.String(), k.MKI
	return snap.open(sending)
}

func (w *window) load(src SourceSnapshot) error {
	if len(src.Bits) != len(w.bits) || src.Top >= 1<<48 {
		return errSnapshot
	}
	w.top, w.any = src.Top, src.Seen
	copy(w.bits[:], src.Bits)
	return nil
}

// resumeRTP brings the context to an index. Its setters take the ROC but not
// the sequence number, without which a wrap right after the takeover would be
// missed; so a packet of that very index is put through it. The packet is
// made here, empty and never sent: its key stream stays unseen.
func (s *secure) resumeRTP(src SourceSnapshot, sending bool) error {
	if find(s.rtp, src.SSRC) != nil {
		return errSnapshot
	}
	if !src.Seen {
		return nil
	}
	var buf [rtpHeader + maxMKI + 32]byte
	b := buf[:rtpHeader]
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], uint16(src.Top))
	binary.BigEndian.PutUint32(b[8:], src.SSRC)
	roc := uint32(src.Top >> 16)

	sealer := s.ctx
	if !sending {
		other, err := newSecure(s.keys)
		if err != nil {
			return err
		}
		sealer = other.ctx
	}
	sealer.SetROC(src.SSRC, roc)
	b, err := sealer.EncryptRTP(b[:0], b, nil)
	if err == nil && !sending {
		s.ctx.SetROC(src.SSRC, roc)
		_, err = s.ctx.DecryptRTP(nil, b, nil)
	}
	if err != nil {
		return err
	}
	// The receiving context now holds the spare as the detector of this
	// source; the sending one has none and took nothing but the index.
	if err := s.spare.load(src); err != nil {
		return err
	}
	s.accepted(&s.rtp, src.SSRC, false)
	return nil
}

func (s *secure) resumeRTCP(src SourceSnapshot, sending bool) error {
	if find(s.rtcp, src.SSRC) != nil {
		return errSnapshot
	}
	if !src.Seen {
		return nil
	}
	if src.Top > 1<<31-1 {
		return errSnapshot
	}
	index := uint32(src.Top)
	if sending {
		index = min(index+srtcpGap, 1<<31-1)
	}
	s.ctx.SetIndex(src.SSRC, index) // on receipt: only to give the source its detector
	if err := s.spare.load(src); err != nil {
		return err
	}
	s.accepted(&s.rtcp, src.SSRC, false)
	return nil
}
