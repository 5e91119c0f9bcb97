package bind

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	epollEvents = 256 // sockets handled between two looks at the commands
	// epollFew is how many packets one wake-up must have brought before
	// waiting for company is worth the delay.
	epollFew = 8
	// napMs is how long packets wait for company under load. It bounds the
	// jitter that coalescing adds.
	napMs = 1
	// napTrial is how many plain wake-ups go by until one nap is tried:
	// many streams, each with its own timing, wake the thread for one packet
	// at a time however many they are, so the count of one wake-up cannot
	// show that load.
	napTrial = 64
	// epollQuota is the most packets one socket may deliver before the
	// others have had their turn.
	epollQuota = 16
	// epollQueue is how many commands may wait; further callers wait to
	// queue.
	epollQueue = 64
)

// Epoll is the engine for Linux: one thread that waits for all its sockets,
// reads and sends without blocking and without the scheduler. Sinks and
// commands run on that thread, so nothing is locked for a packet.
//
// Under load the thread naps for about a millisecond and then handles what
// came meanwhile; in quiet it wakes at once:
//
//	waiting ──(a wake-up brings more than epollFew, or every napTrial-th)──▶ napping
//	napping ──(a nap brings no more than epollFew)──▶ waiting
//
// Commands end a nap and a wait, through an eventfd.
type Epoll struct {
	opt  Options
	poll int // the epoll descriptor
	bell int // the eventfd that ends a sleep

	queue  chan *command
	asleep atomic.Bool // set before a sleep; who takes it back rings the bell

	// gate: held for reading by every command under way, for writing to end
	// the thread. Afterwards commands run on their caller, one at a time.
	gate  sync.RWMutex
	dead  bool
	after sync.Mutex
	done  sync.WaitGroup

	// What follows belongs to the thread.
	slots  []*epollSocket // by the number that events carry
	free   []int32
	closed bool // takes no socket any more
	stop   bool
	events [epollEvents]unix.EpollEvent
	from   unix.RawSockaddrInet6 // large enough for both families
	buf    [ReadSize + Tail]byte
}

// command is what Do hands to the thread.
type command struct {
	f        func()
	done     chan struct{}
	panicked any
}

// New returns the best engine this system has.
func New(opt Options) (Engine, error) { return NewEpoll(opt) }

// NewEpoll returns an engine without sockets and starts its thread.
func NewEpoll(opt Options) (*Epoll, error) {
	e := &Epoll{opt: opt, queue: make(chan *command, epollQueue)}
	var err error
	if e.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bind: epoll: %w", err)
	}
	if e.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(e.poll)
		return nil, fmt.Errorf("bind: eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, e.bell, &ev); err != nil {
		unix.Close(e.bell)
		unix.Close(e.poll)
		return nil, fmt.Errorf("bind: epoll: %w", err)
	}
	e.done.Add(1)
	go e.loop()
	return e, nil
}

// Listen binds addr. An error wraps the system's, so errors.Is(err,
// syscall.EADDRINUSE) tells a taken port.
func (e *Epoll) Listen(addr netip.AddrPort, sink Sink) (Socket, error) {
	fd, err := e.bind(addr)
	if err != nil {
		return nil, fmt.Errorf("bind: listen %s: %w", addr, err)
	}
	s := &epollSocket{engine: e, fd: fd, v6: addr.Addr().Is6(), sink: sink}
	e.Do(func() { err = e.add(s) })
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind: listen %s: %w", addr, err)
	}
	return s, nil
}

// bind makes a socket that blocks nobody.
func (e *Epoll) bind(addr netip.AddrPort) (int, error) {
	domain := unix.AF_INET
	if addr.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := e.prepare(fd, addr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (e *Epoll) prepare(fd int, addr netip.AddrPort) error {
	v6 := addr.Addr().Is6()
	if v6 { // IPv6 only: an IPv4 packet never arrives here mapped
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("set IPv6 only: %w", err)
		}
	}
	if err := setDSCP(fd, v6, e.opt.DSCP); err != nil {
		return err
	}
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(addr.Port())}
	if v6 {
		sa = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	} else {
		sa.(*unix.SockaddrInet4).Addr = addr.Addr().As4()
	}
	return unix.Bind(fd, sa)
}

// add makes the thread read s.
func (e *Epoll) add(s *epollSocket) error {
	if e.closed {
		return net.ErrClosed
	}
	if n := len(e.free); n > 0 {
		s.slot, e.free = e.free[n-1], e.free[:n-1]
	} else {
		s.slot = int32(len(e.slots))
		e.slots = append(e.slots, nil)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: s.slot}
	if err := unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, s.fd, &ev); err != nil {
		e.free = append(e.free, s.slot)
		return fmt.Errorf("epoll: %w", err)
	}
	e.slots[s.slot] = s
	return nil
}

// remove takes s from the thread; the caller closes the descriptor. It runs
// between batches, so no event that was fetched can still name the slot.
func (e *Epoll) remove(s *epollSocket) (fd int) {
	if fd = s.fd; fd < 0 {
		return fd
	}
	unix.EpollCtl(e.poll, unix.EPOLL_CTL_DEL, fd, nil)
	e.slots[s.slot] = nil
	e.free = append(e.free, s.slot)
	s.fd = -1
	return fd
}

// Do runs f on the thread, between batches. A panic in f is the caller's.
func (e *Epoll) Do(f func()) {
	e.gate.RLock()
	if e.dead {
		e.gate.RUnlock()
		e.after.Lock()
		defer e.after.Unlock()
		f()
		return
	}
	c := &command{f: f, done: make(chan struct{})}
	e.queue <- c
	if e.asleep.Swap(false) {
		e.ring()
	}
	<-c.done
	e.gate.RUnlock()
	if c.panicked != nil {
		panic(c.panicked)
	}
}

// ring ends the thread's sleep. The counter cannot overflow: it is rung once
// per sleep.
func (e *Epoll) ring() {
	one := [8]byte{7: 1} // any value that is not zero, in either byte order
	unix.Write(e.bell, one[:])
}

// Close closes what is still open and ends the thread.
func (e *Epoll) Close() error {
	var left []*epollSocket
	e.Do(func() {
		e.closed = true
		for _, s := range e.slots {
			if s != nil {
				left = append(left, s)
			}
		}
	})
	var errs []error
	for _, s := range left {
		errs = append(errs, s.Close())
	}
	e.gate.Lock() // no command is under way and none begins
	defer e.gate.Unlock()
	if e.dead {
		return errors.Join(errs...)
	}
	e.dead = true
	e.queue <- &command{f: func() { e.stop = true }, done: make(chan struct{})}
	e.ring()
	e.done.Wait()
	errs = append(errs, unix.Close(e.bell), unix.Close(e.poll))
	return errors.Join(errs...)
}

// loop is the thread.
func (e *Epoll) loop() {
	// One thread of its own: its system calls find the caches warm, and it
	// is not moved between two packets.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer e.done.Done()
	var p pace
	for e.commands() {
		n, got := 0, 0
		if p.napping {
			e.nap()
			n = e.ready()
		} else {
			n = e.wait()
		}
		for round := 0; n > 0; round++ {
			got += e.batch(n, epollQuota>>max(0, 4-2*round))
			if !p.napping && got <= epollFew {
				break // wait sees what is left, and it may be nothing
			}
			if !e.commands() {
				return
			}
			n = e.ready()
		}
		p.next(got)
	}
}

// pace decides whether the thread waits or naps next.
type pace struct {
	napping bool
	quiet   int // plain wake-ups since the last nap
}

// next takes how many packets the last sleep brought.
func (p *pace) next(got int) {
	trial := false
	if !p.napping {
		p.quiet++
		trial = p.quiet >= napTrial
	}
	p.napping = got > epollFew || trial
	if p.napping {
		p.quiet = 0
	}
}

// commands runs what is queued and reports whether the thread goes on.
func (e *Epoll) commands() bool {
	for !e.stop {
		select {
		case c := <-e.queue:
			c.run()
		default:
			return true
		}
	}
	return false // nothing is queued behind the command that stops
}

func (c *command) run() {
	defer close(c.done)
	defer func() { c.panicked = recover() }()
	c.f()
}
