package sbc_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// loadPBX answers every call at once and every BYE; it repeats a 200 until
// its ACK comes, as UDP may lose it.
type loadPBX struct {
	*raw
	mu   sync.Mutex
	open map[string][]byte
}

func (p *loadPBX) run(done <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		m := p.take(func(*siptest.Message) bool { return true })
		if m == nil {
			select {
			case <-p.more:
			case <-tick.C:
				for _, b := range p.open {
					p.conn.WriteToUDPAddrPort(b, p.gw)
				}
			case <-done:
				return
			}
			continue
		}
		switch m.Method {
		case "INVITE":
			p.reply(m, 180, "t"+m.Get("Call-ID"), nil)
			res := p.response(m)
			p.open[m.Get("Call-ID")] = res
			p.conn.WriteToUDPAddrPort(res, p.gw)
		case "ACK":
			delete(p.open, m.Get("Call-ID"))
		case "BYE":
			delete(p.open, m.Get("Call-ID"))
			p.reply(m, 200, "", nil)
		}
	}
}

func (p *loadPBX) response(m *siptest.Message) []byte {
	res := &siptest.Message{Code: 200, Reason: "OK", Body: p.sdp()}
	for _, n := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		res.Add(n, m.Get(n))
	}
	res.Set("To", m.Get("To")+";tag=t"+m.Get("Call-ID"))
	res.Add("Contact", "<sip:raw@"+p.addr().String()+">")
	res.Add("Content-Type", "application/sdp")
	return res.Bytes()
}

// loadCaller makes calls one after the other on a socket of its own.
type loadCaller struct {
	*raw
}

func (c *loadCaller) call(n int) error {
	inv := c.invite(fmt.Sprintf("+3312345%04d", n%10000))
	ok, err := c.final(inv, "INVITE")
	if err != nil {
		return err
	}
	c.send(c.within("ACK", 1, inv, ok))
	bye := c.within("BYE", 2, inv, ok)
	c.send(bye)
	_, err = c.final(bye, "BYE")
	return err
}

// final waits for the 200 and repeats the request on the way.
func (c *loadCaller) final(req *siptest.Message, method string) (*siptest.Message, error) {
	deadline := time.Now().Add(10 * time.Second)
	repeat := time.NewTicker(300 * time.Millisecond)
	defer repeat.Stop()
	for time.Now().Before(deadline) {
		m := c.take(func(*siptest.Message) bool { return true })
		if m == nil {
			select {
			case <-c.more:
			case <-repeat.C:
				c.send(req)
			}
			continue
		}
		if _, to := m.CSeq(); m.Code >= 200 && to == method && m.Get("Call-ID") == req.Get("Call-ID") {
			if m.Code != 200 {
				return nil, fmt.Errorf("%s: %d", method, m.Code)
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s: no answer", method)
}

func descriptors(t *testing.T) int {
	t.Helper()
	fs, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fs)
}

// TestTenThousandCalls: nothing is left of ten thousand calls, made at load.
func TestTenThousandCalls(t *testing.T) {
	calls, side := 10000, 50
	if race {
		// The detector makes it ten times slower, not better: fewer at a time,
		// or a busy machine answers later than the timers wait.
		calls, side = 1000, 12
	}
	w := newRawWorld(t)
	pbx := &loadPBX{raw: w.b, open: map[string][]byte{}}
	done := make(chan struct{})
	var workers, server sync.WaitGroup
	server.Go(func() { pbx.run(done) })
	callers := make([]*loadCaller, side)
	for i := range callers {
		callers[i] = &loadCaller{raw: newRaw(t, publicNet+"66:0")}
		callers[i].gw = w.a.gw
		for _, x := range []*net.UDPConn{callers[i].conn, w.b.conn} {
			x.SetReadBuffer(1 << 20)
		}
	}
	if err := callers[0].call(0); err != nil { // everything lazy is made now
		t.Fatal(err)
	}
	w.quiet()
	goroutines, fds, ports := runtime.NumGoroutine(), descriptors(t), w.plane.Stats().Ports
	var next, failed atomic.Int64
	var most atomic.Int64
	began := time.Now()
	for _, c := range callers {
		workers.Go(func() {
			for n := next.Add(1); n < int64(calls); n = next.Add(1) {
				if err := c.call(int(n)); err != nil {
					if failed.Add(1) < 5 {
						t.Errorf("call %d: %v", n, err)
					}
				}
				if n%100 == 0 {
					most.Store(max(most.Load(), int64(w.gw.Live())))
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	t.Logf("%d calls in %v, %.0f/s, up to %d at a time", calls, took.Round(time.Millisecond), float64(calls)/took.Seconds(), most.Load())
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d calls failed", n)
	}
	w.quiet()
	eventually(t, "every record", func() bool { w.rep.mu.Lock(); defer w.rep.mu.Unlock(); return len(w.rep.records) == calls })
	eventually(t, "every table empty", func() bool {
		for _, n := range w.gw.Tables() {
			if n != 0 {
				return false
			}
		}
		return true
	})
	eventually(t, fmt.Sprint("goroutines back at ", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	if st := w.plane.Stats(); st.Ports != ports || st.Sessions != 0 || st.Streams != 0 {
		t.Errorf("media left: %+v", st)
	}
	if n := descriptors(t); n > fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	seen := map[string]bool{}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, r := range w.rep.records {
		if r.Code != 200 || seen[r.CallID] || r.Answer == nil {
			t.Fatalf("record %+v", r)
		}
		seen[r.CallID] = true
	}
	if n := len(w.rep.events); n != 4*calls {
		t.Errorf("%d events, want invite, ringing, answer and end of each call", n)
	}
	close(done)
	server.Wait()
}

// TestSecureCallsLeaveNothing: phones over TLS with SDES and packets both
// ways, some calls at a time; nothing is left of them.
func TestSecureCallsLeaveNothing(t *testing.T) {
	calls, atATime := 300, 12
	if race {
		calls = 60
	}
	w := newWorld(t)
	var phones []*siptest.Phone
	for _, user := range []string{"1001", "1002", "1003"} {
		phones = append(phones, w.registered(user))
	}
	one := func(n int) error {
		c, err := phones[n%len(phones)].Invite(w.ctx, siptest.ExtTone)
		if err != nil {
			return err
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for c.Media.Stats().Received < 5 {
			select {
			case <-tick.C:
			case <-w.ctx.Done():
				return fmt.Errorf("no media: %+v", c.Media.Stats())
			}
		}
		return c.Bye(w.ctx)
	}
	for n := range phones { // everything lazy is made now
		if err := one(n); err != nil {
			t.Fatal(err)
		}
	}
	w.quiet()
	goroutines, fds, before := runtime.NumGoroutine(), descriptors(t), w.plane.Stats()
	var next, most atomic.Int64
	var workers sync.WaitGroup
	for range atATime {
		workers.Go(func() {
			for n := next.Add(1); n <= int64(calls); n = next.Add(1) {
				if err := one(int(n)); err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				if live := int64(w.plane.Stats().Streams); live > most.Load() {
					most.Store(live)
				}
			}
		})
	}
	workers.Wait()
	w.quiet()
	defer func() {
		if t.Failed() {
			t.Logf("tables %v", w.gw.Tables())
		}
	}()
	eventually(t, "no call in any table", func() bool {
		for name, n := range w.gw.Tables() {
			switch name {
			case "flows", "addresses", "bindings":
				if n != len(phones) {
					return false
				}
			case "transactions": // the INVITE that the PBX challenged stays for 32 s (Timer D)
				if n > calls+len(phones) {
					return false
				}
			default:
				if n != 0 {
					return false
				}
			}
		}
		return true
	})
	eventually(t, fmt.Sprint("goroutines back at ", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, fmt.Sprint("descriptors back at ", fds), func() bool { return descriptors(t) <= fds })
	if st := w.plane.Stats(); st.Ports != before.Ports || st.Sessions != 0 || st.Streams != 0 {
		t.Errorf("media left: %+v", st)
	}
	if most.Load() == 0 {
		t.Error("no stream was ever up")
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	if n := len(w.rep.records); n != calls+len(phones) {
		t.Errorf("%d records", n)
	}
	for _, r := range w.rep.records {
		legs := r.Passes[0].MediaLegs
		if r.Code != 200 || len(legs) != 2 || legs[0].Suite != siptest.SuiteGCM || legs[0].PacketsOut < 5 || legs[0].Refused != 0 {
			t.Fatalf("record %+v", r)
		}
	}
}
