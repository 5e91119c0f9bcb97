package media

import (
	"fmt"

	"github.com/rampart-sbc/rampart/media/srtp"
)

// maxSources is how many synchronisation sources one set of keys may see.
// A source costs state that must outlive it (forgetting it would let its
// packets be replayed or its key stream be reused), so beyond the cap a new
// source is refused until the keys change. A call sees a few.
const maxSources = 128

// source is the state of one synchronisation source under one key. Of SRTCP
// that we send, which has indices of our own, only the newest counts.
type source struct {
	ssrc uint32
	win  window
}

// secure is one direction of one stream under one set of keys: either what a
// leg sends to us or what we send to it, never both. It is owned by its shard
// and holds nothing about a source that has not authenticated.
type secure struct {
	// What a packet of sound needs lies together, so that it comes into the
	// cache together: rtp begins in first.
	rtp    []source
	first  [1]source
	cipher srtp.Cipher
	rtcp   []source
	keys   *Keys
	unseen window // of every source that is new; never written
}

// newSecure derives the session keys. k is kept.
func newSecure(k *Keys) (*secure, error) {
	s := &secure{keys: k}
	if err := s.cipher.Init(suites[k.Suite].transform, k.Key, k.Salt, k.MKI); err != nil {
		return nil, fmt.Errorf("keys for %s: %w", k.Suite, err)
	}
	s.rtp = s.first[:0]
	return s, nil
}

// find returns the window of a source, nil for one that is new. It is valid
// until the next source is added.
func find(list []source, ssrc uint32) *window {
	for i := range list {
		if list[i].ssrc == ssrc {
			return &list[i].win
		}
	}
	return nil
}

// lookup returns the window to judge a packet by.
func (s *secure) lookup(list []source, ssrc uint32) (win *window, known, ok bool) {
	if win = find(list, ssrc); win != nil {
		return win, true, true
	}
	return &s.unseen, false, len(list) < maxSources
}

// note records an index. For a source that is new it makes the state.
func note(list *[]source, win *window, known bool, ssrc uint32, i uint64) (newest bool) {
	if !known {
		*list = append(*list, source{ssrc: ssrc})
		win = &(*list)[len(*list)-1].win
	}
	return win.mark(i)
}

// openRTP authenticates and decrypts in place. header is the length of the
// packet's header; newest is false for a packet that was overtaken. The cause
// is meaningful when out is nil.
func (s *secure) openRTP(b []byte, header int) (out []byte, newest bool, why Cause) {
	ssrc := rtpSSRC(b)
	win, known, ok := s.lookup(s.rtp, ssrc)
	if !ok {
		return nil, false, Sources
	}
	i := win.estimate(sequence(b))
	if i > srtp.MaxIndex || !win.fresh(i) {
		return nil, false, Replay
	}
	if out, ok = s.cipher.OpenRTP(b, header, ssrc, i); !ok {
		return nil, false, Auth
	}
	return out, note(&s.rtp, win, known, ssrc, i), 0
}

// sealRTP encrypts in place and appends the tag.
func (s *secure) sealRTP(b []byte, header int) (out []byte, why Cause) {
	ssrc := rtpSSRC(b)
	win, known, ok := s.lookup(s.rtp, ssrc)
	if !ok {
		return nil, Sources
	}
	i := win.estimate(sequence(b))
	if i > srtp.MaxIndex {
		return nil, UsedUp
	}
	if !win.fresh(i) {
		return nil, Repeat
	}
	note(&s.rtp, win, known, ssrc, i)
	return s.cipher.SealRTP(b, header, ssrc, i), 0
}

func (s *secure) openRTCP(b []byte) (out []byte, newest bool, why Cause) {
	ssrc := rtcpSSRC(b)
	win, known, ok := s.lookup(s.rtcp, ssrc)
	if !ok {
		return nil, false, Sources
	}
	index, ok := s.cipher.RTCPIndex(b)
	if !ok {
		return nil, false, Malformed
	}
	i := uint64(index)
	if !win.fresh(i) {
		return nil, false, Replay
	}
	if out, ok = s.cipher.OpenRTCP(b, ssrc); !ok {
		return nil, false, Auth
	}
	return out, note(&s.rtcp, win, known, ssrc, i), 0
}

// sealRTCP encrypts in place and appends index and tag. The first index is 1.
func (s *secure) sealRTCP(b []byte) (out []byte, why Cause) {
	ssrc := rtcpSSRC(b)
	win, known, ok := s.lookup(s.rtcp, ssrc)
	if !ok {
		return nil, Sources
	}
	i := win.top + 1
	if i > srtp.MaxRTCPIndex {
		return nil, UsedUp
	}
	note(&s.rtcp, win, known, ssrc, i)
	return s.cipher.SealRTCP(b, ssrc, uint32(i)), 0
}
