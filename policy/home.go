package policy

import (
	"time"

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
	Timezone      string         `yaml:"timezone"`

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
		if at, err := time.LoadLocation(h.Timezone); err != nil || at == time.Local {
			c.problem("home.timezone", "write a name such as Europe/Paris", "%q is not the name of a time zone", h.Timezone)
		}
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

// zone is the time that people around the gateway keep: that of the options,
// else that of the first file that says it.
func (c *compiler) zone() *time.Location {
	if c.opts.Zone != nil {
		return c.opts.Zone
	}
	for _, s := range c.files {
		if h := s.y.Home; h != nil && h.Timezone != "" {
			if at, err := time.LoadLocation(h.Timezone); err == nil {
				return at
			}
		}
	}
	return time.UTC
}
