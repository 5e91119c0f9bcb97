package alert

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// StreamOptions of an event stream. The zero value is sound.
type StreamOptions struct {
	Node   string
	First  uint64 // seq of the first event; default 1
	Queue  int    // events before each sink; default 65536
	Log    *slog.Logger
	Report func(Health) // e.g. Bus.Degraded; may be nil
}

// Stream puts the events of all calls into one order. Each gets the next seq
// and a time that is not before the event ahead of it, in milliseconds: what the
// file says is exactly what the engines saw, so a replay of it finds the same.
// Nothing is folded: refused attempts are in it too. A gap in the seq of
// a file means lost lines.
type Stream struct {
	node string
	out  []*lines

	mu      sync.Mutex
	closed  bool
	seq     uint64
	last    time.Time
	subs    map[*EventSub]struct{}
	lostSub uint64
}

type event struct{ e call.Event }

func (e event) Line() ([]byte, error) { return encode(e.e) }

// NewStream starts a stream. It owns the sinks from here on; it needs none.
func NewStream(o StreamOptions, sinks ...Sink) *Stream {
	if o.First == 0 {
		o.First = 1
	}
	if o.Queue <= 0 {
		o.Queue = 65536
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Stream{node: o.Node, seq: o.First - 1, subs: map[*EventSub]struct{}{}}
	for _, k := range sinks {
		s.out = append(s.out, newLines(k, o.Queue, o.Log, o.Report))
	}
	return s
}

// Write puts an event at the end of the stream and returns it as it stands there:
// with Seq, At, Node and cleaned text. It never blocks. After Close it returns
// the event with Seq 0.
func (s *Stream) Write(e call.Event) call.Event {
	e = cleanEvent(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Seq = 0
	if s.closed {
		return e
	}
	at := millis(e.At.Time)
	if at.Before(s.last) {
		at = s.last // two goroutines overtook each other
	}
	s.seq++
	s.last = at
	e.Seq, e.At.Time = s.seq, at
	if e.Node == "" {
		e.Node = s.node
	}
	for _, l := range s.out {
		l.offer(event{e})
	}
	for sub := range s.subs {
		select {
		case sub.c <- e:
		default:
			sub.lost++
			s.lostSub++
		}
	}
	return e
}

// EventSub receives the stream in order.
type EventSub struct {
	C    <-chan call.Event
	c    chan call.Event
	s    *Stream
	lost uint64
	off  bool
}

// Subscribe listens with a buffer of n events. What does not fit is lost and
// counted; the listener sees it as a gap in Seq. It is meant for the engines
// of this process, so their number is not limited. Close of either side closes the channel.
func (s *Stream) Subscribe(n int) *EventSub {
	c := make(chan call.Event, max(n, 1))
	sub := &EventSub{C: c, c: c, s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		sub.off = true
		close(c)
		return sub
	}
	s.subs[sub] = struct{}{}
	return sub
}

// Close ends the subscription.
func (e *EventSub) Close() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.end()
}

// Lost is how many events this subscriber was too slow for.
func (e *EventSub) Lost() uint64 {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	return e.lost
}

func (e *EventSub) end() {
	if !e.off {
		e.off = true
		delete(e.s.subs, e)
		close(e.c)
	}
}

// StreamStats are the counters of a Stream.
type StreamStats struct {
	Seq     uint64 // of the last event
	LostSub uint64
	Sinks   []SinkStats
}

// Stats returns the counters.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	st := StreamStats{Seq: s.seq, LostSub: s.lostSub}
	s.mu.Unlock()
	for _, l := range s.out {
		st.Sinks = append(st.Sinks, l.stats())
	}
	return st
}

// Reopen opens the files again, after a log rotation.
func (s *Stream) Reopen() error { return reopen(s.out) }

// Close writes what is queued until ctx ends.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for sub := range s.subs {
		sub.end()
	}
	s.mu.Unlock()
	return closeAll(ctx, s.out)
}

// cleanEvent makes text from the network safe and takes away what does not
// belong to the kind, so that every line is valid by the schema.
func cleanEvent(e call.Event) call.Event {
	if e.Kind != call.EventEnd {
		e.EndedBy, e.RingSeconds, e.Seconds = "", nil, nil
	}
	if e.Kind != call.EventRegister && e.Kind != call.EventOptions {
		e.Credentials = ""
	}
	if e.Kind != call.EventInvite && e.Kind != call.EventMessage {
		e.Dialled = ""
	}
	if e.Kind != call.EventFinding {
		e.Action, e.Subject, e.Evidence, e.Count = "", nil, nil, 0
	}
	if e.Subject != nil {
		e.Subject = &call.Subject{Kind: e.Subject.Kind, Value: short(e.Subject.Value)}
	}
	if e.Evidence != nil {
		e.Evidence = cleanEvidence(e.Evidence)
	}
	e.Code = status(e.Code)
	for _, t := range []*string{&e.ID, &e.Node, &e.Direction, &e.Account, &e.Peer, &e.User, &e.From, &e.To, &e.Dialled,
		&e.Source, &e.SourceCountry, &e.UserAgent, &e.Diversion, &e.Verdict, &e.Rule, &e.Credentials} {
		*t = short(*t)
	}
	for _, f := range []**float64{&e.RingSeconds, &e.Seconds} {
		if *f != nil {
			v := finite(**f)
			*f = &v
		}
	}
	return e
}
