package sbc_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

func registrations(r sbc.Registrations) option {
	return func(c *worldConfig) { c.sbc.Registrations = r }
}

// registrar asks for a registration as one phone does again and again: the
// Call-ID stays, the number goes up.
type registrar struct {
	w    *rawWorld
	p    *siptest.Phone
	id   string
	cseq int
	via  map[string]bool // of REGISTERs that the PBX has had: UDP repeats them
}

func (w *rawWorld) registrar(user string) *registrar {
	return &registrar{w: w, p: w.phone(user), id: unique("reg"), via: map[string]bool{}}
}

func (x *registrar) message(change ...func(*siptest.Message)) *siptest.Message {
	x.cseq++
	return reg(x.p, append([]func(*siptest.Message){set("Call-ID", x.id), set("CSeq", fmt.Sprintf("%d REGISTER", x.cseq)), set("Expires", "300")}, change...)...)
}

// asked expects that the PBX is asked, and grants.
func (x *registrar) asked(grant int, change ...func(*siptest.Message)) (in, res *siptest.Message) {
	x.w.t.Helper()
	got := x.w.ask(x.p, x.message(change...))
	in = x.seen()
	x.w.granted(in, grant)
	if res = <-got; res == nil || res.Code != 200 {
		x.w.t.Fatalf("REGISTER: %v", res)
	}
	return in, res
}

// fresh: a REGISTER that is not one of before, repeated.
func (x *registrar) fresh(m *siptest.Message) bool {
	return m.Method == "REGISTER" && !x.via[m.Get("Via")]
}

// seen is the next REGISTER that the PBX gets.
func (x *registrar) seen() *siptest.Message {
	x.w.t.Helper()
	m := x.w.b.expect("REGISTER", x.fresh)
	x.via[m.Get("Via")] = true
	return m
}

// here expects an answer without the PBX.
func (x *registrar) here(change ...func(*siptest.Message)) *siptest.Message {
	x.w.t.Helper()
	res := <-x.w.ask(x.p, x.message(change...))
	if res == nil || res.Code != 200 {
		x.w.t.Fatalf("REGISTER: %v", res)
	}
	if m := x.w.b.take(x.fresh); m != nil {
		x.w.t.Fatalf("the PBX was asked: %s", m.Bytes())
	}
	return res
}

func expires(m *siptest.Message) string { return siptest.Param(m.Get("Contact"), "expires") }

// TestRefreshesAreAnsweredHere: a phone comes every minute, the PBX is asked
// once an hour.
func TestRefreshesAreAnsweredHere(t *testing.T) {
	w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
	x := w.registrar("1001")
	in, res := x.asked(3600)
	if in.Get("Expires") != "3600" || expires(res) != "60" {
		t.Errorf("the PBX is asked for %s, the phone told %s", in.Get("Expires"), res.Get("Contact"))
	}
	for range 5 {
		res := x.here()
		if n, _ := strconv.Atoi(expires(res)); n != 60 || siptest.URIOf(res.Get("Contact")) != siptest.URIOf(x.message().Get("Contact")) {
			t.Errorf("refreshed with %s", res.Get("Contact"))
		}
	}
	if n := w.gw.Counters.Refreshed.Load(); n != 5 {
		t.Errorf("%d refreshes counted", n)
	}
	w.rep.mu.Lock()
	last := w.rep.events[len(w.rep.events)-1]
	n := len(w.rep.decisions)
	w.rep.mu.Unlock()
	if n != 6 || last.Kind != call.EventRegister || last.Code != 200 || last.User != "1001" || last.Account != "main" {
		t.Errorf("%d decisions, the last event %+v", n, last)
	}
	// It can be called as before.
	inv := w.ring(siptest.URIOf(in.Get("Contact")))
	ok := w.b.code(200)
	w.b.send(w.b.within("ACK", 1, inv, ok))
	w.b.send(w.b.within("BYE", 2, inv, ok))
	w.b.answer("BYE", 200)
	w.quiet()
	w.hidden()
}

// TestRefreshThatThePBXMustSee: whatever is new goes to the PBX, and the
// first of a connection always.
func TestRefreshThatThePBXMustSee(t *testing.T) {
	for name, change := range map[string]func(*siptest.Message){
		"another contact":      func(m *siptest.Message) { m.Set("Contact", strings.Replace(m.Get("Contact"), "1001@", "other@", 1)) },
		"a parameter":          func(m *siptest.Message) { m.Set("Contact", m.Get("Contact")+";q=0.5") },
		"an instance":          func(m *siptest.Message) { m.Set("Contact", m.Get("Contact")+`;+sip.instance="<urn:uuid:1>"`) },
		"another Call-ID":      set("Call-ID", "another"),
		"no number above":      set("CSeq", "1 REGISTER"),
		"a second contact":     func(m *siptest.Message) { m.Add("Contact", "<sip:second@"+publicNet+"101>") },
		"let go":               set("Expires", "0"),
		"let go by a contact":  func(m *siptest.Message) { m.Set("Contact", m.Get("Contact")+";expires=0") },
		"let all go":           func(m *siptest.Message) { m.Set("Contact", "*"); m.Set("Expires", "0") },
		"a question for them":  func(m *siptest.Message) { m.Headers = without(m.Headers, "Contact") },
		"another port of host": func(m *siptest.Message) { m.Set("Contact", "<sip:1001@"+publicNet+"101:7;transport=tls>") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
			x := w.registrar("1001")
			x.asked(3600)
			x.here()
			w.ask(x.p, x.message(change))
			x.seen()
		})
	}
	t.Run("another connection", func(t *testing.T) {
		w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
		x := w.registrar("1001")
		x.asked(3600)
		same := x.message()
		p := w.phone("1001")
		w.ask(p, same)
		x.seen()
	})
	t.Run("a short grant", func(t *testing.T) {
		w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
		x := w.registrar("1001")
		if _, res := x.asked(2); expires(res) != "2" {
			t.Errorf("told %s of 2 s", res.Get("Contact"))
		}
		eventually(t, "the half of the grant is over and the PBX asked", func() bool {
			got := w.ask(x.p, x.message())
			for {
				select {
				case <-got:
					return false
				case <-w.b.more:
					if m := w.b.take(x.fresh); m != nil {
						w.granted(m, 2)
						return true
					}
				}
			}
		})
	})
	t.Run("not configured", func(t *testing.T) {
		w := newRawWorld(t)
		x := w.registrar("1001")
		x.asked(3600)
		in, _ := x.asked(3600)
		if in.Get("Expires") != "300" {
			t.Errorf("the PBX is asked for %s", in.Get("Expires"))
		}
	})
}

// TestNothingIsMadeUpForWhoLeaves: from when a phone lets go, or the PBX
// refuses it, the PBX is asked.
func TestNothingIsMadeUpForWhoLeaves(t *testing.T) {
	for _, how := range []string{"let go", "refused"} {
		w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: 4 * time.Second, PBXInterval: time.Hour}))
		x := w.registrar("1001")
		x.asked(3600)
		x.here()
		if how == "let go" {
			w.ask(x.p, x.message(set("Expires", "0")))
			x.seen() // no answer yet
		} else {
			got := w.ask(x.p, x.message(set("Contact", x.message().Get("Contact")), set("Call-ID", "new")))
			w.b.reply(x.seen(), 403, "t", nil)
			if res := <-got; res.Code != 403 {
				t.Errorf("refused with %d", res.Code)
			}
		}
		x.asked(3600)
		x.here()
	}
}

// TestStrangersLetNobodyGo: what somebody else sends in a phone's name changes
// nothing before the PBX has agreed.
func TestStrangersLetNobodyGo(t *testing.T) {
	w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
	x := w.registrar("1001")
	x.asked(3600)
	for _, change := range []func(*siptest.Message){
		func(m *siptest.Message) { m.Set("Contact", "*") },
		set("Contact", x.message().Get("Contact")),
	} {
		stranger := w.phone("1001")
		got := w.ask(stranger, reg(stranger, set("Expires", "0"), change))
		w.b.reply(x.seen(), 403, "t", nil)
		if res := <-got; res.Code != 403 {
			t.Errorf("a stranger got %d", res.Code)
		}
		x.here()
	}
}

func without(fs []siptest.Field, name string) (out []siptest.Field) {
	for _, f := range fs {
		if f.Name != name {
			out = append(out, f)
		}
	}
	return out
}

// TestThrottledPhoneThatFallsSilent: a phone is there for as long as it was
// told, not for as long as the PBX granted.
func TestThrottledPhoneThatFallsSilent(t *testing.T) {
	w := newRawWorld(t, registrations(sbc.Registrations{PhoneInterval: time.Minute, PBXInterval: time.Hour}))
	x := w.registrar("1001")
	x.asked(3600)
	rs := w.gw.Registrations()
	if d := time.Until(rs[0].Expires); len(rs) != 1 || d < 85*time.Second || d > 93*time.Second {
		t.Errorf("it stands for %v", d)
	}
}

// TestIntervalTooBrief: 423 with our minimum, and with the PBX's where that is
// longer; what the PBX said is asked for from then on.
func TestIntervalTooBrief(t *testing.T) {
	w := newRawWorld(t, registrations(sbc.Registrations{Minimum: 100 * time.Second, PBXInterval: 200 * time.Second}))
	x := w.registrar("1001")
	res := <-w.ask(x.p, x.message(set("Expires", "99")))
	if res.Code != 423 || res.Get("Min-Expires") != "100" {
		t.Errorf("99 s: %d, Min-Expires %s", res.Code, res.Get("Min-Expires"))
	}
	w.b.never("REGISTER", is("REGISTER"))
	got := w.ask(x.p, x.message(set("Expires", "100")))
	in := x.seen()
	if in.Get("Expires") != "200" {
		t.Errorf("the PBX is asked for %s", in.Get("Expires"))
	}
	w.b.reply(in, 423, "t", nil, siptest.Field{Name: "Min-Expires", Value: "1800"})
	if res := <-got; res.Code != 423 || res.Get("Min-Expires") != "1800" {
		t.Errorf("the PBX's 423: %d, Min-Expires %s", res.Code, res.Get("Min-Expires"))
	}
	y := w.registrar("1002")
	y.via = x.via
	if in, res := y.asked(1800, set("Expires", "100")); in.Get("Expires") != "1800" || expires(res) != "100" {
		t.Errorf("after a 423 the PBX is asked for %s, the phone told %s", in.Get("Expires"), expires(res))
	}
	w.ask(y.p, y.message(set("Expires", "0"))) // may always
	y.seen()
}

// TestRegistrationStorm: what is over the rate waits for its turn; what there
// is no room for is sent away for a while, but a phone whose connection lives
// and whom the PBX has not forgotten is answered.
func TestRegistrationStorm(t *testing.T) {
	w := newRawWorld(t, registrations(sbc.Registrations{Rate: 0.01, Queue: 4})) // one in 100 s
	known := w.registrar("1001")
	known.asked(3600)
	stranger := w.registrar("1002")
	w.ask(stranger.p, stranger.message())
	eventually(t, "a stranger waits", func() bool { return w.gw.Waiting() == 1 })
	// One stranger may wait here, a quarter of four; the next is sent away.
	third := w.registrar("1003")
	res := <-w.ask(third.p, third.message())
	if n, err := strconv.Atoi(res.Get("Retry-After")); res.Code != 503 || err != nil || n < 100 || n > 310 {
		t.Errorf("a stranger without room: %d, Retry-After %q", res.Code, res.Get("Retry-After"))
	}
	for i := range 4 {
		w.ask(known.p, known.message())
		eventually(t, "the known wait", func() bool { return w.gw.Waiting() == i+2 })
	}
	if res := <-w.ask(known.p, known.message()); res.Code != 200 || expires(res) != "60" {
		t.Errorf("a phone that is up: %d, %s", res.Code, res.Get("Contact"))
	}
	// Nothing is made up for what the PBX must see.
	if res := <-w.ask(known.p, known.message(set("Expires", "0"))); res.Code != 503 {
		t.Errorf("letting go: %d", res.Code)
	}
	if n, m := w.gw.Counters.Deferred.Load(), w.gw.Counters.Refreshed.Load(); n != 2 || m != 1 {
		t.Errorf("%d sent away, %d answered", n, m)
	}
	w.b.never("REGISTER", known.fresh)
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	if len(w.rep.systems) != 1 || w.rep.systems[0].Rule != "base/registration-storm" || w.rep.systems[0].Action != call.Flood {
		t.Errorf("told: %+v", w.rep.systems)
	}
}

// TestRegistrationsWaitTheirTurn: nothing is lost over the rate.
func TestRegistrationsWaitTheirTurn(t *testing.T) {
	w := newWorld(t, registrations(sbc.Registrations{Rate: 20, Queue: 100}))
	var ps []*siptest.Phone
	for i := range 15 { // 30 REGISTERs with the challenges: 20 at once, 10 later
		ps = append(ps, w.phone("1001", func(c *siptest.PhoneConfig) { c.Local = netip.MustParseAddr(fmt.Sprintf("%s1%02d", publicNet, i+1)) }))
	}
	done := make(chan error, len(ps))
	for _, p := range ps {
		go func() { done <- p.Register(w.ctx, time.Hour) }()
	}
	for range ps {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if w.gw.Waiting() != 0 || w.gw.Bindings() != len(ps) {
		t.Errorf("%d wait, %d bindings", w.gw.Waiting(), w.gw.Bindings())
	}
}
