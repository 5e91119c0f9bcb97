package explain

import (
	"hash/maphash"
	"sync"

	"github.com/rampart-sbc/rampart/call"
)

// Fact is one decision and what it was about, as it was told then.
type Fact struct {
	Attempt  call.Attempt
	Decision call.Decision
	Cut      bool // texts or lists were longer than what is kept
}

// Caps bound a [Recent]. Zero fields take the defaults.
type Caps struct {
	Decisions int // of each kind that are kept: 16384
	Bytes     int // of each kind: 8 MiB
	Names     int // further names of calls: 32768
}

func (c Caps) defaults() Caps {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Decisions, 16_384)
	def(&c.Bytes, 8<<20)
	def(&c.Names, 32_768)
	return c
}

// Recent keeps the facts of the latest decisions. The kinds have a book each:
// calls of the known, other requests of the known, strangers. So a flood of
// strangers pushes out no call, and nor does a thousand phones that register.
// It may be used by any goroutine.
type Recent struct {
	mu    sync.Mutex
	seed  maphash.Seed
	books [3]book
	names [2]names // of the known, of strangers
	work  []byte   // what is written before it is kept
}

// NewRecent makes an empty one; memory is taken as it fills.
func NewRecent(c Caps) *Recent {
	c = c.defaults()
	r := &Recent{seed: maphash.MakeSeed()}
	for i := range r.books {
		r.books[i] = book{bytes: c.Bytes, most: c.Decisions}
	}
	// Strangers get a quarter.
	r.books[2].bytes, r.books[2].most = max(c.Bytes/4, 1), max(c.Decisions/4, 1)
	r.names[0].most, r.names[1].most = c.Names, max(c.Names/8, 1)
	return r
}

// Add keeps a decision. It reads both and keeps neither.
func (r *Recent) Add(a *call.Attempt, d *call.Decision) {
	if a.Method == "" {
		return // not a request: a failed handshake
	}
	kind := 1
	switch {
	case a.PeerKind == call.Stranger && !a.Source.Registered:
		kind = 2
	case a.Method == "INVITE":
		kind = 0
	}
	id, sip := r.hash(a.ID), r.hash(a.SIPCallID)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := codec{buf: r.work[:0]}
	c.attempt(a)
	c.decision(d, false)
	c.flag(&c.cut)
	r.work = c.buf
	r.books[kind].add(c.buf, id, sip)
}

// Name notes what else a call is called: the id of its record, the Call-ID of
// its other leg.
func (r *Recent) Name(name, callID string, stranger bool) {
	if name == "" || callID == "" {
		return
	}
	n := &r.names[0]
	if stranger {
		n = &r.names[1]
	}
	h := r.hash(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	n.add(h, callID)
}

// Find returns the decisions about a call or request, oldest first, by our id
// of the call, a SIP Call-ID, or a name that was given later.
func (r *Recent) Find(name string) (out []Fact) {
	if name == "" {
		return nil
	}
	var raw [][]byte
	find := func(name string) {
		h := r.hash(name)
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range r.books {
			raw = r.books[i].find(h, raw)
		}
	}
	find(name)
	if len(raw) == 0 {
		h := r.hash(name)
		r.mu.Lock()
		id := r.names[0].find(h)
		if id == "" {
			id = r.names[1].find(h)
		}
		r.mu.Unlock()
		if name = id; id != "" {
			find(id)
		}
	}
	for _, b := range raw {
		if f, ok := decode(b); ok && (f.Attempt.ID == name || f.Attempt.SIPCallID == name) {
			out = append(out, f)
		}
	}
	sortFacts(out)
	return r.sameCall(out)
}

// sameCall adds the other passes of the calls that were found by the Call-ID of
// one of them.
func (r *Recent) sameCall(found []Fact) []Fact {
	if len(found) == 0 || found[0].Attempt.ID == "" {
		return found
	}
	id := found[0].Attempt.ID
	h := r.hash(id)
	var raw [][]byte
	r.mu.Lock()
	for i := range r.books {
		raw = r.books[i].find(h, raw)
	}
	r.mu.Unlock()
	if len(raw) <= len(found) {
		return found
	}
	var out []Fact
	for _, b := range raw {
		if f, ok := decode(b); ok && f.Attempt.ID == id {
			out = append(out, f)
		}
	}
	sortFacts(out)
	return out
}

func decode(b []byte) (f Fact, ok bool) {
	c := codec{buf: b, read: true}
	c.attempt(&f.Attempt)
	c.decision(&f.Decision, false)
	c.flag(&f.Cut)
	return f, !c.bad
}

func (r *Recent) hash(s string) uint64 {
	if s == "" {
		return 0
	}
	return max(maphash.String(r.seed, s), 1)
}

// Stats is what is kept now.
type Stats struct{ Decisions, Bytes int }

// Stats counts what is kept, and the memory taken for it.
func (r *Recent) Stats() (s Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.books {
		s.Decisions += len(r.books[i].spans) - r.books[i].first
		s.Bytes += cap(r.books[i].buf)
	}
	return s
}
