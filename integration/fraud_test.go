package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// detecting is a configuration in which detectors act at once, at round prices.
func detecting(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rates.csv": "prefix,code,usd_per_min,class\n33,FR,0.01,home\n371,LV,6,high\n225,CI,0.6,high\n",
		"site.yaml": `version: 1
detectors:
  - {id: fraud/spend-cap, then: hangup, mode: enforce, user: 0.75}
  - {id: fraud/costly-calls-cap, then: flag, per_minute: 1, calls: 2}
  - {id: fraud/ping-call, then: flag}
  - {id: fraud/ping-call-callback, then: reject 403, mode: enforce}
  - {id: fraud/toll-fraud, then: flag}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("rates: %q\npolicy: {use: [base, scanners], files: [%q]}\n", filepath.Join(dir, "rates.csv"), filepath.Join(dir, "site.yaml"))
}

// again starts a gateway that was killed.
func (w *trunks) again(t *testing.T) {
	t.Helper()
	config, err := os.ReadFile(w.gw.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.gw = peers.StartGateway(t, w.dir, string(config), w.hosts)
}

// code is how a single call of the PBX is answered.
func (w *trunks) code(from, to string) (code int) {
	w.tb.Helper()
	for c, n := range w.out(peers.Scenario{Name: "uac_any", From: from, Service: to}).Success().Final {
		if n > 0 {
			code = c
		}
	}
	return code
}

// An extension whose password is known calls Latvia three times at once, while
// a colleague talks to Paris. What the three may cost is used up together: both
// ends of each get a BYE that says why, and everything else goes on. It stays
// so when the gateway is killed.
func TestCostlyCallsAreCutAtTheCap(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, detecting(t))
	seen := peers.StartCapture(t, w.net)
	w.carrierAnswers(0, peers.Scenario{Name: "uas_answer"})
	honest := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_call", Addr: w.pbxAddr, Port: 5090, To: w.udp(), From: "1002", Service: "+33123456789", Hold: 5 * time.Second, Args: []string{"-mp", "17000"}})
	w.out(peers.Scenario{Name: "uac_wait", From: "1001", Service: "+37120000001", Calls: 3, Rate: 20}).Success()

	told := w.waitLine("alerts.jsonl", "event.action", "spend-cap", "rule.id", "fraud/spend-cap", "rampart.mode", "enforce")
	if !told.is("rampart.subject.kind", "user", "rampart.subject.value", "1001", "rampart.loss.so_far", "0.75", "rampart.loss.per_minute", "18") {
		t.Errorf("told: %v", told)
	}
	peers.Eventually(t, soon, "three records of calls that were cut", func() bool {
		return len(w.lines("cdr.jsonl", "rule", "fraud/spend-cap", "ended_by", "gateway", "user", "1001")) == 3
	})
	total := 0
	for _, r := range w.lines("cdr.jsonl", "rule", "fraud/spend-cap", "ended_by", "gateway") {
		ms, _ := strconv.Atoi(r.str("duration_ms"))
		total += ms
	}
	// USD 0.75 at USD 6 a minute are 7.5 s of talk.
	t.Logf("talked %d ms in all for USD 0.75, USD %.4f", total, float64(total)/60_000*6)
	if total < 7490 {
		t.Errorf("cut too early: %d ms", total)
	}
	for name, at := range map[string]func(peers.Packet) bool{"PBX": peers.Received(w.pbxAddr), "carrier": peers.Received(w.carriers[0])} {
		byes := seen.Packets(func(p peers.Packet) bool {
			return at(p) && strings.HasPrefix(string(p.Payload), "BYE ") && strings.Contains(string(p.Payload), `Reason: SIP;cause=403;text="fraud/spend-cap"`)
		})
		if len(byes) < 3 {
			t.Errorf("the %s got %d BYEs with the reason", name, len(byes))
		}
	}
	w.waitLine("alerts.jsonl", "event.action", "costly-calls-cap", "rule.id", "fraud/costly-calls-cap", "rampart.subject.value", "main")
	w.waitLine("alerts.jsonl", "event.action", "call-ended", "rule.id", "fraud/spend-cap")
	if m := w.get("/metrics"); !strings.Contains(m, `rampart_fraud_acts_total{act="hangup",mode="enforce"} 3`) {
		t.Error("the metrics do not count three calls ended")
	}
	honest.Success()
	if got := w.lines("cdr.jsonl", "user", "1002", "ended_by", "caller", "code", "200"); len(got) != 1 {
		t.Errorf("the call to Paris: %v", got)
	}
	w.capHolds()
	peers.Eventually(t, soon, "what was spent on the disk", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "state", "fraud.state"))
		return err == nil && strings.Contains(w.read("state/incidents.json"), told.str("rampart.incident"))
	})
	w.gw.Kill()
	w.again(t)
	w.capHolds()
	w.post("/api/v1/incidents/"+told.str("rampart.incident")+"/close", `{"verdict": "false-alarm", "release": true}`)
	if code := w.code("1001", "+37120000001"); code != 200 {
		t.Errorf("after the release Latvia is %d", code)
	}
}

// capHolds: 1001 can call home and nowhere that costs; others can.
func (w *trunks) capHolds() {
	w.tb.Helper()
	for _, c := range []struct {
		from, to string
		want     int
	}{{"1001", "+37120000001", 403}, {"1001", "+22507010203", 403}, {"1001", "+33123456789", 200}, {"1002", "+37120000001", 200}} {
		if code := w.code(c.from, c.to); code != c.want {
			w.tb.Errorf("%s calls %s: %d, want %d", c.from, c.to, code, c.want)
		}
	}
}

// A number in Ivory Coast rings for a moment at one of our numbers after the
// other, beside calls of customers. It is told at the fifth; who calls it back is
// refused, also after the gateway was killed, and who calls anybody else is not.
func TestCallBackToAPingIsRefused(t *testing.T) {
	t.Parallel()
	const pinger = "+22507010203"
	w := newTrunks(t, 1, detecting(t))
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_ring"})
	for i := range 5 {
		if n := len(w.lines("alerts.jsonl", "event.action", "ping-call")); n != 0 {
			t.Errorf("%d alerts after %d calls", n, i)
		}
		w.in(peers.Scenario{Name: "uac_cancel", From: pinger, Service: fmt.Sprintf("+33199001%03d", i)}).Success()
	}
	ping := w.waitLine("alerts.jsonl", "event.action", "ping-call", "rule.id", "fraud/ping-call", "rampart.from_e164", pinger)
	if n := ping.str("rampart.incident_count"); n != "1" && n != "" {
		t.Errorf("told after %s findings: %v", n, ping)
	}
	pbx.Stop()
	w.carrierAnswers(0, peers.Scenario{Name: "uas_answer"})
	back := func() {
		t.Helper()
		if code := w.code("1001", pinger); code != 403 {
			t.Errorf("a call back: %d", code)
		}
		if code := w.code("1001", "+33123456789"); code != 200 {
			t.Errorf("a call to Paris: %d", code)
		}
	}
	back()
	w.waitLine("alerts.jsonl", "event.action", "ping-call-callback", "rampart.verdict", "reject")
	w.waitLine("cdr.jsonl", "rule", "fraud/ping-call-callback", "code", "403")
	peers.Eventually(t, soon, "what was found on the disk", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "state", "fraud.state"))
		return err == nil && strings.Contains(w.read("state/incidents.json"), ping.str("rampart.incident"))
	})
	w.replays(t, ping.str("rampart.incident"))
	w.gw.Kill()
	w.again(t)
	back()
}

// replays: a replay of what the gateway recorded finds the incidents that it
// found, by the same ids.
func (w *trunks) replays(t *testing.T, want string) {
	t.Helper()
	live := w.found("alerts.jsonl")
	if !slices.Contains(live, "fraud/ping-call "+want) {
		t.Fatalf("live: %v", live)
	}
	// The last of the detectors' findings is that of the call back, and it is told
	// after its events are written.
	out := filepath.Join(w.dir, "replayed.jsonl")
	c := exec.CommandContext(t.Context(), peers.Program(t), "replay", filepath.Join(w.dir, "events.jsonl"), "-c", w.gw.Config, "--alerts", out)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("replay: %v\n%s", err, text)
	}
	if got := w.found("replayed.jsonl"); !slices.Equal(got, live) {
		t.Errorf("live: %v\nreplayed: %v", live, got)
	}
}

// found lists the incidents of detectors in a file of alerts.
func (w *trunks) found(file string) (ids []string) {
	for _, l := range w.lines(file, "rule.ruleset", "fraud") {
		if id := l.str("rampart.incident"); id != "" {
			ids = append(ids, l.str("rule.id")+" "+id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
