package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// A gateway that is killed knows after its start who pinged, whose calls are
// held, and what was found: ids go on, a call back is part of the story.
func TestFraudOutlivesAKill(t *testing.T) {
	t.Parallel()
	const pinger = "+22507010203"
	w := newTrunks(t, 1, "policy: {use: [base, countries, scanners, ping-call, toll-fraud]}\n")
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_ring"})
	for i := range 8 {
		w.in(peers.Scenario{Name: "uac_cancel", From: pinger, Service: fmt.Sprintf("+33199001%03d", i)}).Success()
	}
	ping := w.waitLine("alerts.jsonl", "event.action", "ping-call")
	id := ping.str("rampart.incident")
	w.post("/api/v1/bans", `{"kind": "hold", "user": "1002", "why": "test"}`)
	peers.Eventually(t, soon, "what was found on the disk", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "state", "fraud.state"))
		return err == nil && strings.Contains(w.read("state/incidents.json"), id) && strings.Contains(w.read("state/bans.json"), "1002")
	})
	w.gw.Kill()
	config, err := os.ReadFile(w.gw.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.gw = peers.StartGateway(t, w.dir, string(config), w.hosts)
	if x := w.incident(id); x.State != "open" || len(x.Missed) == 0 || x.Missed[0].From != pinger {
		t.Errorf("the incident is %+v", x)
	}
	if bans := w.get("/api/v1/bans"); !strings.Contains(bans, "user=1002") {
		t.Errorf("the hold is gone: %s", bans)
	}
	pbx.Stop() // it makes a call itself, from the same ports
	w.out(peers.Scenario{Name: "uac_any", Service: pinger}).Success()
	back := w.waitLine("alerts.jsonl", "event.action", "ping-call-callback", "rule.id", "fraud/ping-call-callback", "rampart.verdict", "abstain").str("rampart.incident")
	if x := w.incident(back); !slices.ContainsFunc(w.pingCalls(), func(id string) bool { return slices.Contains(x.Related, id) }) {
		t.Errorf("the call back is of another story: %+v, ping calls %q", x, w.pingCalls())
	}
	// The story goes on under the same id.
	w.pbxAnswers(peers.Scenario{Name: "uas_ring"})
	for i := range 3 {
		w.in(peers.Scenario{Name: "uac_cancel", From: pinger, Service: fmt.Sprintf("+33199002%03d", i)}).Success()
	}
	w.post("/api/v1/incidents/"+id+"/close", `{"verdict": "fraud", "release": true}`)
	if x := w.incident(id); x.State != "closed" {
		t.Errorf("%+v", x)
	}
	w.waitLine("alerts.jsonl", "event.action", "admin-change", "rule.id", "admin/incident-closed")
	for _, a := range w.lines("alerts.jsonl", "rampart.subject.value", ping.str("rampart.subject.value"), "rule.id", ping.str("rule.id")) {
		if got := a.str("rampart.incident"); got != id {
			t.Errorf("incident %s became %s", id, got)
		}
	}
}

// pingCalls are the incidents of ping calls that were told.
func (w *world) pingCalls() (ids []string) {
	for _, a := range w.lines("alerts.jsonl", "event.action", "ping-call", "rule.id", "fraud/ping-call") {
		if id := a.str("rampart.incident"); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// story is an incident as the API shows it.
type story struct {
	State   string
	Count   int
	Related []string
	Missed  []struct{ From, To string } `json:"missed_calls"`
}

func (w *world) incident(id string) (s story) {
	w.tb.Helper()
	if err := json.Unmarshal([]byte(w.get("/api/v1/incidents/"+id)), &s); err != nil {
		w.tb.Fatal(err)
	}
	return s
}

func (w *world) post(path, body string) {
	w.tb.Helper()
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Post("http://"+w.admin()+path, "application/json", strings.NewReader(body))
	if err != nil {
		w.tb.Fatalf("POST %s: %v", path, err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		w.tb.Fatalf("POST %s: %s", path, r.Status)
	}
}
