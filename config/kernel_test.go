package config

import (
	"strings"
	"testing"
)

func TestKernel(t *testing.T) {
	for src, want := range map[string]string{
		"{nftables: auto, emergency: 5000/s, source_packets: 30/s, source_connections: 3/s}": "",
		"{nftables: \"on\"}":                     "",
		"{nftables: offf}":                       `"offf" is not one of auto, on, off; did you mean off?`,
		"{emergency: 1/s, nftables: auto}":       "kernel.emergency must be 10/s to 10000000/s; it needs nftables or xdp",
		"{emergency: 100/s}":                     "kernel.emergency: nothing is set up in the kernel",
		"{source_packets: 1/m}":                  "kernel.source_packets must be 1/s to 100000/s",
		"{source_connections: 1000000/s}":        "kernel.source_connections must be 1/s to 100000/s",
		"{xdp: {mode: native}}":                  "kernel.xdp: a mode without an interface does nothing",
		"{xdp: {interface: eth0, mode: driver}}": "is not one of auto, native, generic",
		"{xdp: {interface: ../eth0}}":            `kernel.xdp.interface: "../eth0" is no name of an interface`,
		"{xdp: {interface: eth77}}":              "kernel.xdp.interface: this machine has no interface eth77",
	} {
		_, ps := Parse("/etc/rampart/rampart.yaml", []byte(base+"kernel: "+src), fakeHost(exampleFiles()))
		var got []string
		for _, p := range ps {
			got = append(got, p.Message)
		}
		if s := strings.Join(got, "\n"); want == "" && s != "" || !strings.Contains(s, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", src, s, want)
		}
	}
	c, _ := Parse("/etc/rampart/rampart.yaml", []byte(base), fakeHost(exampleFiles()))
	if c.Kernel.On() {
		t.Error("nobody asked for anything in the kernel")
	}
}
