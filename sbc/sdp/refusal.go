package sdp

import "fmt"

// Refusal is the answer to a description that is broken or not allowed. For
// an offer it is what to send back to the one who offered. For an answer it is
// what to tell the other side, which still waits; the leg that answered gets
// its ACK and then a BYE (a first INVITE) or keeps what it had (a re-INVITE,
// where both legs were left as they were).
type Refusal struct {
	Status      int    // 400 malformed, 413 too large, 488 not acceptable, 502 malformed answer
	WarningCode int    // RFC 3261 §20.43; 0 when there is nothing to warn about
	WarningText string // generic: fit for the wire
	Reason      string // exact, for the operator; may quote the peer, never key material
	SRTP        bool   // it is about media security
	Err         error  // the cause, e.g. a *ParseError; may be nil
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("sdp: refused with %d: %s", r.Status, r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }

// Warning codes of RFC 3261 §20.43.
const (
	warnAddress   = 301 // incompatible network address formats
	warnTransport = 302 // incompatible transport protocol
	warnFormat    = 305 // incompatible media format
	warnMulticast = 330
	warnOther     = 399
)

// unacceptable is a 488: well formed and understood, but not wanted.
func unacceptable(code int, text, reason string, args ...any) *Refusal {
	return &Refusal{Status: 488, WarningCode: code, WarningText: text, Reason: fmt.Sprintf(reason, args...)}
}

// insecure is a 488 about media security.
func insecure(text, reason string, args ...any) *Refusal {
	r := unacceptable(warnOther, text, reason, args...)
	r.SRTP = true
	return r
}

// malformed is a 400: it contradicts itself or the grammar.
func malformed(reason string, args ...any) *Refusal {
	return &Refusal{Status: 400, WarningCode: warnOther, WarningText: "Malformed session description", Reason: fmt.Sprintf(reason, args...)}
}

// onLine names the m-line (from 0) a refusal is about.
func onLine(i int, r *Refusal) *Refusal {
	if r != nil {
		r.Reason = fmt.Sprintf("m-line %d: %s", i, r.Reason)
	}
	return r
}
