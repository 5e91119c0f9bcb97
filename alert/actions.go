package alert

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// ActionInfo says what one event.action means and how ECS classifies it.
type ActionInfo struct {
	Action   call.Action
	Meaning  string   // one sentence, as docs/alerts.md shows it
	Kind     string   // event.kind: alert for what somebody did, event for what we did
	Category []string // event.category
	// Technique is the id and name in MITRE ATT&CK, empty where none fits.
	Technique, TechniqueName string
	// Fraud are the names that carriers give the fraud it is a sign of (CFCA's
	// survey of fraud losses, the i3 Forum's fraud classification), empty where
	// it is none.
	Fraud []string
	// Reserved names belong to the contract, but nothing in this version sends
	// them yet. They are here so that a SIEM needs no second mapping.
	Reserved bool
	outcome  string // of events that are not about a request; default unknown
	single   bool   // never coalesced
}

var (
	network   = []string{"network"}
	intrusion = []string{"network", "intrusion_detection"}
	authn     = []string{"authentication", "intrusion_detection"}
	setup     = []string{"configuration"}
	process   = []string{"process"}
)

// The names of the field.
var (
	wangiri  = []string{"Wangiri"}
	irsf     = []string{"IRSF", "PBX hacking"}
	hacking  = []string{"PBX hacking"}
	takeover = []string{"account takeover"}
)

// actions is the closed set, sorted by name.
var actions = []ActionInfo{
	{Action: call.AccountHeld, Meaning: "the costly calls of a user, peer or account are held for a while; told once for each hold", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking"},
	{Action: call.AdminChange, Meaning: "an administrator changed something: through the API, or a file of users", Kind: "event", Category: []string{"configuration", "iam"}, outcome: "success", single: true},
	{Action: call.CallEnded, Meaning: "a rule ended a call that was up", Kind: "alert", Category: network},
	{Action: call.CallFailed, Meaning: "the gateway itself failed in one call and released it", Kind: "event", Category: process, outcome: "failure"},
	{Action: call.CallForwardFraud, Meaning: "diverted calls run up cost for the one who diverted", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: []string{"IRSF", "call forwarding abuse"}},
	{Action: call.CallRejected, Meaning: "a call was refused by a rule", Kind: "alert", Category: network},
	{Action: call.CallWouldReject, Meaning: "a rule in shadow mode would have refused this call; the call was not touched", Kind: "alert", Category: network},
	{Action: call.CertificateExpiry, Meaning: "a certificate expires soon", Kind: "event", Category: setup},
	{Action: call.CertificateLoaded, Meaning: "certificates were loaded again; outcome failure: the old ones stay in use", Kind: "event", Category: setup, outcome: "success"},
	{Action: call.CostlyCallsCap, Meaning: "an account reached its cap of costly calls", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: irsf},
	{Action: call.EmergencyCall, Meaning: "a call to an emergency number was let through; each one is reported", Kind: "event", Category: network, single: true},
	{Action: call.Enumeration, Meaning: "a source asks for many users to find out which exist", Kind: "alert", Category: authn, Technique: "T1589", TechniqueName: "Gather Victim Identity Information", Fraud: hacking},
	{Action: call.FalseAnswer, Meaning: "a destination answers calls it does not connect", Kind: "alert", Category: intrusion, Fraud: []string{"false answer supervision"}},
	{Action: call.Flood, Meaning: "a source or all strangers together exceed their rate", Kind: "alert", Category: intrusion, Technique: "T1498", TechniqueName: "Network Denial of Service"},
	{Action: call.Heartbeat, Meaning: "the gateway is alive; its absence is the alarm", Kind: "event", Category: process, outcome: "success"},
	{Action: call.IdentityForged, Meaning: "From is not the identity that registered on this connection, or the caller's number is none that its user or peer may use", Kind: "alert", Category: authn, Technique: "T1656", TechniqueName: "Impersonation"},
	{Action: call.ImpossibleTravel, Meaning: "one user registers from places too far apart for the time between", Kind: "alert", Category: authn, Technique: "T1078", TechniqueName: "Valid Accounts", Fraud: takeover},
	{Action: call.MalformedMessage, Meaning: "a message that is not valid SIP or is ambiguous", Kind: "alert", Category: intrusion},
	{Action: call.MediaInjection, Meaning: "media packets that the ends of the call do not send: from a wrong source, without valid authentication, or many that are replayed, of another payload type or faster than agreed", Kind: "alert", Category: intrusion, Technique: "T1557", TechniqueName: "Adversary-in-the-Middle"},
	{Action: call.NewCountry, Meaning: "a user registers from a country for the first time", Kind: "alert", Category: authn, Technique: "T1078", TechniqueName: "Valid Accounts", Fraud: takeover},
	{Action: call.NumberProbing, Meaning: "many numbers are tried to find out which exist", Kind: "alert", Category: intrusion, Technique: "T1589", TechniqueName: "Gather Victim Identity Information"},
	{Action: call.Overload, Meaning: "there is too much to do: requests are refused, those of the unknown first; outcome success: all are let in again", Kind: "event", Category: process, outcome: "failure"},
	{Action: call.PeerDown, Meaning: "no address of a PBX or peer answers OPTIONS; it is tried last", Kind: "event", Category: network, outcome: "failure"},
	{Action: call.PeerIdentity, Meaning: "a certificate or address does not fit the peer it claims to be", Kind: "alert", Category: authn, Technique: "T1656", TechniqueName: "Impersonation"},
	{Action: call.PeerUp, Meaning: "a PBX or peer answers again", Kind: "event", Category: network, outcome: "success"},
	{Action: call.PingCall, Meaning: "short unanswered calls that want to be called back", Kind: "alert", Category: intrusion, Fraud: wangiri},
	{Action: call.PingCallCallback, Meaning: "a call back to a number that made ping calls", Kind: "alert", Category: intrusion, Fraud: wangiri},
	{Action: call.PlaintextRefused, Meaning: "signalling without TLS from somebody who may not use it", Kind: "alert", Category: network},
	{Action: call.PolicyReloaded, Meaning: "the policy was loaded again; outcome failure: the old one stays in force", Kind: "event", Category: setup, outcome: "success"},
	{Action: call.RegistrationBruteforce, Meaning: "many failed registrations for one user or from one source", Kind: "alert", Category: authn, Technique: "T1110", TechniqueName: "Brute Force", Fraud: hacking},
	{Action: call.RequestRejected, Meaning: "a request that is not a call was refused by a rule", Kind: "alert", Category: network},
	{Action: call.Robocall, Meaning: "a caller behaves like a dialling machine", Kind: "alert", Category: intrusion, Fraud: []string{"robocalling"}},
	{Action: call.RuleFlagged, Meaning: "a rule wanted this request to be told, and nothing more", Kind: "alert", Category: network},
	{Action: call.ScannerDetected, Meaning: "a known scanning tool", Kind: "alert", Category: intrusion, Technique: "T1595", TechniqueName: "Active Scanning"},
	{Action: call.SinkDegraded, Meaning: "an alert, CDR or event sink lost lines or cannot write; outcome success: it works again", Kind: "event", Category: process, outcome: "failure"},
	{Action: call.SourceBanned, Meaning: "an address, a user or a pair of them was banned for a while; told once for each ban", Kind: "alert", Category: intrusion},
	{Action: call.SpendCap, Meaning: "what a user, peer, destination or account may cost within a day is used up", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: irsf},
	{Action: call.SRTPRefused, Meaning: "media without SRTP was offered where SRTP is required", Kind: "alert", Category: network},
	{Action: call.TollFraud, Meaning: "costly calls that do not fit the caller", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: irsf},
	{Action: call.TollfreePumping, Meaning: "calls to free numbers that only make money for who carries them", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: []string{"toll-free traffic pumping"}},
	{Action: call.TrafficPumping, Meaning: "traffic to a destination that only makes money for who carries it", Kind: "alert", Category: intrusion, Technique: "T1496", TechniqueName: "Resource Hijacking", Fraud: []string{"traffic pumping"}},
	{Action: call.TrunkRegistered, Meaning: "a carrier takes our registration again", Kind: "event", Category: network, outcome: "success"},
	{Action: call.TrunkLost, Meaning: "a carrier does not take our registration any more, so no calls come from it", Kind: "event", Category: network, outcome: "failure"},
}

// Actions returns the closed set of event.action, sorted by name.
func Actions() []ActionInfo { return slices.Clone(actions) }

// lookup finds an action. One that is not in the set is treated as a plain
// alert; a test sees to it that the set holds all of call's.
func lookup(a call.Action) ActionInfo {
	i, ok := slices.BinarySearchFunc(actions, a, func(x ActionInfo, a call.Action) int {
		return strings.Compare(string(x.Action), string(a))
	})
	if !ok {
		return ActionInfo{Action: a, Kind: "alert", Category: network}
	}
	return actions[i]
}

// severityNumber puts the five words on the scale that Elastic Security uses
// for its own detections (21, 47, 73, 99).
func severityNumber(s call.Severity) int {
	switch s {
	case call.Low:
		return 21
	case call.Medium:
		return 47
	case call.High:
		return 73
	case call.Critical:
		return 99
	}
	return 1
}
