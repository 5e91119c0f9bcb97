package alert

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// CDROptions of a CDR writer. The zero value is sound.
//
// The defaults bound what strangers can write: 600 + 1024 + 1 records of about
// 1 KiB a minute, below 2.5 GB a day under the heaviest attack from forged
// addresses, 10 records a minute and one more from a single source.
type CDROptions struct {
	Node      string
	Window    time.Duration // for strangers' budgets; default 1 min
	PerSource int           // records a stranger's address gets in full per window; default 10
	Total     int           // records all strangers get in full per window; default 600
	Datagrams int           // refused attempts in peers' names over UDP that are recorded in full per window; default 600
	Table     int           // addresses that are told apart; default 1024
	Queue     int           // records before the sink; default 16384
	Now       func() time.Time
	Log       *slog.Logger // default: silent
	Report    func(Health) // e.g. Bus.Degraded; may be nil
}

// CDR writes one line for every call attempt. Write never blocks.
//
// Attempts of strangers beyond their budget are folded by source: one record
// stands for coalesced+1 attempts, so the sum of (coalesced + 1) over all lines
// is the number of attempts. So are refused attempts over UDP in the name of a
// peer beyond theirs: nothing shows that they are the peer's, as anybody can
// write its address. A record of somebody else who is identified, or of a call
// that was let through, is never folded.
type CDR struct {
	o    CDROptions
	out  []*lines
	stop chan struct{}
	wake chan struct{}
	gone sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	table    *coalescer[netip.Addr, record] // the zero Addr gathers what found no room
	spentAt  time.Time                      // start of the window of spent
	spent    int                            // strangers' records in full
	udp      int                            // likewise, in the name of peers over UDP
	folded   uint64
	accepted uint64
}

// record is a cleaned call.Record on its way to the file.
type record struct{ r call.Record }

func (r record) Line() ([]byte, error) { return encode(r.r) }

// NewCDR starts a writer. It owns the sinks from here on. With no sink it does
// nothing, at no cost.
func NewCDR(o CDROptions, sinks ...Sink) *CDR {
	if o.Window <= 0 {
		o.Window = time.Minute
	}
	if o.PerSource <= 0 {
		o.PerSource = 10
	}
	if o.Total <= 0 {
		o.Total = 600
	}
	if o.Datagrams <= 0 {
		o.Datagrams = 600
	}
	if o.Table <= 0 {
		o.Table = 1024
	}
	if o.Queue <= 0 {
		o.Queue = 16384
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &CDR{o: o, stop: make(chan struct{}), wake: make(chan struct{}, 1),
		table: newCoalescer[netip.Addr](o.Window, o.PerSource, o.Table, foldRecord)}
	for _, s := range sinks {
		c.out = append(c.out, newLines(s, o.Queue, o.Log, o.Report))
	}
	c.gone.Add(1)
	go c.expire()
	return c
}

// foldRecord keeps the first attempt and stretches it to the end of the last.
func foldRecord(acc *record, more record) { acc.stretch(more.r.End) }

func (r *record) stretch(end *call.Time) {
	if end != nil && (r.r.End == nil || end.After(r.r.End.Time)) {
		r.r.End = end
	}
}

// Write records one call. A record with neither user nor peer is a stranger's:
// nothing identified the caller.
func (c *CDR) Write(r call.Record) { c.write(r, r.User == "" && r.Peer == "") }

// WriteKnown records a call and never folds it, for a source that registered
// although the record names no user.
func (c *CDR) WriteKnown(r call.Record) { c.write(r, false) }

func (c *CDR) write(r call.Record, stranger bool) {
	if len(c.out) == 0 {
		return
	}
	now := c.o.Now()
	forged := couldBeForged(&r)
	whole := !stranger && !forged || r.Verdict == call.Allow || r.Answer != nil || r.Coalesced > 0
	if !whole && c.another(now, &r, forged) {
		return
	}
	rec := record{cleanRecord(r, c.o.Node, now)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.accepted++
	if whole {
		c.send(rec)
		return
	}
	c.turn(now)
	if forged && c.udp < c.o.Datagrams {
		c.udp++
		c.send(rec)
		return
	}
	c.fold(now, rec, forged)
}

// turn begins a new window where the last has ended. The lock is held.
func (c *CDR) turn(now time.Time) {
	if now.Sub(c.spentAt) >= c.o.Window || now.Before(c.spentAt) {
		c.spentAt, c.spent, c.udp = now, 0, 0
	}
}

// another folds an attempt into a record that waits already, as nothing but
// its end is kept of it: in a flood nearly all, without being copied first.
func (c *CDR) another(now time.Time, r *call.Record, forged bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	if c.closed || forged && c.udp < c.o.Datagrams {
		return false
	}
	end := r.End
	if end == nil {
		end = call.At(now)
	}
	stretch := func(acc *record) { acc.stretch(end) }
	k := sourceKey(r.Source)
	if !c.table.more(k, stretch) && (c.table.room(k) || !c.table.more(netip.Addr{}, stretch)) {
		return false
	}
	c.accepted++
	c.folded++
	return true
}

// fold sends the record, or gathers it with others of its source. The lock is
// held.
func (c *CDR) fold(now time.Time, rec record, forged bool) {
	_, waiting := c.table.next()
	got := full
	if !forged && c.spent < c.o.Total {
		got = c.table.add(now, sourceKey(rec.r.Source), rec, false)
	} else {
		got = c.table.hold(now, sourceKey(rec.r.Source), rec, false)
	}
	if got == full {
		for i := range rec.r.Passes {
			rec.r.Passes[i].Source = ""
		}
		rec.r.Source, rec.r.SourceGeo, rec.r.UserAgent = "", "", ""
		got = c.table.hold(now, netip.Addr{}, rec, true)
	}
	if got == pass {
		c.spent++
		c.send(rec)
	} else {
		c.folded++
	}
	if !waiting {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// couldBeForged: it came in datagrams, in the name of a peer outside.
func couldBeForged(r *call.Record) bool {
	return r.Peer != "" && len(r.Passes) > 0 && r.Passes[0].From == call.Public.String() && r.Passes[0].Transport == "udp"
}

// sourceKey is the host a stranger counts as: an IPv4 address, or the /64 that
// one IPv6 host owns.
func sourceKey(source string) netip.Addr {
	ap, err := netip.ParseAddrPort(source)
	if err != nil {
		return netip.Addr{}
	}
	ip := ap.Addr().Unmap()
	if ip.Is6() {
		p, _ := ip.WithZone("").Prefix(64)
		return p.Addr()
	}
	return ip
}

func (c *CDR) send(r record) {
	for _, l := range c.out {
		l.offer(r)
	}
}

func (c *CDR) give(r record, n int) {
	r.r.Coalesced = n - 1
	c.send(r)
}

func (c *CDR) expire() {
	defer c.gone.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.stop:
			return
		}
		now := c.o.Now()
		c.mu.Lock()
		c.table.due(now, c.give)
		at, ok := c.table.next()
		c.mu.Unlock()
		if ok {
			timer.Reset(max(at.Sub(now), time.Millisecond))
		}
	}
}

// CDRStats are the counters of a CDR writer.
type CDRStats struct {
	Records   uint64 // given to Write
	Coalesced uint64 // of them folded
	Sinks     []SinkStats
}

// Stats returns the counters.
func (c *CDR) Stats() CDRStats {
	c.mu.Lock()
	st := CDRStats{Records: c.accepted, Coalesced: c.folded}
	c.mu.Unlock()
	for _, l := range c.out {
		st.Sinks = append(st.Sinks, l.stats())
	}
	return st
}

// Reopen opens the files again, after a log rotation.
func (c *CDR) Reopen() error { return reopen(c.out) }

// Close writes what is folded and queued until ctx ends. Write after Close is
// ignored.
func (c *CDR) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.table.drain(c.give)
	c.closed = true
	c.mu.Unlock()
	close(c.stop)
	c.gone.Wait()
	return closeAll(ctx, c.out)
}

// Limits of one record.
const (
	maxPasses = 16
	maxLegs   = 8
)

// cleanRecord copies a record: text from the network made safe, lists capped
// and never null, and what a line must have filled in.
func cleanRecord(r call.Record, node string, now time.Time) call.Record {
	for _, s := range []*string{&r.ID, &r.CallID, &r.Node, &r.Account, &r.User, &r.Peer, &r.From, &r.To,
		&r.FromE164, &r.ToE164, &r.ToNumber, &r.ToKind, &r.Country, &r.Class, &r.Rule, &r.UserAgent, &r.Source, &r.SourceGeo, &r.Diversion} {
		*s = short(*s)
	}
	if r.Node == "" {
		r.Node = node
	}
	if r.ToKind == "" {
		r.ToKind = call.Invalid.String()
	}
	if r.EndedBy == "" {
		r.EndedBy = call.ByGateway
	}
	r.Code = status(r.Code)
	r.RingMs, r.DurationMs, r.Coalesced = max(r.RingMs, 0), max(r.DurationMs, 0), max(r.Coalesced, 0)
	switch {
	case r.Start == nil && r.End == nil:
		r.Start, r.End = call.At(now), call.At(now)
	case r.Start == nil:
		r.Start = r.End
	case r.End == nil:
		r.End = r.Start
	}
	passes := make([]call.Pass, 0, min(len(r.Passes), maxPasses))
	for _, p := range r.Passes[:min(len(r.Passes), maxPasses)] {
		for _, s := range []*string{&p.SIPCallID, &p.SIPCallIDTo, &p.From, &p.Peer, &p.RoutedTo, &p.Rule,
			&p.Source, &p.Transport, &p.TLSVersion, &p.HangupCause} {
			*s = short(*s)
		}
		p.DurationMs, p.Code = max(p.DurationMs, 0), status(p.Code)
		p.Trace = cleanList(p.Trace, maxTrace)
		p.Policy, p.Facts = short(p.Policy), cleanFacts(p.Facts)
		if len(p.FailedOver) > 0 {
			p.FailedOver = cleanList(p.FailedOver, maxPasses)
		}
		if len(p.ForwardedTo) > 0 {
			p.ForwardedTo = cleanList(p.ForwardedTo, maxPasses)
		}
		legs := make([]call.Leg, 0, min(len(p.MediaLegs), maxLegs))
		for _, l := range p.MediaLegs[:min(len(p.MediaLegs), maxLegs)] {
			l.Side, l.Peer, l.Suite = short(l.Side), short(l.Peer), short(l.Suite)
			l.LossPercent, l.JitterMs = min(finite(l.LossPercent), 100), finite(l.JitterMs)
			l.RTTMs, l.ReportedLossPercent = finite(l.RTTMs), min(finite(l.ReportedLossPercent), 100)
			legs = append(legs, l)
		}
		p.MediaLegs = legs
		passes = append(passes, p)
	}
	r.Passes = passes
	return r
}

// maxFacts bounds the lists among the facts of a pass.
const maxFacts = 16

// cleanFacts copies the facts of a pass with their texts made safe.
func cleanFacts(in *call.Facts) *call.Facts {
	if in == nil {
		return nil
	}
	f := *in
	for _, s := range []*string{&f.Sender, &f.Account, &f.User, &f.Direction, &f.URI, &f.UserAgent, &f.Diversion, &f.Country, &f.TLSSubject,
		&f.Offer, &f.AuthUser, &f.Verdict, &f.Reason} {
		*s = short(*s)
	}
	f.From, f.To = cleanParty(f.From), cleanParty(f.To)
	f.ASN, f.Hops, f.Size, f.Status = min(f.ASN, math.MaxUint32), max(f.Hops, 0), max(f.Size, 0), status(f.Status)
	for _, l := range []*[]string{&f.Types, &f.Headers, &f.Flagged} {
		if *l != nil {
			*l = cleanList(*l, maxFacts)
		}
	}
	f.Evidence = cleanEvidence(f.Evidence)
	counts := make([]call.Count, 0, min(len(f.Counts), maxFacts))
	for _, c := range f.Counts[:min(len(f.Counts), maxFacts)] {
		c.Limit, c.Unit = short(c.Limit), short(c.Unit)
		counts = append(counts, c)
	}
	f.Counts = counts
	return &f
}

func cleanParty(p call.FactsParty) call.FactsParty {
	for _, s := range []*string{&p.Given, &p.Host, &p.Display, &p.Scheme, &p.Number, &p.Kind, &p.Country, &p.Region, &p.Class} {
		*s = short(*s)
	}
	if p.Other != nil {
		other := *p.Other
		other.Other = nil
		other = cleanParty(other)
		p.Other = &other
	}
	return p
}

// status is a SIP status, or 0.
func status(code int) int {
	if code < 100 || code > 699 {
		return 0
	}
	return code
}

// finite is f, or 0 where JSON has no number for it or f is negative.
func finite(f float64) float64 {
	if f-f != 0 || f < 0 {
		return 0
	}
	return f
}

func reopen(out []*lines) error {
	var first error
	for _, l := range out {
		if err := l.sink.Reopen(); err != nil && first == nil {
			first = fmt.Errorf("reopen: %w", err)
		}
	}
	return first
}

func closeAll(ctx context.Context, out []*lines) error {
	var first error
	for _, l := range out {
		if err := l.close(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}
