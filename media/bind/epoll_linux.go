package bind

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	epollEvents = 256 // sockets in one batch
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
	// epollBatch bounds a batch, and so how long a command waits for it: a
	// few milliseconds of packets.
	epollBatch = 512
)

// Epoll is the engine for Linux: one thread that waits for all its sockets,
// reads and sends without blocking and without the scheduler. It holds the
// lock for a batch of packets, not for each of them, and commands run on their
// caller between two batches: a call that is set up while packets flow waits
// for a batch at most, and never for the thread to be scheduled.
//
// Under load the thread naps for about a millisecond and then handles what
// came meanwhile; in quiet it wakes at once:
//
//	waiting ──(a wake-up brings more than epollFew, or every napTrial-th)──▶ napping
//	napping ──(a nap brings no more than epollFew)──▶ waiting
type Epoll struct {
	opt  Options
	poll int // the epoll descriptor
	bell int // the eventfd that ends the last sleep
	done sync.WaitGroup

	mu sync.Mutex // held for a batch, and by every command

	// What follows is guarded by mu.
	slots  []*epollSocket // by the number that events carry
	free   []int32
	closed bool // takes no socket any more
	stop   bool
	events [epollEvents]unix.EpollEvent
	from   unix.RawSockaddrInet6 // large enough for both families
	buf    [ReadSize + Tail]byte
}

// New returns the best engine this system has.
func New(opt Options) (Engine, error) { return NewEpoll(opt) }

// NewEpoll returns an engine without sockets and starts its thread.
func NewEpoll(opt Options) (*Epoll, error) {
	e := &Epoll{opt: opt}
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

// remove takes s from the thread; the caller closes the descriptor. An event
// that was fetched before may still name the slot: it finds it empty, or taken
// by another socket, which is then read in vain.
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

// Do runs f between batches, on its caller. A panic in f is the caller's.
func (e *Epoll) Do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// Close closes what is still open and ends the thread.
func (e *Epoll) Close() error {
	var left []*epollSocket
	dead := false
	e.Do(func() {
		dead, e.closed = e.closed, true
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
	if !dead {
		e.Do(func() { e.stop = true })
		one := [8]byte{7: 1} // any value that is not zero, in either byte order
		unix.Write(e.bell, one[:])
	}
	e.done.Wait()
	if !dead {
		errs = append(errs, unix.Close(e.bell), unix.Close(e.poll))
	}
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
	for {
		n, got := 0, 0
		if p.napping {
			e.nap()
			n = e.ready()
		} else {
			n = e.wait()
		}
		for round := 0; n > 0; round++ {
			packets, stop := e.turn(n, quota(n, round))
			if got += packets; stop {
				return
			}
			if !p.napping && got <= epollFew {
				break // wait sees what is left, and it may be nothing
			}
			n = e.ready()
		}
		p.next(got)
	}
}

// quota is how many packets each of n ready sockets may deliver now: one in
// the first round after a sleep and in the second, where most are sockets that
// became ready meanwhile, and more in the following ones, for those that have
// more.
func quota(n, round int) int {
	return max(1, min(epollQuota>>max(0, 6-2*round), epollBatch/n))
}

// turn handles one batch under the lock.
func (e *Epoll) turn(n, quota int) (got int, stop bool) {
	e.mu.Lock()
	got, failed := e.batch(n, quota)
	stop = e.stop
	e.mu.Unlock()
	if failed && got == 0 {
		// No memory, or an interface that is down: still ready and still
		// failing. The processor is left to those who can use it.
		e.nap()
	}
	return got, stop
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
