package sbc

import (
	"hash/maphash"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// shareOf hashes whose share of what is let in a request takes. A phone that
// writes somebody else's name, or another one each time, has one for its
// connection: it takes nobody's share, and no more than one.
func (g *Gateway) shareOf(q *request, id identity) uint64 {
	switch id.kind {
	case call.Carrier:
		return maphash.String(g.overload.seed, id.peer.Name) | 1
	case call.Phone:
		if who, ok := q.user(id); ok {
			return (3*maphash.String(g.overload.seed, who.user) + maphash.String(g.overload.seed, who.domain)) | 1
		}
		return maphash.Comparable(g.overload.seed, q.flow.ID) | 1
	}
	return 0
}

// user in From, where the phone has registered it.
func (q *request) user(id identity) (who aor, ok bool) {
	if id.kind != call.Phone || q.from == nil {
		return aor{}, false
	}
	user, host := sipx.UserHost(q.from)
	who = aor{unescape(string(user)), strings.ToLower(strings.TrimSuffix(string(host), "."))}
	return who, id.has(who)
}
