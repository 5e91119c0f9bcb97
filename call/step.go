package call

// Step is one step on the way to a decision, told afterwards to people. Steps
// are made on demand from the facts of a request; nothing of them exists while
// it is decided.
type Step struct {
	Stage   Stage      `json:"stage"`
	Outcome Outcome    `json:"outcome"`
	Rule    string     `json:"rule,omitempty"` // id of the rule, limit or section that was asked
	At      string     `json:"at,omitempty"`   // file:line where it is written
	Text    string     `json:"text"`           // one sentence: what was seen, or why
	Values  []Evidence `json:"values,omitempty"`
}

// Stage is the part of the way that a step belongs to, in the order of asking.
type Stage string

const (
	StageSender    Stage = "sender"    // who sent it, and from where
	StageCaller    Stage = "caller"    // the caller's number
	StageCallee    Stage = "callee"    // the number that was called
	StageEmergency Stage = "emergency" // is it an emergency call?
	StageLimit     Stage = "limit"     // what was counted
	StageCountries Stage = "countries" // where calls may go
	StageRule      Stage = "rule"
	StageException Stage = "exception" // what opened a refusal
	StageGuard     Stage = "guard"     // another engine, or the gateway itself
	StageFallback  Stage = "fallback"  // nobody had an opinion
	StageVerdict   Stage = "verdict"
)

// Outcome says what a step came to.
type Outcome string

const (
	Noted    Outcome = "noted"     // a fact
	Passed   Outcome = "passed"    // asked, and nothing against the request
	Missed   Outcome = "no-match"  // it did not match
	Skipped  Outcome = "not-asked" // another method, expired, or its file had decided
	Matched  Outcome = "match"     // it matched
	Flagged  Outcome = "flag"      // it matched and is only told
	Shadowed Outcome = "shadow"    // it matched and is not carried out
	Opened   Outcome = "exception" // it matched, and an exception opened it
)

// Count is what a limit compared when it was asked: the counters have moved on
// by the time somebody asks why.
type Count struct {
	Limit  string `json:"limit"`
	Unit   string `json:"unit"`             // requests | calls | failures | …
	Value  int64  `json:"value"`            // with this request, where it was let through
	Most   int64  `json:"most"`             // the burst, the calls at a time, the failures
	Over   bool   `json:"over,omitempty"`   // it was one too many
	Shadow bool   `json:"shadow,omitempty"` // told, not carried out
}
