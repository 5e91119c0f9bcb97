// Package replay answers: what would this policy and these detectors have done
// with calls that were recorded?
//
// [Run] reads an event stream or CDRs and gives every line, in its own time, to
// one or two candidates: the limits, the policy and the detectors of fraud, with
// the code of the live gateway (package trial judges, package fraud observes,
// package alert thins out what is told). What comes out is what would be refused,
// allowed and flagged otherwise than it was, what it would have saved, and the
// alerts.
//
// It is open loop: what happened, happened. A call that a candidate refuses goes
// on as recorded, for the detectors as well, and the refusal is told beside it. It
// does not judge what no line tells: malformed messages, media, headers, what
// was dropped before anybody decided.
//
// A [Run] owns all its state; lines are decoded by several goroutines and judged
// by one, in the order of the file. The clock is that of the lines and never goes
// back. A line that cannot be read is counted, told with its place, and left out.
//
// Start reading at [Run], then at candidate.take.
package replay

import (
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/trial"
)

// Side is a policy with its detectors.
type Side struct {
	Name  string
	Trial trial.Options
	Fraud fraud.Config
	Rates *fraud.Rates
	Meta  alert.Meta
	// Alerts takes what would have been told, in order; nil: nobody does.
	Alerts func(alert.Event)
}

// Options of a replay. Only New is needed.
type Options struct {
	New Side
	// Old is what New is compared with; nil: what was recorded.
	Old *Side
	// Geo says where an address is, where the line does not.
	Geo func(netip.Addr) string
	// Strangers are names of peers that stand for nobody who was identified.
	Strangers []string
	// Attacks says of events by their id to which attack they belong; nil: nothing
	// is known.
	Attacks map[string]string
	// Workers decode; 0: as many as there are processors.
	Workers int
}

// Run replays what it reads.
func Run(r io.Reader, o Options) (*Report, error) {
	begun := time.Now()
	rep := newReport(&o)
	next, err := newCandidate(o.New, &o, rep)
	if err != nil {
		return nil, err
	}
	var old *candidate
	if o.Old != nil {
		if old, err = newCandidate(*o.Old, &o, rep); err != nil {
			return nil, err
		}
		old.old = true
	}
	var last time.Time
	take := func(it *item) {
		if it.At.Before(last) {
			rep.Back++
			it.At.Time = last
		}
		last = it.At.Time
		rep.saw(&it.Event)
		if o.Geo != nil && it.SourceCountry == "" && it.Source != "" {
			if a, err := netip.ParseAddr(it.Source); err == nil {
				it.SourceCountry = o.Geo(a)
			}
		}
		rep.compare(next, old, it)
	}
	cdrs := spread{give: take}
	err = read(r, o.Workers, rep, func(l *line) {
		if l.cdr == nil {
			take(&l.item)
			return
		}
		rep.CDRs++
		rep.Folded += l.cdr.Coalesced
		cdrs.take(l.cdr)
	})
	cdrs.rest()
	next.finish()
	if old != nil {
		old.finish()
	}
	rep.Labelled.finish(rep.Calls)
	rep.Took = time.Since(begun)
	return rep, err
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortedActions(m map[call.Action]int) []call.Action { return slices.Sorted(maps.Keys(m)) }
