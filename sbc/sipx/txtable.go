package sipx

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
)

// txTable finds transactions by key. It is sharded, because every message
// asks it, and bounded: beyond the cap new transactions are refused.
type txTable struct {
	seed   maphash.Seed
	shards [64]txShard
	n      atomic.Int64
	closed atomic.Bool
	max    int64
	secret []byte // for tags of stateless replies
}

type txShard struct {
	mu      sync.Mutex
	servers map[string]*ServerTx
	clients map[string]*ClientTx
}

func (t *txTable) init(max int) {
	t.seed = maphash.MakeSeed()
	t.max = int64(max)
	t.secret = []byte(randomToken(16))
	for i := range t.shards {
		t.shards[i].servers = map[string]*ServerTx{}
		t.shards[i].clients = map[string]*ClientTx{}
	}
}

func (t *txTable) shard(key string) *txShard {
	return &t.shards[maphash.String(t.seed, key)%uint64(len(t.shards))]
}

func (t *txTable) server(key string) *ServerTx {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.servers[key]
}

func (t *txTable) client(key string) *ClientTx {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.clients[key]
}

// addServer and addClient report false when the table is full or closed, or
// the key is taken.
func (t *txTable) addServer(tx *ServerTx) bool {
	if t.n.Load() >= t.max {
		return false
	}
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.servers[tx.key] != nil || t.closed.Load() {
		return false
	}
	sh.servers[tx.key] = tx
	t.n.Add(1)
	return true
}

func (t *txTable) addClient(tx *ClientTx) bool {
	if t.n.Load() >= t.max {
		return false
	}
	sh := t.shard(tx.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.clients[tx.key] != nil || t.closed.Load() {
		return false
	}
	sh.clients[tx.key] = tx
	t.n.Add(1)
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
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		servers, clients := sh.servers, sh.clients
		t.n.Add(-int64(len(servers) + len(clients)))
		sh.servers, sh.clients = map[string]*ServerTx{}, map[string]*ClientTx{}
		sh.mu.Unlock()
		for _, tx := range servers {
			tx.stop()
		}
		for _, tx := range clients {
			tx.stop()
		}
	}
}

// Transactions is the number of transactions alive.
func (s *Stack) Transactions() int { return int(s.tx.n.Load()) }

// serverKey is RFC 3261 §17.2.3, with the side and address the request came
// from, so that nobody can touch another's transaction by its branch.
func serverKey(r *Request) string {
	m := r.Method()
	if m == "ACK" {
		m = "INVITE"
	}
	return serverKeyFor(r, m)
}

func serverKeyFor(r *Request, method string) string {
	via := r.msg.Via()
	branch, _ := via.Params.Get("branch")
	var b strings.Builder
	b.Grow(len(branch) + 96)
	b.WriteByte('0' + byte(r.Flow.Side))
	b.WriteString(r.Flow.Remote.Addr().String())
	b.WriteByte('|')
	if strings.HasPrefix(branch, "z9hG4bK") {
		b.WriteString(branch)
		b.WriteByte('|')
		b.WriteString(via.Host)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(via.Port))
	} else {
		// RFC 2543 clients: what identifies the request.
		b.WriteString(r.CallID())
		b.WriteByte('|')
		b.WriteString(r.FromTag())
		b.WriteByte('|')
		b.WriteString(strconv.FormatUint(uint64(r.CSeq()), 10))
		b.WriteByte('|')
		b.WriteString(via.Value())
	}
	b.WriteByte('|')
	b.WriteString(method)
	return b.String()
}

// clientKey is RFC 3261 §17.1.3.
func clientKey(res *sip.Response) string {
	branch, _ := res.Via().Params.Get("branch")
	return branch + "|" + string(res.CSeq().MethodName)
}

// statelessTag is the To tag of a reply nothing is kept for: the same for
// every retransmission of the request.
func statelessTag(r *Request) string {
	m := hmac.New(sha256.New, r.stack.tx.secret)
	m.Write([]byte(serverKey(r)))
	return hex.EncodeToString(m.Sum(nil)[:8])
}
