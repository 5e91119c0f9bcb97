package call

import (
	"net/netip"
	"time"
)

// Verdict is ordered by strictness. Its zero value is "no opinion", so a
// Decision somebody forgot to fill in can never let a call through.
type Verdict uint8

const (
	Abstain   Verdict = iota
	Allow             // let it pass
	Challenge         // ask for credentials
	Reject            // answer with Status
	Drop              // stay silent; on a stream transport close it
)

func (v Verdict) String() string {
	return [...]string{"abstain", "allow", "challenge", "reject", "drop"}[v]
}

func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Severity is the weight of an alert, low to critical.
type Severity uint8

const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

func (s Severity) String() string {
	return [...]string{"info", "low", "medium", "high", "critical"}[s]
}

// Evidence is one value that was compared with one threshold.
type Evidence struct {
	Name      string `json:"name"`
	Value     any    `json:"value"`
	Threshold any    `json:"threshold,omitempty"`
}

// Subject is who or what a decision is about: repeats about the same subject
// are coalesced into one alert.
type Subject struct {
	Kind  string `json:"kind"` // user | from | from_prefix | to | to_prefix | source | peer | destination | account | node
	Value string `json:"value"`
}

// Warning is a SIP Warning header value without its agent, RFC 3261 §20.43.
type Warning struct {
	Code int // 3xx or 399
	Text string
}

// Action names what an alert is about: event.action, a closed set that is
// documented in docs/alerts.md.
type Action string

const (
	CallRejected           Action = "call-rejected"
	CallWouldReject        Action = "call-would-reject"
	RequestRejected        Action = "request-rejected" // refused, and not a call
	RuleFlagged            Action = "rule-flagged"     // a rule wanted it to be told, nothing more
	PlaintextRefused       Action = "plaintext-refused"
	SRTPRefused            Action = "srtp-refused"
	ScannerDetected        Action = "scanner"
	Flood                  Action = "flood"
	PeerIdentity           Action = "peer-identity-mismatch" // a certificate or address that does not fit its claim
	IdentityForged         Action = "identity-forged"        // From is not the registered identity
	SourceBanned           Action = "source-banned"          // a key is shut out for a while
	AccountHeld            Action = "account-held"           // an account may make no costly calls for a while
	CallEnded              Action = "call-ended"             // a rule ended a call that was up
	EmergencyCall          Action = "emergency-call"
	MediaInjection         Action = "media-injection"
	CallForwardFraud       Action = "call-forward-fraud"      // diverted calls that cost
	TollFraud              Action = "toll-fraud"              // costly calls that do not fit the caller
	PingCall               Action = "ping-call"               // calls that want to be called back
	PingCallCallback       Action = "ping-call-callback"      // a call back to one of them
	NumberProbing          Action = "number-probing"          // which numbers are there
	RegistrationBruteforce Action = "registration-bruteforce" // guessing passwords
	Enumeration            Action = "enumeration"             // guessing users
	Robocall               Action = "robocall"                // a caller like a machine
	TrafficPumping         Action = "traffic-pumping"         // calls that are made to cost
	TollfreePumping        Action = "tollfree-pumping"        // calls that are made to cost who is called
	FalseAnswer            Action = "false-answer"            // a route that answers what nobody answered
	ImpossibleTravel       Action = "impossible-travel"       // a user in two places
	NewCountry             Action = "new-country"             // a user where it never was
	CostlyCallsCap         Action = "costly-calls-cap"        // too many costly calls at a time
	SpendCap               Action = "spend-cap"               // a budget is used up
	MalformedMessage       Action = "malformed-message"
	CallFailed             Action = "call-failed"             // our own failure, e.g. a panic in one call
	PeerDown               Action = "peer-down"               // a PBX or peer answers no OPTIONS
	PeerUp                 Action = "peer-up"                 // it does again
	TrunkLost              Action = "trunk-registration-lost" // a carrier does not take our registration
	TrunkRegistered        Action = "trunk-registered"        // it does again
	PolicyReloaded         Action = "policy-reloaded"
	AdminChange            Action = "admin-change" // somebody changed something through the API
	CertificateLoaded      Action = "certificate-reloaded"
	CertificateExpiry      Action = "certificate-expiring"
	SinkDegraded           Action = "sink-degraded"
	Overload               Action = "overload" // requests are refused because there are too many
	Heartbeat              Action = "heartbeat"
)

// Decision is what one guard, or all of them together, want done with an
// Attempt. The SIP reply, the alert, the CDR, the metric and `explain` are
// readings of it. The zero Decision abstains.
type Decision struct {
	Verdict Verdict
	Status  int    // SIP code for Reject
	Rule    string // file-or-pack/kebab-name; stable for ever
	Reason  string // exact text for the operator; never sent on the wire
	// Warning is what an identified peer may be told; nil sends the generic 399.
	Warning    *Warning
	RetryAfter time.Duration // for 503; 0 omits the header
	Severity   Severity
	Action     Action // empty: no alert
	Subject    Subject
	Evidence   []Evidence
	Shadow     bool     // decided and reported, not carried out
	Trace      []string // rule ids that were asked and matched, in order
	// Effects are to be carried out, whatever the verdict is in the end; those of
	// a shadow decision are not.
	Effects []Effect
	// Also is what else has to be told and is not carried out: flags (their
	// Verdict abstains) and shadow refusals. They never end a search, so a
	// guard may have several of them beside its verdict.
	Also []Decision
	// Counts is what the limits compared, for explanations; nil where no guard
	// that counts was asked.
	Counts []Count
}

// Permits reports whether the attempt may go on.
func (d Decision) Permits() bool { return d.Verdict == Allow }

// SystemEvent is something worth an alert that is not a decision about one
// request: our own failures, injected media, a new certificate.
type SystemEvent struct {
	At       time.Time
	Action   Action
	Severity Severity
	Rule     string // stable id, e.g. media/injection
	Reason   string
	Subject  Subject
	Source   netip.AddrPort // zero when there is none
	CallID   string         // our id of the call, if about one
	Evidence []Evidence
}
