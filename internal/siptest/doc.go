// Package siptest is a SIP telephone, a small PBX and a carrier for tests and
// for the demonstration. It answers "does a call through the gateway work, as
// somebody else's program would see it": so it shares no code with the
// gateway and uses no SIP library. Messages are plain text, and it can send
// wrong ones on purpose.
//
// It is no telephone for people and no PBX for production: it knows one call
// leg per [Call], G.711, SDES and digest, and nothing of DNS. An [Agent] owns
// its sockets and transactions, a [Call] its dialog, a [Media] its RTP
// socket; everything ends with Close or with the context it was given. Time
// is the wall clock: calls are played in real time. What comes in from the
// network is bounded in size and number, and a peer that breaks is an error
// of the call, never a panic.
//
// Start reading at [Phone.Invite].
package siptest
