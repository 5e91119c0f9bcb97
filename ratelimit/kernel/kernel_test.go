package kernel_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

var ports = []kernel.Port{{Transport: "udp", Addr: netip.MustParseAddrPort("[::]:5060")}, {Transport: "tls", Addr: netip.MustParseAddrPort("[::]:5061")}}

var budget = kernel.Budget{Packets: 5, Connections: 2}

// engines are all ways to drop, with the same demands on each.
var engines = map[string]func() (kernel.Engine, error){
	"nftables":    func() (kernel.Engine, error) { return kernel.OpenTable("rampart", ports, budget) },
	"xdp native":  func() (kernel.Engine, error) { return kernel.OpenXDP("eth0", kernel.Native, ports, budget) },
	"xdp generic": func() (kernel.Engine, error) { return kernel.OpenXDP("eth0", kernel.Generic, ports, budget) },
}

// bench is one engine on a wire.
type bench struct {
	*wire
	e kernel.Engine
	c *net.UDPConn
}

func each(t *testing.T, f func(t *testing.T, b bench)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			b := bench{wire: w, c: w.listen(5060)}
			var err error
			w.in(w.host, func() { b.e, err = open() })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.e.Close() })
			f(t, b)
		})
	}
}

func (b bench) sync(s kernel.State) {
	b.t.Helper()
	var err error
	b.in(b.host, func() { err = b.e.Sync(s, time.Now()) })
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) count(cause string) (n uint64) {
	b.t.Helper()
	var all []kernel.Count
	var err error
	b.in(b.host, func() { all, err = b.e.Stats() })
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range all {
		if c.Cause == cause {
			return c.Packets
		}
	}
	b.t.Fatalf("%s counts no %s: %v", b.e.Name(), cause, all)
	return 0
}

// dropped sends from an address and waits until the kernel dropped it.
func (b bench) dropped(from, cause string) {
	b.t.Helper()
	was := b.count(cause)
	b.send(from, 5060, 1, "REGISTER sip:x SIP/2.0")
	eventually(b.t, from+" is dropped", func() bool { return b.count(cause) == was+1 })
}

// arrives sends from an address and waits until it is here, and nothing else.
func (b bench) arrives(from string) {
	b.t.Helper()
	mark := fmt.Sprint("OPTIONS of ", from)
	b.send(from, 5060, 1, mark)
	if got := read(b.t, b.c, mark); len(got) > 0 {
		b.t.Fatalf("came through as well: %q", got)
	}
}

func ban(net string, d time.Duration) kernel.Ban {
	return kernel.Ban{Net: netip.MustParsePrefix(net), Until: time.Now().Add(d)}
}

func TestBans(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.arrives("10.78.0.5")
		bans := []kernel.Ban{ban("10.78.0.5/32", time.Hour), ban("10.78.9.0/24", time.Hour), ban("fd78:0:0:7::/64", time.Hour), ban("fd78:0:9::/48", time.Hour)}
		b.sync(kernel.State{Bans: bans})
		for _, from := range []string{"10.78.0.5", "10.78.9.77", "fd78:0:0:7::1", "fd78:0:0:7:1:2:3:4", "fd78:0:9:5::1"} {
			b.dropped(from, kernel.Banned)
		}
		for _, from := range []string{"10.78.0.6", "10.78.8.77", "fd78:0:0:8::1", "fd78:0:8:5::1"} {
			b.arrives(from)
		}
		b.sync(kernel.State{Bans: bans[1:]})
		b.arrives("10.78.0.5")
		b.dropped("10.78.9.1", kernel.Banned)
		// A ban is renewed, and ends.
		b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.9.0/24", 2*time.Hour)}})
		b.dropped("10.78.9.1", kernel.Banned)
		b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.9.0/24", -time.Second)}})
		b.arrives("10.78.9.1")
		b.arrives("fd78:0:0:7::1")
	})
}

func TestKnownAreNeverDropped(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		s := kernel.State{Emergency: true, Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour), ban("fd78:0:0:7::/64", time.Hour)},
			Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5"), netip.MustParseAddr("fd78:0:0:7::5")}, Networks: []netip.Prefix{netip.MustParsePrefix("10.78.0.128/25"), netip.MustParsePrefix("10.78.0.130/32"), netip.MustParsePrefix("fd78:0:0:7:1::/80")}}}
		b.sync(s)
		for _, from := range []string{"10.78.0.6", "fd78:0:0:7::6"} {
			b.dropped(from, kernel.Banned)
		}
		for _, from := range []string{"10.78.0.5", "10.78.0.200", "10.78.0.130", "fd78:0:0:7::5", "fd78:0:0:7:1::9"} {
			b.send(from, 5060, 100, "OPTIONS")
			b.send(from, 5060, 1, "LAST")
			if got := read(t, b.c, "LAST"); len(got) != 100 {
				t.Errorf("%d of 100 from %s", len(got), from)
			}
		}
		// Keep-alives of phones are no SIP messages.
		b.send("10.78.0.5", 5060, 1, "\r\n\r\n")
		read(t, b.c, "\r\n\r\n")
		// Who is known no longer is banned again.
		s.Known.Addrs = nil
		b.sync(s)
		b.dropped("10.78.0.5", kernel.Banned)
		b.arrives("10.78.0.200")
	})
}

func TestOtherPortsAreLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		media := b.listen(20000)
		b.sync(kernel.State{Emergency: true, Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour)}})
		b.dropped("10.78.0.1", kernel.Banned)
		b.send("10.78.0.1", 20000, 50, "\x80audio")
		b.send("10.78.0.1", 20000, 1, "\x80last")
		if got := read(t, media, "\x80last"); len(got) != 50 {
			t.Errorf("%d of 50 media packets", len(got))
		}
	})
}

// In an emergency each stranger has a budget; an IPv6 one is its /64.
func TestEmergencyBudgets(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.sync(kernel.State{})
		b.send("10.78.1.1", 5060, 200, "INVITE")
		b.send("10.78.1.1", 5060, 1, "LAST")
		if got := read(t, b.c, "LAST"); len(got) != 200 {
			t.Fatalf("%d of 200 while there is no emergency", len(got))
		}
		b.sync(kernel.State{Emergency: true, Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5")}}})
		begun := time.Now()
		b.send("10.78.1.1", 5060, 500, "INVITE 1")
		for i := range 5 { // one source: the lower half of its address is its own choice
			b.send(fmt.Sprintf("fd78:0:0:7::%d", 1+i), 5060, 100, "INVITE 2")
		}
		eventually(t, "both are over their budget", func() bool { return b.count(kernel.Rate) > 500 })
		var got []string
		for i := range 5 { // others have their own
			got = append(got, b.arrivesAmong(fmt.Sprintf("10.78.2.%d", 1+i))...)
		}
		b.send("10.78.0.5", 5060, 1, "LAST")
		seen := map[string]int{}
		for _, text := range append(got, read(t, b.c, "LAST")...) {
			seen[text]++
		}
		most := 4*budget.Packets + 1 + int(time.Since(begun).Seconds()+1)*budget.Packets
		for text, n := range seen {
			if n > most {
				t.Errorf("%q: %d got through, want %d at most", text, n, most)
			}
		}
		if len(seen) != 2 {
			t.Errorf("of two sources %v got through", seen)
		}
		b.sync(kernel.State{})
		b.arrives("10.78.1.1")
	})
}

// arrivesAmong: it comes through, whatever else does.
func (b bench) arrivesAmong(from string) []string {
	b.t.Helper()
	mark := fmt.Sprint("OPTIONS of ", from)
	b.send(from, 5060, 1, mark)
	return read(b.t, b.c, mark)
}

// A source that opens connections faster than it may gets no answer for a
// while; connections that are up are not touched.
func TestEmergencyConnections(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		l := b.echo(5061)
		defer l.Close()
		dial := func(from string) (net.Conn, error) { return b.dial(from, 5061, 300*time.Millisecond) }
		up, err := dial("10.78.1.1")
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		b.sync(kernel.State{Emergency: true})
		for i := 0; b.count(kernel.Connections) == 0; i++ {
			if i > 1000 {
				t.Fatal("a thousand connections of one stranger in a row")
			}
			if c, err := dial("10.78.1.1"); err == nil {
				c.Close()
			}
		}
		for range 50 {
			up.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := up.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := up.Read(make([]byte, 100)); err != nil {
				t.Fatalf("the connection that was up: %v", err)
			}
		}
	})
}

// Who is known by connections alone is never dropped over TCP, and is a stranger
// to datagrams. A wider network that is known altogether is not narrowed by it.
func TestKnownByConnections(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		l := b.echo(5061)
		defer l.Close()
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
		b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour), ban("10.78.1.0/24", time.Hour)},
			Known:     kernel.Known{Networks: nets("10.78.0.64/26"), Addrs: addrs("10.78.0.7")},
			Connected: kernel.Known{Networks: nets("10.78.0.96/27", "10.78.1.0/25"), Addrs: addrs("10.78.0.5", "10.78.0.7")}})
		for _, from := range []string{"10.78.0.5", "10.78.1.9"} {
			b.dropped(from, kernel.Banned)
			c, err := b.dial(from, 5061, 20*time.Second)
			if err != nil {
				t.Fatalf("a connection from %s: %v", from, err)
			}
			c.Close()
		}
		for _, from := range []string{"10.78.0.7", "10.78.0.65", "10.78.0.97"} {
			b.arrives(from)
			c, err := b.dial(from, 5061, 20*time.Second)
			if err != nil {
				t.Fatalf("a connection from %s: %v", from, err)
			}
			c.Close()
		}
		if c, err := b.dial("10.78.0.8", 5061, 300*time.Millisecond); err == nil {
			c.Close()
			t.Error("a connection of the banned")
		}
	})
}

// A ban is about the gateway's ports alone, also where the one who looks after
// the host is in the network that was banned.
func TestBannedNetworkReachesOtherServices(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ssh := b.echo(22)
		defer ssh.Close()
		b.sync(kernel.State{Emergency: true, Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour)}})
		b.dropped("10.78.0.9", kernel.Banned)
		for range 20 {
			c, err := b.dial("10.78.0.9", 22, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	})
}

// Two gateways of one host have the same ports on different addresses: what one
// bans reaches the other.
func TestOtherGatewayOfTheHost(t *testing.T) {
	const other4, other6 = "10.77.0.3", "fd77::3"
	mine := []kernel.Port{{Transport: "udp", Addr: netip.MustParseAddrPort(here4 + ":5060")}, {Transport: "udp", Addr: netip.MustParseAddrPort("[" + here6 + "]:5060")}}
	for name, open := range map[string]func() (kernel.Engine, error){
		"nftables": func() (kernel.Engine, error) { return kernel.OpenTable("rampart", mine, budget) },
		"xdp":      func() (kernel.Engine, error) { return kernel.OpenXDP("eth0", kernel.Native, mine, budget) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.ip("-n " + w.host + " addr add " + other4 + "/24 dev eth0")
			w.ip("-n " + w.host + " addr add " + other6 + "/64 dev eth0 nodad")
			w.ip("-n " + w.outside + " neigh add " + other4 + " lladdr 02:00:00:00:00:01 dev eth0")
			w.ip("-n " + w.outside + " neigh add " + other6 + " lladdr 02:00:00:00:00:01 dev eth0")
			b := bench{wire: w, c: w.listen(5060)} // on all addresses
			var err error
			w.in(w.host, func() { b.e, err = open() })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.e.Close() })
			b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour), ban("fd78:0:0:7::/64", time.Hour)}})
			b.dropped("10.78.0.5", kernel.Banned)
			b.dropped("fd78:0:0:7::5", kernel.Banned)
			for from, to := range map[string]string{"10.78.0.5": other4, "fd78:0:0:7::5": other6} {
				b.sendTo(from, to, 5060, 1, "OPTIONS of "+from)
				if got := read(t, b.c, "OPTIONS of "+from); len(got) > 0 {
					t.Errorf("came through as well: %q", got)
				}
			}
		})
	}
}

// echo listens on the gateway's host and sends back what comes.
func (w *wire) echo(port int) net.Listener {
	w.t.Helper()
	var l net.Listener
	var err error
	w.in(w.host, func() { l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port)) })
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 100)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					c.Write(buf[:n])
				}
			}()
		}
	}()
	return l
}

// dial connects from an address outside.
func (w *wire) dial(from string, port int, patience time.Duration) (c net.Conn, err error) {
	w.t.Helper()
	w.in(w.outside, func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		c, err = d.Dial("tcp", net.JoinHostPort(here4, fmt.Sprint(port)))
	})
	return c, err
}
