package trial_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/trial"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func set(t testing.TB, text string) *policy.Set {
	t.Helper()
	s, ps := policy.Compile([]policy.Source{{Name: "site.yaml", Data: []byte(text)}}, policy.Options{})
	if s == nil {
		t.Fatal(ps)
	}
	return s
}

func bench(t testing.TB, o trial.Options) *trial.Bench {
	t.Helper()
	b, err := trial.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func show(d call.Decision) string {
	s := d.Verdict.String()
	if d.Status != 0 {
		s += fmt.Sprint(" ", d.Status)
	}
	if d.Rule != "" {
		s += " " + d.Rule
	}
	return s
}

const french = `version: 1
home: {country: FR, outside_prefix: "0"}
countries: {default: deny, allow: [DE], classes: {premium_rate: deny}}
limits:
  - {id: site/calls, on: invite, match: {direction: outbound}, key: [user], concurrent: 2, then: reject 486}
  - {id: site/guesses, on: register, key: [source.ip, register.user], failures: 2, over: 5m, then: drop}
`

// Who is registered is known without escapes, as in the gateway.
func TestEscapedUser(t *testing.T) {
	b := bench(t, trial.Options{Set: set(t, "version: 1\nrules: [{id: a/user, on: [invite, register], match: {user: \"1020\"}, then: reject 403}]\n")})
	yes := true
	for _, r := range []trial.Request{{From: "10%320", To: "2000"}, {Method: "REGISTER", To: "10%320", Registered: &yes}} {
		if a, d, err := b.Judge(noon, r); err != nil || d.Rule != "a/user" || r.Method == "REGISTER" && a.RegisterUser != "1020" {
			t.Errorf("%s %v", trial.Verdict(d.Decision), err)
		}
	}
}

func TestFactsOfDescriptions(t *testing.T) {
	yes, no := true, false
	b := bench(t, trial.Options{Set: set(t, french), Own: []string{"+331990"},
		Geo: func(a netip.Addr) (string, uint) { return "DE", 64500 }})
	for _, c := range []struct {
		r    trial.Request
		want string
	}{
		{trial.Request{From: "1001", To: "00 49 30 123456"}, `INVITE phone public reg=true user=1001 outbound from=1001/extension to=+4930123456/international DE tls 192.0.2.1:5061 DE`},
		{trial.Request{From: "1001", To: "0004930123456"}, `INVITE phone public reg=true user=1001 outbound from=1001/extension to=+4930123456/international DE tls 192.0.2.1:5061 DE`},
		{trial.Request{From: "1001", To: "1002"}, `INVITE phone public reg=true user=1001 internal from=1001/extension to=1002/extension  tls 192.0.2.1:5061 DE`},
		{trial.Request{From: "sip:1001@sip.example.com", To: "sip:%2B4930123456@sip.example.com;user=phone"}, `INVITE phone public reg=true user=1001 outbound from=1001/extension to=+4930123456/international DE tls 192.0.2.1:5061 DE`},
		{trial.Request{From: "1001", To: "tel:+49-30-123456"}, `INVITE phone public reg=true user=1001 outbound from=1001/extension to=+4930123456/international DE tls 192.0.2.1:5061 DE`},
		{trial.Request{From: "1001", To: "urn:service:sos"}, `INVITE phone public reg=true user=1001 outbound from=1001/extension to=urn:service:sos/emergency  tls 192.0.2.1:5061 DE`},
		{trial.Request{Peer: "carrier-a", From: "4930123456", To: "33123456789"}, `INVITE carrier public reg=false user= inbound from=+4930123456/international to=+33123456789/national FR tls 192.0.2.1:5061 DE`},
		{trial.Request{PBX: "main", From: "+33123456789", To: "+4930123456"}, `INVITE pbx inside reg=false user=+33123456789 outbound from=+33123456789/national to=+4930123456/international DE udp 192.0.2.1:5061 `},
		{trial.Request{PBX: "main", From: "+4930123456", To: "1001"}, `INVITE pbx inside reg=false user=+4930123456 inbound from=+4930123456/international to=1001/extension  udp 192.0.2.1:5061 `},
		{trial.Request{Stranger: true, From: "1001", To: "+4930123456", Transport: "udp", Source: netip.MustParseAddr("::ffff:203.0.113.9"), Port: 4000, Country: "RU"},
			`INVITE stranger public reg=false user= internal from=1001/extension to=+4930123456/international DE udp 203.0.113.9:4000 RU`},
		{trial.Request{Method: "register", To: "1001"}, `REGISTER stranger public reg=false user= internal from=/invalid to=/invalid  tls 192.0.2.1:5061 DE`},
		{trial.Request{Method: "register", To: "1001", Registered: &yes}, `REGISTER phone public reg=true user=1001 internal from=/invalid to=/invalid  tls 192.0.2.1:5061 DE`},
		{trial.Request{Method: "register", To: "1001", Registered: &no}, `REGISTER stranger public reg=false user= internal from=/invalid to=/invalid  tls 192.0.2.1:5061 DE`},
		{trial.Request{Method: "message", Stranger: true, From: "x", To: "+4930123456"}, `MESSAGE stranger public reg=false user= outbound from=/invalid to=+4930123456/international DE tls 192.0.2.1:5061 DE`},
	} {
		a, err := b.Attempt(noon, c.r)
		if err != nil {
			t.Errorf("%+v: %v", c.r, err)
			continue
		}
		got := fmt.Sprintf("%s %s %s reg=%v user=%s %s from=%s/%s to=%s/%s %s %s %s %s", a.Method, a.PeerKind, a.Side, a.Source.Registered, a.User, a.Direction,
			a.From.Number, a.From.Kind, a.To.Number, a.To.Kind, a.To.Country, a.Source.Transport, a.Source.Addr, a.Source.Country)
		if got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.r, got, c.want)
		}
	}
	if a, _ := b.Attempt(noon, trial.Request{Peer: "carrier-a", From: "+33199012", To: "1001"}); !a.From.Own {
		t.Error("an own number from a carrier is not noticed")
	}
	named := bench(t, trial.Options{Set: set(t, french), Peers: []string{"carrier-a"}, PBXs: []string{}, Account: "main"})
	for _, r := range []trial.Request{{Peer: "carrier-b", To: "1"}, {PBX: "main", To: "1"}, {From: "1", To: "1", Route: "carrier-b"}} {
		if _, err := named.Attempt(noon, r); err == nil || !strings.Contains(err.Error(), "the configuration has no") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []trial.Request{{Peer: "carrier-a", To: "1"}, {From: "1001", To: "1"}} {
		if a, err := named.Attempt(noon, r); err != nil || a.Account != "main" {
			t.Errorf("%+v: %v", r, err)
		}
	}
	tech := bench(t, trial.Options{Set: set(t, french), Tech: map[string][]string{"carrier-a": {"99#"}, "carrier-b": nil}})
	for peer, want := range map[string]string{"carrier-a": "+33123456789", "carrier-b": ""} {
		if a, _ := tech.Attempt(noon, trial.Request{Peer: peer, From: "1", To: "99#33123456789"}); a.To.E164() != want {
			t.Errorf("%s: 99#33123456789 is %q", peer, a.To.E164())
		}
	}
	if _, err := trial.New(trial.Options{Set: set(t, french), Tech: map[string][]string{"carrier-a": {"no prefix"}}}); err == nil {
		t.Error("a tech prefix that is none is taken")
	}
	if a, _ := b.Attempt(noon, trial.Request{From: "+33199012", To: "1001"}); a.From.Own {
		t.Error("a phone with one of our numbers claims nothing")
	}
	for _, r := range []trial.Request{{Peer: "a", PBX: "b"}, {Peer: "a", Stranger: true}, {From: "1001", Registered: &no}} {
		if _, err := b.Attempt(noon, r); err == nil {
			t.Errorf("%+v: contradiction not found", r)
		}
	}
}

func TestJudge(t *testing.T) {
	b := bench(t, trial.Options{Set: set(t, french), Limits: ratelimit.PeerLimits("carrier-a", 1, 0)})
	ask := func(at time.Duration, r trial.Request, want string) *call.Attempt {
		t.Helper()
		a, d, err := b.Judge(noon.Add(at), r)
		if err != nil || show(d.Decision) != want {
			t.Errorf("%+v: %s, %v; want %s", r, show(d.Decision), err, want)
		}
		return a
	}
	germany := trial.Request{From: "1001", To: "+4930123456"}
	ask(0, trial.Request{From: "1001", To: "0033899123456"}, "reject 403 countries/class-denied")
	ask(0, trial.Request{From: "1001", To: "+18765550100"}, "reject 403 countries/denied")
	ask(0, trial.Request{Stranger: true, From: "1001", To: "1002"}, "reject 403 base/stranger")
	first := ask(0, germany, "allow")
	ask(0, germany, "allow")
	ask(time.Second, germany, "reject 486 site/calls")
	ask(time.Second, trial.Request{From: "1001", To: "112"}, "allow base/emergency")
	b.End(first.ID)
	ask(2*time.Second, germany, "allow")

	guess := trial.Request{Method: "REGISTER", To: "1001"}
	for range 2 {
		b.Answered(ask(time.Minute, guess, "allow"), 403)
	}
	ask(time.Minute, guess, "drop site/guesses")
	ask(10*time.Minute, guess, "allow")

	routed := trial.Request{From: "1002", To: "+4930123456", Route: "carrier-a"}
	ask(time.Hour, routed, "allow")
	routed.From = "1003"
	ask(time.Hour, routed, "reject 486 limits/peer-calls")
}

// Who dials a closed country again and again tries no numbers: calls that are
// refused are none that failed, here as in the gateway.
func TestRefusedCallsDidNotFail(t *testing.T) {
	b := bench(t, trial.Options{Set: set(t, `version: 1
home: {country: FR}
countries: {default: deny, allow: [DE]}
limits:
  - {id: site/failing, on: invite, match: {direction: outbound}, key: [user], failures: 2, over: 10m, then: reject 480}
`)})
	ask := func(to, want string) *call.Attempt {
		t.Helper()
		a, d, err := b.Judge(noon, trial.Request{From: "1001", To: to})
		if err != nil || show(d.Decision) != want {
			t.Errorf("%s: %s, %v; want %s", to, show(d.Decision), err, want)
		}
		return a
	}
	for range 5 {
		ask("+18765550100", "reject 403 countries/denied")
	}
	for range 2 {
		b.Answered(ask("+4930123456", "allow"), 404)
	}
	ask("+4930123456", "reject 480 site/failing")
}

// Passes of one call are counted once.
func TestPasses(t *testing.T) {
	b := bench(t, trial.Options{Set: set(t, french)})
	for i := range 3 {
		phone := trial.Request{From: "1001", To: "+4930123456", Call: fmt.Sprint("call ", i)}
		pbx := phone
		pbx.PBX, pbx.User = "main", "1001"
		for pass, r := range []trial.Request{phone, pbx} {
			a, d, err := b.Judge(noon, r)
			if err != nil || a.Pass != pass+1 || d.Permits() != (i < 2) {
				t.Errorf("call %d, pass %d: %s %v", i, a.Pass, show(d.Decision), err)
			}
		}
	}
}
