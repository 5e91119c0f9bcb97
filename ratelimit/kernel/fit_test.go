package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// many are n addresses, the first is 10.0.0.0.
func many(n int) (out []netip.Addr) {
	for i := range n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(10<<24+i))
		out = append(out, netip.AddrFrom4(b))
	}
	return out
}

func single(as []netip.Addr) (out []netip.Prefix) {
	for _, a := range as {
		out = append(out, netip.PrefixFrom(a, 32))
	}
	return out
}

func TestFitIsCanonical(t *testing.T) {
	addrs := func(as ...string) (out []netip.Addr) {
		for _, a := range as {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	nets := func(ps ...string) (out []netip.Prefix) {
		for _, p := range ps {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	now := time.Unix(1e9, 0)
	got := fit(State{
		Known:     Known{Addrs: append(addrs("192.0.2.2", "::ffff:192.0.2.1", "192.0.2.2", "fe80::1%eth0"), netip.Addr{}), Networks: nets("::ffff:192.0.2.9/120", "192.0.2.0/24")},
		Connected: Known{Addrs: addrs("192.0.2.3", "::ffff:192.0.2.2"), Networks: nets("192.0.2.77/24", "2001:db8::1/32")},
		Bans: []Ban{{netip.MustParsePrefix("198.51.100.9/24"), now.Add(time.Second)}, {netip.MustParsePrefix("198.51.100.1/32"), now},
			{netip.Prefix{}, now.Add(time.Hour)}, {netip.MustParsePrefix("203.0.113.1/32"), now.Add(time.Minute)}}}, now)
	if want := addrs("192.0.2.1", "192.0.2.2", "fe80::1"); !slices.Equal(got.Known.Addrs, want) {
		t.Errorf("known %v, want %v", got.Known.Addrs, want)
	}
	if want := nets("192.0.2.0/24"); !slices.Equal(got.Known.Networks, want) {
		t.Errorf("networks %v, want %v", got.Known.Networks, want)
	}
	if want := addrs("192.0.2.3"); !slices.Equal(got.Connected.Addrs, want) {
		t.Errorf("connected %v, want %v", got.Connected.Addrs, want)
	}
	if want := nets("2001:db8::/32"); !slices.Equal(got.Connected.Networks, want) {
		t.Errorf("connected networks %v, want %v", got.Connected.Networks, want)
	}
	if len(got.Bans) != 2 || got.Bans[0].Net.String() != "198.51.100.0/24" || got.Bans[1].Net.String() != "203.0.113.1/32" {
		t.Errorf("bans %v", got.Bans)
	}
}

// Who is known is never dropped for lack of room: while not all of them have
// room, nothing is dropped.
func TestFitCapsTheKnown(t *testing.T) {
	now := time.Unix(1e9, 0)
	bans := []Ban{{netip.MustParsePrefix("198.51.100.0/24"), now.Add(time.Hour)}}
	for name, c := range map[string]struct {
		s    State
		full bool
	}{
		"as many as fit":           {State{Known: Known{Addrs: many(MaxKnown)}}, false},
		"one more":                 {State{Known: Known{Addrs: many(MaxKnown + 1)}}, true},
		"connected":                {State{Connected: Known{Addrs: many(MaxKnown + 1)}}, true},
		"both together":            {State{Known: Known{Addrs: many(1)}, Connected: Known{Addrs: many(MaxKnown + 1)[1:]}}, true},
		"the same twice":           {State{Known: Known{Addrs: many(MaxKnown)}, Connected: Known{Addrs: many(MaxKnown)}}, false},
		"networks":                 {State{Known: Known{Networks: single(many(MaxNetworks))}}, false},
		"a network more":           {State{Known: Known{Networks: single(many(MaxNetworks))}, Connected: Known{Networks: single(many(MaxNetworks + 1)[MaxNetworks:])}}, true},
		"the same networks, twice": {State{Known: Known{Networks: single(many(MaxNetworks))}, Connected: Known{Networks: single(many(MaxNetworks))}}, false},
	} {
		c.s.Bans, c.s.Emergency = bans, true
		got := fit(c.s, now)
		if got.partial != c.full || got.Emergency == c.full || len(got.Bans) == 0 != c.full {
			t.Errorf("%s: partial %v, emergency %v, %d bans", name, got.partial, got.Emergency, len(got.Bans))
		}
	}
}

// Of bans those that last longest are held.
func TestFitCapsBans(t *testing.T) {
	now := time.Unix(1e9, 0)
	var s State
	for i, a := range many(MaxBans + 10) {
		s.Bans = append(s.Bans, Ban{netip.PrefixFrom(a, 32), now.Add(time.Duration(1+i) * time.Second)})
	}
	got := fit(s, now)
	if len(got.Bans) != MaxBans {
		t.Fatalf("%d bans, want %d", len(got.Bans), MaxBans)
	}
	if last := got.Bans[MaxBans-1]; last.Until != now.Add(11*time.Second) {
		t.Errorf("the shortest ban that is held ends at %v", last.Until)
	}
}

// The maps of the program have the room that the caps promise, and a state over
// the caps leaves nothing in force: also what was before.
func TestFullDropsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("programs are loaded as root only")
	}
	x := loaded(t, []Port{{"udp", netip.MustParseAddrPort("192.0.2.1:5060")}})
	for name, want := range map[string]uint32{"known": MaxKnown, "peers": MaxNetworks, "banned": MaxBans, "budgets": MaxSources} {
		if got := x.coll.Maps[name].MaxEntries(); got != want {
			t.Errorf("%s has room for %d, want %d", name, got, want)
		}
	}
	banned := frame{from: "198.51.100.9", to: "192.0.2.1", proto: 17, port: 5060, payload: "INVITE"}.bytes()
	junk := frame{from: "203.0.113.9", to: "192.0.2.1", proto: 17, port: 5060, payload: "\x00"}.bytes()
	const drop, pass = 1, 2
	expect := func(when string, want uint32) {
		t.Helper()
		for what, b := range map[string][]byte{"banned": banned, "junk": junk} {
			if got := run(t, x, b); got != want {
				t.Errorf("%s, %s: %d, want %d", when, what, got, want)
			}
		}
	}
	now := time.Now()
	s := State{Bans: []Ban{{netip.MustParsePrefix("198.51.100.0/24"), now.Add(time.Hour)}}}
	expect("before it knows anybody", pass)
	if err := x.Sync(s, now); err != nil {
		t.Fatal(err)
	}
	expect("in force", drop)
	s.Connected.Addrs = many(MaxKnown + 1)
	for range 2 {
		if err := x.Sync(s, now); !errors.Is(err, ErrFull) {
			t.Fatalf("over the cap: %v", err)
		}
		expect("over the cap", pass)
	}
	s.Connected.Addrs = nil
	if err := x.Sync(s, now); err != nil {
		t.Fatal(err)
	}
	expect("in force again", drop)
}
