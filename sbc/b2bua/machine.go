// Package b2bua is the pure machine of one pass of a call through the
// gateway: a caller's leg A, a callee's leg B, and what happens between
// them. It answers "given all that happened so far, what now".
//
// It sends and receives nothing, sees no message and no description (the
// owner keeps those at hand while it carries out the actions), decides
// nothing about policy, and knows no time: timers are actions out and events
// in. The [State] is plain data that can be written out and read back; it
// belongs to the one goroutine that owns the call. Nothing here can fail:
// every event has an answer in every phase, a test walks them all.
//
// Start reading at [Step].
package b2bua

import "github.com/rampart-sbc/rampart/call"

// Leg is one side of the call.
type Leg uint8

const (
	A Leg = iota // who called
	B            // who was called
)

// Other is the opposite leg.
func (l Leg) Other() Leg { return 1 - l }

func (l Leg) String() string { return [...]string{"A", "B"}[l] }

// Phase is where a call stands.
//
//	Idle ─Invite▶ Calling ─18x▶ Ringing ─2xx▶ Answered ─ACK▶ Up ◀──▶ Modifying
//	               │  ▲  │         │             │            │          │
//	      401/407  │  │  │ Cancel  │             └────BYE─────┴────BYE───┘
//	               ▼  │  ▼         ▼                          ▼
//	         Challenged  Cancelling ──────────────────────▶ Ending ─▶ Ended
//
// A refusal of the last route ends the call from Calling or Ringing. What is
// open inside of the dialogs, early and confirmed, is in [Dialog].
type Phase uint8

const (
	Idle       Phase = iota
	Calling          // the INVITE is with B, who has not rung
	Ringing          // B sent a provisional response that A got
	Cancelling       // A has its final response; B's is outstanding
	Challenged       // A got 401 or 407 and may try again
	Answered         // A got the 2xx; its ACK is outstanding
	Up               // both legs confirmed
	Modifying        // a re-INVITE of one leg is with the other, or its 2xx awaits the ACK with the answer
	Ending           // BYE sent, its answer outstanding
	Ended            // nothing more will happen
)

var phaseNames = [...]string{"idle", "calling", "ringing", "cancelling", "challenged", "answered", "up", "modifying", "ending", "ended"}

func (p Phase) String() string { return phaseNames[p] }

// Phases lists every phase, in order.
func Phases() []Phase {
	return []Phase{Idle, Calling, Ringing, Cancelling, Challenged, Answered, Up, Modifying, Ending, Ended}
}

// State of one pass. The zero value is a call that has not begun.
type State struct {
	Phase  Phase `json:"phase"`
	Route  int   `json:"route"`  // the route that is being tried, from 0
	Routes int   `json:"routes"` // how many there are

	Provisional bool    `json:"provisional"`         // B sent a provisional response: a CANCEL may be sent
	WantCancel  bool    `json:"want_cancel"`         // send it with the first provisional response
	Tag         string  `json:"tag"`                 // B's tag in the accepted answer
	ByeOnAck    bool    `json:"bye_on_ack"`          // leg A must be released as soon as it has sent its ACK (RFC 3261 §15)
	ByeCause    string  `json:"bye_cause,omitempty"` // why, for the Reason of that BYE
	Modifier    Leg     `json:"modifier"`            // whose re-INVITE is open, in Modifying
	ModifyAck   [2]bool `json:"modify_ack"`          // this leg owes an ACK for the 2xx to its re-INVITE
	Replied     bool    `json:"replied"`             // the Modifier has its 2xx: the ACK will bring the answer to the other's offer
	AckDue      bool    `json:"ack_due"`             // a 2xx with an offer has no ACK yet: the answer must come first (RFC 3261 §13.2.1)
	Byes        int     `json:"byes"`                // BYEs without an answer yet
	Finished    bool    `json:"finished"`            // Finish was given
	Interval    int     `json:"interval"`            // seconds until the session expires without a refresh (RFC 4028); 0: never

	Bare    bool     `json:"bare"`    // A's INVITE had no offer
	Dialogs []Dialog `json:"dialogs"` // one for each of B's tags, in the order they came
	Fork    int      `json:"fork"`    // the one that was answered
}

// Kind is the kind of an [Event].
type Kind uint8

const (
	Invite        Kind = iota // A's INVITE was admitted; Routes says how many ways there are
	Cancel                    // A cancels its INVITE
	Ack                       // Leg acknowledges a 2xx of ours
	NoAck                     // Leg never acknowledged it (64·T1)
	Bye                       // Leg hangs up
	Provisional               // B: 1xx; Code
	Success                   // B: 2xx; Tag
	Failure                   // B: 3xx to 6xx, no answer or unreachable; Code, TryNext
	Modify                    // Leg sends a re-INVITE
	ModifyCancel              // Leg cancels it
	ModifySuccess             // the other leg's 2xx
	ModifyFailure             // the other leg refuses, does not answer or is unreachable; Code
	Request                   // Leg sends another request inside the dialog (INFO)
	ByeDone                   // a BYE of ours got its answer, or none ever
	Refused                   // we refuse what the last action tried (no media, bad description); Code
	SetupTimeout              // B rang for too long (RFC 3261 Timer C)
	RetryTimeout              // nobody answered the challenge
	Hangup                    // we end it: Cause says why
	Reliable                  // B: a provisional response that wants a PRACK (RFC 3262), in order; Fork, Code, Desc
	Prack                     // A acknowledges one of ours; Fork, Desc; Code when its body is refused
	PrackDone                 // B's final response to a PRACK with an offer; Fork, Code
	NoPrack                   // A never acknowledged it (64·T1)
	Update                    // Leg sends an UPDATE (RFC 3311); Fork, Desc
	UpdateDone                // the other leg's final response to Leg's UPDATE; Fork, Code
	Silence                   // B has sent nothing at all for so long that the next route is tried
	Redirected                // B: 3xx that we follow; Routes more ways from here, Code when there is none
)

var kindNames = [...]string{"invite", "cancel", "ack", "no-ack", "bye", "provisional", "success", "failure", "modify", "modify-cancel",
	"modify-success", "modify-failure", "request", "bye-done", "refused", "setup-timeout", "retry-timeout", "hangup",
	"reliable", "prack", "prack-done", "no-prack", "update", "update-done", "silence", "redirected"}

func (k Kind) String() string { return kindNames[k] }

// Kinds lists every kind of event, in order.
func Kinds() []Kind {
	ks := make([]Kind, len(kindNames))
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// Event is one thing that happened.
type Event struct {
	Kind     Kind
	Leg      Leg
	Code     int    // SIP status
	Tag      string // B's To tag of a Success
	Routes   int
	TryNext  bool   // Failure: another route may do better
	Interval int    // Success, ModifySuccess: the session interval it agrees on, in seconds; 0: none
	Fork     int    // which of B's dialogs, from 0: of what has one
	Desc     Desc   // what it carries
	Bare     bool   // Invite, Modify: without an offer
	Cause    string // Hangup: max-duration, media-inactivity, operator, drain, …
}

// Verb is what an [Action] asks for.
type Verb uint8

const (
	SendInvite    Verb = iota // to B by State.Route; opens media, writes the offer
	ReplyInvite               // to A: Code; Relay carries B's headers and description
	SendAck                   // to B, for its 2xx
	AckAndBye                 // to B: this 2xx is not wanted (another fork, or too late)
	SendCancel                // to B
	Confirmed                 // Leg's ACK arrived: stop repeating the 2xx
	SendBye                   // to Leg; Cause
	Reply                     // to the request at hand (BYE, INFO, re-INVITE, CANCEL): Code
	SendModify                // the re-INVITE at hand to Leg, with the offer rewritten
	ReplyModify               // to Leg's open re-INVITE: Code; Relay carries the other's answer
	AckModify                 // to Leg, for its 2xx to our re-INVITE
	CancelModify              // to Leg
	RelayRequest              // the request at hand to Leg; its answer goes back by itself
	CloseMedia                //
	StartTimer                // Timer
	StopTimer                 // Timer
	Finish                    // the result of the pass: Code, By, Cause; exactly once
	ReplyReliable             // to A: the provisional response at hand, until its PRACK comes
	SendPrack                 // to B, with what A's carried
	ReplyPrack                // to A's open PRACK: Code; Relay carries B's answer
	SendUpdate                // the UPDATE at hand to Leg, with its offer rewritten
	ReplyUpdate               // to Leg's open UPDATE: Code; Relay carries the other's answer
	Abandon                   // B's INVITE that nobody answered: what comes of it yet is ended by itself
)

var verbNames = [...]string{"send-invite", "reply-invite", "send-ack", "ack-and-bye", "send-cancel", "confirmed", "send-bye", "reply",
	"send-modify", "reply-modify", "ack-modify", "cancel-modify", "relay-request", "close-media", "start-timer", "stop-timer", "finish",
	"reply-reliable", "send-prack", "reply-prack", "send-update", "reply-update", "abandon"}

func (v Verb) String() string { return verbNames[v] }

// Timer names a timer of the call.
type Timer uint8

const (
	Setup    Timer = iota // RFC 3261 Timer C: more than 3 minutes
	Retry                 // how long a challenged caller has to answer
	Duration              // max_call; fires as Hangup
	Failover              // how long B may be silent while there are other routes
	Session               // State.Interval without a refresh; fires as Hangup

	Timers // how many there are
)

var timerNames = [Timers]string{"setup", "retry", "duration", "failover", "session"}

func (t Timer) String() string { return timerNames[t] }

// Action is one thing to do. Actions are done in order.
type Action struct {
	Verb  Verb
	Leg   Leg
	Fork  int
	Code  int
	Relay bool
	Timer Timer
	By    call.EndedBy
	Cause string
}
