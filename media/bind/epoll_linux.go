package bind

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	epollEvents = 256 // sockets in one batch
	// epollFew is how many packets one wake-up must have brought before
	// waiting for company is worth the delay at once.
	epollFew = 8
	// napTrial is how many plain wake-ups go by until naps are tried: many
	// streams, each with its own timing, wake the engine for one packet at a
	// time however many they are, so the count of one wake-up cannot show
	// that load.
	napTrial = 64
	// napSpan is how many ticks are judged together, because streams of
	// their own timing do not come evenly.
	napSpan = 16
	// napRounds is after how many rounds a straggler waits for the next
	// tick. A socket that has many packets had its turn with epollQuota of
	// them by then.
	napRounds = 3
	// epollQuota is the most packets one socket may deliver before the
	// others have had their turn.
	epollQuota = 16
	// epollBatch bounds a batch, and so how long a command waits for it: a
	// few milliseconds of packets.
	epollBatch = 512
	// epollYield is how many packets the loop handles until it lets
	// another goroutine have the processor.
	epollYield = 2048
)

// Epoll is the engine for Linux: one loop that reads and sends on all its
// sockets without blocking and asks the kernel which of them are ready. It
// holds the lock for a batch of packets, not for each of them, and commands
// run on their caller between two batches: a call that is set up while packets
// flow waits for a batch at most, and never for the loop to be scheduled.
//
// Under load the loop wakes once every tick and handles what came meanwhile;
// in quiet it wakes at once:
//
//	waiting ──(a wake-up brings more than epollFew, or every napTrial-th)──▶ napping
//	napping ──(napSpan ticks bring less than a packet each)──▶ waiting
type Epoll struct {
	opt  Options
	poll int // the epoll descriptor of the sockets
	gate *gate
	done sync.WaitGroup

	mu sync.Mutex // held for a batch, and by every command

	// What follows is guarded by mu.
	slots  []*epollSocket // by the number that events carry
	free   []int32
	closed bool // takes no socket any more
	events [epollEvents]unix.EpollEvent
	from   unix.RawSockaddrInet6 // large enough for both families
	buf    [ReadSize + Tail]byte
}

// New returns the best engine this system has.
func New(opt Options) (Engine, error) { return NewEpoll(opt) }

// NewEpoll returns an engine without sockets and starts its loop.
func NewEpoll(opt Options) (*Epoll, error) {
	e := &Epoll{opt: opt}
	var err error
	if e.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bind: epoll: %w", err)
	}
	if e.gate, err = newGate(e.poll); err != nil {
		unix.Close(e.poll)
		return nil, fmt.Errorf("bind: %w", err)
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
	level, name := unix.IPPROTO_IP, unix.IP_TOS
	if v6 { // IPv6 only: an IPv4 packet never arrives here mapped
		if err := setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("set IPv6 only: %w", err)
		}
		level, name = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if e.opt.DSCP != 0 { // see setDSCP
		if err := setOption(fd, level, name, int32(e.opt.DSCP)<<2); err != nil {
			return fmt.Errorf("set DSCP %d: %w", e.opt.DSCP, err)
		}
	}
	return bindTo(fd, addr)
}

// add makes the loop read s.
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

// remove takes s from the loop; the caller closes the descriptor. An event
// that was fetched before may still name the slot: it finds it empty, or taken
// by another socket, which is then read in vain.
func (e *Epoll) remove(s *epollSocket) (fd int) {
	if fd = s.fd; fd < 0 {
		return fd
	}
	e.slots[s.slot] = nil // the close ends the registration: nothing else has the descriptor
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

// Close closes what is still open and ends the loop.
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
		errs = append(errs, e.gate.close())
	}
	e.done.Wait()
	if !dead {
		errs = append(errs, e.gate.free(), unix.Close(e.poll))
	}
	return errors.Join(errs...)
}

// loop is the only reader.
func (e *Epoll) loop() {
	defer e.done.Done()
	var p pace
	e.gate.each(func() {
		before := p.napping
		if before {
			e.gate.ticked()
		}
		p.next(e.drain(p.napping))
		var err error
		switch {
		case p.napping && !before:
			err = e.gate.nap()
		case before && !p.napping:
			err = e.gate.wait()
		}
		if err != nil {
			panic(err) // only a wrong descriptor can fail: ours
		}
		if p.napping {
			e.gate.remind()
		}
	})
}

// drain handles what is there: all of it where only more would wake the loop
// again, and until little is left where the next tick does.
func (e *Epoll) drain(napping bool) (got int) {
	for round, pause := 0, epollYield; ; round++ {
		n := e.ready()
		if n == 0 {
			return got
		}
		packets := e.turn(n, quota(n, round))
		got += packets
		if napping && packets < epollFew && round >= napRounds {
			return got
		}
		if got >= pause { // others want to run too
			pause += epollYield
			runtime.Gosched()
		}
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
func (e *Epoll) turn(n, quota int) int {
	e.mu.Lock()
	got, failed := e.batch(n, quota)
	e.mu.Unlock()
	if failed && got == 0 {
		// No memory, or an interface that is down: still ready and still
		// failing. The processor is left to those who can use it.
		time.Sleep(time.Millisecond)
	}
	return got
}

// pace decides whether the loop waits or naps next.
type pace struct {
	napping bool
	sleeps  int // since the last change, or the last judgement
	got     int // packets in these
}

// next takes how many packets the last sleep brought.
func (p *pace) next(got int) {
	p.sleeps++
	p.got += got
	switch {
	case !p.napping && (got > epollFew || p.sleeps >= napTrial):
		*p = pace{napping: true}
	case p.napping && p.sleeps >= napSpan:
		*p = pace{napping: p.got >= napSpan}
	}
}
