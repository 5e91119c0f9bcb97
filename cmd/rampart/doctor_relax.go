package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// relaxation is one way to be less safe than the defaults. Every key of the
// configuration is either in this table or in [harmless]: a test walks the
// schema, so that whoever adds a key judges it.
type relaxation struct {
	key  string
	is   func(c *config.Config) []string // where it is so, one line each
	risk string
	hint string
}

// relaxations lists what the configuration opens.
func (x *examination) relaxations(context.Context) {
	n := 0
	for _, r := range openings {
		for _, what := range r.is(x.cfg) {
			n++
			x.mu.Lock()
			x.symptoms = append(x.symptoms, symptom{Area: x.area, Level: relaxed, Message: what, Risk: r.risk, Hint: r.hint})
			x.mu.Unlock()
		}
	}
	if n == 0 {
		x.ok("nothing is less safe than its default")
	}
}

// one is a relaxation of the gateway as a whole.
func one(on bool, format string, args ...any) []string {
	if !on {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

// eachPeer and eachPBX are those of one entry.
func eachPeer(is func(config.Peer) string) func(*config.Config) []string {
	return func(c *config.Config) (out []string) {
		for _, p := range c.Peers {
			if what := is(p); what != "" {
				out = append(out, "peer "+p.Name+": "+what)
			}
		}
		return out
	}
}

func eachPBX(is func(config.PBX) string) func(*config.Config) []string {
	return func(c *config.Config) (out []string) {
		for _, p := range c.PBX {
			if what := is(p); what != "" {
				out = append(out, "pbx "+p.Name+": "+what)
			}
		}
		return out
	}
}

func when(on bool, what string) string {
	if on {
		return what
	}
	return ""
}

// raised is a limit above its default.
func raised(key, risk string, of func(config.Limits) float64) relaxation {
	return relaxation{key: "limits." + key, risk: risk, hint: "leave it out for the default of the profile, unless measurements ask for more",
		is: func(c *config.Config) []string {
			is, def := of(c.Limits), of(config.Defaults(c.Profile).Limits)
			return one(is > def, "limits.%s is %g times the default", key, float64(int(is/def*10))/10)
		}}
}

// later is a mark of overload above its default.
func later(key string, of func(config.Overload) float64) relaxation {
	return relaxation{key: "overload." + key, risk: "strangers are refused later than the gateway begins to suffer", hint: "leave it out for the default",
		is: func(c *config.Config) []string {
			is, def := of(c.Overload), of(config.Defaults(c.Profile).Overload)
			return one(c.Overload.Shed && is > def, "overload.%s is %g times the default", key, float64(int(is/def*10))/10)
		}}
}

func wide(key string, of func(*config.Config) []netip.AddrPort) relaxation {
	return relaxation{key: key, hint: "name the address that faces the PBX", risk: "whoever reaches any address of this host can talk to the side that trusts the PBX by its address",
		is: func(c *config.Config) []string {
			return one(slices.ContainsFunc(of(c), func(a netip.AddrPort) bool { return a.Addr().IsUnspecified() }), "%s listens on every address of the host", key)
		}}
}

const (
	plaintextRisk = "passwords' hashes, numbers and who calls whom can be read and changed on the way; over UDP senders can be forged"
	floodRisk     = "an attacker gets more of the processor, of memory or of sockets before he is held back"
)

var openings = []relaxation{
	{"listen.udp", func(c *config.Config) []string {
		return one(len(c.Listen.UDP) > 0, "a public listener speaks plaintext over UDP")
	}, plaintextRisk, "TLS, where the carrier has it"},
	{"listen.tcp", func(c *config.Config) []string {
		return one(len(c.Listen.TCP) > 0, "a public listener speaks plaintext over TCP")
	}, plaintextRisk, "TLS, where the carrier has it"},
	wide("inside.udp", func(c *config.Config) []netip.AddrPort { return c.Inside.UDP }),
	wide("inside.tcp", func(c *config.Config) []netip.AddrPort { return c.Inside.TCP }),
	wide("inside.tls", func(c *config.Config) []netip.AddrPort { return c.Inside.TLS }),
	{"admin.listen", func(c *config.Config) []string {
		return one(c.Admin.Listen.IsValid() && !c.Admin.Listen.Addr().IsLoopback(), "the admin listener is not on loopback")
	}, "whoever reaches it reads all calls, lifts bans and replaces the policy", "127.0.0.1, reached through SSH"},

	{"peers.allow_plaintext", eachPeer(func(p config.Peer) string { return when(p.AllowPlaintext, "may signal without encryption") }), plaintextRisk, "TLS, where the carrier has it"},
	{"peers.srtp", eachPeer(func(p config.Peer) string { return when(p.SRTP != config.SRTPRequired, "srtp is "+string(p.SRTP)) }), "conversations can be listened to on the way", "srtp: required"},
	{"peers.identify.certificate", eachPeer(func(p config.Peer) string {
		return when(p.Identify.Certificate == "" && len(p.Identify.IP) > 0 && p.AllowPlaintext, "is known by its address alone")
	}), "over UDP anybody can send in its name; such calls reach your numbers, never routes", "identify: {certificate: …}"},
	{"peers.identify.ip", eachPeer(func(p config.Peer) string {
		for _, n := range p.Identify.IP {
			if n.Addr().Is4() && n.Bits() < 16 || n.Addr().Is6() && n.Bits() < 32 {
				return "is " + n.String() + ", a very large network"
			}
		}
		return ""
	}), "everybody in it is taken for the carrier", "the carrier's own addresses"},
	{"peers.allow_wildcard", eachPeer(func(p config.Peer) string { return when(p.AllowWildcard, "a wildcard certificate will do") }), "any host below that domain can be the carrier (RFC 5922 forbids it)", "a certificate that names the host"},
	{"peers.allow_server_certificate", eachPeer(func(p config.Peer) string {
		return when(p.AllowServer, "a certificate for servers will do for a client")
	}), "a certificate that was stolen from a web server serves as the carrier's", "a certificate for clients"},
	{"peers.allow_refer", eachPeer(func(p config.Peer) string { return when(p.AllowRefer, "may transfer calls") }), "it may send calls on to any number that policy allows, at your cost", "leave it out"},
	{"peers.nat", eachPeer(func(p config.Peer) string { return when(p.NAT, "its audio may come from elsewhere than it says") }), "who is first to send to the port of a plain RTP call is heard in the carrier's place", "leave it out where its addresses are right"},
	{"peers.redirects", eachPeer(func(p config.Peer) string {
		return when(p.Redirects == config.RedirectsFollow, "its redirects are followed")
	}), "it decides whom your callers are connected with, within the policy", "redirects: refuse"},
	{"peers.bodies", eachPeer(func(p config.Peer) string { return when(len(p.Bodies) > 0, "may send "+strings.Join(p.Bodies, ", ")) }), "bodies that are not looked into reach the PBX", "leave it out where nobody needs it"},
	{"peers.identity.trust", eachPeer(func(p config.Peer) string { return when(p.Identity.Trust, "its P-Asserted-Identity is believed") }), "it can call as anybody", "identity: {allowed: […]} bounds the numbers"},

	{"pbx.allow_wildcard", eachPBX(func(p config.PBX) string { return when(p.AllowWildcard, "a wildcard certificate will do") }), "any host below that domain can be the PBX", "a certificate that names the host"},
	{"pbx.uri", eachPBX(func(p config.PBX) string {
		far := p.URI.Addr.IsValid() && !p.URI.Addr.IsPrivate() && !p.URI.Addr.IsLoopback() && !p.URI.Addr.IsLinkLocalUnicast()
		return when(far && p.URI.Transport != "tls", "is at a public address, in plaintext over "+p.URI.Transport)
	}), plaintextRisk, "transport=tls, or a tunnel"},
	{"pbx.srtp", eachPBX(func(p config.PBX) string {
		far := p.URI.Addr.IsValid() && !p.URI.Addr.IsPrivate() && !p.URI.Addr.IsLoopback() && !p.URI.Addr.IsLinkLocalUnicast()
		return when(far && p.SRTP != config.SRTPRequired, "is at a public address, and srtp is "+string(p.SRTP))
	}), "conversations can be listened to on the way", "transport=tls and srtp: required, or a tunnel"},
	{"pbx.redirects", eachPBX(func(p config.PBX) string {
		return when(p.Redirects == config.RedirectsFollow, "its redirects are followed")
	}), "forwarding that somebody set at the PBX sends calls outside, within the policy", "redirects: refuse"},
	{"pbx.bodies", eachPBX(func(p config.PBX) string { return when(len(p.Bodies) > 0, "may send "+strings.Join(p.Bodies, ", ")) }), "bodies that are not looked into reach carriers", "leave it out where nobody needs it"},

	{"phones.redirects", func(c *config.Config) []string {
		return one(c.Phones.Redirects == config.RedirectsFollow, "redirects of phones are followed")
	}, "a stolen phone forwards calls outside, within the policy", "redirects: relay leaves it to the PBX"},
	{"phones.answers", func(c *config.Config) []string {
		return one(c.Phones.Answers == config.AnswersAsGiven, "phones.answers is as-given: strangers get the PBX's own answers")
	}, "a scanner learns which extensions exist, and guesses the passwords of those", "leave it out"},
	{"phones.identity.stir", func(c *config.Config) []string {
		return one(c.Phones.Identity.STIR == config.STIRPass, "signatures that phones make pass")
	}, "a phone shows an identity that nobody here has checked", "stir: strip"},

	{"authentication.algorithms", func(c *config.Config) []string {
		return one(!slices.Contains(c.Authentication.Algorithms, "SHA-256"), "passwords are checked with MD5 alone")
	}, "who records an answer guesses the password behind it faster", "algorithms: [SHA-256, MD5] where the telephones bear it"},
	{"authentication.file", func(c *config.Config) []string { return nil }, "", ""}, // its passwords are guessed, its mode is looked at
	{"media.srtp.suites", func(c *config.Config) []string {
		return one(slices.Contains(c.Media.SRTP.Suites, "AES_CM_128_HMAC_SHA1_32"), "SRTP with tags of 32 bits is offered")
	}, "one packet in four billion that is forged is taken", "leave it out"},
	{"media.max_call", func(c *config.Config) []string {
		def := config.Defaults(c.Profile).Media.MaxCall
		return one(c.Media.MaxCall > def, "calls may take %s, the default is %s", c.Media.MaxCall, def)
	}, "a call that somebody leaves open at your cost goes on for longer", "leave it out"},
	{"media.inactivity", func(c *config.Config) []string {
		return one(c.Media.Inactivity > 5*time.Minute, "a call without audio is released after %s", c.Media.Inactivity)
	}, "calls of phones that died cost money and places for longer", "30s"},
	{"policy.use", func(c *config.Config) (out []string) {
		for _, pack := range config.Defaults(c.Profile).Policy.Use {
			if !slices.Contains(c.Policy.Use, pack) {
				out = append(out, "the shipped pack "+pack+" is not in use")
			}
		}
		return out
	}, "what it refuses by default is let through: see docs/policy.md", "put it into policy.use; single rules of it are opened with exceptions or mode: off"},
	{"home.country", func(c *config.Config) []string { return one(c.Home.Country == "", "home.country is not set") }, "national numbers cannot be told from others, so rules on countries see less", "the country that the PBX is in"},
	{"registrations.rate", func(c *config.Config) []string {
		def := config.Defaults(c.Profile).Registrations.Rate
		return one(c.Registrations.Rate > def, "the PBX may get %s REGISTERs, the default is %s", c.Registrations.Rate, def)
	}, "a storm of registrations reaches the PBX at that rate", "what the PBX was measured to bear"},
	{"alerts.file", func(c *config.Config) []string { return one(len(c.Alerts) == 0, "alerts go nowhere") }, "nobody hears of an attack", "leave it out for state/alerts.jsonl"},
	{"cdr.file", func(c *config.Config) []string { return one(len(c.CDR) == 0, "calls are not written down") }, "a bill cannot be disputed, nor fraud be seen afterwards", "leave it out for state/cdr.jsonl"},
	{"events.max_size", func(c *config.Config) []string {
		return one(slices.ContainsFunc(c.Events, func(s config.Sink) bool { return s.MaxSize == 0 }), "a file of events has no bound")
	}, "who makes many attempts fills the disk", "leave it out for 1GiB"},

	{"overload.shed", func(c *config.Config) []string {
		return one(!c.Overload.Shed, "overload.shed is off: nothing is refused because there is too much to do")
	}, "under a flood everything becomes slow for everybody, calls that are up included", "leave it on"},
	later("delay", func(o config.Overload) float64 { return float64(o.Delay) }),
	later("cpu", func(o config.Overload) float64 { return o.CPU }),
	later("memory", func(o config.Overload) float64 { return o.Memory }),
	later("files", func(o config.Overload) float64 { return o.Files }),
	later("calls", func(o config.Overload) float64 { return o.Calls }),
	later("transactions", func(o config.Overload) float64 { return o.Transactions }),
	later("pbx", func(o config.Overload) float64 { return o.PBX }),

	{"limits.socket_filter", func(c *config.Config) []string {
		return one(!c.Limits.SocketFilter && len(c.Listen.UDP) > 0, "limits.socket_filter is off: every datagram of a flood is read before it is dropped")
	}, floodRisk, "leave it on"},
	raised("calls", floodRisk, func(l config.Limits) float64 { return float64(l.Calls) }),
	raised("registrations", floodRisk, func(l config.Limits) float64 { return float64(l.Registrations) }),
	raised("subscriptions", floodRisk, func(l config.Limits) float64 { return float64(l.Subscriptions) }),
	raised("subscriptions_per_user", floodRisk, func(l config.Limits) float64 { return float64(l.UserSubs) }),
	raised("transactions", floodRisk, func(l config.Limits) float64 { return float64(l.Transactions) }),
	raised("connections", floodRisk, func(l config.Limits) float64 { return float64(l.Connections) }),
	raised("connections_per_source", floodRisk, func(l config.Limits) float64 { return float64(l.SourceConns) }),
	raised("source_packets", floodRisk, func(l config.Limits) float64 { return float64(l.SourcePackets) }),
	raised("stranger_packets", floodRisk, func(l config.Limits) float64 { return float64(l.StrangerPackets) }),
	{"limits.peer_packets", func(c *config.Config) []string {
		is, most := float64(c.Limits.PeerPackets), float64(config.PacketsPerProcessor*runtime.GOMAXPROCS(0))
		plain := slices.ContainsFunc(c.Peers, func(p config.Peer) bool { return p.AllowPlaintext })
		return one(plain && is > most, "limits.peer_packets is %.0f/s, and the processors of this host can work off about %.0f/s", is, most)
	}, "who writes a peer's address into his datagrams keeps the processors busy", "leave it out for what follows from the peers' cps"},
	raised("phone_packets", floodRisk, func(l config.Limits) float64 { return float64(l.PhonePackets) }),
	raised("source_connects", floodRisk, func(l config.Limits) float64 { return float64(l.SourceConnects) }),
	raised("stranger_handshakes", floodRisk, func(l config.Limits) float64 { return float64(l.StrangerShakes) }),
	raised("handshakes", floodRisk, func(l config.Limits) float64 { return float64(l.Handshakes) }),
	raised("handshakes_per_source", floodRisk, func(l config.Limits) float64 { return float64(l.SourceShakes) }),
	raised("message_size", floodRisk, func(l config.Limits) float64 { return float64(l.Message) }),
	raised("header_size", floodRisk, func(l config.Limits) float64 { return float64(l.Header) }),
	raised("headers", floodRisk, func(l config.Limits) float64 { return float64(l.Headers) }),
	raised("handshake_timeout", "half-open handshakes hold connections for longer", func(l config.Limits) float64 { return float64(l.Handshake) }),
	raised("idle_timeout", "silent strangers hold connections for longer", func(l config.Limits) float64 { return float64(l.Idle) }),
	raised("message_timeout", "senders of one octet at a time hold connections for longer", func(l config.Limits) float64 { return float64(l.Read) }),
	raised("setup_timeout", "calls that nobody answers hold places for longer", func(l config.Limits) float64 { return float64(l.Setup) }),
	raised("retry_timeout", "calls that were challenged hold places for longer", func(l config.Limits) float64 { return float64(l.Retry) }),
}

// harmless are the keys that cannot make the gateway less safe than it is
// without them: names, addresses, places of files, how people dial, and what can
// only be stricter than the default.
var harmless = strings.Fields(`
	kernel.nftables kernel.xdp.interface kernel.xdp.mode kernel.emergency kernel.source_packets kernel.source_connections
	domain node profile drain_timeout state signalling.dscp dns.servers
	listen.tls listen.wss inside.wss
	media.public media.public.bind media.public.advertise media.inside media.inside.bind media.inside.advertise
	media.ports media.dscp media.shards media.srtp.sdes media.srtp.dtls
	tls.certificate.cert tls.certificate.key tls.min_version tls.client_ca tls.acme
	pbx pbx.name pbx.health pbx.weight pbx.ca pbx.certificate.cert pbx.certificate.key pbx.realm pbx.domains pbx.failover
	peers.name peers.uri peers.ca peers.certificate.cert peers.certificate.key peers.health peers.failover peers.tech_prefixes
	peers.limits.calls peers.limits.cps peers.identity.allowed peers.identity.default peers.identity.present peers.identity.stir
	peers.register.user peers.register.password peers.register.realm peers.register.expires peers.register.contact
	phones.identity.present phones.identity.allowed.*
	registrations.phone_interval registrations.pbx_interval registrations.minimum registrations.queue
	authentication.pbx authentication.realm
	home.international home.national home.extensions home.emergency home.outside_prefix home.timezone home.numbers
	home.carrier_selection home.tech_prefixes home.numbering numbers.forward numbers.carriers
	policy.files policy.watch routes.match.to.country routes.match.to.prefix routes.match.to.emergency routes.peers
	geoip.country geoip.asn rates store.kind store.path store.url
	alerts.max_size alerts.keep cdr.max_size cdr.keep events.file events.keep
	limits.failover_after limits.session_interval limits.udp_buffer limits.udp_sockets
`)
