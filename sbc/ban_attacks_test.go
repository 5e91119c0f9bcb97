package sbc_test

import (
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// reaches says whether a TLS connection from an address comes about.
func (w *world) reaches(from string) bool {
	w.t.Helper()
	d := cryptotls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second},
		Config: &cryptotls.Config{RootCAs: w.roots, ServerName: domain}}
	c, err := d.DialContext(w.ctx, "tcp", w.tlsAddr.String())
	if err == nil {
		c.Close()
	}
	return err == nil
}

func shutOut(bans *ratelimit.Bans, addr string) {
	bans.Add(call.Ban{Act: call.ActBan, Key: call.Key{Source: call.SourcePrefix(netip.MustParseAddr(addr), false)}, Rule: "x/test", Since: time.Now()}, time.Hour)
}

// A peer is where its name says. Who had that address before and was banned does
// not keep it out, nor is its last address banned as long as it is the peer's.
func TestBanAndAPeerThatMoves(t *testing.T) {
	n := newNames(t)
	n.set(t, "carrier.test. 1 IN A "+publicNet+"81")
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/scanner, on: register, match: {user_agent: sipcli}, then: ban 1h, why: "scanner"}
`, func(c *worldConfig) {
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "carrier", Certificate: "carrier.test", Host: "carrier.test", Port: 5061, Transport: "tls"})
		c.sbc.DNS = []netip.AddrPort{n.addr}
	})
	shutOut(bans, publicNet+"82")
	if w.reaches(publicNet + "82") {
		t.Fatal("who is banned came in")
	}
	eventually(t, "the name leads somewhere", func() bool { return w.gw.InUse(netip.MustParsePrefix(publicNet + "81/32")) })
	if err := w.tries("1002", agent("sipcli/1.8"), at("81")); err == nil {
		t.Error("a scanner at the peer's address was let in")
	}
	if n := len(w.rep.systemsOf(call.SourceBanned)); n != 0 || !w.reaches(publicNet+"81") {
		t.Error("the peer's address was banned")
	}

	n.set(t, "carrier.test. 1 IN A "+publicNet+"82")
	eventually(t, "the peer comes from its new address, banned as it was", func() bool { return w.reaches(publicNet + "82") })
	if err := w.tries("1002", at("82")); err == nil {
		t.Error("somebody else at a banned address registers")
	}
	eventually(t, "its old address is anybody's", func() bool { return !w.gw.InUse(netip.MustParsePrefix(publicNet + "81/32")) })
	w.tries("1002", agent("sipcli/1.8"), at("81"))
	eventually(t, "a scanner there is shut out", func() bool { return !w.reaches(publicNet + "81") })
}

// A ban ends no call: the banned address hangs up, is hung up on, and is then
// shut out.
func TestBanInACall(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, "rules: [{id: x/none, on: message, then: drop}]\n")
	a, b := w.registered("1001", at("60"), tone(440)), w.registered("1002", tone(620))
	for _, first := range []bool{true, false} {
		if err := a.Register(w.ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		c := w.call(a, "1002")
		eventually(t, "a call at both ends", func() bool { return len(b.Answered()) > 0 })
		d := b.Answered()[len(b.Answered())-1]
		if err := a.Register(w.ctx, 0); err != nil {
			t.Fatal(err)
		}
		shutOut(bans, publicNet+"60")
		if err := c.Media.WaitTone(w.ctx, 620); err != nil {
			t.Error("the banned end hears nothing: ", err)
		}
		if first {
			if err := c.Bye(w.ctx); err != nil {
				t.Error("the banned end cannot hang up: ", err)
			}
		} else {
			if err := d.Bye(w.ctx); err != nil {
				t.Error("nobody can hang up on the banned end: ", err)
			}
			if err := c.WaitEnd(w.ctx); err != nil {
				t.Error("the banned end was not told: ", err)
			}
		}
		w.quiet()
		eventually(t, "it is shut out then", func() bool { return !w.reaches(publicNet + "60") })
		bans.Remove(call.ActBan, call.Key{Source: call.SourcePrefix(netip.MustParseAddr(publicNet+"60"), false)}, time.Now())
	}
}

// The right password clears what was failed before it, for that user.
func TestSuccessClearsTheScore(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `limits:
  - {id: x/failures, on: register, key: [source.ip, register.user], failures: 3, over: 5m, then: ban}
`)
	wrong := func(c *siptest.PhoneConfig) { c.Password = "wrong" }
	for range 3 {
		w.tries("1001", wrong, at("72"))
		w.tries("1001", wrong, at("72"))
		if err := w.tries("1001", at("72")); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := bans.Count(time.Now()); n != 0 {
		t.Errorf("%d bans", n)
	}
	for range 4 {
		w.tries("1001", wrong, at("73"))
	}
	if n, _ := bans.Count(time.Now()); n != 1 {
		t.Errorf("%d bans of one that only guesses", n)
	}
}

// inOwnNetwork runs the test again in a network namespace of its own, where every
// address of fd66::/32 is here, and says whether this is that run.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv("RAMPART_TEST_NETWORK") != "" {
		return true
	}
	args := []string{"--net"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, "sh", "-ec", `ip link set lo up
ip -6 route add local fd66::/32 dev lo
echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind
exec "$0" -test.run "^$1\$" -test.v`, os.Args[0], t.Name())...)
	cmd.Env = append(os.Environ(), "RAMPART_TEST_NETWORK=own")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

// Whoever has a /64, as every IPv6 host has, has one address as far as bans go;
// who has a /48 is found by limits per network.
func TestBanOfRotatingAddresses(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	pub := netip.MustParseAddr("fd66:0:ffff::1")
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `limits:
  - {id: x/host, on: register, match: {stranger: true}, key: [source.ip], failures: 5, over: 5m, then: ban}
  - {id: x/net, on: register, match: {stranger: true}, key: [source.net], failures: 20, over: 5m, then: ban}
`, families(t, pub, netip.MustParseAddr(insideNet+"1")))
	wrong := func(c *siptest.PhoneConfig) { c.Password = "wrong" }
	from := func(site, net, host int) func(*siptest.PhoneConfig) {
		return func(c *siptest.PhoneConfig) {
			c.Local = netip.MustParseAddr(fmt.Sprintf("fd66:0:%x:%x::%x", site, net, host))
		}
	}
	for i := range 6 {
		w.tries("1001", wrong, from(1, 1, i+1))
	}
	if l := bans.List(time.Now()); len(l) != 1 || l[0].Key.Source.String() != "fd66:0:1:1::/64" {
		t.Fatalf("bans: %+v", l)
	}
	if w.reaches("fd66:0:1:1:dead:beef::7") {
		t.Error("another address of the /64 came in")
	}
	if err := w.tries("1002", from(1, 2, 1)); err != nil {
		t.Error("a neighbour: ", err)
	}
	for site := 1; site <= 2; site++ { // few from each /64, but many from the /48
		for i := range 21 {
			w.tries("1003", wrong, from(site, 0x100+i/4, i+1))
		}
	}
	if !w.reaches("fd66:0:1:9::1") {
		t.Error("a /48 with a registered phone in it was banned")
	}
	if w.reaches("fd66:0:2:9::1") || !w.reaches("fd66:0:3::1") {
		t.Errorf("the /48 is not out, or its neighbour is: %+v", bans.List(time.Now()))
	}
}
