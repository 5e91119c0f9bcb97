package sbc

import "github.com/rampart-sbc/rampart/sbc/sipx"

// transferred: the INVITE says that it takes over another call (RFC 3891), or
// who sent the caller here (RFC 3892).
func transferred(r *sipx.Request) bool {
	return len(r.Headers("Replaces")) > 0 || len(r.Headers("Referred-By")) > 0
}
