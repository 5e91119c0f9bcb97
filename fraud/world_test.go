package fraud

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// A world makes the events of an office with everything in it that detectors
// look for: the tests of the Engine as a whole need findings of every kind.
type world struct {
	*rand.Rand
	at  time.Time
	n   int
	out []call.Event
}

func newWorld(seed uint64) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 7)), at: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
}

func (w *world) event(after time.Duration, ev call.Event) {
	ev.At.Time = w.at.Add(after).Truncate(time.Millisecond)
	w.out = append(w.out, ev)
}

// talk is a call: rings after a second, ends at its time.
func (w *world) talk(dir call.Direction, user, from, to string, ring, talk time.Duration, code int, by call.EndedBy) {
	w.n++
	id := fmt.Sprint("call-", w.n)
	ev := call.Event{Kind: call.EventInvite, ID: id, Direction: dir.String(), Account: "main", User: user, From: from, To: to, Peer: "carrier-a", Source: "198.51.100.7", SourceCountry: "GB"}
	if w.IntN(50) == 0 {
		ev.SourceCountry = "VN"
	}
	if dir == call.Outbound && w.IntN(20) == 0 {
		ev.Diversion = "+442079460001"
	}
	w.event(0, ev)
	if ring > 0 {
		w.event(time.Second, call.Event{Kind: call.EventRinging, ID: id})
	}
	if talk > 0 {
		w.event(time.Second+ring, call.Event{Kind: call.EventAnswer, ID: id})
	}
	r, s := ring.Seconds(), talk.Seconds()
	w.event(time.Second+ring+talk, call.Event{Kind: call.EventEnd, ID: id, Code: code, EndedBy: by, RingSeconds: &r, Seconds: &s})
}

func (w *world) user() string           { return fmt.Sprint(1000 + w.IntN(30)) }
func (w *world) ms(n int) time.Duration { return time.Duration(w.IntN(n*1000)) * time.Millisecond }

// step is what happens next.
func (w *world) step() {
	w.at = w.at.Add(w.ms(300))
	switch w.IntN(12) {
	case 0: // ping calls from a block abroad
		b := fmt.Sprintf("+37120%03d", w.IntN(3))
		for range 8 {
			w.at = w.at.Add(w.ms(20))
			w.talk(call.Inbound, w.user(), fmt.Sprintf("%s%03d", b, w.IntN(1000)), fmt.Sprintf("+4420794600%02d", w.IntN(30)), 800*time.Millisecond, 0, 487, call.ByCaller)
		}
	case 1: // a call back
		w.talk(call.Outbound, w.user(), "+442079460001", fmt.Sprintf("+37120%03d%03d", w.IntN(3), w.IntN(1000)), 2*time.Second, w.ms(300), 200, call.ByCallee)
	case 2: // a stolen account
		u := w.user()
		for range 1 + w.IntN(20) {
			w.at = w.at.Add(w.ms(10))
			w.talk(call.Outbound, u, "+442079460001", fmt.Sprintf("+2327%07d", w.IntN(50)), time.Second, w.ms(600), 200, call.ByCallee)
		}
	case 3: // numbers that do not exist
		f := fmt.Sprintf("+4915112%05d", w.IntN(20))
		for range 9 {
			w.talk(call.Inbound, "", f, fmt.Sprintf("+4420794%05d", w.IntN(1000)), 0, 0, 404, call.ByCallee)
		}
	case 4: // recorded messages
		f := fmt.Sprintf("+4420711%05d", w.IntN(3))
		for range 25 {
			w.at = w.at.Add(w.ms(20))
			w.talk(call.Inbound, w.user(), f, fmt.Sprintf("+4420794600%02d", w.IntN(30)), time.Second, 3*time.Second, 200, call.ByCallee)
		}
	case 5: // the same to a free number
		for range 7 {
			w.talk(call.Inbound, w.user(), "+447911123456", "+448001111111", time.Second, 60*time.Second, 200, call.ByCaller)
			w.at = w.at.Add(w.ms(200))
		}
	case 6:
		w.event(0, call.Event{Kind: call.EventRegister, ID: fmt.Sprint("r", w.n), Account: "main", User: w.user(), Code: 200, Source: fmt.Sprintf("203.0.113.%d", w.IntN(9)), SourceCountry: []string{"GB", "GB", "GB", "VN"}[w.IntN(4)]})
	case 7:
		s := fmt.Sprintf("203.0.113.%d", w.IntN(12))
		w.event(0, call.Event{Kind: call.EventFinding, ID: fmt.Sprint("f", w.n), Action: call.RegistrationBruteforce, Rule: "base/register-failures", User: w.user(), Source: s, Subject: &call.Subject{Kind: "source", Value: s}, Count: 1 + w.IntN(9)})
	case 8: // premium numbers at home
		for range w.IntN(15) {
			w.at = w.at.Add(w.ms(100))
			w.talk(call.Outbound, w.user(), "+442079460001", "+44909879000"+fmt.Sprint(w.IntN(3)), time.Second, w.ms(300), 200, call.ByCaller)
		}
	default:
		w.talk(call.Outbound, w.user(), "+442079460001", fmt.Sprintf("+4420713%05d", w.IntN(50)), 4*time.Second, w.ms(900), 200, call.ByCaller)
		w.talk(call.Inbound, w.user(), fmt.Sprintf("+4420714%05d", w.IntN(50)), fmt.Sprintf("+4420794600%02d", w.IntN(30)), 6*time.Second, w.ms(900), 200, call.ByCallee)
	}
}

// events are those of n steps in their order.
func (w *world) events(n int) []call.Event {
	for range n {
		w.step()
	}
	slices.SortStableFunc(w.out, func(a, b call.Event) int { return a.At.Compare(b.At.Time) })
	return w.out
}

func office() *Engine { return New(acting(), DefaultRates("GB", number.Builtin())) }

// acting are parameters with which everything that may be done is asked for.
func acting() Config {
	c := Defaults("office")
	c.WarmUp, c.Shadow = 12*time.Hour, 24*time.Hour
	c.Rules[IDToll] = Rule{Then: Then{Verdict: call.Reject, Status: 403, Act: call.ActHold, For: time.Hour}, Mode: Enforce}
	c.Rules[IDCallback] = Rule{Then: Then{Verdict: call.Reject, Status: 403, Act: call.ActHangup}}
	return c
}

// watch gives an engine events, and the time after every minute.
func watch(e *Engine, evs []call.Event) (out []Finding) {
	for _, ev := range evs {
		out = append(out, e.Observe(ev)...)
	}
	return append(out, e.Flush()...)
}
