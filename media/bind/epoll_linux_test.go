package bind

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func epoll(t *testing.T, dscp int) *Epoll {
	t.Helper()
	return engine(t, New, dscp).(*Epoll)
}

// TestEpollDSCP: the mark is in the headers of both families.
func TestEpollDSCP(t *testing.T) {
	for ip, opt := range map[string][2]int{
		"127.0.0.1": {unix.IPPROTO_IP, unix.IP_TOS}, "::1": {unix.IPPROTO_IPV6, unix.IPV6_TCLASS}} {
		s, err := epoll(t, 46).Listen(free(t, ip), newSink())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unix.GetsockoptInt(s.(*epollSocket).fd, opt[0], opt[1]); err != nil || got != 46<<2 {
			t.Errorf("%s: %d, %v", ip, got, err)
		}
	}
}

// TestEpollSend: what cannot be sent is an error and nothing else.
func TestEpollSend(t *testing.T) {
	e := epoll(t, 0)
	s4, err := e.Listen(free(t, "127.0.0.1"), newSink())
	if err != nil {
		t.Fatal(err)
	}
	s6, err := e.Listen(free(t, "::1"), newSink())
	if err != nil {
		t.Fatal(err)
	}
	e.Do(func() {
		for _, c := range []struct {
			s    Socket
			to   string
			size int
			want error
		}{
			{s4, "[::1]:4000", 9, unix.EAFNOSUPPORT},
			{s6, "127.0.0.1:4000", 9, unix.EAFNOSUPPORT},
			{s6, "[::ffff:127.0.0.1]:4000", 9, unix.EAFNOSUPPORT},
			{s4, "127.0.0.1:4000", 70000, unix.EMSGSIZE},
			{s4, "[::ffff:127.0.0.1]:4000", 9, nil},
			{s4, "127.0.0.1:1", 9, nil}, // nobody there: UDP does not know
			{s4, "127.0.0.1:1", 9, nil},
			{s6, "[::1]:1", 9, nil},
		} {
			if err := c.s.Send(make([]byte, c.size), netip.MustParseAddrPort(c.to)); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.to, err, c.want)
			}
		}
		if err := s4.Send([]byte("x"), netip.AddrPort{}); err == nil {
			t.Error("sent to nowhere")
		}
	})
}

// TestEpollPendingError: an ICMP answer to an earlier packet, which the
// kernel keeps for a connected socket, neither loses the next packet nor
// stops the port.
func TestEpollPendingError(t *testing.T) {
	e, got := epoll(t, 0), newSink()
	a, b := free(t, "127.0.0.1"), free(t, "127.0.0.1")
	s, err := e.Listen(a, got)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(s.(*epollSocket).fd, &unix.SockaddrInet4{Port: int(b.Port()), Addr: b.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	e.Do(func() {
		for i := range 5 { // loopback: each answer is there before the next
			if err := s.Send([]byte("x"), b); err != nil {
				t.Errorf("packet %d: %v", i, err)
			}
		}
	})
	peer, err := e.Listen(b, newSink())
	if err != nil {
		t.Fatal(err)
	}
	e.Do(func() { err = peer.Send([]byte("y"), a) })
	if err != nil {
		t.Error(err)
	}
	select {
	case g := <-got.ch:
		if g.data != "y" {
			t.Errorf("%+v", g)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("lost")
	}
}

// TestPace: naps begin with a crowded wake-up or by trial, go on while they
// pay, and end when they do not.
func TestPace(t *testing.T) {
	var p pace
	step := func(got int, want bool) {
		t.Helper()
		if p.next(got); p.napping != want {
			t.Fatalf("after %d packets napping is %t", got, p.napping)
		}
	}
	for range 3 {
		step(epollFew, false)
		step(epollFew+1, true)
		for range napSpan { // a packet every other tick, two in the rest
			step(0, true)
			step(2, true)
		}
		for range napSpan - 1 { // one too few
			step(1, true)
		}
		step(0, false)
		for range napTrial - 1 {
			step(1, false)
		}
		step(1, true) // the trial
		step(napSpan-1, true)
		for range napSpan - 2 {
			step(0, true)
		}
		step(0, false)
	}
}

// TestEpollFair: a socket with a flood in its buffer does not keep the others
// from their turn, and a batch is bounded however many there are.
func TestEpollFair(t *testing.T) {
	e := epoll(t, 0)
	flood, others, before, last := 0, 0, 0, 0
	hot := free(t, "127.0.0.1")
	out, err := e.Listen(hot, sinkFunc(func([]byte, netip.AddrPort) { flood++ }))
	if err != nil {
		t.Fatal(err)
	}
	var addrs []netip.AddrPort
	for range 20 {
		a := free(t, "127.0.0.1")
		if _, err := e.Listen(a, sinkFunc(func([]byte, netip.AddrPort) {
			others++
			before = flood
		})); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, a)
	}
	e.Do(func() { // nothing is read meanwhile
		for i := range 100 {
			for _, to := range []netip.AddrPort{hot, addrs[i%len(addrs)]} {
				if i >= len(addrs) {
					to = hot
				}
				if err := out.Send([]byte("x"), to); err != nil {
					t.Error(err)
				}
			}
		}
	})
	poll(t, "all packets", func() (ok bool) {
		e.Do(func() { ok, last = flood == 180 && others == 20, before })
		return ok
	})
	if last > epollQuota {
		t.Errorf("%d packets of one socket came before the last of the others", last)
	}
	for n := 1; n <= epollEvents; n++ {
		for round := range 100 {
			if q := quota(n, round); q < 1 || q*n > epollBatch || round == 0 && q != 1 {
				t.Fatalf("%d sockets in round %d: %d packets", n, round, q)
			}
		}
	}
}

// TestEpollUnderLoad: many sockets with one packet each at a time. All are
// delivered, in fewer batches than packets once the thread has found out, and
// commands are answered meanwhile.
func TestEpollUnderLoad(t *testing.T) {
	batches := 0
	e, err := NewEpoll(Options{Clock: func() time.Time { batches++; return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	const pairs, rounds = 64, 50
	got := 0
	var socks []Socket
	var addrs []netip.AddrPort
	for range pairs {
		a := free(t, "127.0.0.1")
		s, err := e.Listen(a, sinkFunc(func([]byte, netip.AddrPort) { got++ }))
		if err != nil {
			t.Fatal(err)
		}
		socks, addrs = append(socks, s), append(addrs, a)
	}
	e.Do(func() { batches = 0 })
	for i := range rounds {
		e.Do(func() {
			for j, s := range socks {
				if err := s.Send([]byte("x"), addrs[(j+1)%pairs]); err != nil {
					t.Error(err)
				}
			}
		})
		poll(t, "a round", func() (ok bool) {
			e.Do(func() { ok = got == (i+1)*pairs })
			return ok
		})
	}
	e.Do(func() {
		if batches > pairs*rounds/2 {
			t.Errorf("%d batches for %d packets", batches, got)
		}
	})
}

// TestEpollAllocation: neither receiving nor sending allocates.
func TestEpollAllocation(t *testing.T) {
	e := epoll(t, 0)
	for _, ip := range []string{"127.0.0.1", "::1"} {
		a, b, got := free(t, ip), free(t, ip), 0
		s, err := e.Listen(a, sinkFunc(func([]byte, netip.AddrPort) { got++ }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Listen(b, newSink()); err != nil {
			t.Fatal(err)
		}
		e.Do(func() {
			sock, payload := s.(*epollSocket), []byte("x")
			if n := testing.AllocsPerRun(100, func() {
				s.Send(payload, b) // each changes the address that is cached
				s.Send(payload, a)
				if ok, _ := e.receive(sock, now); !ok {
					t.Error("nothing received")
				}
				e.receive(sock, now) // EAGAIN
				s.Send(payload, netip.AddrPort{})
			}); n != 0 {
				t.Errorf("%s: %.1f allocations", ip, n)
			}
			if got < 100 {
				t.Errorf("%d received", got)
			}
		})
	}
}
