package sbc_test

import (
	cryptotls "crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// strained is a source of signals for a gateway.
type strained struct{ delay atomic.Int64 }

func (s *strained) option(c *worldConfig) {
	// What this machine does meanwhile counts for nothing, but the signals do.
	c.deps.Load = ratelimit.NewLoad(ratelimit.LoadConfig{Delay: time.Hour})
	c.deps.Pressure = func(time.Time) ratelimit.LoadSignals {
		return ratelimit.LoadSignals{Delay: time.Duration(s.delay.Load())}
	}
}

func (s *strained) begin(w *world) {
	w.t.Helper()
	s.delay.Store(int64(100 * time.Hour))
	eventually(w.t, "overload", w.busy)
}

func (w *world) busy() bool { s, _ := w.gw.Overload(); return s.Rate > 0 }

// system is the alerts of an action about the gateway itself.
func (r *reports) system(action call.Action) (out []call.SystemEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.systems {
		if e.Action == action {
			out = append(out, e)
		}
	}
	return out
}

// drain sends INVITEs until one is refused for the overload, and returns the
// refusal. Those that are let in stay as they are.
func (w *rawWorld) drain() (res *siptest.Message) {
	w.t.Helper()
	eventually(w.t, "a refused call", func() bool {
		inv := w.a.invite("+33123456789")
		var m *siptest.Message
		eventually(w.t, "an answer or a call", func() bool {
			m = w.a.take(func(m *siptest.Message) bool { return m.Code == 503 && m.Get("Call-ID") == inv.Get("Call-ID") })
			return m != nil || w.b.take(w.b.another("INVITE")) != nil
		})
		if m != nil {
			w.a.ackFailure(inv, m)
			res = m
		}
		return m != nil
	})
	return res
}

// TestOverload: new calls of the known get 503 with a Retry-After, strangers
// nothing; calls for help and what belongs to calls go on. When it is over all
// are let in again, and both are told of.
func TestOverload(t *testing.T) {
	t.Parallel()
	var load strained
	w := newRawWorld(t, load.option)
	c := w.up()
	load.begin(w.world)

	res := w.drain()
	if n, err := strconv.Atoi(res.Get("Retry-After")); err != nil || n < 1 || n > 3 {
		t.Errorf("Retry-After %q towards a carrier, want 1 to 3", res.Get("Retry-After"))
	}
	// Inside the call: a re-INVITE, an INFO and the end.
	re := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp())
	w.a.send(re)
	in := w.b.expect("re-INVITE", func(m *siptest.Message) bool {
		return m.Method == "INVITE" && siptest.Param(m.Get("To"), "tag") != ""
	})
	w.b.reply(in, 200, "", w.b.sdp())
	ok := w.a.code(200)
	w.a.send(w.a.within("ACK", 2, c.inv, ok))
	// Help, however it is called, after the last that was let in.
	w.drain()
	for _, to := range []string{"112", "+33112"} {
		w.a.invite(to)
		w.b.expect("a call to "+to, func(m *siptest.Message) bool { return m.Method == "INVITE" && strings.HasPrefix(m.URI, "sip:112@") })
	}
	// A stranger on UDP hears nothing, and nobody hears of it.
	s := newRaw(t, publicNet+"67:0")
	s.gw = w.a.gw
	shed := func() uint64 { s, _ := w.gw.Overload(); return s.Shed[ratelimit.LoadStranger] }
	eventually(t, "a stranger that is refused", func() bool {
		w.drain()
		s.invite("+33123456789")
		return shed() > 0
	})
	// The end of the call.
	w.a.send(w.a.within("BYE", 3, c.inv, c.ok))
	w.a.answer("BYE", 200)

	load.delay.Store(0)
	eventually(t, "the end of the overload", func() bool { return !w.busy() })
	eventually(t, "two alerts", func() bool {
		all := w.rep.system(call.Overload)
		return len(all) >= 2 && all[0].Rule == "base/overload" && all[len(all)-1].Rule == "base/overload-over"
	})
	// Each refused call has a record, all of a peer one together.
	st, _ := w.gw.Overload()
	w.gw.Close()
	known, unknown := 0, 0
	for _, r := range w.rep.records {
		switch {
		case r.Rule != "base/overload":
		case r.Peer == "raw" && r.Code == 503 && r.Verdict == call.Reject && r.ToE164 == "+33123456789" && r.Direction == call.Inbound:
			known += r.Coalesced + 1
		case r.Peer == "" && r.User == "" && r.Code == 0 && r.Verdict == call.Drop:
			unknown += r.Coalesced + 1
		default:
			t.Errorf("%+v", r)
		}
	}
	if uint64(known) != st.Shed[ratelimit.LoadNew] || uint64(unknown) != st.Shed[ratelimit.LoadStranger] {
		t.Errorf("records of %d calls of the peer and %d of strangers; %v were refused", known, unknown, st.Shed)
	}
}

// TestOverloadOver: nobody is refused after it.
func TestOverloadOver(t *testing.T) {
	t.Parallel()
	var load strained
	w := newRawWorld(t, load.option)
	load.begin(w.world)
	w.drain()
	load.delay.Store(0)
	eventually(t, "the end of the overload", func() bool { return !w.busy() })
	again := w.a.invite("+33123456789")
	w.b.expect("a call after it", func(m *siptest.Message) bool {
		return m.Method == "INVITE" && w.a.take(func(m *siptest.Message) bool { return m.Code == 503 && m.Get("Call-ID") == again.Get("Call-ID") }) == nil
	})
}

// TestOverloadPhones: a phone's new calls are refused and its registration is
// not; unknown phones and strangers are turned away before them.
func TestOverloadPhones(t *testing.T) {
	t.Parallel()
	var load strained
	w := newWorld(t, load.option)
	p := w.registered("1001")
	c := w.call(p, "600")
	load.begin(w)
	refused := func() *siptest.Message {
		var res *siptest.Message
		eventually(t, "a refused call", func() bool {
			x, err := p.Invite(w.ctx, "600")
			var r *siptest.Refused
			if as(err, &r) && r.Response.Code == 503 {
				res = r.Response
			} else if err == nil {
				x.Bye(w.ctx)
			}
			return res != nil
		})
		return res
	}
	if n, err := strconv.Atoi(refused().Get("Retry-After")); err != nil || n < 5 || n > 20 {
		t.Errorf("Retry-After %q towards a phone, want 5 to 20", refused().Get("Retry-After"))
	}
	if err := p.Register(w.ctx, time.Hour); err != nil {
		t.Errorf("a known phone's registration: %v", err)
	}
	eventually(t, "an unknown connection that is closed", func() bool {
		refused()
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(publicNet + "77")}}
		conn, err := cryptotls.DialWithDialer(&d, "tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	eventually(t, "a level that says so", func() bool { refused(); s, _ := w.gw.Overload(); return s.Level == 3 })
	if s, _ := w.gw.Overload(); s.Shed[ratelimit.LoadUnknown] == 0 || s.Shed[ratelimit.LoadRefresh] != 0 {
		t.Errorf("%+v", s)
	}
	if err := c.Bye(w.ctx); err != nil {
		t.Errorf("the end of a call: %v", err)
	}
	w.quiet()
}

// TestOverloadOfDatagrams: whoever fills the queue of the public UDP socket is
// refused, a carrier or somebody with its address. Phones on connections stand
// in no such queue.
func TestOverloadOfDatagrams(t *testing.T) {
	t.Parallel()
	var load strained
	a := newRaw(t, publicNet+"69:0")
	w := newWorld(t, load.option, func(c *worldConfig) {
		c.deps.Load, c.deps.Datagrams = ratelimit.NewLoad(ratelimit.LoadConfig{Delay: 1000 * time.Hour}), ratelimit.NewLoad(ratelimit.LoadConfig{Delay: time.Hour})
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "datagrams", IP: []netip.Prefix{netip.PrefixFrom(a.addr().Addr(), 32)},
			Host: a.addr().Addr().String(), Port: a.addr().Port(), Transport: "udp", AllowPlaintext: true, SRTP: sdp.SRTPOff})
	})
	a.gw = w.gw.Addrs(call.Public, "udp")[0]
	p := w.registered("1001")
	load.begin(w)
	for range 10 {
		eventually(t, "a refused call of the peer", func() bool {
			inv := a.invite("+33123456789")
			m := a.expect("an answer", func(m *siptest.Message) bool { return m.Code >= 200 && m.Get("Call-ID") == inv.Get("Call-ID") })
			if m.Code >= 300 {
				a.ackFailure(inv, m)
			}
			return m.Code == 503
		})
		if err := w.call(p, "600").Bye(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a level that says so", func() bool {
		a.invite("+33123456789")
		s, _ := w.gw.Overload()
		return s.Level == 3 && s.Shed[ratelimit.LoadNew] > 0
	})
}

// TestOverloadAttempt: the answer to a challenge of the PBX belongs to a call
// that was let in.
func TestOverloadAttempt(t *testing.T) {
	t.Parallel()
	var load strained
	w := newRawWorld(t, load.option)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 407, "c", nil, siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="pbx", nonce="n1", algorithm=MD5`})
	w.b.request("ACK")
	res := w.a.code(407)
	w.a.ackFailure(inv, res)
	load.begin(w.world)
	w.drain()
	second := *inv
	second.Headers = nil
	for _, f := range inv.Headers {
		switch f.Name {
		case "Via":
			f.Value = w.a.via()
		case "CSeq":
			f.Value = "2 INVITE"
		}
		second.Headers = append(second.Headers, f)
	}
	second.Add("Proxy-Authorization", `Digest username="x", realm="pbx", nonce="n1", uri="sip:x@y", response="0123456789abcdef0123456789abcdef"`)
	w.a.send(&second)
	w.b.expect("the call with credentials", func(m *siptest.Message) bool {
		return m.Method == "INVITE" && m.Get("Proxy-Authorization") != ""
	})
}

// TestOverloadPBX: a PBX that answers 503 to most is not given more than it
// takes.
func TestOverloadPBX(t *testing.T) {
	t.Parallel()
	var load strained
	w := newRawWorld(t, load.option)
	w.b.auto.Store(func(m *siptest.Message) bool {
		if m.Method == "INVITE" {
			w.b.reply(m, 503, "busy", nil)
		}
		return true
	})
	eventually(t, "overload", func() bool {
		for range 10 {
			inv := w.a.invite("+33123456789")
			m := w.a.expect("an answer", func(m *siptest.Message) bool { return m.Code >= 300 && m.Get("Call-ID") == inv.Get("Call-ID") })
			w.a.ackFailure(inv, m)
		}
		return w.busy()
	})
	if s, _ := w.gw.Overload(); s.Signals.PBX < 0.5 {
		t.Errorf("%+v", s.Signals)
	}
}

// TestOverloadOfOnePBX: a PBX that answers 503 to most costs another one no
// calls; nor does it cost any while that one could take them.
func TestOverloadOfOnePBX(t *testing.T) {
	t.Parallel()
	var load strained
	w, other, two := tenants(t, load.option)
	w.b.auto.Store(func(m *siptest.Message) bool {
		if m.Method == "INVITE" {
			w.b.reply(m, 503, "busy", nil)
		}
		return true
	})
	other.auto.Store(func(m *siptest.Message) bool {
		if m.Method == "INVITE" {
			other.reply(m, 486, "busy", nil)
		}
		return true
	})
	ask := func(domain string) *siptest.Message {
		inv := w.a.invite("x", func(m *siptest.Message) { m.URI = "sip:+33123456789@" + domain })
		m := w.a.expect("an answer", func(m *siptest.Message) bool { return m.Code >= 300 && m.Get("Call-ID") == inv.Get("Call-ID") })
		w.a.ackFailure(inv, m)
		return m
	}
	shed := func() uint64 { s, _ := w.gw.Overload(); return s.Shed[ratelimit.LoadNew] }
	eventually(t, "calls to the slow one that are refused", func() bool {
		for range 10 {
			ask(domain)
		}
		s, _ := w.gw.Overload()
		return shed() > 20 && s.Rate == 0 && s.Signals.PBX > 0.5 && s.Level > 0
	})
	was := shed()
	for range 100 { // more than any burst
		if m := ask(two); m.Code != 486 {
			t.Fatalf("a call to the other PBX: %d", m.Code)
		}
	}
	if n := shed() - was; n > 0 {
		t.Errorf("%d calls to the other PBX are refused", n)
	}
	eventually(t, "an alert that names it", func() bool {
		for _, e := range w.rep.system(call.Overload) {
			for _, v := range e.Evidence {
				if v.Name == "overload.pbx" && v.Value == "main" {
					return true
				}
			}
		}
		return false
	})
}

// TestOverloadOff: without a Load nothing is asked.
func TestOverloadOff(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.Peers[0].SRTP = sdp.SRTPOff })
	if _, on := w.gw.Overload(); on {
		t.Error("there is one")
	}
	w.bye(w.up(), 2)
}
