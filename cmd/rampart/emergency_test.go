package main

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
)

// Under all shipped packs, in every country whose habits are known, with a full
// limit for every peer: emergency calls pass.
func TestEmergencyIsProvenEverywhere(t *testing.T) {
	t.Parallel()
	var packs []policy.Source
	for _, name := range rules.Names() {
		data, _ := rules.Pack(name)
		packs = append(packs, policy.Source{Name: name, Data: data, Pack: true})
	}
	for _, country := range config.HomeCountries() {
		home, _ := config.HomeOf(country)
		prefixes := []string{""}
		if country == "FR" {
			prefixes = append(prefixes, "0", "9")
		}
		for _, prefix := range prefixes {
			home.OutsidePrefix = prefix
			plan, err := number.Compile(home.Number(), nil)
			if err != nil {
				t.Errorf("%s: %v", country, err)
				continue
			}
			set, ps := policy.Compile(packs, policy.Options{Plan: plan, Now: time.Now()})
			if set == nil {
				t.Fatal(ps)
			}
			cfg := &config.Config{Home: home, Peers: []config.Peer{{Name: "a", Limits: config.PeerLimits{Calls: 1, CPS: 1}}}}
			if ps := prove(cfg, set); len(ps) > 0 {
				t.Errorf("%s, outside prefix %q: %s", country, prefix, ps)
			}
		}
	}
}
