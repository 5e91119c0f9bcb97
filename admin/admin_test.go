package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
)

var t0 = time.Date(2026, 1, 5, 3, 6, 18, 728_000_000, time.UTC)

// full is a source in which everything is there.
func full() Source {
	c := NewCounters("malformed", "too_large")
	c.Decision(&call.Attempt{Method: "INVITE"}, call.Decision{Verdict: call.Reject})
	c.Decision(&call.Attempt{Method: "INVITE"}, call.Decision{Verdict: call.Allow, Also: []call.Decision{
		{Verdict: call.Reject, Shadow: true}, {Action: call.RuleFlagged}}})
	c.Decision(&call.Attempt{Method: "EVIL-\x1b"}, call.Decision{Verdict: 77})
	c.Refused("malformed")
	c.Refused("203.0.113.77")
	sink := []alert.SinkStats{{Name: "/var/log/rampart/x.jsonl", Written: 12, LostFull: 3, Degraded: true}}
	return Source{
		Ready:         func() []Check { return []Check{{Name: "pbx", OK: true}} },
		Calls:         func() int { return 2 },
		Registrations: func() int { return 5 },
		Subscriptions: func() int { return 3 },
		PBX:           func() (int, int) { return 1, 2 },
		Peers: func() []PeerView {
			at := call.Time{Time: t0}
			return []PeerView{{Name: "main", Kind: "pbx", Up: true}, {Name: "carrier-a", Kind: "carrier", Host: "sip.carrier.example", Checked: true, Up: true,
				Targets:      []TargetView{{Transport: "tls", Address: "198.51.100.1:5061", State: "up", Since: &at}, {Transport: "udp", Address: "198.51.100.2:5060", State: "down", Reason: "no answer"}},
				Registration: &TrunkView{Registered: true, Since: &at, Expires: &at}}}
		},
		Registering: func() Registering { return Registering{Waiting: 4, Refreshed: 6, Deferred: 1} },
		Counters:    c,
		Signalling:  func() Signalling { return Signalling{Requests: 7} },
		Gate: func() Gate {
			return Gate{Passed: 9, Dropped: []CauseCount{{"source", 3}}, Junk: 11, Evicted: 1, KernelPublic: 12}
		},
		Media: func() Media {
			return Media{Sessions: 2, Bytes: 1 << 40, Refused: []CauseCount{{"auth", 4}, {"replay", 0}}}
		},
		Alerts:       func() alert.Stats { return alert.Stats{Published: 9, Sinks: sink} },
		CDR:          func() alert.CDRStats { return alert.CDRStats{Records: 8, Sinks: sink} },
		Events:       func() alert.StreamStats { return alert.StreamStats{Seq: 100, Sinks: sink} },
		Bans:         func() (int, int) { return 7, 2 },
		Conditions:   func() uint64 { return 6 },
		Certificates: func() []Certificate { return []Certificate{{"server", t0}} },
	}
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	o.Now = func() time.Time { return t0 }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func ask(t *testing.T, s *Server, method, path string, with ...string) reply {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(with); i += 2 {
		if with[i] == "Host" {
			req.Host = with[i+1]
		}
		req.Header.Set(with[i], with[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

func TestOnlyLoopback(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // the address, or a part of the error
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080"},
		{"127.9.9.9:8080", "127.9.9.9:8080"},
		{"[::1]:8080", "[::1]:8080"},
		{"[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"},
		{"localhost:0", "127.0.0.1:0"},
		{"0.0.0.0:8080", "needs TLS and a login"},
		{":8080", "needs TLS and a login"},
		{"[::]:8080", "needs TLS and a login"},
		{"10.0.0.2:8080", "needs TLS and a login"},
		{"[2001:db8::1]:8080", "needs TLS and a login"},
		{"example.com:8080", "want an IP address and a port"},
		{"127.0.0.1:http", "want an IP address and a port"},
		{"127.0.0.1:70000", "want an IP address and a port"},
		{"127.0.0.1", "want host:port"},
		{"", "want host:port"},
	} {
		got, err := ParseListen(c.in)
		text := got.String()
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != c.want || !strings.Contains(text, c.want) {
			t.Errorf("%q: %s, want %s", c.in, text, c.want)
		}
	}
	if _, err := New(Options{Listen: "0.0.0.0:0"}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("New: %v", err)
	}
	s := start(t, Options{})
	if _, err := New(Options{Listen: s.Addr().String()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
	six, err := New(Options{Listen: "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := six.Close(t.Context()); err != nil { // without Serve
		t.Error(err)
	}
}

func TestHealthAndReady(t *testing.T) {
	ok := false
	s := start(t, Options{Version: "0.1.0", Source: Source{Ready: func() []Check {
		return []Check{{Name: "listeners", OK: true}, {Name: "pbx", OK: ok, Detail: "main does not answer"}}
	}}})
	if r := ask(t, s, "GET", "/healthz"); r.status != 200 || string(r.body) != `{"status":"ok","version":"0.1.0"}`+"\n" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(t, s, "GET", "/readyz"); r.status != 503 || !bytes.Contains(r.body, []byte("main does not answer")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	ok = true
	if r := ask(t, s, "GET", "/readyz"); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(t, s, "HEAD", "/healthz"); r.status != 200 || len(r.body) != 0 {
		t.Errorf("HEAD: %d %s", r.status, r.body)
	}
}

func TestWhoMayAsk(t *testing.T) {
	s := start(t, Options{Source: full()})
	host := s.Addr().String()
	for _, c := range []struct {
		name   string
		method string
		path   string
		with   []string
		want   int
	}{
		{"plain", "GET", "/healthz", nil, 200},
		{"by name", "GET", "/healthz", []string{"Host", "localhost:1"}, 200},
		{"by name in capitals", "GET", "/healthz", []string{"Host", "LOCALHOST"}, 200},
		{"by IPv6", "GET", "/healthz", []string{"Host", "[::1]:8080"}, 200},
		{"rebound name", "GET", "/api/v1/calls", []string{"Host", "evil.example:8080"}, 421},
		{"name that begins like ours", "GET", "/api/v1/calls", []string{"Host", "localhost.evil.example"}, 421},
		{"address that is not ours", "GET", "/api/v1/calls", []string{"Host", "192.0.2.1"}, 421},
		{"other site", "GET", "/metrics", []string{"Origin", "https://evil.example"}, 403},
		{"no origin at all", "GET", "/metrics", []string{"Origin", "null"}, 403},
		{"our origin", "GET", "/healthz", []string{"Origin", "http://" + host}, 200},
		{"browser from elsewhere", "GET", "/metrics", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"typed into a browser", "GET", "/healthz", []string{"Sec-Fetch-Site", "none"}, 200},
		{"method", "POST", "/api/v1/calls", nil, 405},
		{"preflight", "OPTIONS", "/api/v1/calls", []string{"Origin", "http://" + host}, 405},
		{"unknown", "GET", "/api/v1/secrets", nil, 404},
		{"path tricks", "GET", "/api/v1/../../healthz", nil, 404},
		{"root", "GET", "/", nil, 404},
		{"limit", "GET", "/api/v1/calls?limit=-1", nil, 400},
		{"limit above", "GET", "/api/v1/calls?limit=10001", nil, 400},
		{"offset", "GET", "/api/v1/registrations?offset=x", nil, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ask(t, s, c.method, c.path, c.with...)
			if r.status != c.want {
				t.Errorf("%d %s, want %d", r.status, r.body, c.want)
			}
			for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Access-Control-Allow-Origin": ""} {
				if r.header.Get(k) != v {
					t.Errorf("%s: %q", k, r.header.Get(k))
				}
			}
			if r.status >= 400 && r.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("error as %s", r.header.Get("Content-Type"))
			}
		})
	}
}

func views(n int) []CallView {
	var out []CallView
	for i := range n {
		out = append(out, CallView{ID: fmt.Sprint("c", i), Direction: call.Outbound, From: "1001", To: "+442079460000", Account: "main", User: "1001",
			Source: "203.0.113.77:40112", State: "up", Since: call.Time{Time: t0.Add(-61 * time.Second)}, Answered: call.At(t0.Add(-50 * time.Second)),
			Media: []string{"AEAD_AES_256_GCM", "RTP"}, Passes: 1})
	}
	return out
}

func TestCallsAndRegistrations(t *testing.T) {
	live := views(3)
	live[1].Media, live[1].Answered, live[1].Since = nil, nil, call.Time{Time: t0.Add(time.Second)} // the clock was set back
	s := start(t, Options{
		Calls: CallsFunc(func() []CallView { return live }),
		Registrations: RegistrationsFunc(func() []RegistrationView {
			return []RegistrationView{{User: "1001", Connected: true, Expires: call.Time{Time: t0}}}
		}),
	})
	got := ask(t, s, "GET", "/api/v1/calls?offset=1&limit=1")
	want := `{"items":[{"id":"c1","direction":"outbound","from":"1001","to":"+442079460000","account":"main","user":"1001",` +
		`"source":"203.0.113.77:40112","state":"up","since":"2026-01-05T03:06:19.728Z","seconds":0,"media":[],"passes":1}],"total":3}` + "\n"
	if string(got.body) != want {
		t.Errorf("got  %swant %s", got.body, want)
	}
	for path, n := range map[string]int{"/api/v1/calls": 3, "/api/v1/calls?limit=0": 0, "/api/v1/calls?offset=99": 0,
		"/api/v1/calls?offset=2&limit=50": 1, "/api/v1/registrations": 1} {
		var p struct{ Items []json.RawMessage }
		if err := json.Unmarshal(ask(t, s, "GET", path).body, &p); err != nil || len(p.Items) != n || p.Items == nil {
			t.Errorf("%s: %d items, %v", path, len(p.Items), err)
		}
	}
	if live[0].Seconds != 0 {
		t.Error("the server changed the list it was given")
	}
	empty := start(t, Options{})
	if r := ask(t, empty, "GET", "/api/v1/calls"); string(r.body) != `{"items":[],"total":0}`+"\n" {
		t.Errorf("nobody to ask: %s", r.body)
	}
}

// Every resource is in the OpenAPI document, nothing else is, and the answers
// are as it says.
func TestOpenAPI(t *testing.T) {
	s := start(t, Options{Source: full(), Calls: CallsFunc(func() []CallView { return views(2) }),
		Registrations: RegistrationsFunc(func() []RegistrationView {
			return []RegistrationView{{User: "1001", Domain: "sip.example.com", Source: "203.0.113.77:40112", Transport: "tls", UserAgent: "baresip", Expires: call.Time{Time: t0}}}
		})})
	raw := ask(t, s, "GET", "/api/v1/openapi.json").body
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var paths struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Ref     string `json:"$ref"`
				Content map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(raw, &paths); err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, r := range s.routes() {
		there = append(there, r.path)
	}
	for p := range paths.Paths {
		if !slices.Contains(there, p) {
			t.Errorf("%s is in the document and not served", p)
		}
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(there, "/api/v1/calls?limit=x") {
		bare, _, _ := strings.Cut(p, "?")
		r := ask(t, s, "GET", p)
		op, ok := paths.Paths[bare]["get"]
		if !ok {
			t.Errorf("%s is not in the document", bare)
			continue
		}
		resp, ok := op.Responses[fmt.Sprint(r.status)]
		if !ok {
			t.Errorf("%s answers %d, which the document does not know", p, r.status)
			continue
		}
		at := "#/paths/" + strings.ReplaceAll(bare, "/", "~1") + fmt.Sprintf("/get/responses/%d", r.status)
		if resp.Ref != "" {
			at = resp.Ref
		}
		kind, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
		if resp.Ref == "" && resp.Content[kind] == nil {
			t.Errorf("%s answers with %s", p, kind)
			continue
		}
		if !strings.HasSuffix(kind, "json") {
			continue
		}
		schema, err := c.Compile("openapi.json" + at + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema")
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func scrape(t *testing.T, s *Server) (text string, names map[string]string) {
	t.Helper()
	r := ask(t, s, "GET", "/metrics")
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	names = map[string]string{}
	for sc := bufio.NewScanner(bytes.NewReader(r.body)); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) == 4 && f[1] == "TYPE" {
			names[f[2]] = f[3]
		}
	}
	return string(r.body), names
}

// The law: rampart_<package>_<noun>_<unit>, labels from closed sets.
func TestMetricNames(t *testing.T) {
	s := start(t, Options{Source: full(), Version: "0.1.0"})
	text, names := scrape(t, s)
	law := regexp.MustCompile(`^rampart_(sbc|sipx|media|alert|policy|ratelimit|tls|admin)(_[a-z0-9]+)+_(total|seconds|bytes|ratio|info|active|limit|mos)$`)
	labels := map[string]bool{"verdict": true, "method": true, "mode": true, "reason": true, "kind": true, "outcome": true, "protocol": true,
		"cause": true, "stream": true, "sink": true, "certificate": true, "side": true, "le": true, "version": true, "state": true, "peer": true}
	ours := 0
	for name, kind := range names {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		ours++
		if !law.MatchString(name) {
			t.Errorf("%s breaks the law", name)
		}
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
	}
	if ours < 25 {
		t.Errorf("only %d metrics of ours", ours)
	}
	for _, m := range regexp.MustCompile(`(?m)^rampart_\w+\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		for _, l := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(m[1], -1) {
			if !labels[l[1]] {
				t.Errorf("label %s", l[1])
			}
		}
	}
	for _, bad := range []string{"203.0.113.77", "EVIL"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q from the network became a label", bad)
		}
	}
	for _, want := range []string{
		`rampart_sbc_decisions_total{method="invite",mode="enforce",verdict="reject"} 1`,
		`rampart_sbc_decisions_total{method="invite",mode="shadow",verdict="reject"} 1`,
		`rampart_sbc_decisions_total{method="invite",mode="enforce",verdict="allow"} 1`,
		`rampart_sbc_decisions_total{method="invite",mode="enforce",verdict="abstain"} 0`,
		`rampart_sbc_decisions_total{method="other",mode="enforce",verdict="drop"} 1`,
		`rampart_sbc_refused_messages_total{reason="malformed"} 1`,
		`rampart_sbc_refused_messages_total{reason="other"} 1`,
		`rampart_sbc_calls_active 2`,
		`rampart_ratelimit_bans_active{kind="ban"} 7`,
		`rampart_ratelimit_bans_active{kind="hold"} 2`,
		`rampart_sbc_pbx_active{state="down"} 1`,
		`rampart_sbc_targets_active{peer="carrier-a",state="down"} 1`,
		`rampart_sbc_targets_active{peer="main",state="up"} 0`,
		`rampart_sbc_trunk_registrations_active{peer="carrier-a"} 1`,
		`rampart_media_refused_packets_total{cause="auth"} 4`,
		`rampart_ratelimit_gate_passed_total 9`,
		`rampart_ratelimit_gate_dropped_total{cause="source"} 3`,
		`rampart_sipx_junk_datagrams_total 11`,
		`rampart_sipx_evicted_connections_total 1`,
		`rampart_sipx_kernel_dropped_datagrams_total{side="public"} 12`,
		`rampart_alert_lost_lines_total{cause="queue_full",sink="/var/log/rampart/x.jsonl",stream="cdr"} 3`,
		`rampart_alert_degraded_sinks_active{sink="/var/log/rampart/x.jsonl",stream="alerts"} 1`,
		`rampart_tls_certificate_expiry_timestamp_seconds{certificate="server"} 1.767582378e+09`,
		`rampart_admin_build_info{version="0.1.0"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestMetricsSurvive(t *testing.T) {
	broken := full()
	broken.Media = func() Media { panic("boom") }
	// Two sinks of one name give one metric twice; the rest has to come all the same.
	broken.CDR = func() alert.CDRStats { return alert.CDRStats{Sinks: []alert.SinkStats{{Name: "x"}, {Name: "x"}}} }
	text, _ := scrape(t, start(t, Options{Source: broken}))
	if !strings.Contains(text, "rampart_sbc_calls_active 2") || strings.Contains(text, "rampart_media_") {
		t.Errorf("a broken part takes others along")
	}
	text, _ = scrape(t, start(t, Options{}))
	if !strings.Contains(text, "rampart_admin_build_info") {
		t.Errorf("nothing to read: %s", text)
	}
}

func TestPanicIsOneRequest(t *testing.T) {
	s := start(t, Options{Calls: CallsFunc(func() []CallView { panic("boom") })})
	if r := ask(t, s, "GET", "/api/v1/calls"); r.status != 500 || bytes.Contains(r.body, []byte("boom")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(t, s, "GET", "/healthz"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
}

// The server may cut the connection before its 431 has been read.
func TestHeaderCap(t *testing.T) {
	s := start(t, Options{})
	req, err := http.NewRequest("GET", "http://"+s.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of headers are answered with %d", res.StatusCode)
	}
}

// Idle connections take all the room: more are closed at once, and when
// one leaves there is room again.
func TestConnectionCap(t *testing.T) {
	s := start(t, Options{})
	var idle []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	extra, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	extra.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := extra.Read(make([]byte, 1)); err == nil || errors.Is(err, timeout(err)) {
		t.Errorf("one connection too many is kept: %v", err)
	}
	idle[0].Close()
	for end := time.Now().Add(5 * time.Second); ; {
		res, err := http.Get("http://" + s.Addr().String() + "/healthz")
		if err == nil {
			res.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// timeout gives err back if it is a timeout.
func timeout(err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return errors.New("no timeout")
}
