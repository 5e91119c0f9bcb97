package fraud

import (
	"encoding/binary"
	"reflect"
)

// A table keeps something about each of at most max keys. A key that nobody
// touched for ttl is gone; when the table is full, the one that was not touched
// for the longest time gives way. Its entries are used again, so a full table
// allocates nothing more than what its values do.
//
// An attacker who sends many keys pushes out what rests, never what is in use:
// what must outlast that (holds, guarded numbers) stands in a table of its own
// that only findings write to.
type table[K comparable, V any] struct {
	max   int
	ttl   int64 // ns
	at    map[K]*entry[K, V]
	first *entry[K, V] // touched last
	last  *entry[K, V]
	free  *entry[K, V]
	clear func(*V) // makes a used value new again and may keep its memory; nil: the zero value
}

type entry[K comparable, V any] struct {
	key        K
	touched    int64
	prev, next *entry[K, V]
	v          V
}

func newTable[K comparable, V any](most int, ttl int64, clear func(*V)) *table[K, V] {
	return &table[K, V]{max: max(most, 1), ttl: ttl, at: map[K]*entry[K, V]{}, clear: clear}
}

// find returns what is kept about a key, nil when there is nothing. It touches
// the key: a key that is asked for stays.
func (t *table[K, V]) find(k K, now int64) *V {
	e := t.live(k, now)
	if e == nil {
		return nil
	}
	t.touch(e, now)
	return &e.v
}

// peek is find without touching, for those who only judge.
func (t *table[K, V]) peek(k K, now int64) *V {
	if e := t.at[k]; e != nil && now-e.touched < t.ttl {
		return &e.v
	}
	return nil
}

// get is find, but makes room for a new key.
func (t *table[K, V]) get(k K, now int64) *V {
	if e := t.live(k, now); e != nil {
		t.touch(e, now)
		return &e.v
	}
	if len(t.at) >= t.max {
		t.drop(t.last)
	}
	e := t.free
	if e == nil {
		e = &entry[K, V]{}
	} else {
		t.free = e.next
	}
	e.key, e.touched, e.next, e.prev = k, now, nil, nil
	t.at[k] = e
	t.push(e)
	return &e.v
}

func (t *table[K, V]) live(k K, now int64) *entry[K, V] {
	e := t.at[k]
	if e == nil {
		return nil
	}
	if now-e.touched >= t.ttl {
		t.drop(e)
		return nil
	}
	return e
}

func (t *table[K, V]) touch(e *entry[K, V], now int64) {
	e.touched = max(e.touched, now)
	if t.first != e {
		t.unlink(e)
		t.push(e)
	}
}

func (t *table[K, V]) push(e *entry[K, V]) {
	e.prev, e.next = nil, t.first
	if t.first != nil {
		t.first.prev = e
	}
	t.first = e
	if t.last == nil {
		t.last = e
	}
}

func (t *table[K, V]) unlink(e *entry[K, V]) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		t.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		t.last = e.prev
	}
}

func (t *table[K, V]) drop(e *entry[K, V]) {
	t.unlink(e)
	delete(t.at, e.key)
	if t.clear != nil {
		t.clear(&e.v)
	} else {
		var zero V
		e.v = zero
	}
	var none K
	e.key, e.prev, e.next = none, nil, t.free
	t.free = e
}

func (t *table[K, V]) remove(k K) {
	if e := t.at[k]; e != nil {
		t.drop(e)
	}
}

// sweep forgets up to n keys whose time has passed, oldest first.
func (t *table[K, V]) sweep(now int64, n int) {
	for ; n > 0 && t.last != nil && now-t.last.touched >= t.ttl; n-- {
		t.drop(t.last)
	}
}

// each shows every value, the one that was touched last first. It may change
// them, but not the table.
func (t *table[K, V]) each(do func(*V)) {
	for e := t.first; e != nil; e = e.next {
		do(&e.v)
	}
}

func (t *table[K, V]) len() int { return len(t.at) }

// resize gives the table other limits; the oldest keys give way.
func (t *table[K, V]) resize(most int, ttl int64) {
	t.max, t.ttl = max(most, 1), ttl
	for len(t.at) > t.max {
		t.drop(t.last)
	}
	t.free = nil
}

func (t *table[K, V]) limits() (most int, ttl int64) { return t.max, t.ttl }

// save writes the entries, that touched last first.
func (t *table[K, V]) save(b []byte) ([]byte, error) {
	ks, err := shapeOf(reflect.TypeFor[K]())
	if err != nil {
		return b, err
	}
	vs, err := shapeOf(reflect.TypeFor[V]())
	if err != nil {
		return b, err
	}
	b = vs.append(ks.append(b))
	b = binary.AppendUvarint(b, uint64(len(t.at)))
	var before int64
	for e := t.first; e != nil; e = e.next {
		b = binary.AppendVarint(b, e.touched-before)
		before = e.touched
		b = ks.value(b, reflect.ValueOf(&e.key).Elem())
		b = vs.value(b, reflect.ValueOf(&e.v).Elem())
	}
	return b, nil
}

// load adds entries behind those that are there, until the table is full.
func (t *table[K, V]) load(r *reader) {
	ks, vs := r.shape(0), r.shape(0)
	ks.bind(reflect.TypeFor[K]())
	vs.bind(reflect.TypeFor[V]())
	var before int64
	for range r.count() {
		if r.err != nil || len(t.at) >= t.max {
			return
		}
		e := &entry[K, V]{}
		before += r.int()
		e.touched = before
		r.value(&ks, reflect.ValueOf(&e.key).Elem())
		r.value(&vs, reflect.ValueOf(&e.v).Elem())
		if t.at[e.key] != nil || r.err != nil {
			continue // two keys that differ no longer
		}
		t.at[e.key] = e
		if e.prev = t.last; e.prev != nil {
			e.prev.next = e
		} else {
			t.first = e
		}
		t.last = e
	}
}
