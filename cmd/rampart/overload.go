package main

import (
	"fmt"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// overloadView is the overload as metrics show it; nil when it is off.
func (g *gateway) overloadView() func() admin.Overload {
	if !g.cfg.Overload.Shed {
		return nil
	}
	return func() admin.Overload {
		s, _ := g.sbc.Overload()
		x := admin.Overload{Level: s.Level, Rate: s.Rate, Signals: []admin.LoadSignal{
			{Name: "delay", Ratio: float64(s.Signals.Delay) / float64(s.Limits.Delay)},
			{Name: "cpu", Ratio: s.Signals.CPU / s.Limits.CPU},
			{Name: "memory", Ratio: s.Signals.Memory / s.Limits.Memory},
			{Name: "files", Ratio: s.Signals.Files / s.Limits.Files},
			{Name: "calls", Ratio: s.Signals.Calls / s.Limits.Calls},
			{Name: "transactions", Ratio: s.Signals.Transactions / s.Limits.Transactions},
			{Name: "pbx", Ratio: s.Signals.PBX / s.Limits.PBX}}}
		for i, c := range ratelimit.LoadClasses() {
			x.Classes = append(x.Classes, admin.LoadClass{Name: c.String(), Admitted: s.Admitted[i], Refused: s.Shed[i]})
		}
		return x
	}
}

// overloadCheck: a gateway that refuses some calls still takes as many as it
// can, and to send all of them elsewhere would only move the overload. It is
// not ready when it has to send registrations of its own phones away.
func (g *gateway) overloadCheck() []admin.Check {
	s, on := g.sbc.Overload()
	if !on {
		return nil
	}
	c := admin.Check{Name: "overload", OK: s.Level <= int(ratelimit.LoadRefresh)}
	if s.Level > 0 {
		c.Detail = fmt.Sprintf("requests are refused, level %d of %d", s.Level, int(ratelimit.LoadRefresh)+1)
	}
	return []admin.Check{c}
}
