package locate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

func ports(hs []host) (out []uint16) {
	for _, h := range hs {
		out = append(out, h.port)
	}
	return out
}

func TestPriorityFirst(t *testing.T) {
	hs := []host{{priority: 20, port: 3}, {priority: 10, weight: 1, port: 1}, {priority: 30, port: 4}, {priority: 10, port: 2}}
	for n, want := range map[int][]uint16{0: {2, 1, 3, 4}, 1: {1, 2, 3, 4}} {
		if got := ports(ordered(hs, func(int) int { return n })); !slices.Equal(got, want) {
			t.Errorf("drawn %d: %v, want %v", n, got, want)
		}
	}
	if hs[0].port != 3 {
		t.Error("the records were put in another order")
	}
}

// TestWeights: each comes first as often as its weight says.
func TestWeights(t *testing.T) {
	hs := []host{{weight: 60, port: 60}, {weight: 30, port: 30}, {weight: 10, port: 10}, {weight: 0, port: 1}}
	r := rand.New(rand.NewPCG(1, 2))
	first := map[uint16]int{}
	const n = 20000
	for range n {
		got := ports(ordered(hs, r.IntN))
		first[got[0]]++
		slices.Sort(got)
		if !slices.Equal(got, []uint16{1, 10, 30, 60}) {
			t.Fatalf("some were lost: %v", got)
		}
	}
	for p, want := range map[uint16]int{60: 60, 30: 30, 10: 10} {
		if got := first[p] * 100 / n; got < want-3 || got > want+3 {
			t.Errorf("weight %d came first in %d %%", p, got)
		}
	}
	if first[1] == 0 || first[1] > n/50 {
		t.Errorf("weight 0 came first %d times of %d", first[1], n)
	}
	same := []host{{port: 1}, {port: 2}, {port: 3}}
	if got := ports(ordered(same, r.IntN)); !slices.Equal(got, []uint16{1, 2, 3}) {
		t.Errorf("without weights %v", got)
	}
}

func TestPointers(t *testing.T) {
	rs := []naptrRecord{
		{10, 20, "s", "SIP+D2T", "tcp.x"},
		{10, 10, "S", "sip+d2u", "udp.x"},
		{5, 1, "s", "SIPS+D2T", "tls.x"},
		{1, 1, "s", "SIP+D2S", "sctp.x"},
		{1, 1, "u", "SIP+D2U", "uri.x"},
		{1, 1, "s", "SIP+D2U", ""},
		{1, 1, "s", "E2U+sip", "enum.x"},
	}
	for _, c := range []struct {
		may  []string
		want []pointer
	}{
		{[]string{"tls", "tcp", "udp"}, []pointer{{"tls", "tls.x"}, {"udp", "udp.x"}, {"tcp", "tcp.x"}}},
		{[]string{"tls"}, []pointer{{"tls", "tls.x"}}},
		{nil, nil},
	} {
		if got := pointers(rs, c.may); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, want %v", c.may, got, c.want)
		}
	}
}

func TestFamilies(t *testing.T) {
	all := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.2"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.3"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("ff02::1")}
	for want, f := range map[string][2]bool{
		"[2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3]": {true, true},
		"[192.0.2.1 192.0.2.2 192.0.2.3]":             {true, false},
		"[2001:db8::1]":                               {false, true},
		"[]":                                          {false, false},
	} {
		if got := fmt.Sprint(families(all, f[0], f[1])); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
