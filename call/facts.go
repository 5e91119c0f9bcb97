package call

import "encoding/json"

// Facts are what a pass was judged by, as its record keeps them beside what
// the record says anyway: with them the way to the decision can be told again,
// long after. Credentials are no part of them. Reason and Evidence are the
// decision's own words.
type Facts struct {
	At         Time       `json:"at"`
	Sender     string     `json:"sender"` // stranger | phone | carrier | pbx
	Account    string     `json:"account,omitempty"`
	User       string     `json:"user,omitempty"`
	Direction  string     `json:"direction"`
	From       FactsParty `json:"from"`
	To         FactsParty `json:"to"`
	URI        string     `json:"uri,omitempty"`
	UserAgent  string     `json:"user_agent,omitempty"`
	Diversion  string     `json:"diversion,omitempty"`
	Country    string     `json:"source_country,omitempty"`
	ASN        uint       `json:"source_asn,omitempty"`
	TLSSubject string     `json:"tls_subject,omitempty"`
	Registered bool       `json:"registered,omitempty"`
	Configured bool       `json:"configured,omitempty"`
	Answered   bool       `json:"answered,omitempty"` // a challenge of ours
	Transfer   bool       `json:"transferred,omitempty"`
	Forwarded  bool       `json:"forwarded,omitempty"`
	Help       bool       `json:"help,omitempty"` // a pass of an emergency call
	Hops       int        `json:"hops,omitempty"`
	Size       int        `json:"size,omitempty"`
	Offer      string     `json:"offer,omitempty"` // transport profile of the description
	SRTP       bool       `json:"srtp,omitempty"`
	Types      []string   `json:"content_types,omitempty"`
	Headers    []string   `json:"headers,omitempty"` // "Name: value"
	AuthUser   string     `json:"auth_user,omitempty"`

	Verdict  string     `json:"verdict"`
	Status   int        `json:"status,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Counts   []Count    `json:"counts,omitempty"`
	Asked    bool       `json:"asked,omitempty"`   // the guards were asked
	Flagged  []string   `json:"flagged,omitempty"` // rules that were told and not carried out
}

// FactsParty is one end of a call.
type FactsParty struct {
	Given   string      `json:"given"` // user part, or number, as it came
	Host    string      `json:"host,omitempty"`
	Display string      `json:"display,omitempty"`
	Scheme  string      `json:"scheme,omitempty"`
	Number  string      `json:"number,omitempty"`
	Kind    string      `json:"kind"`
	Country string      `json:"country,omitempty"`
	Region  string      `json:"region,omitempty"`
	Class   string      `json:"class,omitempty"`
	Own     bool        `json:"own,omitempty"`
	Hidden  bool        `json:"withheld,omitempty"`
	Other   *FactsParty `json:"other,omitempty"`
}

func (v *Verdict) UnmarshalText(b []byte) error {
	for x := Abstain; x <= Drop; x++ {
		if x.String() == string(b) {
			*v = x
			return nil
		}
	}
	return badText("verdict", b)
}

func (d *Direction) UnmarshalText(b []byte) error {
	for x := Internal; x <= Outbound; x++ {
		if x.String() == string(b) {
			*d = x
			return nil
		}
	}
	return badText("direction", b)
}

func badText(what string, b []byte) error {
	return &json.UnmarshalTypeError{Value: what + " " + string(b)}
}
