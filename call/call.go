// Package call is the vocabulary of the gateway: what a request claims
// ([Attempt]), what we decided about it ([Decision]), what then happened
// ([Event]) and what is written down about it ([Record]).
//
// It holds values only: no goroutine, socket, clock or logger. It does not
// parse SIP (sbc/sipx does), does not normalise numbers (policy/number does)
// and does not decide anything. Nobody owns state here; a value belongs to
// whoever made it. Times are always given by the caller. Nothing in here can
// fail at run time.
//
// Start reading at [Attempt].
package call

import (
	"net/netip"
	"strings"
	"time"
)

// Side is the side of the gateway a message came from or goes to.
type Side uint8

const (
	Public Side = iota // phones, carriers, strangers
	Inside             // the PBX
)

func (s Side) String() string {
	if s == Inside {
		return "inside"
	}
	return "public"
}

// Direction belongs to the call, not to one pass of it through the gateway:
// inbound from a carrier, outbound to a number outside (whether a phone asks
// the PBX for it or the PBX sends it to a carrier), internal otherwise.
type Direction uint8

const (
	Internal Direction = iota
	Inbound
	Outbound
)

func (d Direction) String() string {
	return [...]string{"internal", "inbound", "outbound"}[d]
}

func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Kind is what identification made of the other end of a flow.
type Kind uint8

const (
	Stranger Kind = iota // nothing identifies it; may only REGISTER
	Phone                // its flow carries a registration the PBX accepted
	Carrier              // a configured peer (certificate, address or both)
	PBX                  // a configured PBX, on the inside
)

func (k Kind) String() string {
	return [...]string{"stranger", "phone", "carrier", "pbx"}[k]
}

// Source is where a request came from.
type Source struct {
	Addr       netip.AddrPort // v4-mapped IPv6 is folded to IPv4
	Local      netip.AddrPort // our socket
	Transport  string         // "udp", "tcp", "tls", "wss"
	TLSVersion string         // "1.2", "1.3"; empty without TLS
	TLSCipher  string
	TLSSubject string // the name in the verified client certificate, if any
	Country    string // ISO 3166-1 alpha-2 from the GeoIP data, or empty
	ASN        uint
	Registered bool // a good registration came from this flow
	Configured bool // the address is one that a peer's entry lists
	Answered   bool // it has answered a challenge of the gateway's
}

// Secure reports whether the hop is encrypted.
func (s Source) Secure() bool { return s.Transport == "tls" || s.Transport == "wss" }

// Verified reports whether the source address is known to be real: a stream
// transport completed a handshake with it, or it answered a challenge. UDP
// sources can be forged.
func (s Source) Verified() bool {
	return s.Transport != "udp" && s.Transport != "" || s.Answered
}

// NumberKind says what a dialled string resolved to.
type NumberKind uint8

const (
	Invalid NumberKind = iota // resolves to nothing below: names, star codes
	Extension
	Emergency
	National      // a public number in the home country
	International // a public number elsewhere
)

func (k NumberKind) String() string {
	return [...]string{"invalid", "extension", "emergency", "national", "international"}[k]
}

// TraceException stands before a rule's id in [Decision.Trace] where an exception
// let the attempt past the rule.
const TraceException = "except:"

// Party is one end of a call as a request names it.
type Party struct {
	User    string // user part of the URI as it came, escapes and all
	Host    string // host part as it came
	Display string // display name, unquoted
	Scheme  string // of a URI that is all number: tel or urn; "" for sip and sips
	// Number is the canonical form: "+" and digits for public numbers, bare
	// digits for extensions and emergency numbers, "" when Kind is Invalid.
	Number  string
	Kind    NumberKind
	Country string // ISO 3166-1 alpha-2 of a public number, or ""
	Region  string // sub-region of Country by UN M.49, e.g. "caribbean", or ""
	Class   string // number class (fixed, mobile, premium_rate, satellite, …) or ""
	Own     bool   // one of our own numbers, claimed by somebody outside
	// Withheld: the caller names nobody, on purpose. Of a number that a trusted
	// sender asserts all the same nothing is withheld from policy.
	Withheld bool
	// Other is what the same text is for those who read it another way, where
	// that is another existing number; else nil. Policy judges both.
	Other *Party
}

// E164 returns the public number with its leading "+", or "".
func (p Party) E164() string {
	if p.Kind == National || p.Kind == International {
		return p.Number
	}
	return ""
}

// Outside reports whether the party is in the public network.
func (p Party) Outside() bool {
	return p.Kind == National || p.Kind == International || p.Kind == Emergency
}

// Media is what an offer asks for.
type Media struct {
	Offered bool   // the request carries a session description
	Profile string // transport profile of the first m-line, e.g. "RTP/SAVP"
	SRTP    bool   // every active stream is offered as SRTP
}

// Header is one header field of a request.
type Header struct{ Name, Value string }

// Occasion is what an attempt is judged for. Most are requests.
type Occasion uint8

const (
	Request    Occasion = iota
	Connection          // a connection was made; only Source is known
	Progress            // the call is up, and looked at again; Elapsed says for how long
)

// Attempt is the facts of one request, gathered before anybody judges it.
// One attempt is one (Side, SIPCallID, From tag): a 401 or 407 and its answer
// are the same attempt. Guards read it and never change it.
type Attempt struct {
	At     time.Time
	On     Occasion
	Method string // "INVITE", "REGISTER", "OPTIONS", …; empty for a connection
	Side   Side
	Source Source

	Peer     string // name of the configured peer or PBX; "" for phones and strangers
	PeerKind Kind
	Account  string // name of the `pbx` entry the request belongs to
	User     string // the authenticated user: registered AoR's user, or P-Asserted-Identity on the PBX's legs

	Direction Direction
	From, To  Party
	// Diversion is the user part of the topmost Diversion or History-Info
	// entry; a diverted call is paid for by the one who diverted it.
	Diversion string

	ID         string // our id of the call; passes of one call share it
	Help       bool   // a further pass of an emergency call, to a phone of ours
	Pass       int    // 1 for the first pass through the gateway
	SIPCallID  string
	RequestURI string
	UserAgent  string
	Hops       int // Max-Forwards left
	Size       int // bytes of the message
	Media      Media

	Elapsed time.Duration // Progress: since the answer

	Forwarded    bool     // it came in from outside and goes out again
	Transferred  bool     // a REFER or an INVITE with Replaces led to it
	ContentTypes []string // media types of the body and of its parts, lower case, without parameters
	Headers      []Header // those header fields that the policy reads, in order

	// Policy is the revision of the policy that judged it. Who asks the guards
	// sets it; what is told of the attempt names it.
	Policy string

	RegisterUser   string // REGISTER: user of To
	RegisterDomain string // REGISTER: domain of To, where the gateway serves more than one
	AuthUser       string // username of Authorization, if any
	// Returning: a REGISTER that names a device which has registered the user
	// before. Others may know how it is named, so it proves nothing.
	Returning bool
	// First: a REGISTER was accepted, on a connection that had not registered the
	// user until then.
	First   bool
	Expires int // REGISTER: seconds asked for; 0 unregisters, -1 not given
}

// Guessed is the user whose password a REGISTER shows, where it is for another:
// who guesses may write anybody into To. Empty: there is no other.
func (a *Attempt) Guessed() string {
	if a.Method != "REGISTER" {
		return ""
	}
	name, _, _ := strings.Cut(a.AuthUser, "@")
	if name == a.RegisterUser {
		return ""
	}
	return name
}

// Stranger reports whether nothing identifies the sender.
func (a *Attempt) Stranger() bool { return a.PeerKind == Stranger }

// Diverted reports whether somebody passed the call on: he is named, or it
// went out again as it had come in.
func (a *Attempt) Diverted() bool { return a.Diversion != "" || a.Forwarded }

// Emergency reports whether the call is for an emergency number and the
// sender is identified: only then it skips admission.
func (a *Attempt) Emergency() bool {
	return (a.To.Kind == Emergency || a.Help) && a.PeerKind != Stranger && a.Method == "INVITE"
}
