package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// A desk makes calls, one thing after the other.
type desk struct {
	*Engine
	at  time.Time
	n   int
	out []Finding
}

// newDesk is an office that has learned for long enough, on a Tuesday morning.
func newDesk(change ...func(*Config)) *desk {
	c := Defaults("office")
	c.Rules[IDSpend], c.Rules[IDCostly] = Rule{Off: true}, Rule{Off: true} // have tests of their own
	for _, f := range change {
		f(&c)
	}
	d := &desk{Engine: New(c, DefaultRates("GB", number.Builtin())), at: time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)}
	d.Tick(d.at)
	d.state.begin = d.at.Add(-30 * 24 * time.Hour).UnixNano()
	return d
}

func (d *desk) event(ev call.Event) {
	ev.At.Time, ev.Account = d.at, "main"
	d.out = append(d.out, d.Observe(ev)...)
}

// pass lets time pass, and tells the engine every so often.
func (d *desk) pass(by, every time.Duration) {
	for end := d.at.Add(by); d.at.Before(end); {
		d.at = d.at.Add(min(every, end.Sub(d.at)))
		d.out = append(d.out, d.Tick(d.at)...)
	}
}

type phone struct {
	user, country, agent string
	diverted             bool
	peer                 string
}

// dial begins a call that is answered after a while.
func (d *desk) dial(p phone, to string, ring time.Duration) (id string) {
	d.n++
	id = fmt.Sprint("c", d.n)
	ev := call.Event{Kind: call.EventInvite, ID: id, Direction: call.Outbound.String(), User: p.user, To: to, From: "+442079460000", SourceCountry: p.country, UserAgent: p.agent, Peer: p.peer}
	if p.diverted {
		ev.Diversion = "+442079460001"
	}
	d.event(ev)
	d.at = d.at.Add(ring)
	if ring > time.Second {
		d.event(call.Event{Kind: call.EventRinging, ID: id})
		d.at = d.at.Add(time.Millisecond)
	}
	d.event(call.Event{Kind: call.EventAnswer, ID: id})
	return id
}

func (d *desk) hangup(id string, code int, by call.EndedBy, talk time.Duration) {
	s := talk.Seconds()
	d.event(call.Event{Kind: call.EventEnd, ID: id, Code: code, EndedBy: by, Seconds: &s})
}

// talks makes a whole call.
func (d *desk) talks(p phone, to string, ring, talk time.Duration) {
	id := d.dial(p, to, ring)
	d.pass(talk, time.Minute)
	d.hangup(id, 200, call.ByCaller, talk)
	d.pass(time.Second, time.Second)
}

func (d *desk) registers(p phone) {
	d.n++
	d.event(call.Event{Kind: call.EventRegister, ID: fmt.Sprint("r", d.n), User: p.user, Code: 200, Source: "198.51.100." + fmt.Sprint(len(p.country+p.agent)), SourceCountry: p.country, UserAgent: p.agent})
	d.pass(time.Second, time.Second)
}

// of are the findings of a detector; those before are forgotten.
func (d *desk) of(id string) (fs []Finding) {
	d.out = append(d.out, d.Flush()...)
	for _, f := range d.out {
		if f.Detector == id {
			fs = append(fs, f)
		}
	}
	d.out = nil
	return fs
}

func (d *desk) quiet(t *testing.T, what string) {
	t.Helper()
	d.out = append(d.out, d.Flush()...)
	for _, f := range d.out {
		t.Errorf("%s: %s %s %s %v", what, f.Detector, f.Subject.Value, f.Reason, f.Evidence)
	}
	d.out = nil
}

const (
	freetown = "+23276%06d" // a costly country
	paris    = "+3314209%04d"
	london   = "+4420713%05d"
	manila   = "+63917%07d" // an elevated one
	personal = "+4470012%05d"
)
