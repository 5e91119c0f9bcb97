package sbc

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// identity is what identification made of the sender of a request.
type identity struct {
	kind    call.Kind
	peer    *Peer // Carrier
	pbx     *PBX  // PBX
	account string
	who     *flowIdentity // Phone: what its flow has registered
	// misfit says which claim did not hold (a certificate or address that
	// belongs to no peer); empty for plain strangers.
	misfit string
}

// name of the configured peer or PBX.
func (id identity) name() string {
	switch {
	case id.peer != nil:
		return id.peer.Name
	case id.pbx != nil:
		return id.pbx.Name
	}
	return ""
}

// has: the flow registered that address of record.
func (id identity) has(who aor) bool {
	return id.kind == call.Phone && id.who.has(who, time.Now())
}

// aor is an address of record in comparable form.
type aor struct{ user, domain string }

func (a aor) String() string { return a.user + "@" + a.domain }

// aorOf makes the AoR of a URI: the user unescaped, the host in lower case.
func aorOf(u sipx.URI) aor {
	return aor{unescape(u.User), strings.ToLower(strings.TrimSuffix(u.Host, "."))}
}

// unescape decodes %XX once (RFC 3261 §19.1.4 compares them so).
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// identify says who sends on this flow: a PBX by address on the inside; on
// the public side a peer (everything its entry names must match), then a
// registered phone. Nobody else is anybody.
func (g *Gateway) identify(r *sipx.Request) identity { return g.identifyFlow(r.Flow) }

func (g *Gateway) identifyFlow(f *sipx.Flow) identity {
	if f.Side == call.Inside {
		if p := g.peers.pbxAt(f.Remote); p != nil {
			if p.Transport == "tls" && !f.Secure() {
				return identity{misfit: "PBX " + p.Name + " is configured with TLS and came over " + f.Transport}
			}
			return identity{kind: call.PBX, pbx: p, account: p.Name}
		}
		return identity{misfit: "no PBX has the address " + f.Remote.Addr().String()}
	}
	id := g.identifyPeer(f)
	if id.kind == call.Carrier {
		return id
	}
	if who, account := g.ids.of(f); who != nil {
		return identity{kind: call.Phone, who: who, account: account}
	}
	return id
}

func (g *Gateway) identifyPeer(f *sipx.Flow) identity {
	if f.Outbound {
		// We dialled it and verified its certificate.
		if p := g.peers.byName(f.Hop); p != nil {
			return identity{kind: call.Carrier, peer: p}
		}
	}
	misfit := ""
	for i := range g.cfg.Peers {
		p := &g.cfg.Peers[i]
		byIP := len(p.IP) > 0 && contains(p.IP, f.Remote.Addr())
		if len(p.IP) > 0 && !byIP {
			continue
		}
		if p.Certificate != "" {
			if f.TLS == nil || len(f.TLS.PeerCertificates) == 0 {
				if byIP {
					misfit = fmt.Sprintf("address of peer %s without its certificate", p.Name)
				}
				continue
			}
			who := rtls.Peer{Name: p.Name, Certificate: p.Certificate, Rules: rtls.Rules{Wildcard: p.Wildcard, ServerOnly: p.ServerOnly}}
			if !who.Shows(*f.TLS) {
				misfit = fmt.Sprintf("certificate names %v, no peer has such a name", rtls.Names(f.TLS.PeerCertificates[0]))
				continue
			}
		}
		if p.Certificate == "" && len(p.IP) == 0 && (p.Register == nil || !g.trunks[p.Name].holds(f)) {
			continue // nothing identifies it
		}
		if !f.Secure() && !p.AllowPlaintext {
			misfit = fmt.Sprintf("peer %s may not use %s", p.Name, f.Transport)
			continue
		}
		return identity{kind: call.Carrier, peer: p}
	}
	if misfit == "" && f.TLS != nil && len(f.TLS.PeerCertificates) > 0 {
		misfit = fmt.Sprintf("certificate names %v, no peer has such a name", rtls.Names(f.TLS.PeerCertificates[0]))
	}
	return identity{misfit: misfit}
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// mayspeak refuses what no policy is needed for: plaintext from anybody who
// is not allowed it, unknown hosts on the inside, certificates of nobody.
func (g *Gateway) mayspeak(r *sipx.Request, id identity) bool {
	f := r.Flow
	if f.Side == call.Inside {
		if id.kind == call.PBX {
			return true
		}
		g.refuse(r, id, call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/inside-unknown", Reason: id.misfit,
			Severity: call.High, Action: call.PeerIdentity, Subject: sourceSubject(f)})
		return false
	}
	if id.kind != call.Stranger {
		f.MarkKnown(true)
		if id.kind == call.Carrier {
			g.carriers.saw(f.Remote.Addr(), r.At)
			if !f.Secure() {
				g.plain.saw(f.Remote.Addr(), r.At)
			}
		}
		return true
	}
	if !f.Secure() {
		if f.Transport == "udp" && g.muted(r) {
			return false
		}
		reason := "plaintext " + f.Transport + " from a source that no peer entry allows it"
		if id.misfit != "" {
			reason = id.misfit
		}
		d := call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/plaintext", Reason: reason,
			Severity: call.Medium, Action: call.PlaintextRefused, Subject: sourceSubject(f)}
		if f.Transport == "udp" && !g.peers.knownAddr(f.Remote.Addr()) {
			// An answer would tell scanners that somebody is here, and go to
			// whoever's address it is.
			d.Verdict, d.Status = call.Drop, 0
		}
		g.refuse(r, id, d)
		return false
	}
	if id.misfit != "" && r.Method() != "REGISTER" {
		g.refuse(r, id, call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/peer-identity", Reason: id.misfit,
			Severity: call.High, Action: call.PeerIdentity, Subject: sourceSubject(f)})
		return false
	}
	return true
}

func sourceSubject(f *sipx.Flow) call.Subject {
	return call.Subject{Kind: "source", Value: f.Remote.Addr().String()}
}

// identities remembers which flow registered what.
type identities struct {
	mu    sync.Mutex
	flows map[uint64]*flowIdentity
}

// flowIdentity is what one flow has registered: as many users as it likes,
// each found at once.
type flowIdentity struct {
	ids     *identities // whose lock it is under
	until   map[aor]time.Time
	longest time.Time // no registration stands beyond it
	account string
}

// has: the flow has registered that address of record and not let it go.
func (fi *flowIdentity) has(who aor, now time.Time) bool {
	fi.ids.mu.Lock()
	defer fi.ids.mu.Unlock()
	return now.Before(fi.until[who])
}

// only is the one address of record that the flow has registered; false when
// there are several.
func (fi *flowIdentity) only(now time.Time) (who aor, ok bool) {
	fi.ids.mu.Lock()
	defer fi.ids.mu.Unlock()
	for a, t := range fi.until {
		if !now.Before(t) {
			continue
		}
		if ok {
			return aor{}, false
		}
		who, ok = a, true
	}
	return who, ok
}

// any is one of the addresses of record, for the operator.
func (fi *flowIdentity) any() aor {
	fi.ids.mu.Lock()
	defer fi.ids.mu.Unlock()
	for a := range fi.until {
		return a
	}
	return aor{}
}

func (ids *identities) init() {
	ids.flows = map[uint64]*flowIdentity{}
}

// of is what the flow has registered and not let go, nil when nothing.
func (ids *identities) of(f *sipx.Flow) (who *flowIdentity, account string) {
	if f.ID == 0 {
		return nil, ""
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	fi := ids.flows[f.ID]
	if fi == nil || !time.Now().Before(fi.longest) {
		return nil, ""
	}
	return fi, fi.account
}

// set records a registration the PBX accepted; the zero time ends it.
func (ids *identities) set(f *sipx.Flow, a aor, account string, until time.Time) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	fi := ids.flows[f.ID]
	if until.IsZero() {
		if fi != nil {
			delete(fi.until, a)
			if len(fi.until) == 0 {
				fi.longest = time.Time{}
				delete(ids.flows, f.ID)
				f.MarkKnown(false) // a stranger's deadlines again
			}
		}
		return
	}
	if !f.Alive() {
		return
	}
	if fi == nil {
		fi = &flowIdentity{ids: ids, until: map[aor]time.Time{}}
		ids.flows[f.ID] = fi
	}
	fi.account = account
	fi.until[a] = until
	if until.After(fi.longest) {
		fi.longest = until
	}
}

// closed forgets a flow and lists whom it had registered.
func (ids *identities) closed(f *sipx.Flow) (who []aor) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if fi := ids.flows[f.ID]; fi != nil {
		for a := range fi.until {
			who = append(who, a)
		}
	}
	delete(ids.flows, f.ID)
	return who
}

func (ids *identities) expire(now time.Time) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	for id, fi := range ids.flows {
		for a, t := range fi.until {
			if now.After(t) {
				delete(fi.until, a)
			}
		}
		if len(fi.until) == 0 {
			delete(ids.flows, id)
		}
	}
}
