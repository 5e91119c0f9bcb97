package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
)

var (
	// ErrNoPorts: the port range, or Config.MaxStreams, is used up.
	ErrNoPorts = errors.New("no media ports left")
	// ErrNoAddress: no address of that family is configured on that side.
	ErrNoAddress = errors.New("no media address of that family on that side")
	// ErrRemote: an address that media is never sent to, or of the other family.
	ErrRemote = errors.New("unusable media address")
	// ErrStream: no such leg or stream, or more streams than a session may have.
	ErrStream = errors.New("no such media stream")
	// ErrClosed: the session or the plane was closed.
	ErrClosed = errors.New("media closed")
)

// MaxSessionStreams caps the m-lines of one session.
const MaxSessionStreams = 16

// sweepEvery is how often inactivity and injections are looked at. It is in
// real time; what is decided then is decided by Config.Clock.
const sweepEvery = 500 * time.Millisecond

// Address is one local address. The zero Advertise is Bind.
type Address struct {
	Bind      netip.Addr // what sockets are bound to
	Advertise netip.Addr // what is written into SDP, behind 1:1 NAT
}

// Config is the plane's part of the configuration.
type Config struct {
	Public, Inside []Address // at most one per family and side
	// PortMin and PortMax bound the ports, both included; RTP on the even
	// one, RTCP on the next. Both zero: 20000 to 39999.
	PortMin, PortMax uint16
	Shards           int              // 0: GOMAXPROCS
	DSCP             int              // 0 to 63; 0 leaves packets unmarked
	MaxStreams       int              // 0: what the ports allow
	PacketRate       int              // packets per second, per stream and direction; 0: 1000
	PacketBurst      int              // 0: 500
	Clock            func() time.Time // nil: time.Now
	Log              *slog.Logger     // nil: silent
	// Engine makes the sockets of one shard; nil: bind.New, the best one
	// this system has.
	Engine func(bind.Options) (bind.Engine, error)
}

// local is a checked Address with the ports on it.
type local struct {
	advertise netip.Addr
	ports     *pool
}

// Plane is the media plane of one gateway. All methods may be called from any
// goroutine.
type Plane struct {
	cfg    Config
	clock  func() time.Time
	log    *slog.Logger
	shards []*shard
	local  [2][2]*local // by call.Side, by family: 0 IPv4, 1 IPv6

	mu      sync.Mutex // guards what follows, and the pools
	pools   []*pool
	streams int
	closed  bool

	stop    chan struct{}
	sweeper sync.WaitGroup
}

// New checks the addresses, which must exist on this host, and starts the
// shards. No port is bound before the first Open.
func New(cfg Config) (*Plane, error) {
	if cfg.PortMin == 0 && cfg.PortMax == 0 {
		cfg.PortMin, cfg.PortMax = 20000, 39999
	}
	if cfg.Shards <= 0 {
		cfg.Shards = runtime.GOMAXPROCS(0)
	}
	if cfg.PacketRate <= 0 {
		cfg.PacketRate = 1000
	}
	if cfg.PacketBurst <= 0 {
		cfg.PacketBurst = 500
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.DSCP < 0 || cfg.DSCP > 63 {
		return nil, fmt.Errorf("media: DSCP %d: must be 0 to 63", cfg.DSCP)
	}
	if cfg.Engine == nil {
		cfg.Engine = bind.New
	}
	p := &Plane{cfg: cfg, clock: cfg.Clock, log: cfg.Log, stop: make(chan struct{})}
	if err := p.addLocals(); err != nil {
		return nil, err
	}
	opt := bind.Options{Clock: cfg.Clock, DSCP: cfg.DSCP}
	for i := range cfg.Shards {
		e, err := cfg.Engine(opt)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("media: shard %d: %w", i, err)
		}
		p.shards = append(p.shards, newShard(e, cfg))
	}
	if err := p.probe(); err != nil {
		p.Close()
		return nil, err
	}
	p.sweeper.Add(1)
	go p.run()
	return p, nil
}

func (p *Plane) addLocals() error {
	for side, list := range [2][]Address{call.Public: p.cfg.Public, call.Inside: p.cfg.Inside} {
		for _, a := range list {
			b, adv := a.Bind.Unmap(), a.Advertise.Unmap()
			if !adv.IsValid() {
				adv = b
			}
			f := family(b)
			switch {
			case !b.IsValid() || b.IsMulticast():
				return fmt.Errorf("media: %s: cannot bind %s", call.Side(side), a.Bind)
			case adv.IsUnspecified() || adv.IsMulticast() || family(adv) != f:
				return fmt.Errorf("media: %s: %s cannot be advertised for %s", call.Side(side), adv, b)
			case p.local[side][f] != nil:
				return fmt.Errorf("media: %s: %s is a second address of its family", call.Side(side), b)
			}
			p.local[side][f] = &local{advertise: adv, ports: p.pool(b)}
		}
	}
	if len(p.pools) == 0 {
		return fmt.Errorf("media: %w", ErrNoAddress)
	}
	if p.pools[0].total == 0 {
		return fmt.Errorf("media: ports %d to %d hold no pair", p.cfg.PortMin, p.cfg.PortMax)
	}
	return nil
}

// pool returns the ports of addr; both sides may share an address.
func (p *Plane) pool(addr netip.Addr) *pool {
	for _, q := range p.pools {
		if q.addr == addr {
			return q
		}
	}
	q := newPool(addr, p.cfg.PortMin, p.cfg.PortMax)
	p.pools = append(p.pools, q)
	return q
}

// probe binds any port of each address once: a wrong address or a missing
// permission is an error at start, not in the first call.
func (p *Plane) probe() error {
	for _, q := range p.pools {
		s, err := p.shards[0].engine.Listen(netip.AddrPortFrom(q.addr, 0), discard{})
		if err != nil {
			return fmt.Errorf("media: %w", err)
		}
		s.Close()
	}
	return nil
}

type discard struct{}

func (discard) Receive(time.Time, []byte, netip.AddrPort) {}

func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// run sweeps until Close.
func (p *Plane) run() {
	defer p.sweeper.Done()
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.sweep(p.clock())
		}
	}
}

// sweep collects what is to be told and tells it with nothing locked.
func (p *Plane) sweep(now time.Time) {
	for _, sh := range p.shards {
		var due []notice
		sh.engine.Do(func() {
			for s := range sh.sessions {
				due = s.due(now, due)
			}
			sh.events += uint64(len(due))
		})
		for _, n := range due {
			n.notify(n.event)
		}
	}
}

// Close closes every session and waits for the plane's goroutines. It must
// not be called from Notify.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	close(p.stop)
	p.sweeper.Wait()
	var errs []error
	for _, sh := range p.shards {
		var left []*Session
		sh.engine.Do(func() {
			sh.closed = true
			for s := range sh.sessions {
				left = append(left, s)
			}
		})
		for _, s := range left {
			s.Close()
		}
		errs = append(errs, sh.engine.Close())
	}
	return errors.Join(errs...)
}

// Stats adds up the shards.
func (p *Plane) Stats() PlaneStats {
	p.mu.Lock()
	st := PlaneStats{Streams: p.streams, MaxStreams: p.cfg.MaxStreams}
	for _, q := range p.pools {
		st.Ports += q.inUse()
		st.PortsTotal += q.total
	}
	p.mu.Unlock()
	for _, sh := range p.shards {
		sh.engine.Do(func() {
			st.Sessions += len(sh.sessions)
			st.Relayed += sh.total.PacketsOut
			st.RelayedBytes += sh.total.BytesOut
			st.RelayedRTCP += sh.total.RTCPOut
			st.Refused.add(sh.total.Refused)
			st.Events += sh.events
		})
	}
	return st
}

// reserve counts n more streams against the cap.
func (p *Plane) reserve(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if p.cfg.MaxStreams > 0 && p.streams+n > p.cfg.MaxStreams {
		return fmt.Errorf("%d streams open, %d allowed: %w", p.streams, p.cfg.MaxStreams, ErrNoPorts)
	}
	p.streams += n
	return nil
}

func (p *Plane) unreserve(n int) {
	p.mu.Lock()
	p.streams -= n
	p.mu.Unlock()
}

// listenTries bounds how many pairs are tried when another program sits on
// some of ours.
const listenTries = 32

// bindEnd gives an end its pair of sockets: a random one, or the one named.
func (p *Plane) bindEnd(e *end, sh *shard, l *local, want uint16) error {
	tries := listenTries
	if want != 0 {
		tries = 1
	}
	var last error
	for range tries {
		p.mu.Lock()
		port, ok := want, false
		if want != 0 {
			ok = l.ports.claim(want)
		} else {
			port, ok = l.ports.take(p.clock())
		}
		p.mu.Unlock()
		if !ok {
			return fmt.Errorf("on %s: %w", l.ports.addr, ErrNoPorts)
		}
		last = e.listen(sh, l, port)
		if last == nil {
			return nil
		}
		p.release(l, port)
		if !errors.Is(last, syscall.EADDRINUSE) && !errors.Is(last, syscall.EACCES) {
			return last
		}
	}
	return fmt.Errorf("%w: %w", ErrNoPorts, last)
}

func (p *Plane) release(l *local, port uint16) {
	p.mu.Lock()
	l.ports.release(port, p.clock())
	p.mu.Unlock()
}
