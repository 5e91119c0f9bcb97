package config

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/rampart-sbc/rampart/policy/number"
)

// Form is how a number goes on: canonical (+442079460000) or as it was dialled.
// Never empty after [Load].
type Form string

const (
	Canonical Form = "canonical"
	AsDialled Form = "as-dialled"
)

// UnmarshalScalar reads the word.
func (f *Form) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(f), text, string(Canonical), string(AsDialled))
}

// Numbers says in which form numbers go on.
type Numbers struct {
	Forward  Form `yaml:"forward"`  // to the PBX
	Carriers Form `yaml:"carriers"` // to carriers
}

// NumberData is the numbering data: that of home.numbering, else the program's.
func (c *Config) NumberData() *number.Data {
	if c.data != nil {
		return c.data
	}
	return number.Builtin()
}

// Plan is how numbers are read.
func (c *Config) Plan() (*number.Plan, error) {
	return number.Compile(c.Home.Number(), c.NumberData())
}

// maxNumbering caps a file of numbering data; the program's own is 160 KiB.
const maxNumbering = 4 << 20

// numbering reads the numbering data that the file names.
func (k *checker) numbering() {
	const at = "home.numbering"
	name := k.c.Home.Numbering
	if name == "" || k.badAt(at) {
		return
	}
	fi, err := k.host.Stat(name)
	var data []byte
	switch {
	case err != nil:
	case fi.IsDir():
		err = errors.New("is a directory")
	case fi.Size() > maxNumbering:
		err = fmt.Errorf("has %d bytes; numbering data has at most %d", fi.Size(), maxNumbering)
	default:
		data, err = k.host.ReadFile(name)
	}
	if err == nil {
		k.c.data, err = number.Load(string(data))
	}
	if err != nil {
		hint := "make it anew, see docs/numbers.md"
		if errors.Is(err, fs.ErrNotExist) {
			hint = "paths are relative to the directory of this file"
		}
		k.problem(at, hint, "home.numbering: %s: %v", name, cause(err))
	}
}

// techPrefixes checks those of a peer beside those of home.
func (k *checker) techPrefixes() {
	plan, err := k.c.Plan()
	if err != nil {
		return // reported
	}
	for i := range k.c.Peers {
		at := fmt.Sprintf("peers[%d].tech_prefixes", i)
		if _, err := plan.With(k.c.Peers[i].TechPrefixes); err != nil && !k.badAt(at) {
			k.problem(at, `such as ["99#", "1234"]`, "peer %s: %v", clip(k.c.Peers[i].Name), err)
		}
	}
}
