package alert

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Limits and paces of one sink's queue.
const (
	batchBytes = 64 << 10
	retryEvery = time.Second
	nagEvery   = time.Minute      // log and alert about a lasting trouble
	calmDown   = 10 * time.Second // between a report and the next change of state
)

// liner is something that becomes one line.
type liner interface{ Line() ([]byte, error) }

// Health is what a writer says about its sink when that changes, and once a
// minute while it is bad.
type Health struct {
	Sink     string
	Degraded bool
	Err      error  // the last error; nil if the sink is only too slow
	Lost     uint64 // lines lost since the last good report
}

// SinkStats are the counters of one sink.
type SinkStats struct {
	Name       string
	Written    uint64 // lines
	Bytes      uint64
	Errors     uint64 // failed writes, each tried again
	Queued     int
	LostFull   uint64 // lines that found the queue full
	LostClosed uint64 // lines left when the sink was closed
	LostEncode uint64 // lines that could not be encoded: a bug
	Degraded   bool
}

// Lost is the sum of lost lines, whatever the cause.
func (s SinkStats) Lost() uint64 { return s.LostFull + s.LostClosed + s.LostEncode }

// lines is a bounded queue before a sink and the goroutine that empties it.
// While the sink fails, lines stay in the queue and the head is tried again; when
// it is full, new ones are lost and counted. Nothing here blocks the one
// who offers.
//
//	good --write fails, or a line finds the queue full--> degraded
//	degraded --write works and the queue is at most half full--> good
type lines struct {
	sink   Sink
	queue  chan liner
	log    *slog.Logger
	report func(Health) // on its own goroutine; may be nil

	written, bytes, errors            atomic.Uint64
	lostFull, lostClosed, lostEncoded atomic.Uint64
	degraded                          atomic.Bool
	lastErr                           atomic.Pointer[error]

	wake chan struct{} // to the watcher: something changed
	stop chan struct{} // no more offers
	done chan struct{} // the worker is gone
	quit chan struct{} // the watcher may go
	gone sync.WaitGroup
}

func newLines(sink Sink, queue int, log *slog.Logger, report func(Health)) *lines {
	l := &lines{
		sink: sink, queue: make(chan liner, queue), log: log, report: report,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), quit: make(chan struct{}),
	}
	l.gone.Add(1)
	go l.work()
	go l.watch()
	return l
}

// offer queues one line or counts it as lost. The owner makes sure that no
// offer runs while or after close does.
func (l *lines) offer(x liner) {
	select {
	case l.queue <- x:
	default:
		l.lostFull.Add(1)
		l.trouble(nil)
	}
}

func (l *lines) trouble(err error) {
	if err != nil {
		l.lastErr.Store(&err)
	}
	if !l.degraded.Swap(true) || err != nil {
		l.nudge()
	}
}

func (l *lines) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// work takes what is queued, in batches as large as the sink is slow.
func (l *lines) work() {
	defer close(l.done)
	var batch []byte
	for {
		select {
		case x := <-l.queue:
			batch = l.encode(batch[:0], x)
		case <-l.stop:
			if len(l.queue) == 0 {
				return
			}
			continue
		}
	fill:
		for len(batch) < batchBytes {
			select {
			case x := <-l.queue:
				batch = l.encode(batch, x)
			default:
				break fill
			}
		}
		l.write(batch)
		if cap(batch) > 4*batchBytes {
			batch = nil
		}
	}
}

func (l *lines) encode(batch []byte, x liner) []byte {
	b, err := x.Line()
	if err != nil {
		l.lostEncoded.Add(1)
		l.trouble(fmt.Errorf("encode a line: %w", err))
		return batch
	}
	return append(batch, b...)
}

// write does not return before the batch is written, or given up while closing.
func (l *lines) write(batch []byte) {
	for len(batch) > 0 {
		n, err := l.sink.Write(batch)
		l.written.Add(count(batch[:n]))
		l.bytes.Add(uint64(n))
		batch = batch[n:]
		if err == nil {
			if l.degraded.Load() && len(l.queue) <= cap(l.queue)/2 {
				l.degraded.Store(false)
				l.nudge()
			}
			continue
		}
		l.errors.Add(1)
		l.trouble(err)
		retry := time.NewTimer(retryEvery)
		select {
		case <-retry.C:
		case <-l.stop:
			retry.Stop()
			// One more try without a pause, then the disk has had its chance.
			n, err := l.sink.Write(batch)
			l.written.Add(count(batch[:n]))
			if err != nil {
				l.lostClosed.Add(count(batch[n:]))
			}
			return
		}
	}
}

func count(b []byte) (n uint64) {
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}

func (l *lines) lost() uint64 {
	return l.lostFull.Load() + l.lostClosed.Load() + l.lostEncoded.Load()
}

// watch reports. It is a goroutine of its own because the worker may hang in a
// write to a dead network file system, and that too must be told.
func (l *lines) watch() {
	defer l.gone.Done()
	var (
		bad   bool
		calm  bool   // a report was made just now
		base  uint64 // lost when last good
		timer = time.NewTimer(nagEvery)
	)
	defer timer.Stop()
	say := func(degraded bool) {
		h := Health{Sink: l.sink.Name(), Degraded: degraded, Lost: l.lost() - base}
		if p := l.lastErr.Load(); p != nil && degraded {
			h.Err = *p
		}
		if degraded {
			l.log.Error("sink cannot take its lines", "sink", h.Sink, "err", h.Err, "lost", h.Lost, "queued", len(l.queue))
		} else {
			l.log.Info("sink works again", "sink", h.Sink, "lost", h.Lost)
			base = l.lost()
			l.lastErr.Store(nil)
		}
		if l.report != nil {
			l.report(h)
		}
		calm = true
		timer.Reset(calmDown)
	}
	for {
		select {
		case <-l.wake:
			// A queue that is full every other second shall not flood the other sinks.
			if now := l.degraded.Load(); now != bad && !calm {
				bad = now
				say(bad)
			}
		case <-timer.C:
			now := l.degraded.Load()
			switch {
			case now != bad:
				bad = now
				say(bad)
			case calm:
				calm = false
				timer.Reset(nagEvery - calmDown)
			case bad:
				say(true)
			default:
				timer.Reset(nagEvery)
			}
		case <-l.quit:
			return
		}
	}
}

// close writes what is queued and closes the sink. When ctx ends first, what is
// left is counted as lost and the worker is left to its hanging write.
func (l *lines) close(ctx context.Context) error {
	close(l.stop)
	defer l.gone.Wait()
	defer close(l.quit)
	select {
	case <-l.done:
		if err := l.sink.Close(); err != nil {
			return fmt.Errorf("close sink %s: %w", l.sink.Name(), err)
		}
		if n := l.lostClosed.Load(); n > 0 {
			return fmt.Errorf("close sink %s: %d lines lost", l.sink.Name(), n)
		}
		return nil
	case <-ctx.Done():
		n := uint64(len(l.queue))
		l.lostClosed.Add(n)
		return fmt.Errorf("close sink %s: %d lines not written: %w", l.sink.Name(), n, ctx.Err())
	}
}

func (l *lines) stats() SinkStats {
	return SinkStats{
		Name: l.sink.Name(), Written: l.written.Load(), Bytes: l.bytes.Load(), Errors: l.errors.Load(),
		Queued: len(l.queue), LostFull: l.lostFull.Load(), LostClosed: l.lostClosed.Load(),
		LostEncode: l.lostEncoded.Load(), Degraded: l.degraded.Load(),
	}
}
