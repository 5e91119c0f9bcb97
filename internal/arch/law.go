package arch

// Rampart is the law of this repository. Levels, from the bottom:
//
//	50  commands
//	45  what starts the whole gateway: the demo
//	40  admin, config, cluster
//	30  sbc, and below it what it is made of
//	20  shells around one thing: media, alert, tls, stores, databases
//	10  engines: pure
//	 0  values and parsers
func Rampart() Law {
	return Law{
		Module: "github.com/rampart-sbc/rampart",
		Packages: []Package{
			{Path: "cmd/**", Level: 50, Command: true, Why: "flags, wiring, signals, exit codes"},
			{Path: "bench/**", Level: 50, Command: true, Leaf: true, Why: "the load generator measures any gateway, so it must not know ours"},
			{Path: "internal/attack", Level: 45, May: []string{"internal/siptest"}, Why: "attack-me ships: telephones and attackers around a gateway in a sandbox"},
			{Path: "internal/demo", Level: 45, May: []string{"internal/siptest"}, Why: "the demo ships: a gateway between a test phone and a test PBX"},

			{Path: "admin", Level: 40, Why: "API, metrics, dashboard"},
			{Path: "admin/**", Level: 38, Why: "parts of admin"},
			{Path: "config", Level: 40, Why: "composes the configuration of every package"},
			{Path: "cluster", Level: 40, Why: "several gateways; nothing below knows that it exists"},

			{Path: "sbc", Level: 30, Why: "listeners, identification, admission, one owner for each call"},
			{Path: "sbc/sipx", Level: 28, Why: "the SIP adapter"},
			{Path: "sbc/b2bua", Level: 26, Pure: true, Why: "the call machine: state and event in, state and actions out"},
			{Path: "sbc/digest", Level: 26, Pure: true, Why: "digest authentication: answers, and what is an answer"},
			{Path: "sbc/locate", Level: 26, Why: "where a SIP URI is (RFC 3263)"},
			{Path: "sbc/sdp", Level: 26, Pure: true, Why: "session descriptions"},
			{Path: "sbc/body", Level: 26, Pure: true, Why: "multipart bodies: what is the description, what else is there"},
			{Path: "sbc/notice", Level: 26, Pure: true, Why: "bodies of notifications and messages, rewritten for the other side"},

			{Path: "trial", Level: 20, Pure: true, Why: "judges described requests offline, in virtual time: policy tests, explain, replay"},

			{Path: "replay", Level: 25, Why: "recorded calls through limits, policy and detectors, in virtual time; it decodes on several goroutines and reads what it is given"},

			{Path: "explain", Level: 18, Pure: true, Why: "facts of recent decisions, and how each came about; trials and commands show it"},
			{Path: "policy/history", Level: 20, Why: "keeps the files of policies that were in force"},

			{Path: "media", Level: 20, Why: "the media plane"},
			{Path: "media/**", Level: 18, Why: "socket engines and DTLS below the media plane"},
			{Path: "alert", Level: 20, Why: "alert and CDR schema, bus and sinks"},
			{Path: "alert/**", Level: 18, Why: "sinks below the bus"},
			{Path: "tls", Level: 20, Leaf: true, Why: "certificates: knows nothing of calls"},
			{Path: "store/**", Level: 20, Why: "adapters for interfaces that the engines declare"},
			{Path: "store/storetest", Level: 18, Support: true, Why: "one suite for all stores"},
			{Path: "fraud/geo", Level: 20, Why: "wraps the database of countries"},
			{Path: "ratelimit/kernel", Level: 20, Why: "drops in the kernel what the engine banned"},

			{Path: "policy/when", Level: 8, Why: "conditions in CEL: compiled once, cost bounded; the one home of the library, so not pure by the letter"},
			{Path: "policy", Level: 10, Pure: true, Why: "rules in, decisions out"},
			{Path: "ratelimit", Level: 10, Pure: true, Why: "budgets, counters and bans, in the time of the events"},
			{Path: "fraud", Level: 10, Pure: true, Why: "detectors, in the time of the events"},

			{Path: "admission", Level: 5, Pure: true, Why: "opinions become one decision: the same for the gateway and for tests of its policy"},

			{Path: "call", Level: 0, Pure: true, Why: "the vocabulary"},
			{Path: "fraud/param", Level: 0, Pure: true, May: []string{"call"}, Why: "which detectors there are and what can be set: what policy files and the engine have in common"},
			{Path: "policy/number", Level: 0, Pure: true, May: []string{"call"},
				Why: "numbers; it answers in the vocabulary of call, which knows nothing of it"},
			{Path: "policy/number/internal/**", Level: 0, Command: true, Support: true, May: []string{"policy/number/internal/**"},
				Why: "makes the number tables at build time"},
			{Path: "rules", Level: 0, Leaf: true, Why: "shipped packs as data, no logic"},

			{Path: "internal/strictyaml", Level: 1, Leaf: true, Why: "the one YAML decoder, with positions; configuration and policy are above it"},
			{Path: "internal/guess", Level: 0, Leaf: true, Pure: true, Why: "the passwords that are tried first; it knows no hash"},
			{Path: "internal/arch", Level: 0, Leaf: true, Why: "the law stands outside of what it judges"},
			{Path: "internal/plain", Level: 1, Leaf: true, Why: "what is written for people and files: no terminal escapes, no floods of lines; alert and commands are above it"},
			{Path: "internal/tone", Level: 0, Leaf: true, Why: "makes and finds tones; both test phones and the demo need it"},
			{Path: "internal/golden", Level: 0, Leaf: true, Support: true, Why: "golden files for tests"},
			{Path: "internal/simnet", Level: 0, Leaf: true, Support: true, Why: "a network for tests"},
			{Path: "internal/siptest", Level: 44, Leaf: true, Support: true, May: []string{"internal/tone"},
				Why: "a phone that shares code with the gateway would share its mistakes"},
			{Path: "internal/peers", Level: 45, Support: true, May: []string{"internal/siptest", "internal/tone", "internal/golden"},
				Why: "other people's software as peers in tests"},
			{Path: "integration", Level: 46, Support: true, May: []string{"internal/peers", "internal/siptest", "internal/tone"},
				Why: "the program among real peers; it knows nothing of the gateway's packages"},
		},
		Third: []Third{
			{Prefix: "github.com/emiago/sipgo", Homes: []string{"sbc/sipx"},
				Why: "SIP messages of the library end at sbc/sipx, so that it can be replaced"},
			{Prefix: "github.com/pion", Homes: []string{"media", "media/**", "internal/siptest"},
				Why: "RTP and SRTP live in the media plane; the test phone has its own use of the library"},
			{Prefix: "github.com/oschwald", Homes: []string{"fraud/geo"}, Why: "the database of countries has one reader"},
			{Prefix: "github.com/maxmind/mmdbwriter", Tests: []string{"fraud/geo", "internal/**"}, Why: "databases are written for tests only"},
			{Prefix: "github.com/goccy/go-yaml", Homes: []string{"internal/strictyaml"},
				Why: "a second way to read YAML would be a second idea of what a number is"},
			{Prefix: "github.com/alecthomas/kong", Homes: []string{"cmd/**"}, Why: "flags belong to commands"},
			{Prefix: "github.com/prometheus", Homes: []string{"admin", "admin/**"},
				Why: "packages count in plain numbers; admin knows how metrics are called and served"},
			{Prefix: "github.com/nyaruka/phonenumbers", Homes: []string{"policy/number/internal/**"}, Tests: []string{"policy/number"},
				Why: "number tables are generated; the library would add megabytes and milliseconds to the program"},
			{Prefix: "cel.dev/cel-go", Homes: []string{"policy/when"}, Why: "expressions are compiled by policy alone"},
			{Prefix: "github.com/caddyserver/certmagic", Homes: []string{"tls"}, Why: "certificates come from tls alone"},
			{Prefix: "github.com/valkey-io", Homes: []string{"store/redis"}, Why: "the store client has one adapter"},
			{Prefix: "github.com/redis", Homes: []string{"store/redis"}, Why: "the store client has one adapter"},
			{Prefix: "github.com/icholy/digest", Homes: []string{"sbc/sipx"}, Why: "digest answers are part of SIP"},
			{Prefix: "github.com/miekg/dns", Homes: []string{"sbc/locate"}, Tests: []string{"sbc"}, Why: "one way to ask the DNS, with one cache"},
			{Prefix: "github.com/gobwas", Homes: []string{"sbc/sipx"}, Why: "WebSocket is a SIP transport"},
			{Prefix: "go4.org/netipx", Homes: []string{"policy", "ratelimit", "fraud", "fraud/geo", "sbc", "config"}, Tests: []string{"**"},
				Why: "address sets; values only"},
			{Prefix: "golang.org/x/time/rate", Homes: []string{"ratelimit"}, Why: "budgets belong to ratelimit, with explicit time"},
			{Prefix: "golang.org/x/sys", Homes: []string{"media/**", "media", "sbc/sipx", "ratelimit/kernel", "cmd/**", "internal/peers"},
				Why: "system calls belong to the shells that own sockets"},
			{Prefix: "github.com/google/nftables", Homes: []string{"ratelimit/kernel"}, Why: "tables of the kernel are made in one place"},
			{Prefix: "github.com/mdlayher/netlink", Homes: []string{"ratelimit/kernel"}, Why: "below nftables: one message that the library cannot write"},
			{Prefix: "github.com/cilium/ebpf", Homes: []string{"ratelimit/kernel"}, Why: "XDP programs are loaded in one place"},
			{Prefix: "golang.org/x/sync", Homes: []string{"cmd/**", "admin", "alert", "cluster", "sbc", "internal/demo", "internal/peers"},
				Why: "groups of goroutines belong to shells"},
			{Prefix: "golang.org/x/text", Homes: []string{"config", "policy/number/internal/**"}, Why: "text tables are large"},
			{Prefix: "github.com/santhosh-tekuri/jsonschema", Tests: []string{"**"}, Why: "schemas are validated in tests; the program writes what it knows"},
			{Prefix: "pgregory.net/rapid", Tests: []string{"**"}, Why: "random walks are for tests"},
		},
	}
}
