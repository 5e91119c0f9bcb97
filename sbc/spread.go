package sbc

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Which of several PBXs gets what.

// serves: the PBX is for that domain; one without domains is for all.
func (p *PBX) serves(domain string) bool {
	return len(p.Domains) == 0 || slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// pbxOrder lists the PBXs of a domain to try. With weights the first is drawn
// by them, the same one for the same key: a challenge and its answer, a
// registration and its refreshes, a user's calls go to one place. Without,
// they stand as in the configuration. Those that do not answer come last, as
// the check may be wrong.
func (d *directory) pbxOrder(domain, key string) []*PBX {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]*PBX, 0, len(d.cfg.PBXs))
	weighted := false
	for i := range d.cfg.PBXs {
		if p := &d.cfg.PBXs[i]; p.serves(domain) {
			out = append(out, p)
			weighted = weighted || p.Weight > 1
		}
	}
	if weighted {
		slices.SortStableFunc(out, func(a, b *PBX) int { return cmp.Compare(draw(a, key), draw(b, key)) })
	}
	now := time.Now()
	rank := func(p *PBX) int {
		if d.gone(hopKey(call.PBX, p.Name), now) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b *PBX) int { return rank(a) - rank(b) })
	return out
}

// draw is the place of a PBX for a key: the least of them wins as often as its
// weight says, and when one goes, only its own keys move (weighted rendezvous
// hashing).
func draw(p *PBX, key string) float64 {
	h := fnv.New64a()
	h.Write([]byte(p.Name))
	h.Write([]byte{0})
	h.Write([]byte(key))
	// fnv's high bits hardly move for short texts that differ at their end.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	u := (float64(x>>11) + 0.5) / (1 << 53)
	return -math.Log(u) / float64(max(p.Weight, 1))
}

// seat is whose PBX an attempt is for: the domain, and what draws among
// several.
func (g *Gateway) seat(a *call.Attempt) (domain, key string) {
	switch {
	case a.PeerKind != call.Carrier && g.ours(a.From.Host):
		return a.From.Host, strings.ToLower(a.From.User + "@" + a.From.Host)
	case g.ours(a.To.Host):
		return a.To.Host, a.SIPCallID
	}
	return g.cfg.Domains[0], a.SIPCallID
}

// pbxsFor lists the PBXs for an attempt.
func (g *Gateway) pbxsFor(a *call.Attempt) []*PBX { return g.peers.pbxOrder(g.seat(a)) }

// accountFor is the name of the PBX that an attempt is for, as long as it is
// not known which one takes it.
func (g *Gateway) accountFor(a *call.Attempt) string {
	if ps := g.pbxsFor(a); len(ps) > 0 {
		return ps[0].Name
	}
	return ""
}

// domainAt is the domain that stands for us, or for the callee, at a PBX.
func (g *Gateway) domainAt(p *PBX, a *call.Attempt) string {
	d, _ := g.seat(a)
	if p != nil && !p.serves(d) {
		return p.Domains[0]
	}
	return d
}
