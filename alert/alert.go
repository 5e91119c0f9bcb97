// Package alert answers one question: how does the outside learn what the
// gateway decided and saw? It holds the three written forms, all JSON Lines:
// alerts ([Event]), call detail records ([CDR]) and the event stream
// ([Stream]), and the [Bus] that carries alerts to their sinks.
//
// It does not decide anything: a [call.Decision] comes in finished. It does not
// keep history and does not read its own files back. It never blocks a call:
// every writer has a bounded queue in front of it, and what does not fit is
// counted by cause and announced.
//
// Each Bus, CDR and Stream owns its state and its goroutines and is stopped
// with Close. The times in what is written are those of the values given in;
// windows are measured by the clock given at construction. When a file cannot be
// written, lines are kept in the queue and tried again, the loss of lines is
// counted, the log says so at a limited rate, and a sink-degraded alert goes to
// the other sinks.
//
// Start reading at [All], then [Bus.Publish].
package alert

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/internal/plain"
)

// ECSVersion is the version of the Elastic Common Schema whose names are used.
const ECSVersion = "8.17.0"

// Event is one alert, in the nested form of the Elastic Common Schema. The
// sip object follows the names of packetbeat's SIP fields. What neither of them
// knows is under rampart. An Event is a value that nobody changes once it is
// published; methods that add to it return a copy.
type Event struct {
	Timestamp   call.Time `json:"@timestamp"`
	ECS         ECS       `json:"ecs"`
	Event       Info      `json:"event"`
	Rule        *Rule     `json:"rule,omitempty"`
	Source      *Endpoint `json:"source,omitempty"`
	Destination *Endpoint `json:"destination,omitempty"`
	Network     *Network  `json:"network,omitempty"`
	User        *User     `json:"user,omitempty"`
	UserAgent   *Original `json:"user_agent,omitempty"`
	SIP         *SIP      `json:"sip,omitempty"`
	TLS         *TLS      `json:"tls,omitempty"`
	Threat      *Threat   `json:"threat,omitempty"`
	Related     *Related  `json:"related,omitempty"`
	Observer    Observer  `json:"observer"`
	Rampart     Rampart   `json:"rampart"`

	stranger bool // about somebody that nothing identifies: it counts against their budget
}

// ECS names the schema version.
type ECS struct {
	Version string `json:"version"`
}

// Info is the ECS event object.
type Info struct {
	ID       string      `json:"id"` // see Event.ID; empty until the event is sent or written
	Kind     string      `json:"kind"`
	Category []string    `json:"category"`
	Type     []string    `json:"type"`
	Action   call.Action `json:"action"`
	Outcome  string      `json:"outcome"` // success | failure | unknown, of what the other side tried
	Severity int         `json:"severity"`
	Reason   string      `json:"reason,omitempty"`
	Dataset  string      `json:"dataset"`
	Module   string      `json:"module"`
}

// Rule is the rule that decided.
type Rule struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Ruleset string `json:"ruleset,omitempty"`
	Version string `json:"version,omitempty"`
}

// Endpoint is one end of the flow.
type Endpoint struct {
	IP   string `json:"ip"`
	Port uint16 `json:"port,omitempty"`
	Geo  *Geo   `json:"geo,omitempty"`
	AS   *AS    `json:"as,omitempty"`
}

// Geo is where an address is registered.
type Geo struct {
	Country string `json:"country_iso_code"`
}

// AS is the autonomous system an address belongs to.
type AS struct {
	Number uint `json:"number"`
}

// Network describes the hop the request came over.
type Network struct {
	Transport string `json:"transport"` // udp | tcp
	Protocol  string `json:"protocol"`  // sip | sips
	Type      string `json:"type,omitempty"`
}

// User is who the request is about: the authenticated user, or for a REGISTER
// that has not been accepted the user it tried to be.
type User struct {
	Name string `json:"name"`
}

// Original is a text as it came.
type Original struct {
	Original string `json:"original"`
}

// SIP is the request, by the names that packetbeat gives its parts.
type SIP struct {
	Type        string    `json:"type,omitempty"`
	Method      string    `json:"method,omitempty"`
	Code        string    `json:"code,omitempty"` // what it was answered, if it was refused with an answer
	CallID      string    `json:"call_id,omitempty"`
	URI         *URI      `json:"uri,omitempty"`
	From        *Party    `json:"from,omitempty"`
	To          *Party    `json:"to,omitempty"`
	UserAgent   *Original `json:"user_agent,omitempty"`
	MaxForwards int       `json:"max_forwards,omitempty"`
}

// Party is a From or To header.
type Party struct {
	DisplayInfo string `json:"display_info,omitempty"`
	URI         *URI   `json:"uri,omitempty"`
}

// URI is a SIP URI in parts.
type URI struct {
	Original string `json:"original,omitempty"`
	Username string `json:"username,omitempty"`
	Host     string `json:"host,omitempty"`
}

// TLS is the protection of the hop.
type TLS struct {
	Established bool       `json:"established"`
	Version     string     `json:"version,omitempty"`
	Protocol    string     `json:"version_protocol,omitempty"`
	Cipher      string     `json:"cipher,omitempty"`
	Client      *TLSClient `json:"client,omitempty"`
}

// TLSClient is the verified certificate of the other side.
type TLSClient struct {
	Subject string `json:"subject"`
}

// Threat names the technique, by MITRE ATT&CK, where one fits.
type Threat struct {
	Framework string    `json:"framework"`
	Technique Technique `json:"technique"`
}

// Technique is a list, as ECS has it.
type Technique struct {
	ID   []string `json:"id"`
	Name []string `json:"name"`
}

// Related lists what an analyst pivots on.
type Related struct {
	IP   []string `json:"ip,omitempty"`
	User []string `json:"user,omitempty"`
}

// Observer is this gateway.
type Observer struct {
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
	Type    string `json:"type"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

// Rampart is what the common schema has no name for.
type Rampart struct {
	Verdict        string          `json:"verdict,omitempty"` // what was decided, also in shadow mode
	Mode           string          `json:"mode,omitempty"`    // enforce | shadow; shadow decides and is not carried out
	Severity       string          `json:"severity"`          // event.severity in a word
	CallID         string          `json:"call_id,omitempty"` // our id of the call, the same in CDR and events
	Pass           int             `json:"pass,omitempty"`
	Direction      string          `json:"direction,omitempty"`
	Side           string          `json:"side,omitempty"` // public | inside
	Transport      string          `json:"transport,omitempty"`
	Account        string          `json:"account,omitempty"`
	Peer           string          `json:"peer,omitempty"`
	PeerKind       string          `json:"peer_kind,omitempty"`
	FromE164       string          `json:"from_e164,omitempty"`
	ToE164         string          `json:"to_e164,omitempty"`
	ToNumber       string          `json:"to_number,omitempty"` // canonical form of any kind
	ToCountry      string          `json:"to_country,omitempty"`
	ToClass        string          `json:"to_class,omitempty"`
	Diversion      string          `json:"diversion,omitempty"`
	MediaProfile   string          `json:"media_profile,omitempty"`
	Subject        *call.Subject   `json:"subject,omitempty"`
	Evidence       []call.Evidence `json:"evidence,omitempty"`
	Trace          []string        `json:"decision_trace,omitempty"`
	Count          int             `json:"count,omitempty"` // repeats that this line stands for; absent = 1
	First          *call.Time      `json:"first,omitempty"`
	Last           *call.Time      `json:"last,omitempty"`
	Node           string          `json:"node,omitempty"`
	PolicyRevision string          `json:"policy_revision,omitempty"`
	NumberData     string          `json:"number_data,omitempty"` // version of the numbering data

	// Of findings of the detectors.
	Incident      string         `json:"incident,omitempty"`       // the same in all alerts of one incident
	IncidentCount int            `json:"incident_count,omitempty"` // findings of it so far, this one included
	IncidentFirst *call.Time     `json:"incident_first,omitempty"`
	Related       []string       `json:"related,omitempty"` // other incidents that belong to the same story
	FraudType     []string       `json:"fraud_type,omitempty"`
	Loss          *Loss          `json:"loss,omitempty"`
	Numbers       []string       `json:"numbers,omitempty"`
	Calls         []string       `json:"calls,omitempty"`
	Missed        []fraud.Missed `json:"missed_calls,omitempty"` // the latest since the line before
	Acts          []ActDone      `json:"acts,omitempty"`
}

// IsZero reports that there is nothing to alert about: a Decision without an
// Action. The Bus ignores such events.
func (e Event) IsZero() bool { return e.Event.Action == "" }

// Line returns the event as one line of JSON with its newline.
func (e Event) Line() ([]byte, error) {
	if e.Event.ID == "" {
		e.Event.ID = e.ID()
	}
	return encode(e)
}

// encode writes one JSON line. HTML escaping is off: a "<" in a URI should be
// found by a grep for it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return plain.JSON(b.Bytes()), nil // what no cleaning thought of
}

// ID is a fingerprint of the content and of nothing else, so that a finding made
// again by a replay of the same calls can be recognised, and a SIEM that gets
// a line twice keeps one. It is made late: most repeats never need one.
func (e Event) ID() string {
	h := sha256.New()
	var n [8]byte
	num := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	text := func(parts ...string) {
		for _, p := range parts {
			num(int64(len(p)))
			h.Write([]byte(p))
		}
	}
	num(e.Timestamp.UnixNano())
	num(int64(e.Rampart.Count))
	if e.Rampart.First != nil {
		num(e.Rampart.First.UnixNano())
	}
	if e.Rampart.Incident != "" {
		text(e.Rampart.Incident)
		num(int64(e.Rampart.IncidentCount))
	}
	text(e.Rampart.Node, string(e.Event.Action), e.Rampart.Verdict, e.Rampart.Mode, e.Rampart.CallID, e.Event.Reason)
	if e.Rule != nil {
		text(e.Rule.ID)
	}
	if e.SIP != nil {
		text(e.SIP.CallID, e.SIP.Method)
	}
	if e.Source != nil {
		text(e.Source.IP)
		num(int64(e.Source.Port))
	}
	if s := e.Rampart.Subject; s != nil {
		text(s.Kind, s.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
