package trial_test

import (
	"testing"

	"github.com/rampart-sbc/rampart/trial"
)

// TestExceptedFromDetector: an exception lets calls go past what a detector does,
// for whom it names and nobody else; what is found is told all the same.
func TestExceptedFromDetector(t *testing.T) {
	s := set(t, `version: 1
home: {country: FR}
tests:
  - name: a user who may call back
    events:
      - {every: 1m, times: 5, invite: {peer: carrier-a, from: "+21671123456", to: "+3312345000{n}"}, ring: 2s, code: 487, expect: [{times: 4, findings: []}, {findings: fraud/ping-call}]}
      - {at: "+1h", invite: {from: "1001", to: "+21671123456"}, expect: {verdict: reject, rule: fraud/ping-call-callback, findings: [fraud/ping-call-callback, fraud/ping-call]}}
      - {at: "+2h", invite: {from: "1002", to: "+21671123456"}, expect: {verdict: allow, excepted: fraud/ping-call-callback}}
  - name: a user whose calls are not held
    events:
      - {every: 10s, times: 4, invite: {from: "1001", to: "+37120000000"}, ring: 1s, hangup: 5m, expect: [{times: 3, findings: []}, {findings: fraud/toll-fraud, effects: hold}]}
      - {at: "+10m", every: 10s, times: 4, invite: {from: "1002", to: "+37120000000"}, ring: 1s, hangup: 5m, expect: [{times: 3, findings: []}, {findings: fraud/toll-fraud, effects: []}]}
      - {at: "+20m", invite: {from: "1001", to: "+37120000000"}, expect: {rule: holds/costly-calls}}
      - {at: "+20m", invite: {from: "1002", to: "+37120000000"}, expect: allow}
detectors:
  - {id: fraud/ping-call}
  - {id: fraud/ping-call-callback, then: reject 403}
  - {id: fraud/toll-fraud, then: hold 1h}
exceptions:
  - {rule: fraud/ping-call-callback, match: {user: ["1002"], to: {country: [TN]}}, owner: alice}
  - {rule: fraud/toll-fraud, match: {user: ["1002"], to: {country: [LV]}}, owner: alice}
`)
	for _, r := range trial.RunAll(trial.Options{Set: s}, s.Tests(), nil).Results {
		for _, f := range r.Failures {
			t.Errorf("%s:\n%s", r.Test.Name, f.Text())
		}
	}
}
