package sbc_test

import (
	"bufio"
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// trunkPhone is a TLS connection that registers many users, as a gateway for
// analogue phones does.
type trunkPhone struct {
	conn net.Conn
	r    *bufio.Reader
	n    int
	host string
}

func (w *world) trunkPhone(n int) (*trunkPhone, error) {
	host := fmt.Sprintf("%s%d", publicNet, 100+n%100)
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(host + ":0")), Timeout: 30 * time.Second}
	c, err := cryptotls.DialWithDialer(&d, "tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(55 * time.Second))
	return &trunkPhone{conn: c, r: bufio.NewReader(c), n: n, host: host}, nil
}

// message reads a message without a body up to its empty line.
func (p *trunkPhone) message() (first string, err error) {
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return first, err
		}
		if first == "" {
			first = strings.TrimSpace(line)
		}
		if line == "\r\n" && first != "" {
			return first, nil
		}
	}
}

func (p *trunkPhone) register(user string, cseq int) error {
	_, err := fmt.Fprintf(p.conn, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/TLS %s:5061;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=%s\r\n"+
		"To: <sip:%s@%s>\r\nCall-ID: reg-%s\r\nCSeq: %d REGISTER\r\nContact: <sip:%s@%s:5061;transport=tls>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n",
		domain, p.host, user, cseq, user, domain, user, user, domain, user, cseq, user, p.host)
	if err != nil {
		return err
	}
	first, err := p.message()
	if err == nil && !strings.HasPrefix(first, "SIP/2.0 200") {
		err = fmt.Errorf("%s: %s", user, first)
	}
	return err
}

// tries calls through the gateway until there is a final answer: over UDP any
// message may be lost while the machine is busy.
func (r *raw) tries(number string) {
	r.t.Helper()
	inv := r.invite(number)
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for deadline := time.Now().Add(40 * time.Second); ; {
		m := r.take(func(m *siptest.Message) bool { return m.Code >= 200 && m.Get("Call-ID") == inv.Get("Call-ID") })
		if m != nil && m.Code != 486 {
			r.t.Fatalf("the call got %d", m.Code)
		}
		if m != nil {
			r.ackFailure(inv, m)
			return
		}
		select {
		case <-r.more:
		case <-again.C:
			if time.Now().After(deadline) {
				r.t.Fatal("a call never got an answer")
			}
			r.send(inv)
		}
	}
}

// registers makes the raw end a registrar that takes everybody, and is busy.
func (r *raw) registers() {
	r.conn.SetReadBuffer(4 << 20)
	r.auto.Store(func(m *siptest.Message) bool {
		if m.Method == "INVITE" {
			r.reply(m, 486, "busy", nil)
			return true
		}
		if m.Method != "REGISTER" {
			return false
		}
		r.reply(m, 200, "reg", nil, siptest.Field{Name: "Contact", Value: m.Get("Contact") + ";expires=3600"})
		return true
	})
}

// TestTwentyThousandPhones: so many registered users are held, over a few
// hundred connections; calls come about while they register, and afterwards.
func TestTwentyThousandPhones(t *testing.T) {
	conns, each := 200, 100
	if race {
		conns, each = 50, 40
	}
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.Stack.MaxTransactions = 200000
		c.sbc.Stack.T1, c.sbc.Stack.T2, c.sbc.Stack.T4 = 500*time.Millisecond, 4*time.Second, 5*time.Second
	})
	w.b.registers()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	var wg sync.WaitGroup
	phones, errs := make([]*trunkPhone, conns), make(chan error, conns)
	for n := range conns {
		wg.Go(func() {
			p, err := w.trunkPhone(n)
			for i := 0; i < each && err == nil; i++ {
				err = p.register(fmt.Sprintf("u%d-%d", n, i), 1)
			}
			phones[n] = p
			if err != nil {
				errs <- err
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	calls := 0
	for busy := true; busy; calls++ {
		w.a.tries("+33123456789")
		select {
		case <-done:
			busy = false
		default:
		}
	}
	took := time.Since(start)
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := w.gw.Bindings(); n != conns*each {
		t.Fatalf("%d bindings, want %d", n, conns*each)
	}
	t.Logf("%d users in %v (%.0f a second), %d calls meanwhile, %d bytes of heap a user", conns*each, took.Round(time.Millisecond),
		float64(conns*each)/took.Seconds(), calls, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/int64(conns*each))
	// One of them is called, over the connection that it came on.
	token := ""
	w.b.auto.Store(func(m *siptest.Message) bool { return false })
	p := phones[conns/2]
	go fmt.Fprintf(p.conn, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKlast\r\nMax-Forwards: 70\r\nFrom: <sip:last@%s>;tag=1\r\nTo: <sip:last@%s>\r\nCall-ID: last\r\n"+
		"CSeq: 1 REGISTER\r\nContact: <sip:last@%s:5061;transport=tls>\r\nContent-Length: 0\r\n\r\n", domain, domain, domain, p.host)
	reg := w.b.request("REGISTER")
	w.granted(reg, 600)
	if first, err := p.message(); err != nil || !strings.HasPrefix(first, "SIP/2.0 200") {
		t.Fatalf("%s %v", first, err)
	}
	token = siptest.URIOf(reg.Get("Contact"))
	w.ring(token)
	if first, err := p.message(); err != nil || !strings.HasPrefix(first, "INVITE sip:last@") {
		t.Errorf("the phone got %q %v", first, err)
	}
}
