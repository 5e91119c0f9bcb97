package ratelimit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// fullBans is a table without room: as many addresses of strangers as it
// takes, and as many bans by hand, of addresses and networks.
func fullBans(tb testing.TB) *ratelimit.Bans {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	at := func(n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	for i := range uint32(65_536) {
		b.Add(call.Ban{Act: call.ActBan, Key: call.Key{Source: call.SourcePrefix(at(10<<24+i), false)}, Since: start}, time.Hour)
	}
	for i := range uint32(16_384) {
		b.Add(call.Ban{Act: call.ActBan, Manual: true, Key: call.Key{Source: call.SourcePrefix(at(172<<24+i<<8), i%2 == 0)}, Since: start}, time.Hour)
	}
	if bans, _ := b.Count(start); bans != 65_536+16_384 {
		tb.Fatalf("%d bans", bans)
	}
	return b
}

func TestShutAllocs(t *testing.T) {
	b := fullBans(t)
	in, out := netip.MustParseAddr("10.0.3.4"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(1000, func() {
		if !b.Shut(in, start) || b.Shut(out, start) {
			t.Error("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkShutFull(b *testing.B) {
	bans := fullBans(b)
	for name, a := range map[string]netip.Addr{"banned": netip.MustParseAddr("10.0.3.4"), "stranger": netip.MustParseAddr("203.0.113.9"), "v6": netip.MustParseAddr("2001:db8::1")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bans.Shut(a, start)
			}
		})
	}
}
