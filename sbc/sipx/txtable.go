package sipx

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
)

// txTable finds transactions by key. It is sharded, because every message
// asks it, and bounded: room is made by those that are over (see [past]),
// oldest first, and when there are none new transactions are refused.
type txTable struct {
	shards [64]txShard
	n      atomic.Int64 // those in progress and those that are over
	closed atomic.Bool
	max    int64
	secret []byte // for tags of stateless replies
	memory memory // of those that are over: in which order they go
}

type txShard struct {
	mu      sync.Mutex
	servers map[txKey]*ServerTx
	clients map[txKey]*ClientTx
	past    map[txKey]past
}

// txKey stands for what identifies a transaction: a digest of it, as one key
// is needed for every message and half a minute long for every transaction.
type txKey [16]byte

func (k *txKey) of(b []byte) {
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
}

func (t *txTable) init(max int) {
	t.max = int64(max)
	t.secret = []byte(randomToken(16))
	for i := range t.shards {
		t.shards[i].clear()
	}
}

func (sh *txShard) clear() {
	sh.servers, sh.clients, sh.past = map[txKey]*ServerTx{}, map[txKey]*ClientTx{}, map[txKey]past{}
}

func (t *txTable) shard(key txKey) *txShard { return &t.shards[int(key[0])%len(t.shards)] }

// server finds a server transaction, or what is left of it.
func (t *txTable) server(key txKey) (tx *ServerTx, p past, over bool) {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if tx = sh.servers[key]; tx == nil {
		p, over = sh.past[key]
	}
	return tx, p, over
}

// client finds a client transaction, or what is left of it.
func (t *txTable) client(key txKey) (tx *ClientTx, p past, over bool) {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if tx = sh.clients[key]; tx == nil {
		p, over = sh.past[key]
	}
	return tx, p, over
}

// room counts one more in, at the cost of the oldest that is over if need be.
func (t *txTable) room() bool {
	for t.n.Add(1) > t.max {
		t.n.Add(-1)
		if !t.forgetOldest() {
			return false
		}
	}
	return true
}

// addServer and addClient report false when the table is full or closed, or
// the key is taken.
func (t *txTable) addServer(tx *ServerTx) bool {
	if !t.room() {
		return false
	}
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, over := sh.past[tx.key]; over || sh.servers[tx.key] != nil || t.closed.Load() {
		t.n.Add(-1)
		return false
	}
	sh.servers[tx.key] = tx
	return true
}

func (t *txTable) addClient(tx *ClientTx) bool {
	if !t.room() {
		return false
	}
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.clients[tx.key] != nil || t.closed.Load() {
		t.n.Add(-1)
		return false
	}
	sh.clients[tx.key] = tx
	return true
}

func (t *txTable) dropServer(tx *ServerTx) {
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.servers[tx.key] == tx {
		delete(sh.servers, tx.key)
		t.n.Add(-1)
	}
}

func (t *txTable) dropClient(tx *ClientTx) {
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.clients[tx.key] == tx {
		delete(sh.clients, tx.key)
		t.n.Add(-1)
	}
}

// stop ends every transaction's timers; none begins any more.
func (t *txTable) stop() {
	t.closed.Store(true)
	t.memory.stop()
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		servers, clients := sh.servers, sh.clients
		t.n.Add(-int64(len(servers) + len(clients) + len(sh.past)))
		sh.clear()
		sh.mu.Unlock()
		for _, tx := range servers {
			tx.stop()
		}
		for _, tx := range clients {
			tx.stop()
		}
	}
}

// Transactions is the number of transactions that are kept.
func (s *Stack) Transactions() int { return int(s.tx.n.Load()) }

// Busy is the number of transactions that are not over: the others make room.
func (s *Stack) Busy() int {
	m := &s.tx.memory
	m.mu.Lock()
	over := 0
	for i := range m.kinds {
		over += len(m.kinds[i].list) - m.kinds[i].head
	}
	m.mu.Unlock()
	return max(0, int(s.tx.n.Load())-over)
}

// serverKey is RFC 3261 §17.2.3, with the side and address the request came
// from, so that nobody can touch another's transaction by its branch.
func serverKey(r *Request) txKey {
	m := r.Method()
	if m == "ACK" {
		m = "INVITE"
	}
	return serverKeyFor(r, m)
}

func serverKeyFor(r *Request, method string) (k txKey) {
	via := r.msg.Via()
	branch, _ := via.Params.Get("branch")
	var room [256]byte
	b := append(room[:0], 's', '0'+byte(r.Flow.Side))
	b = r.Flow.Remote.Addr().AppendTo(b)
	b = append(b, '|')
	if strings.HasPrefix(branch, "z9hG4bK") {
		b = append(append(append(append(b, branch...), '|'), via.Host...), ':')
		b = strconv.AppendInt(b, int64(via.Port), 10)
	} else {
		// RFC 2543 clients: what identifies the request.
		b = append(append(append(append(b, r.CallID()...), '|'), r.FromTag()...), '|')
		b = strconv.AppendUint(b, uint64(r.CSeq()), 10)
		b = append(append(b, '|'), via.Value()...)
	}
	k.of(append(append(b, '|'), method...))
	return k
}

// clientKey is RFC 3261 §17.1.3.
func clientKey(branch, method string) (k txKey) {
	var room [128]byte
	k.of(append(append(append(append(room[:0], 'c'), branch...), '|'), method...))
	return k
}

func clientKeyOf(res *sip.Response) txKey {
	branch, _ := res.Via().Params.Get("branch")
	return clientKey(branch, string(res.CSeq().MethodName))
}

// statelessTag is the To tag of a reply nothing is kept for: the same for
// every retransmission of the request.
func statelessTag(r *Request) string {
	m := hmac.New(sha256.New, r.stack.tx.secret)
	key := serverKey(r)
	m.Write(key[:])
	return hex.EncodeToString(m.Sum(nil)[:8])
}
