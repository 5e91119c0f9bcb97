package ratelimit

import (
	"cmp"
	"container/heap"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Rules that requests meet whose sender is banned or held.
const (
	RuleBanned = "bans/banned"
	RuleHeld   = "holds/costly-calls"
)

// A ban that names no time lasts firstBan; each one that follows within
// banMemory of the end of the one before lasts twice as long, up to longestBan.
const (
	firstBan   = 5 * time.Minute
	longestBan = 12 * time.Hour
	banMemory  = 24 * time.Hour
)

// BanCaps bound a table of bans. Zero fields take the defaults.
type BanCaps struct {
	Strangers int // bans of those that nothing identifies: 65536
	Known     int // bans and holds of users, and those that operators made: 16384
}

// Bans is who is shut out, and whose costly calls are held. It is a guard,
// asked before all others; for addresses the gate is asked sooner still.
//
// Two tables of fixed size keep what strangers brought upon themselves apart
// from the rest, so that however many addresses an attacker has, no operator's
// ban and no hold gives way to them. A full one forgets what ends first.
//
// What the contract promises is kept here, not by those who ask: an address is
// banned only when it is known to be real and no good registration comes from
// it; PBXs and peers never are.
type Bans struct {
	mu      sync.RWMutex
	by      map[banKey]*ban
	heaps   [2]banHeap // strangers, the rest
	most    [2]int
	shapes  [2][call.Shapes]int // entries by act and shape
	addrs   atomic.Int64        // entries that are about an address or network alone
	changes atomic.Uint64
}

type banKey struct {
	act call.Act
	key call.Key
}

type ban struct {
	call.Ban
	told   bool // the first refused call of a hold is reported
	forget time.Time
	index  int
}

// NewBans makes an empty table.
func NewBans(c BanCaps) *Bans {
	return &Bans{by: map[banKey]*ban{}, most: [2]int{cmp.Or(c.Strangers, 65_536), cmp.Or(c.Known, 16_384)}}
}

// Name implements the guard.
func (b *Bans) Name() string { return "bans" }

// Add takes in a ban or hold and returns it as it is now in force. An entry
// that is there already is renewed and never shortened. again says that it was in
// force before; ok is false when the table has no room.
func (b *Bans) Add(n call.Ban, last time.Duration) (in call.Ban, again, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := banKey{n.Act, n.Key}
	old := b.by[k]
	if old != nil && old.forget.Before(n.Since) {
		b.drop(old)
		old = nil
	}
	n.Times = 1
	if old != nil {
		again = n.Since.Before(old.Until)
		if n.Times = old.Times; !again {
			n.Times++
		}
	}
	if last == 0 {
		last = firstBan
		for i := 1; i < n.Times && last < longestBan; i++ {
			last *= 2
		}
		last = min(last, longestBan)
	}
	n.Until = n.Since.Add(last)
	if again {
		n.Since = old.Since
		if old.Until.After(n.Until) {
			n.Until = old.Until
		}
		n.Manual, n.Known = n.Manual || old.Manual, n.Known || old.Known
	}
	told := again && old.told
	if old != nil {
		b.drop(old)
	}
	h := b.heapOf(n)
	if len(b.heaps[h]) >= b.most[h] {
		if !n.Manual && b.heaps[h][0].Manual {
			return call.Ban{}, false, false
		}
		b.drop(b.heaps[h][0])
	}
	e := &ban{Ban: n, told: told, forget: n.Until.Add(banMemory)}
	if n.Manual {
		e.forget = n.Until
	}
	b.by[k] = e
	heap.Push(&b.heaps[h], e)
	b.counted(e, 1)
	b.changes.Add(1)
	return e.Ban, again, true
}

func (b *Bans) heapOf(n call.Ban) int {
	if n.Known || n.Manual {
		return 1
	}
	return 0
}

// drop is called with the lock held.
func (b *Bans) drop(e *ban) {
	delete(b.by, banKey{e.Act, e.Key})
	heap.Remove(&b.heaps[b.heapOf(e.Ban)], e.index)
	b.counted(e, -1)
	b.changes.Add(1)
}

func (b *Bans) counted(e *ban, n int) {
	s := e.Key.Shape()
	b.shapes[e.Act-call.ActBan][s] += n
	if e.Act == call.ActBan && s&^(call.ShapeIP|call.ShapeNet) == 0 {
		b.addrs.Add(int64(n))
	}
}

// Shut reports whether an address is banned: for the gate, before anything is
// read. It costs a few nanoseconds while no address is.
func (b *Bans) Shut(a netip.Addr, now time.Time) bool {
	if b.addrs.Load() == 0 {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, wide := range []bool{false, true} {
		if e := b.by[banKey{call.ActBan, call.Key{Source: call.SourcePrefix(a, wide)}}]; e != nil && now.Before(e.Until) {
			return true
		}
	}
	return false
}

// find is the entry that an attempt falls under. It allocates nothing.
func (b *Bans) find(act call.Act, a *call.Attempt) *ban {
	for s, n := range b.shapes[act-call.ActBan] {
		if n == 0 {
			continue
		}
		k, ok := call.KeyOf(a, call.Shape(s))
		if !ok {
			continue
		}
		if e := b.about(act, k, a); e != nil && a.At.Before(e.Until) && !spared(act, k, a) {
			return e
		}
	}
	return nil
}

// about is the entry of a key. Where it names a user that somebody registers, it
// may be of the user in every domain, or of the one whose password he shows. One
// that is over, and only remembered, hides none of the others.
func (b *Bans) about(act call.Act, k call.Key, a *call.Attempt) *ban {
	if k.RegisterUser == "" {
		return b.by[banKey{act, k}]
	}
	for _, name := range [...]string{k.RegisterUser, a.Guessed()} {
		if k.RegisterUser = name; name == "" {
			continue
		}
		for _, k.Domain = range [...]string{a.RegisterDomain, ""} {
			if e := b.by[banKey{act, k}]; e != nil && a.At.Before(e.Until) {
				return e
			}
		}
	}
	return nil
}

// spared: a ban of an address does not reach those who registered from it, nor
// one who is configured.
func spared(act call.Act, k call.Key, a *call.Attempt) bool {
	if act != call.ActBan {
		return false
	}
	if a.PeerKind == call.PBX || a.PeerKind == call.Carrier {
		return true
	}
	alone := k.Shape()&^(call.ShapeIP|call.ShapeNet) == 0
	return alone && (a.Source.Registered || a.Source.Configured)
}

// Judge implements the guard: it refuses those who are banned, and costly calls
// of accounts that are held.
func (b *Bans) Judge(a *call.Attempt) call.Decision {
	if a.Emergency() {
		return call.Decision{}
	}
	b.mu.RLock()
	e := b.find(call.ActBan, a)
	var was call.Ban
	if e != nil {
		was = e.Ban
	}
	b.mu.RUnlock()
	if e != nil {
		v, code := call.BanVerdict(a)
		return call.Decision{Verdict: v, Status: code, Rule: RuleBanned, Severity: call.Low, Subject: was.Key.Subject(),
			Reason: "banned until " + was.Until.UTC().Format(time.RFC3339) + " by " + was.Rule + ": " + was.Reason,
			Trace:  []string{RuleBanned}, Evidence: evidenceOf(was)}
	}
	if v, _ := call.HoldVerdict(a); v == call.Abstain || a.On != call.Request {
		return call.Decision{}
	}
	return b.held(a)
}

func (b *Bans) held(a *call.Attempt) call.Decision {
	b.mu.RLock()
	e := b.find(call.ActHold, a)
	first := e != nil && !e.told
	b.mu.RUnlock()
	if e == nil {
		return call.Decision{}
	}
	if first { // the entry may have been replaced meanwhile: then the new one is told
		b.mu.Lock()
		first, e.told = !e.told, true
		b.mu.Unlock()
	}
	b.mu.RLock()
	was := e.Ban
	b.mu.RUnlock()
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: RuleHeld, Severity: call.Medium, Subject: was.Key.Subject(),
		Reason: "costly calls of " + was.Key.String() + " are held until " + was.Until.UTC().Format(time.RFC3339) + " by " + was.Rule + ": " + was.Reason,
		Trace:  []string{RuleHeld}, Evidence: evidenceOf(was)}
	if first { // once: who is held may try often
		d.Action = call.CallRejected
	}
	return d
}

func evidenceOf(n call.Ban) []call.Evidence {
	return []call.Evidence{{Name: n.Act.String() + ".rule", Value: n.Rule}, {Name: n.Act.String() + ".until", Value: n.Until.UTC().Format(time.RFC3339)},
		{Name: n.Act.String() + ".times", Value: n.Times}}
}

// Enact carries out the bans and holds that a decision asks for, where they
// may be: inUse says that a good registration or a peer has an address of a
// network. What came into force, or was renewed, is returned.
func (b *Bans) Enact(a *call.Attempt, effects []call.Effect, inUse func(netip.Prefix) bool) (done []call.Enacted) {
	for _, e := range effects {
		if e.Act != call.ActBan && e.Act != call.ActHold || e.Act == call.ActBan && !mayBan(a, e.Key, inUse) {
			continue
		}
		n, again, ok := b.Add(call.Ban{Act: e.Act, Key: e.Key, Rule: e.Rule, Reason: e.Reason, Evidence: e.Evidence,
			Since: a.At, Known: e.Act == call.ActHold || !a.Stranger()}, e.For)
		if ok {
			done = append(done, call.Enacted{Ban: n, Severity: e.Severity, Again: again})
		}
	}
	return done
}

// mayBan: INTERFACE, decision 7.
func mayBan(a *call.Attempt, k call.Key, inUse func(netip.Prefix) bool) bool {
	switch s := k.Shape(); {
	case s == 0 || a.Side == call.Inside || a.PeerKind == call.PBX || a.PeerKind == call.Carrier || k.Peer != "":
		return false
	case s&(call.ShapeIP|call.ShapeNet) == 0:
		return true
	case !a.Source.Verified() || a.Source.Configured:
		return false
	case s&^(call.ShapeIP|call.ShapeNet) == 0:
		return !a.Source.Registered && (inUse == nil || !inUse(k.Source))
	}
	return true
}

// Remove lifts a ban or hold; nothing of it is remembered. It returns what was
// lifted.
func (b *Bans) Remove(act call.Act, k call.Key, now time.Time) (was call.Ban, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.by[banKey{act, k}]
	if e == nil {
		return was, false
	}
	was = e.Ban
	b.drop(e)
	return was, now.Before(was.Until)
}

// Forgive forgets past bans of whoever an attempt comes from: it has shown
// good credentials, so the next ban is a first one. Bans in force stay, as does
// the memory of an address: one good account must not wash it clean.
func (b *Bans) Forgive(a *call.Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, n := range b.shapes[0] {
		shape := call.Shape(s)
		if n == 0 || shape&(call.ShapeUser|call.ShapeRegisterUser) == 0 {
			continue
		}
		if k, ok := call.KeyOf(a, shape); ok {
			if e := b.by[banKey{call.ActBan, k}]; e != nil && !a.At.Before(e.Until) {
				b.drop(e)
			}
		}
	}
}

// Outcome implements what guards that watch answers are told.
func (b *Bans) Outcome(a *call.Attempt, code int) {
	if a.Method == "REGISTER" && code >= 200 && code < 300 && a.AuthUser != "" {
		b.Forgive(a)
	}
}

// List is what is in force, those that end first at the head.
func (b *Bans) List(now time.Time) []call.Ban {
	return slices.DeleteFunc(b.Remembered(), func(n call.Ban) bool { return !now.Before(n.Until) })
}

// Remembered is what is in force and what is remembered for the time after, for
// a file.
func (b *Bans) Remembered() (out []call.Ban) {
	b.mu.RLock()
	for _, e := range b.by {
		out = append(out, e.Ban)
	}
	b.mu.RUnlock()
	slices.SortFunc(out, func(x, y call.Ban) int {
		return cmp.Or(x.Until.Compare(y.Until), cmp.Compare(x.Key.String(), y.Key.String()), cmp.Compare(x.Act, y.Act))
	})
	return out
}

// Restore takes back what Remembered gave. What is too old is left out, and
// what no ban can be.
func (b *Bans) Restore(all []call.Ban, now time.Time) (taken int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range all {
		k := banKey{n.Act, n.Key}
		h := b.heapOf(n)
		forget := n.Until.Add(banMemory)
		if n.Manual {
			forget = n.Until
		}
		if n.Act != call.ActBan && n.Act != call.ActHold || n.Key.Shape() == 0 || n.Times < 1 || now.After(forget) ||
			b.by[k] != nil || len(b.heaps[h]) >= b.most[h] {
			continue
		}
		e := &ban{Ban: n, forget: forget}
		b.by[k] = e
		heap.Push(&b.heaps[h], e)
		b.counted(e, 1)
		taken++
	}
	return taken
}

// Expire forgets what is over and no longer remembered.
func (b *Bans) Expire(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.by {
		if now.After(e.forget) {
			b.drop(e)
		}
	}
}

// Changes counts what was added and removed, so that a keeper knows when to
// write.
func (b *Bans) Changes() uint64 { return b.changes.Load() }

// Count is how many bans and holds are in force.
func (b *Bans) Count(now time.Time) (bans, holds int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for k, e := range b.by {
		switch {
		case !now.Before(e.Until):
		case k.act == call.ActHold:
			holds++
		default:
			bans++
		}
	}
	return bans, holds
}

// banHeap has at its head what is forgotten first when there is no room: what
// nobody asked for by hand, and of that what ends first.
type banHeap []*ban

func (h banHeap) Len() int { return len(h) }
func (h banHeap) Less(i, j int) bool {
	if h[i].Manual != h[j].Manual {
		return h[j].Manual
	}
	return h[i].Until.Before(h[j].Until)
}
func (h banHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *banHeap) Push(x any) {
	e := x.(*ban)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *banHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
