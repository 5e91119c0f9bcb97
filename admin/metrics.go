package admin

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
)

// Source is what the metrics and /readyz read, at the time they are asked. Any
// function may be nil; its metrics are left out. Each has to be quick and safe
// to call from any goroutine.
type Source struct {
	Ready         func() []Check
	Calls         func() int // live calls
	Registrations func() int // bindings
	Subscriptions func() int // SUBSCRIBE dialogs
	Registering   func() Registering
	PBX           func() (up, all int)
	Peers         func() []PeerView // PBXs and peers of the configuration
	Counters      *Counters
	Quality       *Quality // of finished calls
	Signalling    func() Signalling
	Gate          func() Gate
	Kernel        func() Kernel // what it dropped for us
	Media         func() Media
	Alerts        func() alert.Stats
	CDR           func() alert.CDRStats
	Events        func() alert.StreamStats
	Certificates  func() []Certificate
	Bans          func() (bans, holds int) // in force
	Overload      func() Overload
	Conditions    func() uint64 // of the policy, that could not be evaluated
	Fraud         func() Fraud
}

// Fraud is what the detectors saw, found and did since the start.
type Fraud struct {
	Events, Lost, Failed uint64
	Waiting              int // events that they have yet to see
	Costing              int // calls that are up and cost
	PerMinute            float64
	Findings             []FraudCount // told, by detector
	Acts                 []FraudActs
}

// FraudCount is what one detector found.
type FraudCount struct {
	Detector string // of a closed set
	Count    uint64
}

// FraudActs are calls ended and accounts held, or in shadow what would have been.
type FraudActs struct {
	Act, Mode string // hangup or hold; enforce or shadow
	Count     uint64
}

// Signalling is what the SIP stack counted since the start.
type Signalling struct {
	Requests, Responses, Malformed, Dropped, Strays, Retransmits uint64
	Conns, ConnsRefused, Panics                                  uint64
}

// Kernel is what the kernel dropped, since it was set up to.
type Kernel struct{ Dropped []KernelCount }

// KernelCount is one counter of one engine; both names are of closed sets.
type KernelCount struct {
	Engine, Cause string
	Count         uint64
}

// Gate is what was dropped before anything of it was read, since the start.
type Gate struct {
	Passed                     uint64       // datagrams and connections
	Dropped                    []CauseCount // by the budget that was used up, a closed set
	Junk                       uint64       // datagrams that do not begin as SIP does
	Evicted                    uint64       // strangers' connections that made room
	KernelPublic, KernelInside uint64       // datagrams that the kernel dropped, by side
}

// Registering is how registrations fare on their way to the PBX.
type Registering struct {
	Waiting             int    // for their turn
	Refreshed, Deferred uint64 // answered in place of the PBX, sent away for a while

	Challenged, Accepted, Denied uint64 // by edge authentication
}

// Overload is what is let in, and why not more.
type Overload struct {
	Level   int
	Rate    float64 // calls a second; 0: no limit
	Signals []LoadSignal
	Classes []LoadClass
}

// LoadSignal is one of a closed set, in parts of its threshold.
type LoadSignal struct {
	Name  string
	Ratio float64
}

// LoadClass is one of a closed set of classes of requests.
type LoadClass struct {
	Name              string
	Admitted, Refused uint64
}

// Media is the state and the counters of the media plane.
type Media struct {
	Sessions, Streams, StreamsMax, Ports, PortsMax int
	Packets, Bytes, RTCP                           uint64       // relayed
	Refused                                        []CauseCount // packets, by a closed set of causes
}

// CauseCount is a counter for one of a closed set of causes.
type CauseCount struct {
	Cause string
	Count uint64
}

// Certificate is one that the gateway presents. Name comes from the configuration.
type Certificate struct {
	Name     string
	NotAfter time.Time
}

// Counters counts decisions and refused messages. Its label sets are closed, so
// nothing from the network can make it grow. The zero value is not usable.
type Counters struct {
	decisions [5][len(methodClasses)][2]atomic.Uint64 // verdict, method class, enforced or shadow
	reasons   []string
	refused   []atomic.Uint64 // by reason; the last is other
}

// methodClasses are the methods that are told apart; the last is for the rest.
var methodClasses = [...]string{"invite", "register", "message", "subscribe", "options", "refer", "publish", "other"}

func methodClass(m string) int {
	switch m {
	case "INVITE":
		return 0
	case "REGISTER":
		return 1
	case "MESSAGE":
		return 2
	case "SUBSCRIBE":
		return 3
	case "OPTIONS":
		return 4
	case "REFER":
		return 5
	case "PUBLISH":
		return 6
	}
	return 7
}

// NewCounters takes the closed set of reasons for which messages are refused
// before anybody decides: malformed, too_large, rate and so on. Others are
// counted as "other".
func NewCounters(reasons ...string) *Counters {
	return &Counters{reasons: reasons, refused: make([]atomic.Uint64, len(reasons)+1)}
}

// Decision counts one decision, and the shadow refusals it carries.
func (c *Counters) Decision(a *call.Attempt, d call.Decision) {
	c.count(a, d)
	for _, x := range d.Also {
		if x.Shadow {
			c.count(a, x)
		}
	}
}

func (c *Counters) count(a *call.Attempt, d call.Decision) {
	v, mode := min(int(d.Verdict), len(c.decisions)-1), 0
	if d.Shadow {
		mode = 1
	}
	c.decisions[v][methodClass(a.Method)][mode].Add(1)
}

// Refused counts one message that was refused for a reason.
func (c *Counters) Refused(reason string) {
	for i, r := range c.reasons {
		if r == reason {
			c.refused[i].Add(1)
			return
		}
	}
	c.refused[len(c.reasons)].Add(1)
}

// newRegistry is a registry of our own: nothing else can put metrics into it.
func newRegistry(o Options) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{o: o},
	)
	return reg
}

// metric describes one name of ours: rampart_<package>_<noun>_<unit>.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

var (
	buildInfo     = gauge("rampart_admin_build_info", "Always 1; the version is in the label.", "version")
	decisions     = counter("rampart_sbc_decisions_total", "Decisions on requests.", "verdict", "method", "mode")
	refused       = counter("rampart_sbc_refused_messages_total", "Messages refused before a decision.", "reason")
	callsUp       = gauge("rampart_sbc_calls_active", "Calls that are up or being set up.")
	registered    = gauge("rampart_sbc_registrations_active", "Bindings that the PBX accepted.")
	peerTargets   = gauge("rampart_sbc_targets_active", "Addresses of a PBX or peer by what is known of them.", "peer", "state")
	trunkUp       = gauge("rampart_sbc_trunk_registrations_active", "1 while we are registered with the carrier.", "peer")
	subscriptions = gauge("rampart_sbc_subscriptions_active", "Subscriptions between phones and the PBX.")
	regWaiting    = gauge("rampart_sbc_waiting_registrations_active", "Registrations that wait for their turn at the PBX.")
	regRefreshed  = counter("rampart_sbc_refreshed_registrations_total", "Registrations answered in place of the PBX.")
	regDeferred   = counter("rampart_sbc_deferred_registrations_total", "Registrations sent away with 503, to come later.")
	edge          = counter("rampart_sbc_edge_answers_total", "Requests by how edge authentication ended: challenged, accepted, refused.", "outcome")
	pbx           = gauge("rampart_sbc_pbx_active", "Configured PBXs by whether they answer.", "state")
	messages      = counter("rampart_sipx_messages_total", "Messages that arrived.", "kind")
	retransmits   = counter("rampart_sipx_retransmits_total", "Requests that arrived again.")
	conns         = counter("rampart_sipx_connections_total", "Connections that arrived.", "outcome")
	droppedBelow  = counter("rampart_kernel_dropped_total", "Packets that the kernel dropped for the gateway.", "engine", "cause")
	gatePassed    = counter("rampart_ratelimit_gate_passed_total", "Datagrams and connections that the gate let in.")
	gateDropped   = counter("rampart_ratelimit_gate_dropped_total", "Datagrams and connections that the gate refused, by the budget that was used up.", "cause")
	junk          = counter("rampart_sipx_junk_datagrams_total", "Datagrams that do not begin as SIP does; nobody was asked about them.")
	evicted       = counter("rampart_sipx_evicted_connections_total", "Strangers' connections that were closed to make room.")
	kernelDropped = counter("rampart_sipx_kernel_dropped_datagrams_total", "Datagrams that the kernel dropped before they were read: a full receive buffer, or the socket filter.", "side")
	panics        = counter("rampart_sipx_panics_total", "Failures in one message or call that were caught.")
	mediaSessions = gauge("rampart_media_sessions_active", "Media sessions.")
	mediaStreams  = gauge("rampart_media_streams_active", "Media streams.")
	mediaStrMax   = gauge("rampart_media_streams_limit", "Media streams that are possible at a time.")
	mediaPorts    = gauge("rampart_media_ports_active", "Pairs of ports in use.")
	mediaPortsMax = gauge("rampart_media_ports_limit", "Pairs of ports in the configured ranges.")
	mediaPackets  = counter("rampart_media_packets_total", "Packets relayed.", "protocol")
	mediaBytes    = counter("rampart_media_bytes_total", "Bytes of RTP relayed.")
	mediaRefused  = counter("rampart_media_refused_packets_total", "Packets not relayed.", "cause")
	alerts        = counter("rampart_alert_alerts_total", "Alerts, those folded into another line included.")
	alertsFolded  = counter("rampart_alert_coalesced_total", "Alerts folded into another line.")
	alertsLost    = counter("rampart_alert_lost_alerts_total", "Alerts that became no line.", "cause")
	cdrRecords    = counter("rampart_alert_cdr_records_total", "Calls recorded, those folded included.")
	cdrFolded     = counter("rampart_alert_cdr_coalesced_total", "Records of strangers folded into another.")
	events        = counter("rampart_alert_events_total", "Events in the stream.")
	lines         = counter("rampart_alert_lines_total", "Lines written.", "stream", "sink")
	linesLost     = counter("rampart_alert_lost_lines_total", "Lines lost.", "stream", "sink", "cause")
	linesQueued   = gauge("rampart_alert_queued_lines_active", "Lines that wait to be written.", "stream", "sink")
	sinkErrors    = counter("rampart_alert_sink_errors_total", "Failed writes; each is tried again.", "stream", "sink")
	sinkDegraded  = gauge("rampart_alert_degraded_sinks_active", "1 while a sink cannot take its lines.", "stream", "sink")
	bansUp        = gauge("rampart_ratelimit_bans_active", "Bans and holds in force.", "kind")
	loadLevel     = gauge("rampart_sbc_overload_level", "0: all requests are let in; 1 to 5: up to which class some are refused.")
	loadRate      = gauge("rampart_sbc_overload_admitted_calls_per_second", "New calls a second that are let in under overload; 0: without limit.")
	loadSignal    = gauge("rampart_sbc_overload_signal_ratio", "Signals of overload in parts of their thresholds.", "signal")
	loadAdmitted  = counter("rampart_sbc_overload_admitted_requests_total", "Requests that were let in.", "class")
	loadShed      = counter("rampart_sbc_overload_refused_requests_total", "Requests that were refused because there was too much to do.", "class")
	fraudEvents   = counter("rampart_fraud_events_total", "Events that the detectors of fraud took.")
	fraudLost     = counter("rampart_fraud_lost_events_total", "Events that came faster than the detectors could take them.")
	fraudFailed   = counter("rampart_fraud_failures_total", "Events at which a detector failed.")
	fraudWaiting  = gauge("rampart_fraud_waiting_events_active", "Events that the detectors have yet to see.")
	fraudCosting  = gauge("rampart_fraud_costing_calls_active", "Calls abroad and to premium numbers that are up.")
	fraudPerMin   = gauge("rampart_fraud_running_cost_usd_per_minute", "What these cost together, by the rates in use.")
	fraudFindings = counter("rampart_fraud_findings_total", "Findings that were told.", "detector")
	fraudActs     = counter("rampart_fraud_acts_total", "Calls ended and accounts held by detectors; in shadow, what would have been.", "act", "mode")
	conditions    = counter("rampart_policy_condition_errors_total", "Conditions of rules and limits that could not be evaluated for a request.")
	certExpiry    = gauge("rampart_tls_certificate_expiry_timestamp_seconds", "When a certificate expires, in Unix time.", "certificate")
)

// collector reads Source when it is scraped.
type collector struct{ o Options }

// Describe sends nothing: which metrics there are depends on Source. The names
// are checked by a test.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads each part on its own: one that panics leaves the others there.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	put := func(m metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
	}
	num := func(m metric, v uint64, labels ...string) { put(m, float64(v), labels...) }
	put(buildInfo, 1, c.o.Version)
	s := c.o.Source
	for name, read := range map[string]func(){
		"counters":      func() { s.Counters.collect(num) },
		"quality":       func() { s.Quality.collect(ch) },
		"calls":         when(s.Calls, func(n int) { put(callsUp, float64(n)) }),
		"bindings":      when(s.Registrations, func(n int) { put(registered, float64(n)) }),
		"subscriptions": when(s.Subscriptions, func(n int) { put(subscriptions, float64(n)) }),
		"registering": when(s.Registering, func(x Registering) {
			put(regWaiting, float64(x.Waiting))
			num(regRefreshed, x.Refreshed)
			num(regDeferred, x.Deferred)
			num(edge, x.Challenged, "challenged")
			num(edge, x.Accepted, "accepted")
			num(edge, x.Denied, "refused")
		}),
		"pbx": func() {
			if s.PBX != nil {
				up, all := s.PBX()
				put(pbx, float64(up), "up")
				put(pbx, float64(all-up), "down")
			}
		},
		"bans": func() {
			if s.Bans != nil {
				bans, holds := s.Bans()
				put(bansUp, float64(bans), "ban")
				put(bansUp, float64(holds), "hold")
			}
		},
		"overload": when(s.Overload, func(x Overload) {
			put(loadLevel, float64(x.Level))
			put(loadRate, x.Rate)
			for _, v := range x.Signals {
				put(loadSignal, v.Ratio, v.Name)
			}
			for _, c := range x.Classes {
				num(loadAdmitted, c.Admitted, c.Name)
				num(loadShed, c.Refused, c.Name)
			}
		}),
		"fraud": when(s.Fraud, func(x Fraud) {
			num(fraudEvents, x.Events)
			num(fraudLost, x.Lost)
			num(fraudFailed, x.Failed)
			put(fraudWaiting, float64(x.Waiting))
			put(fraudCosting, float64(x.Costing))
			put(fraudPerMin, x.PerMinute)
			for _, c := range x.Findings {
				num(fraudFindings, c.Count, c.Detector)
			}
			for _, a := range x.Acts {
				num(fraudActs, a.Count, a.Act, a.Mode)
			}
		}),
		"peers": when(s.Peers, func(x []PeerView) { peerMetrics(put, x) }),
		"signalling": when(s.Signalling, func(x Signalling) {
			num(messages, x.Requests, "request")
			num(messages, x.Responses, "response")
			num(messages, x.Malformed, "malformed")
			num(messages, x.Dropped, "dropped")
			num(messages, x.Strays, "stray")
			num(retransmits, x.Retransmits)
			num(conns, x.Conns, "accepted")
			num(conns, x.ConnsRefused, "refused")
			num(panics, x.Panics)
		}),
		"kernel": when(s.Kernel, func(x Kernel) {
			for _, c := range x.Dropped {
				num(droppedBelow, c.Count, c.Engine, c.Cause)
			}
		}),
		"gate": when(s.Gate, func(x Gate) {
			num(gatePassed, x.Passed)
			for _, c := range x.Dropped {
				num(gateDropped, c.Count, c.Cause)
			}
			num(junk, x.Junk)
			num(evicted, x.Evicted)
			num(kernelDropped, x.KernelPublic, "public")
			num(kernelDropped, x.KernelInside, "inside")
		}),
		"media": when(s.Media, func(x Media) {
			put(mediaSessions, float64(x.Sessions))
			put(mediaStreams, float64(x.Streams))
			put(mediaStrMax, float64(x.StreamsMax))
			put(mediaPorts, float64(x.Ports))
			put(mediaPortsMax, float64(x.PortsMax))
			num(mediaPackets, x.Packets, "rtp")
			num(mediaPackets, x.RTCP, "rtcp")
			num(mediaBytes, x.Bytes)
			for _, r := range x.Refused {
				num(mediaRefused, r.Count, r.Cause)
			}
		}),
		"alerts": when(s.Alerts, func(x alert.Stats) {
			num(alerts, x.Published)
			num(alertsFolded, x.Coalesced)
			num(alertsLost, x.LostTable, "table_full")
			num(alertsLost, x.LostSub, "slow_subscriber")
			sinks(num, "alerts", x.Sinks)
		}),
		"cdr": when(s.CDR, func(x alert.CDRStats) {
			num(cdrRecords, x.Records)
			num(cdrFolded, x.Coalesced)
			sinks(num, "cdr", x.Sinks)
		}),
		"events": when(s.Events, func(x alert.StreamStats) {
			num(events, x.Seq)
			sinks(num, "events", x.Sinks)
		}),
		"conditions": when(s.Conditions, func(n uint64) { num(conditions, n) }),
		"certificates": when(s.Certificates, func(x []Certificate) {
			for _, cert := range x {
				put(certExpiry, float64(cert.NotAfter.Unix()), cert.Name)
			}
		}),
	} {
		c.guard(name, read)
	}
}

// when calls use with what read gives, unless there is no read.
func when[T any](read func() T, use func(T)) func() {
	return func() {
		if read != nil {
			use(read())
		}
	}
}

func (c *collector) guard(part string, read func()) {
	defer func() {
		if p := recover(); p != nil {
			c.o.Log.Error("metrics could not be read", "part", part, "panic", fmt.Sprint(p))
		}
	}()
	read()
}

func sinks(num func(metric, uint64, ...string), stream string, all []alert.SinkStats) {
	for _, s := range all {
		num(lines, s.Written, stream, s.Name)
		num(linesLost, s.LostFull, stream, s.Name, "queue_full")
		num(linesLost, s.LostClosed, stream, s.Name, "closed")
		num(linesLost, s.LostEncode, stream, s.Name, "encode")
		num(linesQueued, uint64(s.Queued), stream, s.Name)
		num(sinkErrors, s.Errors, stream, s.Name)
		var bad uint64
		if s.Degraded {
			bad = 1
		}
		num(sinkDegraded, bad, stream, s.Name)
	}
}

// RefusedFor is how many messages and connections were refused for a reason.
func (c *Counters) RefusedFor(reason string) uint64 {
	for i, r := range c.reasons {
		if r == reason {
			return c.refused[i].Load()
		}
	}
	return 0
}

func (c *Counters) collect(num func(metric, uint64, ...string)) {
	if c == nil {
		return
	}
	for v := range c.decisions {
		for m := range c.decisions[v] {
			for mode, word := range [...]string{"enforce", "shadow"} {
				num(decisions, c.decisions[v][m][mode].Load(), call.Verdict(v).String(), methodClasses[m], word)
			}
		}
	}
	for i := range c.refused {
		reason := "other"
		if i < len(c.reasons) {
			reason = c.reasons[i]
		}
		num(refused, c.refused[i].Load(), reason)
	}
}
