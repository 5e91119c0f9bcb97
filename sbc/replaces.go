package sbc

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// replaces names a dialog as RFC 3891 does: To is the tag of whoever gets the
// INVITE with it, From that of the other end.
type replaces struct {
	callID, to, from string
	early            bool
}

// readReplaces reads the value of a Replaces header. Parameters we do not
// know are left out.
func readReplaces(v string) (p replaces, ok bool) {
	parts := strings.Split(v, ";")
	p.callID = strings.TrimSpace(parts[0])
	for _, x := range parts[1:] {
		name, val, _ := strings.Cut(strings.TrimSpace(x), "=")
		val = strings.TrimSpace(val)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			if p.to != "" {
				return p, false
			}
			p.to = val
		case "from-tag":
			if p.from != "" {
				return p, false
			}
			p.from = val
		case "early-only":
			p.early = true
		}
	}
	return p, plainID(p.callID) && plainID(p.to) && plainID(p.from)
}

// plainID: what a Call-ID or tag may be made of, and may stand in XML and
// behind an equals sign alike.
func plainID(v string) bool {
	if v == "" || len(v) > 255 {
		return false
	}
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`;,"<>\`, c) >= 0 {
			return false
		}
	}
	return true
}

func (p replaces) String() string {
	v := p.callID + ";to-tag=" + p.to + ";from-tag=" + p.from
	if p.early {
		v += ";early-only"
	}
	return v
}

// dialogSide is one leg's dialog as other calls may see it.
type dialogSide struct {
	side call.Side
	kind call.Kind
	name string // peer or PBX
	aor  aor    // Phone
	who  string // name-addr of the other end
	key  sipx.DialogKey
}

// note keeps what other calls may see of a leg; calls.mu is held.
func (s *session) note(l b2bua.Leg) {
	x := &s.legs[l]
	s.ends[l] = dialogSide{side: x.side, kind: x.kind, name: x.name, aor: x.aor, who: x.dialog.Remote, key: x.dialog.Key()}
}

// settle says which dialogs of the legs belong together: those of the fork
// that was heard of last, and in the end of the one that answered.
func (c *calls) settle(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.note(b2bua.A)
	s.note(b2bua.B)
}

// pair notes the two dialogs of a fork.
func (c *calls) pair(s *session, a, b sipx.DialogKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pairs = append(s.pairs, [2]sipx.DialogKey{a, b})
}

// across finds the dialog of ours that p names on a side, and names the same
// dialog on the call's other leg. Either tag may be ours: a transferor names
// a dialog whose far end is behind us, a phone that picks up a call one whose
// far end is another phone.
func (c *calls) across(side call.Side, p replaces) (near, far dialogSide, out replaces, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ours := true // p.to is our tag
	e := c.dialogs[dialogKey{side, sipx.DialogKey{CallID: p.callID, LocalTag: p.to, RemoteTag: p.from}}]
	if e.s == nil {
		ours = false
		e = c.dialogs[dialogKey{side, sipx.DialogKey{CallID: p.callID, LocalTag: p.from, RemoteTag: p.to}}]
	}
	if e.s == nil {
		return near, far, out, false
	}
	near, far = e.s.ends[e.leg], e.s.ends[e.leg.Other()]
	k := far.key
	mine := sipx.DialogKey{CallID: p.callID, LocalTag: p.to, RemoteTag: p.from}
	if !ours {
		mine.LocalTag, mine.RemoteTag = p.from, p.to
	}
	for _, pair := range e.s.pairs { // the fork that is named, whichever was heard of last
		if pair[e.leg] == mine {
			k = pair[e.leg.Other()]
		}
	}
	if k.CallID == "" || k.LocalTag == "" || k.RemoteTag == "" {
		return near, far, out, false
	}
	out = replaces{callID: k.CallID, to: k.LocalTag, from: k.RemoteTag, early: p.early}
	if ours {
		out.to, out.from = out.from, out.to
	}
	return near, far, out, true
}

func (g *Gateway) sealReplaces(p replaces) replaces {
	return replaces{g.sealed(p.callID), g.sealed(p.to), g.sealed(p.from), p.early}
}

func (g *Gateway) unsealReplaces(p replaces) (replaces, bool) {
	id, ok1 := g.unsealed(p.callID)
	to, ok2 := g.unsealed(p.to)
	from, ok3 := g.unsealed(p.from)
	return replaces{id, to, from, p.early}, ok1 && ok2 && ok3
}

// insideReplaces names for the PBX the dialog that somebody on the public
// side names: one of the sender's own calls, or one that we told the sender
// of under a seal. user is whom the PBX knows at the far end, if we know it.
func (g *Gateway) insideReplaces(p replaces, sender func(dialogSide) bool) (out replaces, user string, ok bool) {
	if near, far, out, ok := g.calls.across(call.Public, p); ok && far.side == call.Inside && sender(near) {
		if n, err := sipx.ParseNameAddr(far.who); err == nil {
			user = n.URI.User
		}
		return out, user, true
	}
	out, ok = g.unsealReplaces(p)
	return out, "", ok
}

// besideFirst leaves out the ways that lead to others than the first one does:
// the dialog that is to be replaced is there, and none of their business. PBXs
// may share their dialogs.
func besideFirst(routes []route) []route {
	return slices.DeleteFunc(slices.Clone(routes), func(t route) bool {
		return t.kind != call.PBX && (t.kind != routes[0].kind || t.name() != routes[0].name())
	})
}

// replacing reads the Replaces of an INVITE and writes it for the way the
// call goes. Towards the public side only a dialog of whoever is called can
// be replaced.
func (g *Gateway) replacing(r *sipx.Request, a *call.Attempt, id identity, routes []route, was call.Decision) (string, call.Decision) {
	vs := r.Headers("Replaces")
	if len(vs) == 0 {
		return "", was
	}
	no := func(code int, reason string) (string, call.Decision) {
		return "", call.Decision{Verdict: call.Reject, Status: code, Rule: "base/replaces", Severity: call.Low, Action: call.CallRejected,
			Reason: reason, Subject: call.Subject{Kind: "user", Value: a.User}, Trace: was.Trace, Also: was.Also}
	}
	p, ok := readReplaces(vs[0])
	if !ok || len(vs) > 1 {
		return no(400, "bad Replaces")
	}
	if r.Flow.Side == call.Public {
		mine := func(d dialogSide) bool {
			return d.kind == id.kind && d.name == id.name() && (d.kind != call.Phone || id.has(d.aor))
		}
		if out, _, ok := g.insideReplaces(p, mine); ok {
			return out.String(), was
		}
		return no(481, "Replaces names no call of the sender")
	}
	_, far, out, ok := g.calls.across(call.Inside, p)
	if !ok || far.side != call.Public || len(routes) == 0 {
		return no(481, "Replaces names no call that goes to the public side")
	}
	t := routes[0]
	if t.kind != far.kind || t.kind == call.Phone && t.phone.aor != far.aor || t.kind == call.Carrier && t.name() != far.name {
		return no(481, "Replaces names a call of somebody else")
	}
	return out.String(), was
}
