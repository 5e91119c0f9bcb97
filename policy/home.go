package policy

import (
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

type homeYAML struct {
	Pos           strictyaml.Pos `yaml:"-"`
	Country       string         `yaml:"country"`
	International []string       `yaml:"international,single"`
	National      *string        `yaml:"national"`
	Extensions    string         `yaml:"extensions"`
	Emergency     []string       `yaml:"emergency,single"`
	OutsidePrefix string         `yaml:"outside_prefix"`

	CarrierSelection []string `yaml:"carrier_selection,single"`
	TechPrefixes     []string `yaml:"tech_prefixes,single"`
}

// home makes the dialling plan.
func (c *compiler) home() {
	c.set.plan = c.opts.Plan
	var first *source
	for _, s := range c.files {
		if s.y.Home == nil {
			continue
		}
		c.cur = s
		if first != nil {
			c.problem("home", "keep one of them", "home: is already in %s", first.Name)
			continue
		}
		first = s
		h := s.y.Home
		p, err := number.Compile(number.Home{Country: h.Country, International: h.International, National: h.National,
			Extensions: h.Extensions, Emergency: h.Emergency, OutsidePrefix: h.OutsidePrefix,
			CarrierSelection: h.CarrierSelection, TechPrefixes: h.TechPrefixes}, c.data)
		if err != nil {
			c.problem("home", "", "%v", err)
			continue
		}
		if c.set.plan == nil {
			c.set.plan = p
		}
	}
	if c.set.plan == nil {
		p, err := number.Compile(number.Home{}, c.data)
		if err != nil {
			panic("policy: the empty home is wrong: " + err.Error())
		}
		c.set.plan = p
	}
}
