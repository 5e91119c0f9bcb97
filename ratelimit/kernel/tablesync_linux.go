package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
)

var nativeEndian = binary.NativeEndian

// A message has room for a thousand elements at least, a transaction for four
// messages: more does not fit the buffers of a socket.
const (
	perMessage     = 500
	perTransaction = 2000
)

// grace is how much longer the kernel holds a ban than it lasts. The gateway
// removes it when it ends; a removal that the kernel came before would fail.
const grace = time.Minute

// Sync implements Engine. The known come first and bans are lifted before others
// are added, so no moment is stricter than both states. When not all of the known
// have room only what drops is taken out: those who are there stay until the end.
func (t *Table) Sync(s State, now time.Time) error {
	s = fit(s, now)
	want := t.want(s)
	if t.broken {
		for _, name := range t.filled() {
			t.conn.FlushSet(t.sets[name])
			t.has[name] = nil
		}
		t.begun = false
		t.emergency(false)
	}
	t.broken = true
	n := 0
	flush := func(more int) error {
		if n += more; n < perTransaction && more > 0 {
			return nil
		}
		n = 0
		return t.conn.Flush()
	}
	names := t.filled()
	if s.partial {
		t.emergency(false)
		names = names[4*len(knowns):]
	}
	for _, name := range names {
		if err := t.bring(name, want[name], now, flush); err != nil {
			return fmt.Errorf("nftables: set %s: %w", name, err)
		}
	}
	if s.Emergency != t.begun {
		t.emergency(s.Emergency)
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t.begun, t.broken = s.Emergency, false
	if s.partial {
		return fmt.Errorf("nftables: %w", ErrFull)
	}
	return nil
}

// filled are the sets that Sync fills, in the order in which it does.
func (t *Table) filled() []string {
	var out []string
	for _, k := range knowns {
		out = append(out, k.addrs+"4", k.addrs+"6", k.networks+"4", k.networks+"6")
	}
	for _, w := range wide {
		out = append(out, w.name)
	}
	return out
}

// want is what each set has to hold.
func (t *Table) want(s State) map[string]map[element]time.Time {
	out := map[string]map[element]time.Time{}
	put := func(name string, e element, until time.Time) {
		if out[name] == nil {
			out[name] = map[element]time.Time{}
		}
		out[name][e] = until
	}
	for i, k := range []Known{s.Known, s.Connected} {
		for _, a := range k.Addrs {
			put(knowns[i].addrs+version(a), element{addr: a}, time.Time{})
		}
		for _, p := range disjoint(k.Networks) {
			put(knowns[i].networks+version(p.Addr()), element{p.Addr(), behind(p)}, time.Time{})
		}
	}
	for _, b := range s.Bans {
		for _, w := range wide {
			if b.Net.Addr().Is6() == w.v6 && b.Net.Bits() == w.bits {
				put(w.name, element{addr: b.Net.Addr()}, b.Until)
			}
		}
	}
	return out
}

func version(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// disjoint leaves out networks that lie in others: the kernel refuses
// intervals that overlap. They are sorted, so a wider one comes first.
func disjoint(ps []netip.Prefix) (out []netip.Prefix) {
	for _, p := range ps {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// behind is the first address after a network; not valid after the last one.
func behind(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last.Next()
}

// bring makes one set hold what it has to.
func (t *Table) bring(name string, want map[element]time.Time, now time.Time, flush func(int) error) error {
	set := t.sets[name]
	if t.has[name] == nil {
		t.has[name] = map[element]time.Time{}
	}
	add, remove := change(t.has[name], want)
	for part := range slices.Chunk(remove, perMessage) {
		if err := t.conn.SetDeleteElements(set, elements(set, part, nil, now)); err != nil {
			return err
		}
		if err := flush(len(part)); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(add, perMessage) {
		if err := t.conn.SetAddElements(set, elements(set, part, want, now)); err != nil {
			return err
		}
		if err := flush(len(part)); err != nil {
			return err
		}
	}
	for _, e := range remove {
		delete(t.has[name], e)
	}
	for _, e := range add {
		t.has[name][e] = want[e]
	}
	return nil
}

func elements(set *nftables.Set, es []element, until map[element]time.Time, now time.Time) (out []nftables.SetElement) {
	for _, e := range es {
		x := nftables.SetElement{Key: e.addr.AsSlice()}
		if at := until[e]; set.HasTimeout && !at.IsZero() {
			x.Timeout = at.Sub(now).Truncate(time.Millisecond) + grace
		}
		out = append(out, x)
		if set.Interval && e.end.IsValid() {
			out = append(out, nftables.SetElement{Key: e.end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}
