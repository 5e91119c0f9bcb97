package sipx

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// lags tell how long messages wait before they are handled. There are two
// places to wait in: the buffer of a UDP socket, whose datagrams carry the time
// at which they came, and the scheduler's queue, where the readers of
// connections and the owners of calls wait for a processor.
//
// Of an interval the least wait of a socket counts, and the median of the
// scheduler: a burst, or a garbage collection, is no standing queue (RFC 8289
// §3). A few samples are no evidence.
type lags struct {
	mu      sync.Mutex
	sockets []*lag
	waits   []metrics.Sample
	before  []uint64
}

const (
	lagEvery   = 5 * time.Millisecond // between two looks at one socket's clock
	lagSamples = 5                    // of an interval, for a socket
	lagRuns    = 100                  // of an interval, for the scheduler
)

// lag is of one socket. Its reader looks, anybody may take.
type lag struct {
	public bool      // anybody may send to it, in anybody's name
	looked time.Time // the reader's
	least  atomic.Int64
	n      atomic.Int32
}

func (s *Stack) newLag(side call.Side) *lag {
	l := &lag{public: side == call.Public}
	s.lags.mu.Lock()
	defer s.lags.mu.Unlock()
	s.lags.sockets = append(s.lags.sockets, l)
	return l
}

// look notes how old the datagram is that was read last.
func (l *lag) look(c *udpSocket) {
	now := time.Now()
	if now.Sub(l.looked) < lagEvery {
		return
	}
	l.looked = now
	if age, ok := c.age(now); ok {
		l.note(age)
	}
}

func (l *lag) note(age time.Duration) {
	if l.n.Add(1) == 1 || int64(age) < l.least.Load() {
		l.least.Store(int64(age))
	}
}

func (l *lag) take() time.Duration {
	if l.n.Swap(0) < lagSamples {
		return 0
	}
	return max(0, time.Duration(l.least.Load()))
}

// Waited is how long messages waited since it was last asked; it has one
// caller. datagrams is the wait in public UDP sockets alone: whoever floods one
// makes his own queue, in which nobody on a connection stands.
func (s *Stack) Waited() (all, datagrams time.Duration) {
	l := &s.lags
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.sockets {
		if d := k.take(); k.public {
			datagrams = max(datagrams, d)
		} else {
			all = max(all, d)
		}
	}
	return max(all, l.scheduled()), datagrams
}

// scheduled is the median wait for a processor.
func (l *lags) scheduled() time.Duration {
	if l.waits == nil {
		l.waits = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	}
	metrics.Read(l.waits)
	if l.waits[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := l.waits[0].Value.Float64Histogram()
	first := l.before == nil
	if first {
		l.before = make([]uint64, len(h.Counts))
	}
	var all, half uint64
	for i, n := range h.Counts {
		all += n - l.before[i]
	}
	at := 0
	for i, n := range h.Counts {
		if half += n - l.before[i]; 2*half >= all {
			at = i
			break
		}
	}
	copy(l.before, h.Counts)
	if first || all < lagRuns || at >= len(h.Buckets) {
		return 0
	}
	return time.Duration(max(0, h.Buckets[at]) * float64(time.Second)) // where the bucket begins
}
