package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
)

// Kernel is what the kernel is asked to drop, so that it costs the gateway
// nothing.
type Kernel struct {
	Nftables    Switch `yaml:"nftables"`
	XDP         XDP    `yaml:"xdp"`
	Emergency   Rate   `yaml:"emergency"`          // drops at the gate that begin one
	Packets     Rate   `yaml:"source_packets"`     // of one stranger in an emergency
	Connections Rate   `yaml:"source_connections"` // likewise
}

// XDP is the program on one interface.
type XDP struct {
	Interface string  `yaml:"interface"` // "": none
	Mode      XDPMode `yaml:"mode"`
}

// On reports whether anything is to be set up in the kernel.
func (k Kernel) On() bool { return k.Nftables != SwitchOff || k.XDP.Interface != "" }

// Switch is off, on, or auto: on where this process may.
type Switch string

// Positions of a switch.
const (
	SwitchAuto Switch = "auto"
	SwitchOn   Switch = "on"
	SwitchOff  Switch = "off"
)

// UnmarshalScalar reads the word.
func (s *Switch) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(s), text, string(SwitchAuto), string(SwitchOn), string(SwitchOff))
}

// XDPMode says where the program runs: in the driver, or behind it.
type XDPMode string

// Modes of XDP. Auto is native where the driver can.
const (
	XDPAuto    XDPMode = "auto"
	XDPNative  XDPMode = "native"
	XDPGeneric XDPMode = "generic"
)

// UnmarshalScalar reads the word.
func (m *XDPMode) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(m), text, string(XDPAuto), string(XDPNative), string(XDPGeneric))
}

// interfaceName: what Linux takes, at most 15 bytes.
var interfaceName = regexp.MustCompile(`^[^/\s:]{1,15}$`)

func (k *checker) kernel() {
	c := k.c.Kernel
	k.between("kernel.emergency", int64(c.Emergency), 10, 10_000_000, "10/s to 10000000/s; it needs nftables or xdp")
	k.between("kernel.source_packets", int64(c.Packets), 1, 100_000, "1/s to 100000/s")
	k.between("kernel.source_connections", int64(c.Connections), 1, 100_000, "1/s to 100000/s")
	name := c.XDP.Interface
	switch {
	case name == "" && k.at.Has("kernel.xdp.mode"):
		k.problem("kernel.xdp.mode", "xdp: {interface: eth0}", "kernel.xdp: a mode without an interface does nothing")
	case name == "":
	case name == "." || name == ".." || !interfaceName.MatchString(name):
		k.problem("kernel.xdp.interface", "the name as ip link shows it, such as eth0", "kernel.xdp.interface: %.20q is no name of an interface", name)
	default:
		if _, err := k.host.Stat(filepath.Join("/sys/class/net", name)); errors.Is(err, fs.ErrNotExist) {
			k.warning("kernel.xdp.interface", "the name as ip link shows it", "kernel.xdp.interface: this machine has no interface %s", name)
		}
	}
	if k.at.Has("kernel.emergency") && !c.On() {
		k.warning("kernel.emergency", "nftables: auto, or xdp with an interface", "kernel.emergency: nothing is set up in the kernel")
	}
}
