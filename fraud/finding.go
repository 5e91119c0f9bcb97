package fraud

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Finding is what a detector says: one thing that it saw, about one subject.
// Several findings may belong to one incident.
type Finding struct {
	At       call.Time
	Incident string // the same for everything that belongs together; stable over a replay
	Detector string // its id, e.g. fraud/ping-call
	Action   call.Action
	Severity call.Severity
	Subject  call.Subject
	Account  string
	User     string // who pays or is called; empty where there are many
	Peer     string
	Source   string // ip
	CallID   string // of the event that made it
	From, To string // canonical
	Reason   string
	Evidence []call.Evidence
	Numbers  []string // ten at most
	Calls    []string // ids, ten at most
	Lost     float64  // USD so far, estimated
	PerMin   float64  // USD a minute that runs now, estimated
	Related  []string // incidents that belong to the same story, the latest first
	Missed   []Missed // calls that nobody could take, since the incident was told last
	Count    int      // findings of the incident so far
	First    call.Time
	Do       []Do
	about    call.Subject // what the incident is about, where that is not the subject
	// Quiet: the incident was told a moment ago, the finding is only there for
	// what it wants done.
	Quiet bool
	// Grown: nothing more was found, what it costs has grown.
	Grown bool
}

// Missed is a call that rang for a moment: who may be about to call back.
type Missed struct {
	At   call.Time `json:"at"`
	User string    `json:"user,omitempty"`
	To   string    `json:"to"`   // the number that rang
	From string    `json:"from"` // the number not to be called back
}

const maxNamed = 10 // numbers and calls that a finding names

// at is a time of the engine as findings say it.
func at(ns int64) call.Time { return call.Time{Time: time.Unix(0, ns).UTC()} }
