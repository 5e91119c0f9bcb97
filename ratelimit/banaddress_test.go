package ratelimit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// Only what is about an address alone is one, and only while it lasts.
func TestAddresses(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	now := time.Unix(1e9, 0)
	one, net := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8:1:2::/64")
	for k, last := range map[call.Key]time.Duration{{Source: one}: time.Hour, {Source: net}: 2 * time.Hour, {Source: one, RegisterUser: "1001"}: time.Hour, {User: "1001"}: time.Hour} {
		b.Add(call.Ban{Act: call.ActBan, Key: k, Since: now}, last)
	}
	b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1002"}, Since: now}, time.Hour)
	at := func(after time.Duration) map[netip.Prefix]time.Time {
		got := map[netip.Prefix]time.Time{}
		b.Addresses(now.Add(after), func(p netip.Prefix, until time.Time) { got[p] = until })
		return got
	}
	if got := at(0); len(got) != 2 || !got[one].Equal(now.Add(time.Hour)) || !got[net].Equal(now.Add(2*time.Hour)) {
		t.Errorf("%v", got)
	}
	if got := at(time.Hour); len(got) != 1 || got[net].IsZero() {
		t.Errorf("after an hour: %v", got)
	}
}
