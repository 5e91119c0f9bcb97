package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// incidentOf is a finding of an incident.
func incidentOf(id string, at time.Time) fraud.Finding {
	return fraud.Finding{At: call.Time{Time: at}, First: call.Time{Time: at}, Count: 1, Incident: id, Detector: fraud.IDToll, Action: call.TollFraud, Severity: call.High,
		Subject: call.Subject{Kind: "user", Value: "1001"}, User: "1001", Account: "pbx", Reason: "costly calls", Numbers: []string{"+37120000001"}}
}

// run executes a command against the site's gateway.
func (s *site) run(args ...string) (code int, out string) {
	var stdout, stderr bytes.Buffer
	code = execute(append(args, "-c", filepath.Join(s.dir, "rampart.yaml")), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

// says runs a command and looks for texts in what it prints.
func (s *site) says(want int, texts []string, args ...string) {
	s.t.Helper()
	code, out := s.run(args...)
	if code != want {
		s.t.Errorf("%q: exit %d, want %d: %s", args, code, want, out)
	}
	for _, x := range texts {
		if !strings.Contains(out, x) {
			s.t.Errorf("%q: no %q in:\n%s", args, x, out)
		}
	}
}

// Incidents are listed, shown with their story, closed and released; what an
// operator does is told, and all of it outlives a restart.
func TestIncidents(t *testing.T) {
	t.Parallel()
	s := newSite(t, 121, "", "admin: {listen: off}", "admin: {listen: \"127.91.121.8:18221\"}")
	s.says(0, []string{"no incidents"}, "fraud", "list")
	s.says(0, []string{"nobody is held"}, "fraud", "holds")
	s.says(1, []string{"no incident"}, "fraud", "show", "nothing")

	now := time.Now()
	ping := fraud.Finding{At: call.Time{Time: now}, First: call.Time{Time: now}, Count: 1, Incident: "ping-1", Detector: fraud.IDPing, Action: call.PingCall, Severity: call.Medium,
		Subject: call.Subject{Kind: "from_prefix", Value: "+37120000"}, Reason: "short rings",
		Missed: []fraud.Missed{{At: call.Time{Time: now}, User: "1002", To: "+33123450002", From: "+37120000007"}}}
	toll := incidentOf("toll-1", now)
	toll.Lost, toll.PerMin, toll.Related = 3.5, 0.9, []string{"ping-1"}
	toll.Evidence = []call.Evidence{{Name: "usd_at_risk_hour", Value: 6.5, Threshold: 6.0}}
	toll.Do = []fraud.Do{{Act: call.ActHold, Key: call.Key{User: "1001"}, For: time.Hour, Rule: fraud.IDToll, Reason: "costly calls"}}
	again := toll
	again.Quiet, again.Count, again.Severity = true, 7, call.Critical
	old := incidentOf("old-1", now.Add(-3*time.Hour))
	s.g.found([]fraud.Finding{old, ping, toll, again})

	s.says(0, []string{"toll-1", "critical", `user "1001"`, "USD 3.50", "hold ×2", "ping-1", "cost USD 3.50 so far and 0.00 a minute"}, "fraud", "list")
	if _, out := s.run("fraud", "list"); strings.Contains(out, "old-1") {
		t.Errorf("what is over is listed: %s", out)
	}
	s.says(0, []string{"old-1", "over"}, "fraud", "list", "--all")
	s.says(0, []string{`"total": 2`, `"state": "open"`}, "fraud", "list", "--json", "--user", "1001", "--all")
	s.says(0, []string{"usd_at_risk_hour = 6.5 (threshold 6)", "7 findings", "+37120000001", "the same story", "ping-1"}, "fraud", "show", "toll-1")
	s.says(0, []string{"nobody should call back", "+37120000007 rang +33123450002 1002", "toll-1"}, "fraud", "show", "ping-1")
	s.says(0, []string{`user=1001`, "hold"}, "fraud", "holds")
	s.says(2, []string{"not both"}, "fraud", "close", "old-1", "--fraud", "--false-alarm")
	s.says(2, []string{"not both"}, "fraud", "release", "old-1", "--fraud", "--false-alarm")
	s.says(0, []string{"closed: toll-fraud"}, "fraud", "close", "old-1", "--fraud", "--note", "password changed")
	s.told(`"action":"admin-change"`, `"admin/incident-closed"`, "old-1", "as fraud", "password changed")

	s.g.close(time.Second)
	s.start()
	s.says(0, []string{"toll-1", "critical", "USD 3.50", "hold ×2", "ping-1"}, "fraud", "list")
	s.says(0, []string{"closed", "password changed"}, "fraud", "show", "old-1")
	if st, err := os.Stat(filepath.Join(s.dir, "state/incidents.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}

	s.says(0, []string{`released: costly calls of "user=1001"`}, "fraud", "release", "toll-1", "--false-alarm")
	if held := s.g.bans.List(time.Now()); len(held) != 0 {
		t.Errorf("still held: %+v", held)
	}
	s.told(`"admin/incident-closed"`, "toll-1", "as false-alarm", "released: 1 hold")

	const js = "application/json"
	for path, body := range map[string]string{"/api/v1/incidents/toll-1/close": `{"verdict": "perhaps"}`, "/api/v1/incidents/ping-1/close": `{"relese": true}`} {
		if code, v := s.ask("POST", path, body, "Content-Type", js); code != 400 {
			t.Error(path, code, v)
		}
	}
	for path, want := range map[string]int{"/api/v1/incidents?state=closed": 200, "/api/v1/incidents?state=odd": 400, "/api/v1/incidents?limit=x": 400, "/api/v1/incidents/none": 404} {
		if code, v := s.ask("GET", path, ""); code != want {
			t.Error(path, code, v)
		}
	}
	if code, v := s.ask("GET", "/api/v1/incidents?action=toll-fraud&limit=1", ""); code != 200 || v["total"] != 2.0 || len(v["items"].([]any)) != 1 || v["open"] != 1.0 {
		t.Error(code, v)
	}
	if code, _ := s.ask("POST", "/api/v1/incidents/none/close", `{}`, "Content-Type", js); code != 404 {
		t.Error(code)
	}
}

// The book has a cap, and what anybody can cause pushes nothing else out.
func TestIncidentsHaveACap(t *testing.T) {
	b := newIncidents()
	at := time.Unix(1e9, 0)
	b.enter(incidentOf("first", at), alert.Meta{})
	for i := range 3 * maxOfLimits {
		f := incidentOf(fmt.Sprint("limit-", i), at)
		f.Detector = "base/register-failures"
		b.enter(f, alert.Meta{})
	}
	if _, ok := b.find("first", at); !ok || b.limits.Len() != maxOfLimits || len(b.by) != maxOfLimits+1 {
		t.Errorf("%d incidents of limits, %d in all", b.limits.Len(), len(b.by))
	}
	f := incidentOf("first", at)
	for range 100 {
		for range 10 {
			f.Missed = append(f.Missed, fraud.Missed{At: call.Time{Time: at}})
			f.Related = append(f.Related, fmt.Sprint("r", len(f.Related)))
			f.Do = append(f.Do, fraud.Do{Act: call.ActHold, Key: call.Key{User: fmt.Sprint("u", len(f.Do))}})
		}
		b.enter(f, alert.Meta{})
	}
	x, _ := b.find("first", at)
	if len(x.Warn) != maxWarnings || len(x.Related) > maxBackLinks || len(x.Acts) > maxBackLinks {
		t.Errorf("%d missed, %d related, %d acts", len(x.Warn), len(x.Related), len(x.Acts))
	}
	for i := range maxIncidents + 10 {
		b.enter(incidentOf(fmt.Sprint("toll-", i), at), alert.Meta{})
	}
	if _, ok := b.find("first", at); ok || b.found.Len() != maxIncidents || len(b.by) != maxIncidents+maxOfLimits {
		t.Errorf("%d incidents, %d in all", b.found.Len(), len(b.by))
	}
}

// What is written is read back as it was, in its order; too much of it is not.
func TestIncidentsAreKept(t *testing.T) {
	b := newIncidents()
	at := time.Unix(1e9, 0)
	for i := range 5 {
		f := incidentOf(fmt.Sprint("x", i), at.Add(time.Duration(i)*time.Minute))
		f.Do = []fraud.Do{{Act: call.ActHold, Key: call.Key{User: "1001"}, For: time.Hour}}
		b.enter(f, alert.Meta{Node: "n"})
	}
	b.enter(incidentOf("x1", at), alert.Meta{Node: "n"})
	was := b.kept()
	raw, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	var read incidentFile
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	c := newIncidents()
	c.restore(append(read.Incidents, read.Incidents...))
	is := c.kept()
	again, _ := json.Marshal(is)
	if !bytes.Equal(raw, again) {
		t.Errorf("%s\n%s", raw, again)
	}
	if is.Incidents[0].ID != "x1" || is.Incidents[0].weight != call.High {
		t.Errorf("%+v", is.Incidents[0])
	}
	c = newIncidents()
	c.restore(slices.Repeat([]incident{{ID: "", Rule: fraud.IDToll}}, 10))
	many := make([]incident, maxIncidents+5)
	for i := range many {
		many[i] = incident{ID: fmt.Sprint(i), Rule: fraud.IDToll}
	}
	c.restore(many)
	if len(c.by) != maxIncidents {
		t.Errorf("%d", len(c.by))
	}
}

// A damaged book is put aside and told of; the gateway starts.
func TestDamagedIncidents(t *testing.T) {
	t.Parallel()
	s := newSite(t, 122, "")
	s.g.close(time.Second)
	s.write("state/incidents.json", `{"version": 1, "incidents": [{"id": "x`)
	s.start()
	s.waitAlert("incidents/not-loaded", "incidents.json.damaged")
	if n := len(s.g.incidents.list(time.Now(), nil)); n != 0 {
		t.Errorf("%d", n)
	}
}
