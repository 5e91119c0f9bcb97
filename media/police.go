package media

import "time"

// Policing holds what a leg sends against what was agreed with it. It comes
// after the source (plain RTP) or before the authentication (SRTP) of a
// packet and keeps a fixed amount of state for each end.

// Types is a set of RTP payload types. The zero value is "not known", which
// lets every type through.
type Types [2]uint64

// TypesOf makes the set of all lists together.
func TypesOf(lists ...[]uint8) (t Types) {
	for _, l := range lists {
		for _, pt := range l {
			t[pt>>6&1] |= 1 << (pt & 63)
		}
	}
	return t
}

// Has reports whether a type is in the set.
func (t Types) Has(pt uint8) bool { return t[pt>>6&1]&(1<<(pt&63)) != 0 }

// comfortNoise is the static type of RFC 3389. Telephones send it unasked
// when their user is silent, and it holds nothing but a level of noise.
const comfortNoise = 13

// agreed reports whether the leg may send that payload type. For a moment
// after a new description the types of the former one are taken too: an
// answer and the packets under it overtake each other.
func (e *end) agreed(at time.Time, pt uint8) bool {
	t := e.remote.Types
	if t == (Types{}) || t.Has(pt) || pt == comfortNoise {
		return true
	}
	return at.Before(e.typesUntil) && (e.formerTypes == Types{} || e.formerTypes.Has(pt))
}

// allowance is how many packets per second the stream may send, and how many
// at once.
func (e *end) allowance() (rate, burst float64) {
	sh := e.session.shard
	if r := float64(e.remote.PacketRate); r > 0 && r < sh.rate {
		return r, min(sh.burst, 2*r)
	}
	return sh.rate, sh.burst
}

// rtcpRate and rtcpBurst bound the compound packets of an end, which have a
// budget of their own so that they cannot use up that of the sound. Feedback
// of video comes some ten times a second, telephony's reports every 5 s.
const (
	rtcpRate  = 100
	rtcpBurst = 200
)

const (
	// maxVoices is how many synchronisation sources of an end are remembered.
	maxVoices = 16
	// voiceBurst and voiceEvery bound how fast an end may begin new ones.
	// Each costs the far end state, and the keys of an encrypted leg one of
	// maxSources; a call sees a new one at a transfer or with music on hold.
	voiceBurst = 16
	voiceEvery = 2 * time.Second
)

// voices are the synchronisation sources that an end has sent sound with
// lately. Of others no BYE is believed.
type voices struct {
	ssrc   [maxVoices]uint32
	n      uint8 // in use
	next   uint8 // to be overwritten, once all are
	last   uint8 // index of the one that spoke last
	bucket bucket
}

// speak reports whether a packet of that source may pass, and remembers it.
func (v *voices) speak(at time.Time, ssrc uint32) bool {
	if v.n > 0 && v.ssrc[v.last] == ssrc {
		return true
	}
	for i := range v.ssrc[:v.n] {
		if v.ssrc[i] == ssrc {
			v.last = uint8(i)
			return true
		}
	}
	if !v.bucket.take(at, 1/voiceEvery.Seconds(), voiceBurst) {
		return false
	}
	i := v.n
	if v.n < maxVoices {
		v.n++
	} else {
		i = v.next
		v.next = (v.next + 1) % maxVoices
	}
	v.ssrc[i], v.last = ssrc, i
	return true
}

// knows reports whether the source is among them.
func (v *voices) knows(ssrc uint32) bool {
	for _, s := range v.ssrc[:v.n] {
		if s == ssrc {
			return true
		}
	}
	return false
}
