package config

import (
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Config is rampart.yaml with every default filled in. Paths of files are
// relative to the directory of the configuration in the file and ready to open
// here. Addresses are never unspecified in Media and may be in Listen.
type Config struct {
	File string `yaml:"-"` // where it was read from

	Domains    []string   `yaml:"domain,single,required"`
	PBX        []PBX      `yaml:"pbx,single,required"`
	Profile    Profile    `yaml:"profile"`
	Node       string     `yaml:"node"` // in alerts and CDRs; the host's name
	Listen     Listen     `yaml:"listen"`
	Inside     Listen     `yaml:"inside"`
	Media      Media      `yaml:"media"`
	TLS        TLS        `yaml:"tls"`
	Signalling Signalling `yaml:"signalling"`

	DNS    DNS    `yaml:"dns"`
	Peers  []Peer `yaml:"peers"`
	Phones Phones `yaml:"phones"`

	Registrations  Registrations  `yaml:"registrations"`
	Authentication Authentication `yaml:"authentication"`
	Overload       Overload       `yaml:"overload"`

	Home   Home          `yaml:"home"`
	Policy Policy        `yaml:"policy"`
	Routes []Route       `yaml:"routes"`
	GeoIP  GeoIP         `yaml:"geoip"`
	Rates  string        `yaml:"rates"`
	Store  Store         `yaml:"store"`
	State  string        `yaml:"state"` // directory of the CA, keys and default logs
	Alerts []Sink        `yaml:"alerts"`
	CDR    []Sink        `yaml:"cdr"`
	Events []Sink        `yaml:"events"`
	Admin  Admin         `yaml:"admin"`
	Limits Limits        `yaml:"limits"`
	Drain  time.Duration `yaml:"drain_timeout"` // for live calls after SIGTERM

	Numbers Numbers `yaml:"numbers"`
	Kernel  Kernel  `yaml:"kernel"`

	PolicyFiles []string `yaml:"-"` // what Policy.Files found, sorted

	at   strictyaml.Positions
	data *number.Data // of Home.Numbering; nil: that of the program
}

// Problem makes a problem at a value of the file, such as "tls.client_ca" or
// "pbx[0].ca", for checks that others make.
func (c *Config) Problem(path, format string, args ...any) strictyaml.Problem {
	return strictyaml.At(c.File, c.at.At(path), format, args...)
}

// Listen are the sockets of one side by transport.
type Listen struct {
	TLS []netip.AddrPort    `yaml:"tls,single"`
	UDP []netip.AddrPort    `yaml:"udp,single"`
	TCP []netip.AddrPort    `yaml:"tcp,single"`
	WSS strictyaml.Reserved `yaml:"wss" hint:"browsers come with a later version; remove the key or write []"`
}

// Of returns the addresses of a transport: udp, tcp or tls.
func (l Listen) Of(transport string) []netip.AddrPort {
	switch transport {
	case "udp":
		return l.UDP
	case "tcp":
		return l.TCP
	case "tls":
		return l.TLS
	}
	return nil
}

// Media is the media plane.
type Media struct {
	Public     []Address     `yaml:"public,single"` // at most one per family
	Inside     []Address     `yaml:"inside,single"`
	Ports      Ports         `yaml:"ports"` // per address; RTP even, RTCP odd
	SRTP       SRTP          `yaml:"srtp"`
	Inactivity time.Duration `yaml:"inactivity"`
	DSCP       int           `yaml:"dscp"` // 0 to 63
	MaxCall    time.Duration `yaml:"max_call"`
	Shards     int           `yaml:"shards"` // 0: one per processor
}

// SRTP says how media is secured on the public side.
type SRTP struct {
	SDES   bool     `yaml:"sdes"`
	DTLS   DTLS     `yaml:"dtls"`
	Suites []string `yaml:"suites"` // strongest first, by their registered names
}

// TLS are certificates and versions.
type TLS struct {
	Certificates []Certificate       `yaml:"certificate,single"` // none: the private CA in State
	ACME         strictyaml.Reserved `yaml:"acme" hint:"give a certificate, or leave both out: a private CA is made at first start"`
	MinVersion   string              `yaml:"min_version"` // "1.2" or "1.3"
	ClientCA     string              `yaml:"client_ca"`   // PEM; for peers that identify by certificate
}

// Certificate are two PEM files: the chain, leaf first, and its key.
type Certificate struct {
	Cert string `yaml:"cert,required"`
	Key  string `yaml:"key,required"`
}

// Signalling is how SIP packets are sent, on both sides.
type Signalling struct {
	DSCP int `yaml:"dscp"` // 0 to 63
}

// DNS says who is asked where hosts are.
type DNS struct {
	Servers []Server `yaml:"servers,single"` // none: those of the system
}

// PBX is one system on the inside.
type PBX struct {
	Name          string
	URI           URI // transport and port filled in
	SRTP          SRTPPolicy
	Health        time.Duration // between OPTIONS; 0: none
	Weight        int           // all 1: several PBXs are tried in order; else each gets so many parts
	CA            string        // PEM, when TLS; "": the system's roots
	Certificate   *Certificate
	AllowWildcard bool
	Realm         string   // the realm of its challenges, where it is known
	Domains       []string // that it serves; none: all
	Failover      []int    // answers after which the next target or PBX is tried
	Bodies        []string // types it may send and get beside SDP
	Redirects     Redirects
}

// Peer is a carrier or trunk on the public side.
type Peer struct {
	Name           string        `yaml:"name,required"`
	Identify       Identify      `yaml:"identify"`
	TechPrefixes   []string      `yaml:"tech_prefixes,single"` // before the numbers that it sends
	URI            URI           `yaml:"uri"`                  // zero: calls come from it, none go to it
	Register       *Register     `yaml:"register"`             // where the carrier wants us to
	AllowPlaintext bool          `yaml:"allow_plaintext"`
	SRTP           SRTPPolicy    `yaml:"srtp"`
	NAT            bool          `yaml:"nat"` // RFC 7362: its media may come from elsewhere than it says
	CA             string        `yaml:"ca"`  // PEM; "": the system's roots
	Certificate    *Certificate  `yaml:"certificate"`
	AllowWildcard  bool          `yaml:"allow_wildcard"`
	AllowRefer     bool          `yaml:"allow_refer"`              // it may transfer the calls it has with us
	AllowServer    bool          `yaml:"allow_server_certificate"` // its certificate lacks the clientAuth usage
	Health         time.Duration `yaml:"health"`                   // between OPTIONS; 0: none
	Limits         PeerLimits    `yaml:"limits"`
	Redirects      Redirects     `yaml:"redirects"`
	Bodies         []string      `yaml:"bodies,single"`   // types it may send and get beside SDP
	Failover       []int         `yaml:"failover,single"` // answers after which the next target or peer is tried
	Identity       Identity      `yaml:"identity"`
}

// Register is how the gateway registers with a carrier; its challenges are
// answered with the same.
type Register struct {
	User     string        `yaml:"user,required"`
	Password Secret        `yaml:"password,required"`
	Realm    string        `yaml:"realm"`   // "": any
	Expires  time.Duration `yaml:"expires"` // 0: 1 h
	Contact  string        `yaml:"contact"` // user of our Contact; "": the user
}

// Identify is what must be true of a request for it to be the peer's;
// everything that is given must match.
type Identify struct {
	Certificate string         `yaml:"certificate"` // RFC 5922 name
	IP          []netip.Prefix `yaml:"ip,single"`
}

// PeerLimits are the caps on one peer; 0 means none.
type PeerLimits struct {
	Calls int     `yaml:"calls"` // at a time
	CPS   float64 `yaml:"cps"`   // new calls per second
}

// Home is how people around the gateway dial.
type Home struct {
	Country       string   `yaml:"country"`
	International []string `yaml:"international,single"`
	National      *string  `yaml:"national"`
	Extensions    string   `yaml:"extensions"`
	Emergency     []string `yaml:"emergency,single"`
	OutsidePrefix string   `yaml:"outside_prefix"`
	Timezone      string   `yaml:"timezone"`       // IANA name; see [Home.Zone]
	Numbers       []string `yaml:"numbers,single"` // prefixes of our own numbers

	CarrierSelection []string `yaml:"carrier_selection,single"` // nil: the country's
	TechPrefixes     []string `yaml:"tech_prefixes,single"`
	Numbering        string   `yaml:"numbering"` // file of numbering data; "": that of the program
}

// Number is Home in the words of package number.
func (h Home) Number() number.Home {
	return number.Home{Country: h.Country, International: h.International, National: h.National,
		Extensions: h.Extensions, Emergency: h.Emergency, OutsidePrefix: h.OutsidePrefix,
		CarrierSelection: h.CarrierSelection, TechPrefixes: h.TechPrefixes}
}

// Policy names the rules: shipped packs and files.
type Policy struct {
	Use   []string `yaml:"use"`
	Files []string `yaml:"files,single"` // patterns as of path.Match
	Watch bool     `yaml:"watch"`        // load what changes in them by itself
}

// Route sends calls from the PBX that are not for a registered phone to peers,
// in order. The first route that matches decides.
type Route struct {
	Match Match    `yaml:"match"`
	Peers []string `yaml:"peers,single,required"`
}

// Match is the condition of a route; empty matches every call.
type Match struct {
	To Callee `yaml:"to"`
}

// Callee matches the called number; both must match where both are given. A
// route of Emergency is for emergency numbers alone, and goes before all others.
type Callee struct {
	Emergency bool     `yaml:"emergency"`
	Country   []string `yaml:"country,single"` // ISO 3166-1 alpha-2
	Prefix    []string `yaml:"prefix,single"`  // of the canonical number, "+4420"
}

// GeoIP are databases of MaxMind's format.
type GeoIP struct {
	Country string `yaml:"country"`
	ASN     string `yaml:"asn"`
}

// Store is where state lives that outlasts a process.
type Store struct {
	Kind string              `yaml:"kind"` // memory
	Path string              `yaml:"path"`
	URL  strictyaml.Reserved `yaml:"url" hint:"several gateways with one store come with a later version"`
}

// Admin is the HTTP listener for people and monitoring.
type Admin struct {
	Listen Optional            `yaml:"listen"`
	TLS    strictyaml.Reserved `yaml:"tls" hint:"reach the loopback address through SSH or a proxy of your own"`
	Users  strictyaml.Reserved `yaml:"users" hint:"reach the loopback address through SSH or a proxy of your own"`
}

// Limits are the budgets of the gateway as a whole. They protect it when
// everything else is refused too late.
type Limits struct {
	Calls           int           `yaml:"calls"`         // passes at a time
	Registrations   int           `yaml:"registrations"` // bindings kept
	Subscriptions   int           `yaml:"subscriptions"` // SUBSCRIBE dialogs
	UserSubs        int           `yaml:"subscriptions_per_user"`
	Transactions    int           `yaml:"transactions"` // server and client together
	Connections     int           `yaml:"connections"`  // accepted, at a time
	SourceConns     int           `yaml:"connections_per_source"`
	SourcePackets   Rate          `yaml:"source_packets"`   // datagrams and accepts of one unknown address
	StrangerPackets Rate          `yaml:"stranger_packets"` // of all unknown addresses together
	PeerPackets     Rate          `yaml:"peer_packets"`     // datagrams from the network of one peer; 0: see PeerBudget
	PhonePackets    Rate          `yaml:"phone_packets"`    // from one address where phones registered
	SourceConnects  Rate          `yaml:"source_connects"`  // connections of one unknown address
	StrangerShakes  Rate          `yaml:"stranger_handshakes"`
	Handshakes      int           `yaml:"handshakes"` // of strangers, at a time
	SourceShakes    int           `yaml:"handshakes_per_source"`
	UDPBuffer       Size          `yaml:"udp_buffer"`    // receive buffer of each UDP socket
	SocketFilter    bool          `yaml:"socket_filter"` // what is no SIP, and most of a flood, is dropped in the kernel
	UDPSockets      int           `yaml:"udp_sockets"`   // of each UDP address; 0: one a processor, 8 at most
	Message         Size          `yaml:"message_size"`
	Header          Size          `yaml:"header_size"`
	Headers         int           `yaml:"headers"`
	Handshake       time.Duration `yaml:"handshake_timeout"`
	Idle            time.Duration `yaml:"idle_timeout"`     // until a stranger is known
	Read            time.Duration `yaml:"message_timeout"`  // from a message's first byte to its last
	Setup           time.Duration `yaml:"setup_timeout"`    // RFC 3261 Timer C
	Retry           time.Duration `yaml:"retry_timeout"`    // for the answer to a challenge
	Failover        time.Duration `yaml:"failover_after"`   // how long a target may be silent while there are others
	Session         time.Duration `yaml:"session_interval"` // the least one taken, RFC 4028
}
