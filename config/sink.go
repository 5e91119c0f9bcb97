package config

import (
	"fmt"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Sink is a file that takes JSON Lines.
type Sink struct {
	File    string
	MaxSize Size // 0: no bound
	Keep    *int // old files beside it; nil: defaultKeep
}

type sinkYAML struct {
	File    string `yaml:"file,required"`
	MaxSize Size   `yaml:"max_size"`
	Keep    *int   `yaml:"keep"`
}

// UnmarshalNode reads an entry of `alerts`, `cdr` or `events`.
func (s *Sink) UnmarshalNode(n strictyaml.Node) {
	for _, key := range n.Keys() {
		switch key {
		case "syslog", "webhook":
			n.Problem("write {file: PATH}; a log shipper can forward the lines", "%s is not available in this version", key)
			return
		}
	}
	var m sinkYAML
	n.Decode(&m)
	*s = Sink(m)
}

// Bounds of a file that is turned over.
const (
	minTurn     = 1 << 20
	maxKeep     = 100
	defaultKeep = 4
)

// defaultEvents bounds the event stream, which takes every attempt of every
// stranger: 5 GiB with the old files. Alerts and CDRs bound what strangers can
// write by themselves, and nothing of them is thrown away unasked.
const defaultEvents Size = 1 << 30

// Kept is how many old files stay.
func (s Sink) Kept() int {
	if s.Keep == nil {
		return defaultKeep
	}
	return *s.Keep
}

// turn checks how a file is turned over.
func (k *checker) turn(path string, s Sink) {
	if s.MaxSize != 0 && s.MaxSize < minTurn {
		k.problem(path+".max_size", "1GiB; 0 for no bound", "max_size: %s is less than 1MiB", s.MaxSize)
	}
	if s.Keep == nil {
		return
	}
	switch {
	case *s.Keep < 0 || *s.Keep > maxKeep:
		k.problem(path+".keep", fmt.Sprintf("0 to %d", maxKeep), "keep: %d old files", *s.Keep)
	case s.MaxSize == 0:
		k.problem(path+".keep", "add max_size: 1GiB", "keep without max_size: the file is never turned over")
	}
}
