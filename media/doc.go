// Package media is the media plane: it relays the RTP and RTCP of calls
// between their two legs, so that neither end learns where the other one is,
// and turns SRTP into RTP, RTP into SRTP, or one key into another on the way.
//
// It answers "may this packet go on, and in which form?". It does not know
// SIP or SDP: the owner of a call opens a [Session], writes the addresses of
// [Session.Local] into its SDP and tells what the other side's SDP said with
// [Session.Set]. It does not mix, transcode or record, and it changes of a
// packet only what must change: the protection, and in RTCP what would tell
// who somebody is. SSRC, sequence numbers and timestamps cross as they are.
//
// # State
//
// A [Plane] has shards. A shard owns its sessions, with both legs and all
// streams: their latches, SRTP contexts and counters are touched only by the
// shard's engine (package bind), which handles one packet or one command at a
// time. A packet takes no channel, goroutine or log line; a refusal is a
// counter with a [Cause]. The plane owns the port ranges. What a stranger can
// send grows nothing: state of a synchronisation source is made only after
// its packet authenticated, and is capped.
//
// # Who is believed
//
// SRTP: whoever authenticates, and media goes back to where the newest
// authentic packet came from. Plain RTP: the address in the SDP and no other,
// unless the leg is marked as behind NAT, which latches once. Until something
// was accepted, media goes to the SDP's address. Both directions have a
// replay window; in the sending one it makes sure that no index protects two
// packets. A leg without Set relays nothing.
//
// # Time and failure
//
// Time is [Config.Clock], read once per batch of packets; a ticker in real
// time only decides when silence and injections are looked at. A panic while
// handling a packet is counted and costs that packet. An address that is not
// on this host is an error of [New]; a port that another program holds is
// passed over; when nothing is left, Open says [ErrNoPorts] and calls that
// are up go on. A packet the system refuses to send is counted and lost.
//
// Start reading at [Plane.Open], then at (*end).relay.
package media
