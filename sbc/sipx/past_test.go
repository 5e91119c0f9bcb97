package sipx

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TestPast: what comes again of a transaction that is over is known, answered
// as it should be, and forgotten in time.
func TestPast(t *testing.T) {
	const t1 = 40 * time.Millisecond
	h := newRecorder()
	s := startStack(t, Config{T1: t1, T2: t1, T4: t1}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	expectNothing := func(what string) {
		t.Helper()
		select {
		case r := <-h.requests:
			t.Errorf("%s: %s came to the handler", what, r.Method())
		default:
		}
	}

	bye := msg("BYE", p.host(), "b1", "c1", "x", 2)
	p.send(bye)
	(<-h.requests).Begin().Respond(200, "", "", []HeaderField{{"Allow", "BYE"}}, nil)
	first := p.expect("SIP/2.0 200")
	p.send(bye)
	if again := p.expect("SIP/2.0 200"); again != first {
		t.Errorf("the second answer is %q, the first was %q", again, first)
	}
	expectNothing("BYE again")

	inv := msg("INVITE", p.host(), "i1", "c2", "", 1)
	p.send(inv)
	tx := (<-h.requests).Begin()
	tx.Respond(200, "", "", nil, nil)
	p.expect("SIP/2.0 200")
	tx.Acknowledged()
	tag := tx.ToTag()
	for m := p.read(t1); m != ""; m = p.read(t1) { // repeated before the ACK
	}
	p.send(inv)
	p.send(msg("CANCEL", p.host(), "i1", "c2", "", 1))
	if m := p.expect("SIP/2.0 200"); headerOf(m, "CSeq") != "1 CANCEL" || !strings.HasSuffix(headerOf(m, "To"), ";tag="+tag) {
		t.Errorf("answer to the CANCEL is %q; the call's tag was %s", m, tag)
	}
	expectNothing("INVITE again")

	waitFor(t, func() bool { return s.Transactions() == 0 })
	p.send(bye)
	if r := <-h.requests; r.Method() != "BYE" {
		t.Errorf("after its time the BYE came as %s", r.Method())
	}
}

// TestReleasedInvite: without its owner a 2xx that comes again gets its ACK,
// and that of another fork nothing.
func TestReleasedInvite(t *testing.T) {
	s := startStack(t, Config{T1: 40 * time.Millisecond, T2: 40 * time.Millisecond, T4: 40 * time.Millisecond}, newRecorder())
	p, q := dialUDP(t, s, "127.0.0.1:0"), dialUDP(t, s, "127.0.0.2:0")
	tx, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	p.reply(req, 200, "t1")
	<-out
	ack := invite(p.host())
	ack.Method = "ACK"
	ack.Headers[3].Value = "1 ACK"
	if err := tx.Ack(tx.Flow(), "t1", ack); err != nil {
		t.Fatal(err)
	}
	first := p.expect("ACK")
	tx.Release()
	p.reply(req, 200, "t1")
	if again := p.expect("ACK"); again != first {
		t.Errorf("the second ACK is %q, the first was %q", again, first)
	}
	strays := s.Stats.Strays.Load()
	p.reply(req, 200, "t2")
	p.reply(req, 486, "t1")
	q.reply(req, 200, "t1") // from where the request did not go
	waitFor(t, func() bool { return s.Stats.Strays.Load() > strays })
	if m := p.read(20 * time.Millisecond); m != "" {
		t.Errorf("answered by %q", m)
	}
	if len(out) != 0 {
		t.Error("the owner that has gone was told")
	}
	waitFor(t, func() bool { return s.Transactions() == 0 })
}

// TestRoomForNew: the cap counts what is over, and the oldest of it makes
// room; what is in progress never does.
func TestRoomForNew(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{MaxTransactions: 3}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	bye := func(i int) string { return msg("BYE", p.host(), fmt.Sprint("r", i), fmt.Sprint("rc", i), "x", 2) }
	open := func(i int) *ServerTx {
		p.send(bye(i))
		return (<-h.requests).Begin()
	}
	kept := open(0)
	for i := 1; i < 20; i++ {
		tx := open(i)
		if tx == nil {
			t.Fatalf("request %d was refused; %d transactions", i, s.Transactions())
		}
		tx.Respond(200, "", "", nil, nil)
		p.expect("SIP/2.0 200")
		if n := s.Transactions(); n > 3 {
			t.Fatalf("%d transactions, 3 are allowed", n)
		}
	}
	p.send(bye(19)) // the newest is still known
	p.expect("SIP/2.0 200")
	if r := s.Stats.Retransmits.Load(); r != 1 {
		t.Errorf("%d retransmissions", r)
	}
	kept.Respond(200, "", "", nil, nil)
	p.expect("SIP/2.0 200")
}

// TestForgottenInTime: what is kept long does not keep what is not.
func TestForgottenInTime(t *testing.T) {
	s := startStack(t, Config{T4: 10 * time.Millisecond}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	_, out := clientTo(t, s, p, invite(p.host()))
	p.reply(p.expect("INVITE"), 486, "t1") // Timer D: 64·T1, 32 s
	<-out
	p.expect("ACK")
	h := s.handler.(*recorder)
	for i := range 10 {
		branch := fmt.Sprint("f", i)
		p.send(msg("INVITE", p.host(), branch, "fc", "", 2))
		(<-h.requests).Begin().Respond(486, "", "", nil, nil)
		p.expect("SIP/2.0 486")
		p.send(msg("ACK", p.host(), branch, "fc", "x", 2)) // Timer I: T4
	}
	waitFor(t, func() bool { return s.Transactions() == 1 })
}

// TestPastQueue: a queue gives back what it took, in order, and no room of a
// burst stays.
func TestPastQueue(t *testing.T) {
	var q fifo
	next, put := int64(0), int64(0)
	for round := range 50 {
		for range 100 + 37*round {
			q.push(ending{at: put})
			put++
		}
		for range 90 + 37*round {
			e, ok := q.first()
			if !ok || e.at != next {
				t.Fatalf("got %d, %v; want %d", e.at, ok, next)
			}
			q.pop()
			next++
		}
	}
	for next < put {
		if e, ok := q.first(); !ok || e.at != next {
			t.Fatalf("got %d, %v; want %d", e.at, ok, next)
		}
		q.pop()
		next++
	}
	if _, ok := q.first(); ok || cap(q.list) != 0 {
		t.Errorf("an empty queue holds %d", cap(q.list))
	}
}

// TestKeys: requests of other sources, branches, methods and hosts are other
// transactions; an ACK is its INVITE's.
func TestKeys(t *testing.T) {
	key := func(method, via, src string, side call.Side) txKey {
		r := parseRequest(t, msg(method, via, "b", "c", "", 1))
		r.Flow = &Flow{Transport: "udp", Side: side, Remote: netip.MustParseAddrPort(src)}
		return serverKey(r)
	}
	base := key("INVITE", "192.0.2.1:5060", "192.0.2.1:5060", call.Public)
	if key("ACK", "192.0.2.1:5060", "192.0.2.1:999", call.Public) != base {
		t.Error("the ACK is not the INVITE's, or the port counts")
	}
	for name, k := range map[string]txKey{
		"method":  key("BYE", "192.0.2.1:5060", "192.0.2.1:5060", call.Public),
		"sent-by": key("INVITE", "192.0.2.1:5061", "192.0.2.1:5060", call.Public),
		"source":  key("INVITE", "192.0.2.1:5060", "192.0.2.2:5060", call.Public),
		"side":    key("INVITE", "192.0.2.1:5060", "192.0.2.1:5060", call.Inside),
	} {
		if k == base {
			t.Errorf("another %s is the same transaction", name)
		}
	}
}

// TestFlowCache: a kept flow is never another remote's, and there is room for
// a fixed number.
func TestFlowCache(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	u := s.udp[0]
	for n := range 3 * flowCache * 7 {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), 0, byte(n)}), uint16(1+n*13%60000))
		if f := u.flow(u.conns[0], remote); f.Remote != remote || f.udp != u.conns[0] || f.Side != u.l.Side {
			t.Fatalf("flow of %s is %+v", remote, f)
		}
		if f := u.flow(u.conns[0], remote); f.Remote != remote {
			t.Fatalf("the second flow of %s is %+v", remote, f)
		}
	}
	f := u.flow(u.conns[0], netip.MustParseAddrPort("10.0.0.1:5060"))
	if f.MarkKnown(true); f.Known() {
		t.Error("a datagram's source is taken for known")
	}
}

// TestTrying: 100 comes when nothing else did, at once to who asks again, and
// never after something better.
func TestTrying(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{T1: 100 * time.Millisecond}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	open := func(id string) (*ServerTx, string) {
		m := msg("INVITE", p.host(), id, id, "", 1)
		p.send(m)
		tx := (<-h.requests).Begin()
		tx.Trying()
		return tx, m
	}
	begun := time.Now()
	late, _ := open("t1")
	p.expect("SIP/2.0 100")
	if d := time.Since(begun); d < 40*time.Millisecond {
		t.Errorf("100 after %v", d)
	}
	late.Respond(486, "", "", nil, nil)
	p.expect("SIP/2.0 486")
	p.send(msg("ACK", p.host(), "t1", "t1", late.ToTag(), 1))

	quick, again := open("t2")
	quick.Respond(180, "", "", nil, nil)
	p.expect("SIP/2.0 180")
	if m := p.read(80 * time.Millisecond); m != "" {
		t.Errorf("after 180 came %q", m)
	}
	p.send(again)
	p.expect("SIP/2.0 180")

	_, again = open("t3")
	p.send(again)
	p.expect("SIP/2.0 100")
	if m := p.read(80 * time.Millisecond); m != "" {
		t.Errorf("after 100 came %q", m)
	}
}

// TestSendDatagram: both families, and an end that is an error, not another's
// descriptor.
func TestSendDatagram(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		at := netip.MustParseAddrPort(host)
		l, err := net.ListenUDP(ipNetwork("udp", at), net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.ListenUDP(ipNetwork("udp", at), net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := newUDPSocket(l)
		if err != nil {
			t.Fatal(err)
		}
		to := foldAddrPort(c.LocalAddr())
		if err := s.send([]byte("hello"), to); err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		b := make([]byte, 16)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != "hello" || from.Port() != foldAddrPort(l.LocalAddr()).Port() {
			t.Errorf("%s: %q from %s, %v", host, b[:n], from, err)
		}
		other := netip.MustParseAddrPort("[2001:db8::1]:9")
		if at.Addr().Is6() {
			other = netip.MustParseAddrPort("192.0.2.1:9")
		}
		if err := s.send([]byte("x"), other); err == nil {
			t.Errorf("%s: sent to the other family", host)
		}
		if err := s.send(make([]byte, 70000), to); err == nil {
			t.Errorf("%s: sent more than a datagram holds", host)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		if err := s.send([]byte("x"), to); err == nil {
			t.Errorf("%s: sent after the close", host)
		}
	}
}
