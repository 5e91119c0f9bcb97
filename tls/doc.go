// Package tls holds the certificates of the gateway and answers two
// questions: what do we show to the other end of a TLS connection, and whom
// does the certificate of the other end make it?
//
// It makes a private CA at first start ([EnsureCA]), reads the operator's own
// files ([Load]), serves both with hot reload ([Store]) and compares names as
// SIP wants it ([Match], RFC 5922), which is not as the web does it. It does
// not open sockets, does not decide what an unidentified peer may do (sbc
// does), does not raise alerts and does not speak ACME.
//
// The state is owned by the [Store]: one immutable snapshot behind an atomic
// pointer. A handshake takes the snapshot once; connections that are up never
// look at it again, so a reload cannot disturb them. Time is an argument of
// everything that reads files; handshakes take it from the clock that was given to
// [Open].
//
// When something breaks it closes: a reload that fails keeps what was there,
// a key that others can read is refused, a certificate that does not chain to
// the client CA ends the handshake. No certificate at all is not an error, for
// a phone has none.
//
// Start reading at [Store].
package tls
