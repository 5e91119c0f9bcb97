package kernel_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wire is two network namespaces with a cable between them: the gateway's
// host, and outside, which has every address of 10.78.0.0/16 and fd78::/32.
type wire struct {
	t             testing.TB
	host, outside string
}

const (
	here4 = "10.77.0.1"
	here6 = "fd77::1"
)

var wires atomic.Int32

func newWire(t testing.TB) *wire {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the kernel's tables are tested as root, in network namespaces of the test's own")
	}
	base := fmt.Sprintf("rk%d-%d", os.Getpid(), wires.Add(1))
	w := &wire{t, base + "h", base + "o"}
	t.Cleanup(func() {
		for _, n := range []string{w.host, w.outside} {
			exec.Command("ip", "netns", "del", n).Run()
		}
	})
	w.ip("netns add " + w.host)
	w.ip("netns add " + w.outside)
	w.ip("-n " + w.host + " link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns " + w.outside)
	for ns, a := range map[string][2]string{w.host: {here4, here6}, w.outside: {"10.77.0.2", "fd77::2"}} {
		w.ip("-n " + ns + " link set lo up")
		w.ip("-n " + ns + " link set eth0 up")
		w.ip("-n " + ns + " addr add " + a[0] + "/24 dev eth0")
		w.ip("-n " + ns + " addr add " + a[1] + "/64 dev eth0 nodad")
	}
	// Nobody has to ask who is there: that takes seconds with IPv6.
	w.ip("-n " + w.host + " neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev eth0")
	w.ip("-n " + w.host + " neigh add fd77::2 lladdr 02:00:00:00:00:02 dev eth0")
	w.ip("-n " + w.outside + " neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0")
	w.ip("-n " + w.outside + " neigh add fd77::1 lladdr 02:00:00:00:00:01 dev eth0")
	w.ip("-n " + w.host + " route add 10.78.0.0/16 via 10.77.0.2")
	w.ip("-n " + w.host + " route add fd78::/32 via fd77::2")
	w.ip("-n " + w.outside + " route add local 10.78.0.0/16 dev lo")
	w.ip("-n " + w.outside + " route add local fd78::/32 dev lo")
	var err error
	w.in(w.outside, func() { err = os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) ip(args string) {
	w.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// in runs f in a namespace. Sockets that f opens stay in it.
func (w *wire) in(ns string, f func()) {
	w.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		w.t.Fatalf("namespace %s: %v", ns, err)
	}
}

// listen opens the gateway's UDP port on all addresses.
func (w *wire) listen(port uint16) *net.UDPConn {
	w.t.Helper()
	var c *net.UDPConn
	var err error
	w.in(w.host, func() { c, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)}) })
	if err != nil {
		w.t.Fatal(err)
	}
	c.SetReadBuffer(4 << 20)
	w.t.Cleanup(func() { c.Close() })
	return c
}

// send sends datagrams from an address outside.
func (w *wire) send(from string, port uint16, n int, text string) {
	w.t.Helper()
	to := here4
	if netip.MustParseAddr(from).Is6() {
		to = here6
	}
	w.sendTo(from, to, port, n, text)
}

func (w *wire) sendTo(from, to string, port uint16, n int, text string) {
	w.t.Helper()
	src, dst := netip.MustParseAddr(from), netip.MustParseAddr(to)
	var err error
	w.in(w.outside, func() {
		var c *net.UDPConn
		if c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, port))); err != nil {
			return
		}
		defer c.Close()
		for range n {
			if _, err = c.Write([]byte(text)); err != nil {
				return
			}
		}
	})
	if err != nil {
		w.t.Fatalf("from %s: %v", from, err)
	}
}

// read takes the datagrams that are there and those of the time after, until
// one has the text.
func read(t testing.TB, c *net.UDPConn, until string) (texts []string) {
	t.Helper()
	b := make([]byte, 2048)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("waiting for %q after %d others: %v", until, len(texts), err)
		}
		if string(b[:n]) == until {
			return texts
		}
		texts = append(texts, string(b[:n]))
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}
