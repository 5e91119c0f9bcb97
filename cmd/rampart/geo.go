package main

import (
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
)

// reloadGeo reads the GeoIP files again; broken ones leave what is in use.
func (g *gateway) reloadGeo() {
	if g.geo == nil {
		return
	}
	if err := g.geo.Reload(); err != nil {
		g.failed(call.PolicyReloaded, "geoip/not-loaded", "geoip not loaded, the old data stays", err)
		return
	}
	g.log.Info("geoip loaded", "files", g.geo.Files())
}

// withoutGeo warns of rules that ask where a source is while no database says so.
func withoutGeo(cfg *config.Config, set *policy.Set) (ps strictyaml.Problems) {
	if set == nil {
		return nil
	}
	for _, n := range set.Needs() {
		file, key := cfg.GeoIP.Country, "country"
		if n.Fact == "source.asn" {
			file, key = cfg.GeoIP.ASN, "asn"
		}
		if file == "" {
			ps = append(ps, strictyaml.At(n.File, n.Pos, "%s asks for %s, and geoip.%s names no database: it is never known", n.ID, n.Fact, key).
				WithHint("geoip: {%s: FILE.mmdb}", key).AsWarning())
		}
	}
	return ps
}
