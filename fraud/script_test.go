package fraud

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// A script writes down calls at their times and plays them to an engine: tests
// of detectors say who called whom, and ask what was found.
type script struct {
	t   testing.TB
	e   *Engine
	n   int
	evs []call.Event
	got []Finding
}

func scripted(t testing.TB) *script {
	cfg := Defaults("office")
	return &script{t: t, e: New(cfg, DefaultRates("GB", number.Builtin()))}
}

// dialled is one call of a script. Times are from t0.
type dialled struct {
	at            time.Duration
	in            bool
	user          string
	from, to      string
	silent        bool // no 180
	ring          time.Duration
	talk          time.Duration // 0: not answered
	code          int           // 0: 200 or 487
	by            call.EndedBy  // "": the caller
	unknown       bool          // the record does not say who ended it, nor how long it rang
	refused       bool
	diverted      string
	source, peer  string
	sourceCountry string
}

func (s *script) call(d dialled) string {
	s.n++
	id := fmt.Sprintf("call-%05d", s.n)
	begin := t0.Add(d.at)
	ev := call.Event{Kind: call.EventInvite, ID: id, Direction: call.Outbound.String(), Account: "main", User: d.user, From: d.from, To: d.to,
		Peer: cmp.Or(d.peer, "carrier-a"), Source: cmp.Or(d.source, "198.51.100.7"), SourceCountry: d.sourceCountry, Diversion: d.diverted}
	if d.in {
		ev.Direction = call.Inbound.String()
	}
	if d.refused {
		ev.Verdict = call.Reject.String()
	}
	s.event(begin, ev)
	code, by := cmp.Or(d.code, 487), cmp.Or(d.by, call.ByCaller)
	if d.talk > 0 {
		code = cmp.Or(d.code, 200)
	}
	if !d.silent && d.ring > 0 {
		s.event(begin.Add(100*time.Millisecond), call.Event{Kind: call.EventRinging, ID: id})
		begin = begin.Add(100 * time.Millisecond)
	}
	if d.talk > 0 {
		s.event(begin.Add(d.ring), call.Event{Kind: call.EventAnswer, ID: id})
	}
	end := call.Event{Kind: call.EventEnd, ID: id, Code: code, EndedBy: by}
	ring, secs := d.ring.Seconds(), d.talk.Seconds()
	if d.unknown {
		end.EndedBy = ""
	} else {
		end.RingSeconds, end.Seconds = &ring, &secs
	}
	s.event(begin.Add(d.ring+d.talk), end)
	return id
}

func (s *script) event(at time.Time, ev call.Event) {
	ev.At.Time = at
	s.evs = append(s.evs, ev)
}

// play hands what was written since to the engine, in order of time, and
// returns what was found in it.
func (s *script) play() []Finding {
	slices.SortStableFunc(s.evs, func(a, b call.Event) int { return a.At.Compare(b.At.Time) })
	var out []Finding
	for _, ev := range s.evs {
		out = append(out, s.e.Observe(ev)...)
	}
	out = found(append(out, s.e.Flush()...))
	s.evs = nil
	s.got = append(s.got, out...)
	return out
}

// of are the findings of one detector.
func of(fs []Finding, id string) (out []Finding) {
	for _, f := range fs {
		if f.Detector == id {
			out = append(out, f)
		}
	}
	return out
}

// incidents counts different ones of a detector.
func incidents(fs []Finding, id string) int {
	seen := map[string]bool{}
	for _, f := range of(fs, id) {
		seen[f.Incident] = true
	}
	return len(seen)
}

// dials is a call of a user to a number, as the guards of the gateway see it.
func (s *script) dials(at time.Duration, user, to string) call.Decision {
	a := &call.Attempt{Method: "INVITE", On: call.Request, Direction: call.Outbound, Account: "main", User: user, At: t0.Add(at)}
	a.To = call.Party{User: to, Number: to, Kind: call.International}
	a.From = call.Party{User: user, Number: user, Kind: call.Extension}
	return s.e.Judge(a)
}

// enforce makes a detector refuse calls.
func (s *script) enforce(id string) {
	s.e.cfg.Rules[id] = Rule{Then: Then{Verdict: call.Reject, Status: 603}, Mode: Enforce}
}

// found are findings without those that only tell that a bill has grown.
func found(all []Finding) (out []Finding) {
	for _, f := range all {
		if !f.Grown {
			out = append(out, f)
		}
	}
	return out
}
