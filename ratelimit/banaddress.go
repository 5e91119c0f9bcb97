package ratelimit

import (
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Addresses yields the addresses and networks that are shut out by themselves,
// in no order, for those who drop their packets earlier still. The table is
// locked meanwhile.
func (b *Bans) Addresses(now time.Time, yield func(net netip.Prefix, until time.Time)) {
	if b.addrs.Load() == 0 {
		return
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for k, e := range b.by {
		if s := k.key.Shape(); k.act == call.ActBan && s != 0 && s&^(call.ShapeIP|call.ShapeNet) == 0 && now.Before(e.Until) {
			yield(k.key.Source, e.Until)
		}
	}
}
