package config

import "fmt"

// What peers' networks may send a second, in units of the gate: a datagram is
// one, and one more for each further KiB.
const (
	// A call is some ten units from its peer: INVITE, ACK, BYE, the answers to
	// ours, a re-INVITE or PRACK. As many again are for repeats.
	unitsPerCall = 20
	// What a peer has however few calls it may make: those that it is sent are
	// not in its cps, nor are keep-alives and refreshes.
	leastPeerPackets = 1000
	// One processor reads this many refused INVITEs and has half of its time
	// left.
	PacketsPerProcessor = 4000
)

// PeerBudget is what the network of a peer may send a second. On UDP anybody
// can write its address into his datagrams, so it is not much more than what
// the peer may do: a flood in its name is cut to that. A peer without limits.cps
// has what the processors can work off beside what else they do.
func (l Limits) PeerBudget(cps float64, processors int) float64 {
	switch {
	case l.PeerPackets > 0:
		return float64(l.PeerPackets)
	case cps > 0:
		return max(unitsPerCall*cps, leastPeerPackets)
	}
	return float64(PacketsPerProcessor * max(1, processors))
}

func (k *checker) peerPackets() {
	l := k.c.Limits
	if l.PeerPackets == 0 {
		return
	}
	k.between("limits.peer_packets", int64(l.PeerPackets), 100, 10_000_000, "100/s to 10000000/s")
	for i, p := range k.c.Peers {
		if need := p.Limits.CPS * unitsPerCall / 2; p.Limits.CPS > 0 && float64(l.PeerPackets) < need {
			k.warning("limits.peer_packets", fmt.Sprintf("%g/s or more, or leave it out", need),
				"limits.peer_packets: peers[%d] (%s) may make %g calls a second, some of whose messages would be dropped", i, p.Name, p.Limits.CPS)
		}
	}
}
