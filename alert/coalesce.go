package alert

import (
	"container/list"
	"time"
)

// coalescer lets the first few values of a key through in each window and
// folds the rest into one, which is due when the window ends. It is pure: time is
// an argument, the owner locks.
//
//	(none) --add--> open: passes ≤ burst, then folds --window ends-->
//	    nothing folded: forgotten
//	    folded:         given out, a new window opens with its burst used up
//
// A key under steady fire thus gives its burst once and then one value per
// window. All windows are equally long, so the order in which they opened is
// the order in which they end.
type coalescer[K comparable, V any] struct {
	window  time.Duration
	burst   int
	max     int // keys at a time, besides those that are forced
	fold    func(acc *V, more V)
	keys    map[K]*list.Element // of *slot[K, V]
	order   *list.List
	forced  int
	maxForc int
}

type slot[K comparable, V any] struct {
	key    K
	ends   time.Time
	passed int
	folded int
	value  V
	forced bool
}

func newCoalescer[K comparable, V any](window time.Duration, burst, max int, fold func(*V, V)) *coalescer[K, V] {
	return &coalescer[K, V]{window: window, burst: burst, max: max, maxForc: 256, fold: fold,
		keys: map[K]*list.Element{}, order: list.New()}
}

// room is the answer of add.
type room uint8

const (
	pass   room = iota // write it now
	folded             // kept, due at the end of the window
	full               // the table has no room for this key
)

// add takes one value. With force it may use the reserve beyond max, meant for
// the keys under which an owner gathers what found the table full.
func (c *coalescer[K, V]) add(now time.Time, k K, v V, force bool) room {
	return c.take(now, k, v, force, c.burst)
}

// hold is add without a burst: the value is folded, or the table is full.
func (c *coalescer[K, V]) hold(now time.Time, k K, v V, force bool) room {
	return c.take(now, k, v, force, 0)
}

func (c *coalescer[K, V]) take(now time.Time, k K, v V, force bool, burst int) room {
	if el, ok := c.keys[k]; ok {
		s := el.Value.(*slot[K, V])
		switch {
		// Once something is folded, nothing passes before the window ends.
		case s.passed < burst && s.folded == 0:
			s.passed++
			return pass
		case s.folded == 0:
			s.value = v
		default:
			c.fold(&s.value, v)
		}
		s.folded++
		return folded
	}
	if force && c.forced >= c.maxForc || !force && len(c.keys)-c.forced >= c.max {
		return full
	}
	if force {
		c.forced++
	}
	s := &slot[K, V]{key: k, ends: now.Add(c.window), passed: 1, forced: force}
	c.keys[k] = c.order.PushBack(s)
	if burst == 0 {
		s.passed, s.folded, s.value = 0, 1, v
		return folded
	}
	return pass
}

// more folds a value into those that a key has folded already: change is what
// it does to them. It is false where nothing is folded.
func (c *coalescer[K, V]) more(k K, change func(acc *V)) bool {
	el, ok := c.keys[k]
	if !ok {
		return false
	}
	s := el.Value.(*slot[K, V])
	if s.folded == 0 {
		return false
	}
	change(&s.value)
	s.folded++
	return true
}

// room reports whether add without force would not be full.
func (c *coalescer[K, V]) room(k K) bool { return c.has(k) || len(c.keys)-c.forced < c.max }

// has reports whether a window of the key is open.
func (c *coalescer[K, V]) has(k K) bool { return c.keys[k] != nil }

// gather folds a value that stands for n into the reserve. It is false when
// even that is full.
func (c *coalescer[K, V]) gather(now time.Time, k K, v V, n int) bool {
	if c.hold(now, k, v, true) == full {
		return false
	}
	c.keys[k].Value.(*slot[K, V]).folded += n - 1
	return true
}

// due removes and returns what is folded in windows that ended by now. The
// number of values in each is given beside it.
func (c *coalescer[K, V]) due(now time.Time, give func(v V, n int)) {
	for el := c.order.Front(); el != nil; el = c.order.Front() {
		s := el.Value.(*slot[K, V])
		if s.ends.After(now) {
			return
		}
		if s.folded == 0 {
			c.forget(el, s)
			continue
		}
		v, n := s.value, s.folded
		var zero V
		s.value, s.folded, s.passed = zero, 0, c.burst
		s.ends = now.Add(c.window)
		c.order.MoveToBack(el)
		give(v, n)
	}
}

// drain empties the table and gives what was folded, oldest window first.
func (c *coalescer[K, V]) drain(give func(v V, n int)) {
	for el := c.order.Front(); el != nil; el = c.order.Front() {
		s := el.Value.(*slot[K, V])
		c.forget(el, s)
		if s.folded > 0 {
			give(s.value, s.folded)
		}
	}
}

func (c *coalescer[K, V]) forget(el *list.Element, s *slot[K, V]) {
	if s.forced {
		c.forced--
	}
	delete(c.keys, s.key)
	c.order.Remove(el)
}

// next is when due has something to do.
func (c *coalescer[K, V]) next() (time.Time, bool) {
	if el := c.order.Front(); el != nil {
		return el.Value.(*slot[K, V]).ends, true
	}
	return time.Time{}, false
}
