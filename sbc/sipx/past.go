package sipx

import (
	"sync"
	"time"
)

// past is what is kept of a transaction that is over, for messages of it that
// come again: half a minute long, and so most of what a busy gateway holds.
// It is little, and nothing of the call hangs on it.
type past struct {
	again []byte // of a server: the response, nil after an ACK; of a client: the ACK
	tag   string // To tag: of a server its own, of a client that of the 2xx, "" after 300–699
	flow  *Flow  // of a client: where the request went
}

// acknowledges tells whether the response is the one that got the ACK.
func (p past) acknowledges(res *Response) bool {
	switch code := res.Code(); {
	case p.tag == "":
		return code >= 300
	default:
		return code >= 200 && code < 300 && res.ToTag() == p.tag
	}
}

// memory says when a past is forgotten. Lifetimes are of three kinds: the short
// Timer I, 64·T1, and Timer D where 32 s are longer than that. Within each kind
// they end in the order in which they began, near enough.
type memory struct {
	table *txTable
	t1    time.Duration
	start time.Time

	mu      sync.Mutex
	kinds   [3]fifo
	timer   *time.Timer
	wake    int64 // when it fires; 0: not
	stopped bool
}

// fifo is a queue of what ends; the times are nanoseconds since the start.
type fifo struct {
	list []ending
	head int
}

type ending struct {
	at  int64
	key txKey
}

func (q *fifo) push(e ending) {
	if q.head > 1024 && q.head > len(q.list)/2 {
		q.list = append(q.list[:0], q.list[q.head:]...)
		q.head = 0
	}
	q.list = append(q.list, e)
}

func (q *fifo) first() (ending, bool) {
	if q.head == len(q.list) {
		return ending{}, false
	}
	return q.list[q.head], true
}

func (q *fifo) pop() {
	if q.head++; q.head == len(q.list) {
		q.list, q.head = nil, 0 // a burst's room is not kept
	}
}

func (m *memory) init(t *txTable, t1 time.Duration) { m.table, m.t1, m.start = t, t1, time.Now() }

// remember notes when a key is to be forgotten.
func (m *memory) remember(key txKey, d time.Duration) {
	at := int64(time.Since(m.start) + d)
	kind := 0
	switch {
	case d > 64*m.t1:
		kind = 2
	case d > 32*m.t1:
		kind = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return
	}
	m.kinds[kind].push(ending{at, key})
	if m.wake == 0 || at < m.wake {
		m.arm(at, d)
	}
}

// arm is called with mu held.
func (m *memory) arm(at int64, d time.Duration) {
	m.wake = at
	if d = max(d, m.t1); m.timer != nil {
		m.timer.Reset(d)
		return
	}
	m.timer = time.AfterFunc(d, m.sweep)
}

// sweep forgets what is due, at most once in T1.
func (m *memory) sweep() {
	now := int64(time.Since(m.start))
	var due []txKey
	m.mu.Lock()
	next := int64(-1)
	for i := range m.kinds {
		q := &m.kinds[i]
		for e, ok := q.first(); ok; e, ok = q.first() {
			if e.at > now {
				if next < 0 || e.at < next {
					next = e.at
				}
				break
			}
			due = append(due, e.key)
			q.pop()
		}
	}
	m.wake = 0
	if next >= 0 && !m.stopped {
		m.arm(next, time.Duration(next-now))
	}
	m.mu.Unlock()
	for _, k := range due {
		m.table.forget(k)
	}
}

func (m *memory) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.kinds = [3]fifo{}
}

// forgetOldest makes room; false when nothing is over.
func (t *txTable) forgetOldest() bool {
	m := &t.memory
	m.mu.Lock()
	var e ending
	ok := false
	for i := range m.kinds { // the shortest lifetime has served its purpose soonest
		if e, ok = m.kinds[i].first(); ok {
			m.kinds[i].pop()
			break
		}
	}
	m.mu.Unlock()
	if ok {
		t.forget(e.key)
	}
	return ok
}

func (t *txTable) forget(key txKey) {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, ok := sh.past[key]; ok {
		delete(sh.past, key)
		t.n.Add(-1)
	}
}

// pastServer and pastClient put what is left in the place of the transaction.
func (t *txTable) pastServer(tx *ServerTx, d time.Duration, p past) {
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.servers[tx.key] == tx {
		delete(sh.servers, tx.key)
		sh.past[tx.key] = p
		t.memory.remember(tx.key, d)
	}
}

func (t *txTable) pastClient(tx *ClientTx, d time.Duration, p past) {
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.clients[tx.key] == tx {
		delete(sh.clients, tx.key)
		sh.past[tx.key] = p
		t.memory.remember(tx.key, d)
	}
}
