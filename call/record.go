package call

import (
	"net/netip"
	"time"
)

// EndedBy says who ended a call.
type EndedBy string

const (
	ByCaller  EndedBy = "caller"
	ByCallee  EndedBy = "callee"
	ByGateway EndedBy = "gateway"
)

// Leg is the media of one leg of one pass, as the CDR shows it.
type Leg struct {
	Side        string  `json:"side"`            // public | inside
	Peer        string  `json:"peer,omitempty"`  // carrier or pbx name; empty for a phone
	Suite       string  `json:"suite,omitempty"` // SRTP suite; empty for plain RTP
	PacketsIn   uint64  `json:"packets_in"`      // accepted from this leg
	PacketsOut  uint64  `json:"packets_out"`     // sent to this leg
	BytesIn     uint64  `json:"bytes_in"`
	Refused     uint64  `json:"refused"` // dropped: wrong source, failed authentication, replayed, malformed
	LossPercent float64 `json:"loss_percent"`
	JitterMs    float64 `json:"jitter_ms"`
	RTTMs       float64 `json:"rtt_ms,omitempty"` // between the gateway and this leg, by RTCP; absent where none says it
	// ReportedLossPercent is what this leg says it did not get of what the
	// other leg sent; absent where it says nothing or all came.
	ReportedLossPercent float64 `json:"reported_loss_percent,omitempty"`
	MOS                 float64 `json:"mos,omitempty"` // of what came in, see [MOS]; absent without packets
}

// Pass is one way of a call through the gateway: phone → PBX is one, the
// PBX's onward leg to a carrier or another phone is the next.
type Pass struct {
	SIPCallID   string   `json:"sip_call_id"`               // of the leg that came in
	SIPCallIDTo string   `json:"sip_call_id_to"`            // of the leg that went out; empty when refused
	From        string   `json:"from"`                      // public | inside
	Peer        string   `json:"peer,omitempty"`            // who sent it, if configured
	RoutedTo    string   `json:"routed_to,omitempty"`       // pbx, peer or "phone"
	Code        int      `json:"code"`                      // final SIP code of this pass
	Rule        string   `json:"rule,omitempty"`            // rule that decided, if any
	Trace       []string `json:"decision_trace"`            // rule ids asked
	Policy      string   `json:"policy_revision,omitempty"` // of the policy that judged this pass
	Facts       *Facts   `json:"facts,omitempty"`           // what it was judged by
	Source      string   `json:"source"`                    // ip:port
	Transport   string   `json:"transport"`                 //
	TLSVersion  string   `json:"tls_version,omitempty"`     //
	MediaLegs   []Leg    `json:"media"`                     // empty when no media was opened
	FailedOver  []string `json:"failed_over,omitempty"`     // routes tried before the last one
	ForwardedTo []string `json:"forwarded_to,omitempty"`    // whom redirects led to, in order, as the gateway called them
	DurationMs  int64    `json:"duration_ms"`               // answer to end of this pass
	AnsweredAt  *Time    `json:"answered_at,omitempty"`     //
	HangupCause string   `json:"hangup_cause,omitempty"`    // why the gateway ended it: max-duration, media-inactivity, media-key-used-up, session-expired, peer-down, policy, drain, operator, …
}

// Time is a UTC instant with millisecond resolution in JSON.
type Time struct{ time.Time }

// At makes a Time; the zero instant gives nil so that it is left out of JSON.
func At(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

const timeLayout = "2006-01-02T15:04:05.000Z"

func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

func (t *Time) UnmarshalJSON(b []byte) error {
	p, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	t.Time = p
	return err
}

// Record is the CDR: one for every call attempt, refused ones too.
type Record struct {
	ID        string    `json:"id"`      // unique per record
	CallID    string    `json:"call_id"` // our id of the call
	Node      string    `json:"node"`
	Account   string    `json:"account,omitempty"`
	User      string    `json:"user,omitempty"`
	Peer      string    `json:"peer,omitempty"`
	Direction Direction `json:"direction"`
	From      string    `json:"from"`                // as it came
	To        string    `json:"to"`                  // as dialled
	FromE164  string    `json:"from_e164,omitempty"` // canonical public number
	ToE164    string    `json:"to_e164,omitempty"`   //
	ToNumber  string    `json:"to_number,omitempty"` // canonical form of any kind
	ToKind    string    `json:"to_kind"`             // extension | emergency | national | international | invalid
	Country   string    `json:"country,omitempty"`   // of the callee
	Class     string    `json:"class,omitempty"`

	Start  *Time `json:"start"`
	Ring   *Time `json:"ring,omitempty"`
	Answer *Time `json:"answer,omitempty"`
	End    *Time `json:"end"`

	RingMs     int64   `json:"ring_ms"`     // ring (else start) to answer or end
	DurationMs int64   `json:"duration_ms"` // answer to end; 0 when never answered
	EndedBy    EndedBy `json:"ended_by"`
	Code       int     `json:"code"` // final SIP code the caller saw
	Verdict    Verdict `json:"verdict"`
	Rule       string  `json:"rule,omitempty"`
	UserAgent  string  `json:"user_agent,omitempty"`
	Source     string  `json:"source"` // ip:port of the caller
	SourceGeo  string  `json:"source_country,omitempty"`
	Passes     []Pass  `json:"passes"`
	// Coalesced counts further attempts of the same sender that this
	// record stands for, or of whomever when they were refused for overload.
	Coalesced int `json:"coalesced,omitempty"`
	// Diversion is who passed the call on, as in [Attempt]; a call that the
	// gateway itself forwarded has the one who redirected it.
	Diversion string `json:"diversion,omitempty"`
}

// EventKind is the kind of a line in the event stream.
type EventKind string

const (
	EventInvite   EventKind = "invite"
	EventRinging  EventKind = "ringing"
	EventAnswer   EventKind = "answer"
	EventEnd      EventKind = "end"
	EventRegister EventKind = "register"
	EventOptions  EventKind = "options"
	EventMessage  EventKind = "message"
	EventFinding  EventKind = "finding" // what a limit found: engines that watch do not count it again
)

// Event is one line of the event stream: the only input of the engines that
// watch calls, in time order, numbered by Seq without gaps. Fields that do
// not belong to a kind are empty and left out.
type Event struct {
	At   Time      `json:"at"`
	Seq  uint64    `json:"seq"`
	Kind EventKind `json:"event"`
	ID   string    `json:"id"` // of the call or the attempt
	Node string    `json:"node,omitempty"`

	Direction     string `json:"direction,omitempty"`
	Account       string `json:"account,omitempty"`
	Peer          string `json:"peer,omitempty"`
	User          string `json:"user,omitempty"`
	From          string `json:"from,omitempty"`    // canonical
	To            string `json:"to,omitempty"`      // canonical
	Dialled       string `json:"dialled,omitempty"` // as it came
	Source        string `json:"source,omitempty"`  // ip
	SourceCountry string `json:"source_country,omitempty"`
	UserAgent     string `json:"user_agent,omitempty"`
	Diversion     string `json:"diversion,omitempty"`
	Verdict       string `json:"verdict,omitempty"`
	Rule          string `json:"rule,omitempty"`

	Code        int      `json:"code,omitempty"`
	EndedBy     EndedBy  `json:"ended_by,omitempty"`
	RingSeconds *float64 `json:"ring_seconds,omitempty"` // end only
	Seconds     *float64 `json:"seconds,omitempty"`      // end only
	Credentials string   `json:"credentials,omitempty"`  // none | sent | stale

	Action   Action     `json:"action,omitempty"`   // finding only, as those that follow: event.action of its alert
	Subject  *Subject   `json:"subject,omitempty"`  // whom it is about
	Evidence []Evidence `json:"evidence,omitempty"` // what was compared
	Count    int        `json:"count,omitempty"`    // requests since the last such line
}

// FoldAddr makes v4-mapped IPv6 addresses IPv4, so that one host is one key.
func FoldAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
