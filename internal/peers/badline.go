package peers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// Trouble is what a BadLine does to the datagrams of one direction. The shares
// are of one, and the same seed makes the same choice for the n-th datagram of
// a direction.
type Trouble struct {
	Seed   uint64
	Lost   float64
	Twice  float64
	Late   float64       // overtaken by what comes after
	LateBy time.Duration // at most, 60 ms
}

// BadLine is a line over UDP between one peer and the gateway on which
// datagrams get lost, come twice and overtake each other. The gateway knows the
// peer by the address of the line's end. What the line did is kept, so that a
// test can say which message was lost.
type BadLine struct {
	End netip.AddrPort // as the gateway knows the peer
	In  netip.AddrPort // where the peer sends what is for the gateway

	tb   testing.TB
	stop sync.WaitGroup
	mu   sync.Mutex
	log  []string
	done map[string]int // what happened → how often
	late map[*time.Timer]struct{}
	over bool
}

// StartBadLine connects a peer at an address with the gateway's. The line takes
// end for its own, on which the gateway sees and finds the peer.
func StartBadLine(tb testing.TB, n *Net, end, peer, gateway netip.AddrPort, bad Trouble) *BadLine {
	tb.Helper()
	if bad.LateBy == 0 {
		bad.LateBy = 60 * time.Millisecond
	}
	listen := func(at netip.AddrPort) *net.UDPConn {
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		if err != nil {
			tb.Fatalf("peers: a bad line: %v", err)
		}
		_ = c.SetReadBuffer(4 << 20) // it loses what it means to, nothing else
		return c
	}
	l := &BadLine{tb: tb, End: end, In: netip.AddrPortFrom(n.Addr(tb), 5060), done: map[string]int{}, late: map[*time.Timer]struct{}{}}
	outer, inner := listen(end), listen(l.In)
	l.stop.Go(func() { l.pass("to the gateway", inner, outer, gateway, bad, 1) })
	l.stop.Go(func() { l.pass("to the peer", outer, inner, peer, bad, 2) })
	tb.Cleanup(func() {
		l.mu.Lock()
		l.over = true
		for t := range l.late {
			t.Stop()
		}
		l.mu.Unlock()
		outer.Close()
		inner.Close()
		l.stop.Wait()
		if tb.Failed() {
			tb.Logf("what the line %v did: %v\n%s", end, l.Did(), tail(strings.Join(l.Log(), "\n"), 150))
		}
	})
	return l
}

// pass carries one direction until its sockets are closed.
func (l *BadLine) pass(way string, from, via *net.UDPConn, to netip.AddrPort, bad Trouble, stream uint64) {
	chance := rand.New(rand.NewPCG(bad.Seed, stream))
	b := make([]byte, 1<<16)
	for {
		size, err := from.Read(b)
		if err != nil {
			return
		}
		msg := bytes.Clone(b[:size])
		// Always three draws, so that each datagram's fate depends on its place alone.
		lost, twice, late := chance.Float64() < bad.Lost, chance.Float64() < bad.Twice, chance.Float64() < bad.Late
		by := time.Duration(chance.Float64() * float64(bad.LateBy))
		switch {
		case lost:
			l.note("lost", way, msg)
			continue
		case late:
			l.note("late", way, msg)
			l.after(by, func() { _, _ = via.WriteToUDPAddrPort(msg, to) })
		default:
			_, _ = via.WriteToUDPAddrPort(msg, to)
		}
		if twice {
			l.note("twice", way, msg)
			_, _ = via.WriteToUDPAddrPort(msg, to)
		}
	}
}

func (l *BadLine) after(d time.Duration, do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		do()
		l.mu.Lock()
		delete(l.late, t)
		l.mu.Unlock()
	})
	l.late[t] = struct{}{}
}

func (l *BadLine) note(what, way string, msg []byte) {
	first, rest, _ := strings.Cut(string(msg), "\r\n")
	var id, cseq string
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "call-id":
			id = strings.TrimSpace(value)
		case "cseq":
			cseq = strings.TrimSpace(value)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[what]++
	if len(l.log) < 10000 {
		l.log = append(l.log, fmt.Sprintf("%s %s %s: %s (%s) of %s", time.Now().Format("05.000"), what, way, first, cseq, id))
	}
}

// Did counts what happened: "lost", "twice" and "late".
func (l *BadLine) Did() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for k, v := range l.done {
		out[k] = v
	}
	return out
}

// Log has a line for each of them: when, what, which message of which call.
func (l *BadLine) Log() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.log...)
}
