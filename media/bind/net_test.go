package bind

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

type got struct {
	at   time.Time
	data string
	tail int
	from netip.AddrPort
}

// sink passes on what it receives and notes overlapping calls.
type sink struct {
	ch     chan got
	inside *atomic.Int32
	bad    *atomic.Int32
}

func (s sink) Receive(at time.Time, data []byte, from netip.AddrPort) {
	if s.inside.Add(1) != 1 {
		s.bad.Add(1)
	}
	s.ch <- got{at, string(data), cap(data) - len(data), from}
	s.inside.Add(-1)
}

func newSink() sink {
	return sink{make(chan got, 1000), new(atomic.Int32), new(atomic.Int32)}
}

var now = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

func engine(t *testing.T, dscp int) *Net {
	n := NewNet(Options{Clock: func() time.Time { return now }, DSCP: dscp})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// free is a port nobody has right now.
func free(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func TestNet(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		n, s := engine(t, 46), newSink()
		a, b := free(t, ip), free(t, ip)
		sa, err := n.Listen(a, s)
		if err != nil {
			t.Fatal(err)
		}
		sb, err := n.Listen(b, s)
		if err != nil {
			t.Fatal(err)
		}
		n.Do(func() {
			for i := range 10 {
				if err := sa.Send([]byte{byte('0' + i)}, b); err != nil {
					t.Error(err)
				}
				if err := sb.Send([]byte{byte('a' + i)}, a); err != nil {
					t.Error(err)
				}
			}
		})
		for range 20 {
			select {
			case g := <-s.ch:
				if want := map[bool]netip.AddrPort{true: a, false: b}[g.data < "a"]; g.from != want || g.at != now || g.tail < Tail {
					t.Errorf("%+v", g)
				}
			case <-time.After(3 * time.Second):
				t.Fatal("lost")
			}
		}
		if err := sa.Send(make([]byte, ReadSize+100), b); err != nil {
			t.Fatal(err)
		}
		if g := <-s.ch; len(g.data) != ReadSize || g.tail < Tail {
			t.Errorf("%d bytes, tail %d", len(g.data), g.tail)
		}
		if s.bad.Load() != 0 {
			t.Error("sinks ran at the same time")
		}
		if _, err := n.Listen(a, s); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error("taken port: ", err)
		}
		if err := sa.Close(); err != nil {
			t.Error(err)
		}
		if err := sa.Close(); err != nil {
			t.Error(err)
		}
		if sa, err = n.Listen(a, s); err != nil {
			t.Error("closed port: ", err)
		}
	}
}

// TestNetClose: closing ends every goroutine, and nothing opens afterwards.
func TestNetClose(t *testing.T) {
	before := runtime.NumGoroutine()
	n := NewNet(Options{Clock: time.Now})
	for range 50 {
		if _, err := n.Listen(free(t, "127.0.0.1"), newSink()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
	if _, err := n.Listen(free(t, "127.0.0.1"), newSink()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestNoDeliveryAfterClose: a datagram that is already read is not delivered
// once Close has returned.
func TestNoDeliveryAfterClose(t *testing.T) {
	n := engine(t, 0)
	for range 200 {
		var closed, late atomic.Bool
		a := free(t, "127.0.0.1")
		s, err := n.Listen(a, lateSink{&closed, &late})
		if err != nil {
			t.Fatal(err)
		}
		n.Do(func() {
			for range 20 {
				s.Send([]byte("x"), a)
			}
		})
		s.Close()
		closed.Store(true)
		if late.Load() {
			t.Fatal("delivered after Close")
		}
	}
}

type lateSink struct{ closed, late *atomic.Bool }

func (l lateSink) Receive(time.Time, []byte, netip.AddrPort) {
	if l.closed.Load() {
		l.late.Store(true)
	}
}
