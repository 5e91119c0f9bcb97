package admin

import (
	"net/http"

	"github.com/rampart-sbc/rampart/call"
)

// PeerView is a PBX, carrier or trunk of the configuration and how it fares.
type PeerView struct {
	Name         string       `json:"name"`
	Kind         string       `json:"kind"` // pbx or carrier
	Host         string       `json:"host,omitempty"`
	Checked      bool         `json:"checked"` // by OPTIONS
	Up           bool         `json:"up"`      // as far as is known
	Targets      []TargetView `json:"targets"`
	Registration *TrunkView   `json:"registration,omitempty"`
}

// TargetView is one address of it, as the DNS and its health check have it.
type TargetView struct {
	Transport string     `json:"transport"`
	Address   string     `json:"address"`
	State     string     `json:"state"` // up, down, probation, unchecked
	Since     *call.Time `json:"since,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// TrunkView is our registration with a carrier.
type TrunkView struct {
	Registered bool       `json:"registered"`
	Since      *call.Time `json:"since,omitempty"`
	Expires    *call.Time `json:"expires,omitempty"`
	Reason     string     `json:"reason,omitempty"`
}

func (s *Server) peers(w http.ResponseWriter, r *http.Request) {
	var all []PeerView
	if s.o.Source.Peers != nil {
		all = s.o.Source.Peers()
	}
	p, ok := cut(w, r, all)
	if !ok {
		return
	}
	for i := range p.Items {
		if p.Items[i].Targets == nil {
			p.Items[i].Targets = []TargetView{}
		}
	}
	answer(w, http.StatusOK, p)
}

// targetStates are the closed set of what a target can be.
var targetStates = [...]string{"up", "down", "probation", "unchecked"}

// peerMetrics: names come from the configuration, states from the set.
func peerMetrics(put func(metric, float64, ...string), all []PeerView) {
	for _, p := range all {
		n := map[string]int{}
		for _, t := range p.Targets {
			n[t.State]++
		}
		for _, s := range targetStates {
			put(peerTargets, float64(n[s]), p.Name, s)
		}
		if p.Registration != nil {
			up := 0.0
			if p.Registration.Registered {
				up = 1
			}
			put(trunkUp, up, p.Name)
		}
	}
}
