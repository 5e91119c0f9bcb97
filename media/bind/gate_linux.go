package bind

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tick is how long packets wait for company under load. It bounds the delay
// and jitter that coalescing adds.
const tick = 500 * time.Microsecond

// gate is what an engine sleeps on: one descriptor that the Go scheduler
// watches, so that sleeping blocks no thread and waking starts none. It opens
// in one of two ways, never both:
//
//	shut off (napping)   every tick, whatever arrives
//	open (waiting)       as soon as a socket of poll is ready
//
// A sleep in a system call instead would cost the scheduler's monitor a
// processor's attention every few microseconds: it takes the processor away
// from whoever sleeps in a call, and looks again at once.
type gate struct {
	file  *os.File // an epoll descriptor over the two below
	raw   syscall.RawConn
	fd    int
	poll  int // the sockets
	timer int
}

func newGate(poll int) (g *gate, err error) {
	g = &gate{poll: poll, fd: -1, timer: -1}
	defer func() {
		if err != nil {
			g.free()
		}
	}()
	if g.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if g.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	for fd, events := range map[int]uint32{poll: unix.EPOLLIN, g.timer: unix.EPOLLIN | unix.EPOLLET} {
		ev := unix.EpollEvent{Events: events}
		if err = unix.EpollCtl(g.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
	}
	if err = unix.SetNonblock(g.fd, true); err != nil { // or package os would not have it watched
		return nil, fmt.Errorf("epoll: %w", err)
	}
	g.file = os.NewFile(uintptr(g.fd), "media")
	if err = g.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	if g.raw, err = g.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	return g, nil
}

// each runs work each time the gate has opened, and once at the start, until
// the gate is closed. The work leaves nothing behind that it has to be woken
// for: the scheduler hears of changes only.
func (g *gate) each(work func()) {
	for {
		err := g.raw.Read(func(uintptr) bool {
			work()
			return false
		})
		if !errors.Is(err, os.ErrDeadlineExceeded) || g.file.SetReadDeadline(time.Time{}) != nil {
			return
		}
	}
}

// remind opens the gate in two ticks at the latest. A scheduler that has no
// rest asks the kernel for news only every ten milliseconds or so, but looks
// at its own timers each time it changes goroutines.
func (g *gate) remind() { g.file.SetReadDeadline(time.Now().Add(2 * tick)) }

// nap shuts the sockets off and starts the ticks.
func (g *gate) nap() error {
	ev := unix.EpollEvent{}
	if err := unix.EpollCtl(g.fd, unix.EPOLL_CTL_MOD, g.poll, &ev); err != nil {
		return err
	}
	t := unix.NsecToTimespec(int64(tick))
	return unix.TimerfdSettime(g.timer, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil)
}

// wait ends the ticks and lets the sockets in. What is ready already opens
// the gate at once.
func (g *gate) wait() error {
	g.file.SetReadDeadline(time.Time{})
	if err := unix.TimerfdSettime(g.timer, 0, &unix.ItimerSpec{}, nil); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN}
	return unix.EpollCtl(g.fd, unix.EPOLL_CTL_MOD, g.poll, &ev)
}

// ticked winds the timer up again: it rests until its last ticks are read.
// The scheduler is not told of the call, which never blocks: being told, it
// would wake its monitor.
func (g *gate) ticked() {
	var ticks [8]byte
	unix.RawSyscall(unix.SYS_READ, uintptr(g.timer), uintptr(unsafe.Pointer(&ticks)), uintptr(len(ticks)))
}

// close ends each. It returns when the last work is done.
func (g *gate) close() error { return g.file.Close() }

// free gives back what close does not.
func (g *gate) free() error {
	if g.file == nil && g.fd >= 0 {
		unix.Close(g.fd)
	}
	if g.timer < 0 {
		return nil
	}
	return unix.Close(g.timer)
}
