package sbc

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// PeerView is a PBX or peer as the admin sees it.
type PeerView struct {
	Name    string
	PBX     bool
	Host    string
	Checked bool // by OPTIONS
	Up      bool // as far as is known
	Targets []TargetView
	Trunk   *TrunkState // where we register
}

// TargetView is one address of it.
type TargetView struct {
	Transport, Address string
	State              string // up, down, probation, unchecked
	Since              time.Time
	Reason             string // of down
}

// Peers lists PBXs and peers in the order of the configuration.
func (g *Gateway) Peers() (out []PeerView) {
	trunks := g.Trunks()
	now := time.Now()
	d := &g.peers
	d.mu.RLock()
	defer d.mu.RUnlock()
	view := func(kind call.Kind, name, host string, health time.Duration) PeerView {
		key := hopKey(kind, name)
		v := PeerView{Name: name, PBX: kind == call.PBX, Host: host, Checked: health > 0 && host != "", Up: !d.down[key]}
		for _, t := range d.found[key].Targets(nil) {
			p, k := d.pulses[targetKey{key, t}], targetKey{key, t}
			x := TargetView{Transport: t.Transport, Address: t.Addr.String(), State: "unchecked", Since: p.since}
			at, quiet := d.quiet[k]
			switch {
			case p.asked && p.down:
				x.State, x.Reason = "down", p.why
			case quiet && now.Sub(at) < quietFor:
				x.State, x.Since = "probation", at
			case p.asked:
				x.State = "up"
			}
			v.Targets = append(v.Targets, x)
		}
		if t, ok := trunks[name]; ok && kind == call.Carrier {
			v.Trunk = &t
		}
		return v
	}
	for _, p := range g.cfg.PBXs {
		out = append(out, view(call.PBX, p.Name, p.Host, p.Health))
	}
	for _, p := range g.cfg.Peers {
		out = append(out, view(call.Carrier, p.Name, p.Host, p.Health))
	}
	return out
}
