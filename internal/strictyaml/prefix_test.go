package strictyaml

import (
	"net/netip"
	"testing"
)

// TestOneHostIsANetwork: an address stands for the network of that host.
func TestOneHostIsANetwork(t *testing.T) {
	var out struct {
		IP []netip.Prefix `yaml:"ip"`
	}
	ps := Decode("f", []byte("ip: [198.51.100.7, \"2001:db8::7\", \"::ffff:198.51.100.8\", 198.51.100.0/24]\n"), &out)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	for i, want := range []string{"198.51.100.7/32", "2001:db8::7/128", "198.51.100.8/32", "198.51.100.0/24"} {
		if out.IP[i].String() != want {
			t.Errorf("%d: %s, want %s", i, out.IP[i], want)
		}
	}
	if ps := Decode("f", []byte("ip: [198.51.100.7/]\n"), &out); len(ps) == 0 {
		t.Error("half a network was taken")
	}
}
