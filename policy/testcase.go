package policy

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Test is a compiled entry of `tests:`: requests in the order of time, and what
// each is expected to meet. Package trial runs it.
type Test struct {
	Name string
	File string
	Pos  strictyaml.Pos
	Pack bool // of a shipped pack or profile
	At   time.Time
	Own  []string // prefixes of our own numbers, besides the configuration's

	Requests []TestRequest
}

// TestRequest is one request of a test.
type TestRequest struct {
	After   time.Duration // from the test's begin
	Request *Described
	N       int     // which repetition of its event, from 1; see Described.Nth
	Expect  *Expect // nil: it prepares the others

	Code   int           // the final answer to what was permitted; 0: 200
	Ring   time.Duration // how long it rings before that
	Hangup time.Duration // how long after the request the call ends …
	Ends   bool          // … if it does within the test
	By     call.EndedBy  // who ends it; empty: the caller, or whoever gives the code
}

// Expect is what a request is to meet. What is not set is not asked.
type Expect struct {
	Pos     strictyaml.Pos
	Verdict call.Verdict // Abstain: not asked
	Status  int
	Rule    string   // the rule that decided; RuleNone: none did
	Asked   []string // rules and limits that matched, whatever they decided
	NotRule []string // those that must not have
	Except  []string // rules that an exception opened, at least
	// Alerts are the actions of all alerts; Flags the rules that flagged;
	// Shadow the rules that would have refused. Nil: not asked; empty: none.
	Alerts, Flags, Shadow []string
	Effects               []string // acts that are carried out: ban, hold, hangup
	NotAlert              []string
	// Findings are the detectors that found something by this request, or by what
	// became of its call. Nil: not asked; empty: none.
	Findings []string
}

// RuleNone is what a test writes where no rule is to have decided.
const RuleNone = "none"

// builtinRules are decided by the gateway itself: they stand in no file.
var builtinRules = []string{RuleDenied, RuleClassDenied, RuleInvalidNumber,
	"base/emergency", "base/stranger", "base/own-number", "limits/peer-cps", "limits/peer-calls", "limits/calls-counted",
	"bans/banned", "holds/costly-calls"}

// testAlerts are the alerts that come of requests besides those that rules may
// name.
var testAlerts = []call.Action{call.CallWouldReject, call.EmergencyCall, call.SourceBanned, call.AccountHeld, call.CallEnded, call.CallFailed}

// Tests are the tests of all files, those of packs among them.
func (s *Set) Tests() []Test { return s.tests }
