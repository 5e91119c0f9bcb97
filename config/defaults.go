package config

import (
	"net/netip"
	"time"
)

// Defaults returns a configuration of a profile that lacks only what has no
// safe default (domain and pbx) and what follows from other values (see
// [Load]): addresses of the inside and of media, files below the state
// directory.
func Defaults(p Profile) Config {
	c := Config{
		Profile: p,
		Node:    "rampart",
		Numbers: Numbers{Forward: AsDialled, Carriers: Canonical},
		Listen:  Listen{TLS: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:5061")}},
		Media: Media{
			Ports: Ports{20000, 39999},
			SRTP: SRTP{SDES: true,
				Suites: []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"}},
			Inactivity: 30 * time.Second,
			DSCP:       46, // Expedited Forwarding, RFC 3246
			MaxCall:    12 * time.Hour,
		},
		Signalling: Signalling{DSCP: 24}, // CS3, RFC 4594
		TLS:        TLS{MinVersion: "1.2"},
		Phones:     Phones{Redirects: RedirectsRelay, Answers: AnswersUniform, Identity: PhoneIdentity{STIR: STIRStrip}},
		Policy:     Policy{Use: []string{"base", "countries", "scanners", "toll-fraud", "ping-call", "messages", "callers"}, Files: []string{"policy/*.yaml"}, Watch: true},
		Store:      Store{Kind: "memory"},
		Admin:      Admin{Listen: Optional{netip.MustParseAddrPort("127.0.0.1:8080")}},
		Limits: Limits{
			Calls:           1000,
			Registrations:   5000,
			Subscriptions:   20_000,
			UserSubs:        200, // a reception desk with a lamp for everybody
			Transactions:    50_000,
			Connections:     5000,
			SourceConns:     500, // an office behind one NAT address comes back at once after a power cut, beside what is left of its old connections
			SourcePackets:   200, // each phone is a connection and two messages until one of them is known
			StrangerPackets: 2000,
			PhonePackets:    5000,
			SourceConnects:  20,
			StrangerShakes:  250,
			Handshakes:      1000,
			SourceShakes:    300, // their handshakes at once
			UDPBuffer:       4 << 20,
			SocketFilter:    true,
			Message:         64 << 10,
			Header:          8 << 10,
			Headers:         128,
			Handshake:       5 * time.Second,
			Idle:            30 * time.Second,
			Read:            10 * time.Second,
			Setup:           3 * time.Minute,
			Retry:           30 * time.Second,
			Failover:        2 * time.Second,
			Session:         90 * time.Second,
		},
		Registrations:  Registrations{Rate: 200},
		Authentication: Authentication{Algorithms: []string{"SHA-256", "MD5"}},
		Kernel:         Kernel{Nftables: SwitchOff, XDP: XDP{Mode: XDPAuto}, Emergency: 2000, Packets: 20, Connections: 10},
		Drain:          2 * time.Minute,
		Overload:       Overload{Shed: true, Delay: 20 * time.Millisecond, CPU: 0.9, Memory: 0.9, Files: 0.9, Calls: 0.95, Transactions: 0.95, PBX: 0.5},
	}
	if p == CallCentre {
		// Hundreds of agents, diallers that ring many numbers at a time,
		// and agents who all log in at the start of a shift.
		c.Registrations.Rate = 500
		c.Limits.Calls = 10_000
		c.Limits.Registrations = 20_000
		c.Limits.Subscriptions = 50_000
		c.Limits.Transactions = 200_000
		c.Limits.Connections = 20_000
		c.Limits.SourceConns = 2000
		c.Limits.SourcePackets = 500
		c.Limits.StrangerPackets = 5000
		c.Limits.SourceConnects = 50
		c.Limits.StrangerShakes = 500
		c.Limits.SourceShakes = 500
		c.Media.MaxCall = 4 * time.Hour
	}
	return c
}
