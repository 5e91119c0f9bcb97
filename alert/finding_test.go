package alert

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

func tollFinding() fraud.Finding {
	return fraud.Finding{At: call.Time{Time: t0}, Incident: "f3k2-mk0qz6dk", Detector: fraud.IDToll, Action: call.TollFraud, Severity: call.High,
		Subject: call.Subject{Kind: "user", Value: "1001"}, Account: "main", User: "1001", Source: "203.0.113.77", CallID: "01JGT7", From: "1001", To: "+37120000001",
		Reason:   "calls to LV (high-risk) at USD 0.45 a minute that do not fit this user",
		Evidence: []call.Evidence{{Name: "usd_at_risk_hour", Value: 6.1, Threshold: 6.0}, {Name: "quiet_hour", Value: true}},
		Numbers:  []string{"+37120000001", "+37120000002"}, Calls: []string{"01JGT6", "01JGT7"}, Lost: 1.2345, PerMin: 0.9,
		Related: []string{"a8d1-mk0q0000"}, Count: 3, First: call.Time{Time: t0.Add(-90 * time.Second)},
		Do: []fraud.Do{{Act: call.ActHangup, Calls: []string{"01JGT6", "01JGT7"}, Rule: fraud.IDToll},
			{Act: call.ActHold, Key: call.Key{User: "1001"}, For: time.Hour, Rule: fraud.IDToll}}}
}

func pingFinding() fraud.Finding {
	return fraud.Finding{At: call.Time{Time: t0}, Incident: "b0c4-mk0qz6dk", Detector: fraud.IDPing, Action: call.PingCall, Severity: call.Medium,
		Subject: call.Subject{Kind: "from_prefix", Value: "+37120000"}, Account: "main", Peer: "carrier-a", CallID: "01JGT5", From: "+37120000001", To: "+33123450001",
		Reason: "6 of 6 calls from this block rang for less than 6s and were gone", Count: 1, First: call.Time{Time: t0},
		Numbers: []string{"+37120000007", "+37120000001"}, Calls: []string{"01JGT4", "01JGT5"},
		Missed: []fraud.Missed{{At: call.Time{Time: t0.Add(-time.Minute)}, User: "1002", To: "+33123450002", From: "+37120000007"},
			{At: call.Time{Time: t0}, To: "+33123450001", From: "+37120000001"}}}
}

func TestFromFinding(t *testing.T) {
	if e := FromFinding(fraud.Finding{Detector: "a/b"}, meta); !e.IsZero() {
		t.Errorf("a finding without action made %+v", e)
	}
	f := tollFinding()
	e := FromFinding(f, meta)
	if e.Rampart.Mode != "enforce" || e.Rampart.Loss.SoFar != 1.23 || e.Rampart.Loss.Currency != "USD" || e.Source.IP != "203.0.113.77" || e.Source.Port != 0 {
		t.Errorf("%+v %+v", e.Rampart, e.Source)
	}
	if f.Quiet = true; !FromFinding(f, meta).IsZero() {
		t.Error("what was told a moment ago is told again")
	}
	f.Quiet = false
	f.Do[1].Shadow = true
	if e := FromFinding(f, meta); e.Rampart.Mode != "shadow" || e.Rampart.Acts[0].Mode != "enforce" || e.Rampart.Acts[1].Mode != "shadow" {
		t.Errorf("shadow: %+v", e.Rampart)
	}
	// An update is another line of the same incident.
	g := f
	g.Count++
	if a, b := FromFinding(f, meta), FromFinding(g, meta); a.ID() == b.ID() || a.Rampart.Incident != b.Rampart.Incident || FromFinding(f, meta).ID() != a.ID() {
		t.Error("ids of an incident's lines")
	}
	// Without a subject, calls or source it is still a line.
	valid(t, compile(t, "alert"), line(t, FromFinding(fraud.Finding{Action: call.FalseAnswer, Source: "not an address", Lost: math.NaN(), PerMin: -1}, Meta{})))
}

func line(t *testing.T, e Event) []byte {
	t.Helper()
	b, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What somebody on the network chose has a cap in every field of a finding.
func TestFindingLineHasACap(t *testing.T) {
	long := strings.Repeat("\x00", 100_000)
	f := fraud.Finding{At: call.Time{Time: t0}, Incident: long, Detector: long, Action: call.TollFraud, Severity: 99, Subject: call.Subject{Kind: "user", Value: long},
		Account: long, User: long, Peer: long, Source: long, CallID: long, From: "+" + long, To: "+" + long, Reason: long, Count: 1, First: call.Time{Time: t0}, Lost: math.Inf(1)}
	for range 1000 {
		f.Numbers, f.Calls, f.Related = append(f.Numbers, long), append(f.Calls, long), append(f.Related, long)
		f.Missed = append(f.Missed, fraud.Missed{User: long, To: long, From: long})
		f.Evidence = append(f.Evidence, call.Evidence{Name: long, Value: long, Threshold: long})
		f.Do = append(f.Do, fraud.Do{Act: call.ActHold, Key: call.Key{User: long}})
	}
	b := line(t, FromFinding(f, meta))
	valid(t, compile(t, "alert"), b)
	if len(b) > maxLine {
		t.Errorf("%d bytes", len(b))
	}
}

// A finding is not folded into the refusal that the same detector made of the
// same call, and each incident is told at once.
func TestFindingsGoOutAtOnce(t *testing.T) {
	m := &memory{name: "m"}
	b := NewBus(Options{Meta: meta, Window: time.Hour}, m)
	f := tollFinding()
	a := attempt()
	b.Publish(FromDecision(a, call.Decision{Verdict: call.Reject, Status: 403, Rule: f.Detector, Action: f.Action, Subject: f.Subject}, meta))
	b.Publish(FromFinding(f, meta))
	f.Incident = "another"
	b.Publish(FromFinding(f, meta))
	if st := b.Stats(); st.Published != 3 || st.Coalesced != 0 {
		t.Errorf("%+v", st)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(m.data(), []byte("\n")); got != 3 {
		t.Errorf("%d lines", got)
	}
}

// A refusal names the incident that it is because of; a rule of a site cannot
// make it look so.
func TestRefusalsNameTheirIncident(t *testing.T) {
	d := call.Decision{Verdict: call.Reject, Status: 603, Rule: fraud.IDCallback, Action: call.PingCallCallback, Evidence: []call.Evidence{{Name: "incident", Value: "b0c4-mk0qz6dk"}}}
	if e := FromDecision(attempt(), d, meta); len(e.Rampart.Related) != 1 || e.Rampart.Related[0] != "b0c4-mk0qz6dk" {
		t.Errorf("%q", e.Rampart.Related)
	} else {
		valid(t, compile(t, "alert"), line(t, e))
	}
	d.Rule = "site/x"
	if e := FromDecision(attempt(), d, meta); e.Rampart.Related != nil {
		t.Errorf("%q", e.Rampart.Related)
	}
}
