package bind

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
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

// makers are the engines of this system.
func makers() map[string]func(Options) (Engine, error) {
	return map[string]func(Options) (Engine, error){
		"default": New,
		"net":     func(o Options) (Engine, error) { return NewNet(o), nil },
	}
}

// each runs a test on every engine.
func each(t *testing.T, test func(t *testing.T, mk func(Options) (Engine, error))) {
	for name, mk := range makers() {
		t.Run(name, func(t *testing.T) { test(t, mk) })
	}
}

func engine(t *testing.T, mk func(Options) (Engine, error), dscp int) Engine {
	t.Helper()
	e, err := mk(Options{Clock: func() time.Time { return now }, DSCP: dscp})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
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

func TestEngine(t *testing.T) {
	each(t, func(t *testing.T, mk func(Options) (Engine, error)) {
		for _, ip := range []string{"127.0.0.1", "::1"} {
			testEngine(t, engine(t, mk, 46), ip)
		}
	})
}

func testEngine(t *testing.T, n Engine, ip string) {
	s := newSink()
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
	send := func(size int) {
		n.Do(func() {
			if err := sa.Send(make([]byte, size), b); err != nil {
				t.Error(err)
			}
		})
	}
	send(ReadSize + 100)
	if g := <-s.ch; len(g.data) != ReadSize || g.tail < Tail {
		t.Errorf("%d bytes, tail %d", len(g.data), g.tail)
	}
	send(0)
	if g := <-s.ch; len(g.data) != 0 {
		t.Errorf("%d bytes of none", len(g.data))
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
	n.Do(func() {
		if err := sa.Send([]byte("x"), b); !errors.Is(err, net.ErrClosed) {
			t.Error("closed socket sent: ", err)
		}
	})
	if sa, err = n.Listen(a, s); err != nil {
		t.Error("closed port: ", err)
	}
}

// TestOrder: what one peer sends arrives in its order, however the engine
// takes turns, and a busy socket does not keep the others from theirs.
func TestOrder(t *testing.T) {
	each(t, func(t *testing.T, mk func(Options) (Engine, error)) {
		n := engine(t, mk, 0)
		var mu sync.Mutex
		seen := map[netip.AddrPort]int{}
		to := free(t, "127.0.0.1")
		if _, err := n.Listen(to, sinkFunc(func(data []byte, from netip.AddrPort) {
			mu.Lock()
			defer mu.Unlock()
			if i := int(data[0])<<8 | int(data[1]); i != seen[from] {
				t.Errorf("%s: packet %d, want %d", from, i, seen[from])
			}
			seen[from]++
		})); err != nil {
			t.Fatal(err)
		}
		var socks []Socket
		for range 20 {
			s, err := n.Listen(free(t, "127.0.0.1"), newSink())
			if err != nil {
				t.Fatal(err)
			}
			socks = append(socks, s)
		}
		const rounds = 300
		for i := range rounds {
			n.Do(func() {
				for _, s := range socks {
					if err := s.Send([]byte{byte(i >> 8), byte(i)}, to); err != nil {
						t.Error(err)
					}
				}
			})
			poll(t, "a round to arrive", func() bool {
				mu.Lock()
				defer mu.Unlock()
				total := 0
				for _, c := range seen {
					total += c
				}
				return total == (i+1)*len(socks)
			})
		}
	})
}

func poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatal("timed out: ", what)
		}
		runtime.Gosched()
	}
}

type sinkFunc func(data []byte, from netip.AddrPort)

func (f sinkFunc) Receive(_ time.Time, data []byte, from netip.AddrPort) { f(data, from) }

// TestDo: commands of many callers run one at a time, while packets come, and
// a panic in one is the caller's.
func TestDo(t *testing.T) {
	each(t, func(t *testing.T, mk func(Options) (Engine, error)) {
		n := engine(t, mk, 0)
		a := free(t, "127.0.0.1")
		packets, inside, count := 0, false, 0
		s, err := n.Listen(a, sinkFunc(func([]byte, netip.AddrPort) {
			if inside {
				t.Error("a command and a sink at the same time")
			}
			packets++
		}))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 100 {
					n.Do(func() {
						inside = true
						s.Send([]byte("x"), a)
						count++
						inside = false
					})
				}
			}()
		}
		wg.Wait()
		poll(t, "packets", func() (ok bool) {
			n.Do(func() { ok = count == 2000 && packets > 0 })
			return ok
		})
		func() {
			defer func() {
				if r := recover(); r != "mine" {
					t.Error("recovered ", r)
				}
			}()
			n.Do(func() { panic("mine") })
			t.Error("no panic")
		}()
		n.Do(func() { count = 0 })
	})
}

// TestClose: closing ends every goroutine and descriptor, nothing opens
// afterwards, and commands still run.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, mk func(Options) (Engine, error)) {
		before, files := runtime.NumGoroutine(), openFiles()
		n, err := mk(Options{Clock: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if _, err := n.Listen(free(t, "127.0.0.1"), newSink()); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 8 { // commands and a second Close in the middle of it
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 50 {
					n.Do(func() {})
				}
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}()
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		poll(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		if after := openFiles(); after > files {
			t.Errorf("%d descriptors, %d before", after, files)
		}
		if _, err := n.Listen(free(t, "127.0.0.1"), newSink()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		ran := false
		n.Do(func() { ran = true })
		if !ran {
			t.Error("a command after Close did not run")
		}
	})
}

// openFiles is 0 where descriptors cannot be counted.
func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// TestNoDeliveryAfterClose: a datagram that is already read is not delivered
// once Close has returned.
func TestNoDeliveryAfterClose(t *testing.T) {
	each(t, func(t *testing.T, mk func(Options) (Engine, error)) {
		n := engine(t, mk, 0)
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
	})
}

type lateSink struct{ closed, late *atomic.Bool }

func (l lateSink) Receive(time.Time, []byte, netip.AddrPort) {
	if l.closed.Load() {
		l.late.Store(true)
	}
}
