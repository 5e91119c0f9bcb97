// Package param answers: which detectors of fraud are there, and what can be set
// of each?
//
// It is the vocabulary that policy files, the engine of package fraud and the
// reference page have in common: ids, keys, kinds, bounds and one sentence on
// each. It has no values: the defaults of a profile are those of fraud.Defaults.
// Everything here is immutable.
//
// Start reading at [All].
package param

import (
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Kind says how a value is written and what it is kept as.
type Kind uint8

const (
	Count    Kind = iota // a whole number
	Share                // 0 to 1
	Number               // a number
	Money                // USD, or the currency of the rate deck
	Duration             // 10s, 5m, 72h, 7d; kept as seconds
)

func (k Kind) String() string {
	return [...]string{"count", "share", "number", "money", "duration"}[k]
}

// Param is one value of a detector that can be set.
type Param struct {
	Key      string
	Kind     Kind
	Min, Max float64 // both may be taken; of a Duration in seconds
	Doc      string
}

// Detector is one entry that `detectors:` may have.
type Detector struct {
	ID     string
	Sees   string // one sentence
	Page   string // of docs, that says more
	Params []Param
}

// Entry is what policy files say of one detector. What they do not say is as
// the profile has it. A detector that no pack or file names is off.
type Entry struct {
	ID      string
	Off     bool
	Then    bool         // what follows is written: it takes the place of what the profile does
	Verdict call.Verdict // Reject, or none: what is found is flagged
	Status  int          // of a Reject
	Act     call.Act     // ActHangup or ActHold
	For     time.Duration
	Mode    string // enforce, shadow, or "" where none is written
	Values  []Value

	File          string // that names it last
	Line          int
	Description   string
	Owner, Ticket string
}

// DoesText writes what is done as a file would: flag, reject 403, hangup, hold 1h.
func (e *Entry) DoesText() string {
	switch {
	case e.Act == call.ActHold:
		return "hold " + Text(Duration, e.For.Seconds())
	case e.Act == call.ActHangup:
		return "hangup"
	case e.Verdict == call.Reject:
		return "reject " + strconv.Itoa(e.Status)
	}
	return "flag"
}

// Value is a parameter that a file sets. Durations are in seconds.
type Value struct {
	Key   string
	Value float64
}

// Text writes a value as it would stand in a file: 0.5, 90s, 5m, 72h, 7d.
func Text(k Kind, v float64) string {
	if k == Duration {
		for _, u := range []struct {
			name string
			s    float64
		}{{"d", day}, {"h", hour}, {"m", minute}} {
			if n := int64(v / u.s); n > 0 && v == float64(n)*u.s {
				return strconv.FormatInt(n, 10) + u.name
			}
		}
		return strconv.FormatFloat(v, 'f', -1, 64) + "s"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Everywhere is the id of what counts for all detectors.
const Everywhere = "fraud/all"

const (
	minute = 60.
	hour   = 60 * minute
	day    = 24 * hour
)

// Find returns a detector by its id, nil when there is none.
func Find(id string) *Detector {
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	return nil
}

// Param returns a parameter by its key, nil when there is none.
func (d *Detector) Param(key string) *Param {
	for i := range d.Params {
		if d.Params[i].Key == key {
			return &d.Params[i]
		}
	}
	return nil
}

// All lists the detectors. It must not be changed.
func All() []Detector { return all }

// IDs lists their ids.
func IDs() []string {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	return ids
}

// Keys lists the parameters of a detector.
func (d *Detector) Keys() []string {
	keys := make([]string, len(d.Params))
	for i := range d.Params {
		keys[i] = d.Params[i].Key
	}
	return keys
}
