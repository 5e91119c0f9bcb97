package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Present says where the caller's number stands: from, pai or rpid; "" leaves
// From as its sender wrote it.
type Present string

// The ways of presenting a caller.
const (
	PresentFrom Present = "from"
	PresentPAI  Present = "pai"
	PresentRPID Present = "rpid"
)

// UnmarshalScalar reads the word.
func (p *Present) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(p), text, string(PresentPAI), string(PresentFrom), string(PresentRPID))
}

// STIR says whether Identity header fields (RFC 8224) go through: pass or
// strip. Empty in a file; never empty after [Load].
type STIR string

const (
	STIRPass  STIR = "pass"
	STIRStrip STIR = "strip"
)

// UnmarshalScalar reads the word.
func (s *STIR) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(s), text, string(STIRPass), string(STIRStrip))
}

// Identity says whose word on the caller counts (RFC 3325).
type Identity struct {
	Trust   bool     `yaml:"trust"`
	Present Present  `yaml:"present"`
	Allowed []string `yaml:"allowed,single"` // prefixes of caller numbers
	Default string   `yaml:"default"`        // stands for a caller that is not allowed; "": refused
	STIR    STIR     `yaml:"stir"`
}

// Phones is what holds for all registered phones.
type Phones struct {
	Redirects Redirects     `yaml:"redirects"`
	Answers   Answers       `yaml:"answers"`
	Identity  PhoneIdentity `yaml:"identity"`
}

// PhoneIdentity is how callers are shown to phones, and what phones may show.
type PhoneIdentity struct {
	Present Present             `yaml:"present"`
	STIR    STIR                `yaml:"stir"`
	Allowed map[string][]string `yaml:"allowed"` // prefixes of caller numbers by user
}

// fillIdentity: who is trusted is given what is asserted.
func (k *checker) fillIdentity() {
	for i := range k.c.Peers {
		p := &k.c.Peers[i].Identity
		if p.Present == "" && p.Trust {
			p.Present = PresentPAI
		}
		if p.STIR == "" {
			p.STIR = STIRStrip
			if p.Trust {
				p.STIR = STIRPass
			}
		}
	}
}

// maxCallers bounds the prefixes of one list: beyond it it is a mistake.
const maxCallers = 10_000

// callerPrefixes checks prefixes of canonical numbers.
func (k *checker) callerPrefixes(path, what string, list []string) {
	if len(list) > maxCallers {
		k.problem(path, "", "%s: more than %d prefixes", what, maxCallers)
	}
	for j, p := range list {
		if at := fmt.Sprintf("%s[%d]", path, j); !k.badAt(at) && !isPrefix(p) {
			k.problem(at, `the canonical form, such as "+3319900"`, "%s: %q is not a prefix of a number", what, clip(p))
		}
	}
}

// isPrefix: + and digits.
func isPrefix(p string) bool {
	return len(p) >= 2 && len(p) <= 16 && p[0] == '+' && p[1] != '0' && strings.Trim(p[1:], "0123456789") == ""
}

func (k *checker) identity(path string, p *Peer) {
	i := &p.Identity
	k.callerPrefixes(path+".allowed", "peer "+p.Name, i.Allowed)
	switch {
	case i.Default == "" || k.badAt(path+".default"):
	case !isPrefix(i.Default) || len(i.Default) < 5:
		k.problem(path+".default", `the canonical form, such as "+33199001000"`, "peer %s: %q is not a number", p.Name, clip(i.Default))
	case len(i.Allowed) == 0:
		k.problem(path+".default", "allowed: [PREFIX], or leave default out", "peer %s: a default stands for callers that are not allowed, but every caller is", p.Name)
	case !slices.ContainsFunc(i.Allowed, func(a string) bool { return strings.HasPrefix(i.Default, a) }):
		k.problem(path+".default", "a number that begins with one of allowed", "peer %s: its default caller %s is not allowed itself", p.Name, i.Default)
	}
	if (i.Present == PresentPAI || i.Present == PresentRPID) && !i.Trust && !k.badAt(path+".present") {
		k.problem(path+".present", "trust: true, if the carrier's contract says that it keeps callers' privacy; else present: from",
			"peer %s: asserted callers (%s) are for peers that are trusted", p.Name, i.Present)
	}
	if i.Trust && len(p.Identify.IP) > 0 && p.Identify.Certificate == "" && p.AllowPlaintext && len(k.c.Listen.UDP) > 0 {
		k.warning(path+".trust", "leave trust out until the peer comes over TLS", "peer %s is trusted to say who calls, and anybody can forge its address over UDP", p.Name)
	}
}

func (k *checker) phones() {
	allowed := k.c.Phones.Identity.Allowed
	if len(allowed) > 100_000 {
		k.problem("phones.identity.allowed", "", "phones: more than 100000 users")
		return
	}
	for _, user := range slices.Sorted(maps.Keys(allowed)) {
		k.callerPrefixes("phones.identity.allowed."+user, "phones: user "+clip(user), allowed[user])
	}
}
