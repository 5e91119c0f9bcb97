package media

import "net/netip"

// Cause is why a packet was not relayed. The set is closed: it is a metric
// label.
type Cause uint8

const (
	Runt        Cause = iota // shorter than its header
	Jumbo                    // longer than any path carries
	NotRTP                   // first byte outside 128–191 (RFC 7983): STUN, DTLS, noise
	Malformed                // lengths inside do not fit the packet
	Misdirected              // RTCP on an RTP port or the reverse, against what was negotiated
	Unready                  // that leg, or the one to send to, is not set up or has the stream off
	WrongSource              // from elsewhere than the leg's address
	Auth                     // SRTP authentication failed, wrong MKI included
	Replay                   // SRTP index seen before, or too old to tell
	UsedUp                   // the key to protect it with has protected all it may (RFC 3711 §9.2)
	Repeat                   // would protect a second packet under one index
	Sources                  // more synchronisation sources than the cap, or new ones too fast
	Rate                     // more packets per second than the stream may have, or RTCP
	Filtered                 // RTCP of which nothing may cross
	NoTarget                 // nowhere to send: no usable address yet
	SendFailed               // the system refused to send
	Panicked                 // our bug; the packet is lost, the call goes on
	PayloadType              // of a payload type that was not agreed on

	numCauses
)

var causeNames = [numCauses]string{"runt", "jumbo", "not_rtp", "malformed", "misdirected", "unready",
	"wrong_source", "auth", "replay", "key_used_up", "repeat", "sources", "rate", "filtered", "no_target", "send_failed", "panic", "payload_type"}

func (c Cause) String() string {
	if c >= numCauses {
		return "unknown"
	}
	return causeNames[c]
}

// Refused counts packets that were not relayed; index it by Cause.
type Refused [numCauses]uint64

// Total is the sum over all causes.
func (r Refused) Total() uint64 {
	var n uint64
	for _, v := range r {
		n += v
	}
	return n
}

// Each calls f for every cause, zero counts included, in a fixed order.
func (r Refused) Each(f func(Cause, uint64)) {
	for c, v := range r {
		f(Cause(c), v)
	}
}

func (r *Refused) add(o Refused) {
	for i := range r {
		r[i] += o[i]
	}
}

// Counts are what went through one end. In is what was accepted from it, Out
// what was sent to it; bytes are UDP payload as on the wire.
type Counts struct {
	PacketsIn, BytesIn   uint64 // RTP
	PacketsOut, BytesOut uint64
	RTCPIn, RTCPOut      uint64
	Refused              Refused // of what arrived from it
}

func (c *Counts) add(o Counts) {
	c.PacketsIn += o.PacketsIn
	c.BytesIn += o.BytesIn
	c.PacketsOut += o.PacketsOut
	c.BytesOut += o.BytesOut
	c.RTCPIn += o.RTCPIn
	c.RTCPOut += o.RTCPOut
	c.Refused.add(o.Refused)
}

// LegStats is one leg of a session, all streams together. Lost and JitterMs are
// of what this leg sent to us: the network between it and the gateway.
type LegStats struct {
	Counts
	Suite       Suite          // of what arrives on the first secured stream; none for plain RTP
	Source      netip.AddrPort // where RTP of the first stream comes from; zero until known
	Expected    uint64         // packets, from sequence numbers (RFC 3550 A.3)
	Lost        uint64         // never negative: duplicates count as received
	LossPercent float64        // Lost of Expected
	JitterMs    float64        // interarrival jitter (RFC 3550 A.8) of the worst stream
	// RTTMs is the mean round trip between the gateway and the leg, measured
	// by RTCP that crosses; RTTs is of how many. 0: the ends send no reports.
	RTTMs float64
	RTTs  uint64
	// ReportedLost is what the leg says it did not get of what the other leg
	// sent: both networks on the way. ReportedLossPercent is of what the
	// other leg sent.
	ReportedLost        uint64
	ReportedLossPercent float64
}

// PlaneStats is the whole plane, closed sessions included in the counters.
type PlaneStats struct {
	Sessions, Streams int
	MaxStreams        int // the cap
	Ports             int // port pairs in use
	PortsTotal        int // port pairs in all ranges
	Relayed           uint64
	RelayedBytes      uint64
	RelayedRTCP       uint64
	Refused           Refused
	Events            uint64 // notifications given
}
