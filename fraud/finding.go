package fraud

import (
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
	Related  []string // incidents
	Count    int      // findings of the incident so far
	First    call.Time
	Do       []Do
}

const maxNamed = 10 // numbers and calls that a finding names
