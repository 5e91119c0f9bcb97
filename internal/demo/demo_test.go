package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// The story says that one number is written in many ways; it must be one.
func TestRespelledIsOneNumber(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "GB"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append([]string{"0018765550100"}, respelled...) {
		if n := plan.Normalise(text, number.Dialled); n.Canonical != "+18765550100" || n.Country != "JM" {
			t.Errorf("%s is %+v", text, n)
		}
	}
}

func TestRulesCompile(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "GB"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	set, ps := policy.Compile([]policy.Source{{Name: "demo.yaml", Data: []byte(rules)}}, policy.Options{Plan: plan})
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	if ls := set.Limits(); len(ls) != 1 || ls[0].ID != "demo/burst" {
		t.Errorf("limits %+v", ls)
	}
}

func TestConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	w := &world{dir: dir}
	var err error
	if w.ports, err = freePorts(); err != nil {
		t.Fatal(err)
	}
	keys, err := newAuthority(carrierName)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.write(filepath.Join(dir, "carrier-ca.pem")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "demo.yaml"), []byte(rules), 0o600)
	os.WriteFile(filepath.Join(dir, "rates.csv"), []byte(rates), 0o600)
	file := filepath.Join(dir, "rampart.yaml")
	os.WriteFile(file, []byte(w.config()), 0o600)
	cfg, ps := config.Load(file, config.ThisHost())
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Peers) != 2 || len(cfg.PolicyFiles) != 1 || cfg.State != filepath.Join(dir, "state") {
		t.Errorf("read as %+v", cfg)
	}
}

// A gateway that does not start, or does nothing, must fail the story.
func TestRunFails(t *testing.T) {
	broken := errors.New("port in use")
	err := Run(t.Context(), Options{Out: new(strings.Builder), Start: func(string) (*Gateway, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	var out strings.Builder
	closed := 0
	err = Run(t.Context(), Options{Out: &out, step: 200 * time.Millisecond, Start: func(file string) (*Gateway, error) {
		return &Gateway{CA: filepath.Join(filepath.Dir(file), "carrier-ca.pem"), Close: func() { closed++ }}, nil
	}})
	if err == nil || !strings.Contains(out.String(), "FAILED") || strings.Contains(out.String(), "All ") || closed != 1 {
		t.Errorf("error %v, closed %d times, story:\n%s", err, closed, out.String())
	}
}

func TestRefusal(t *testing.T) {
	forbidden := &siptest.Refused{Response: &siptest.Message{Code: 403, Reason: "Forbidden"}}
	if refusal(forbidden, 401, 403) != nil || refusal(nil, 403) == nil || refusal(forbidden, 488) == nil || refusal(context.Canceled, 403) == nil {
		t.Error("refusal")
	}
}

func TestAlertLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alerts.jsonl")
	os.WriteFile(file, []byte(`{"@timestamp":"2026-01-05T03:06:18.728Z","event":{"action":"call-rejected","severity":73},"rule":{"id":"countries/denied"},`+
		`"rampart":{"count":7,"to_e164":"+18765550100","to_country":"JM","subject":{"kind":"user","value":"1001"}}}`+"\n{\"half"), 0o600)
	list, err := readAlerts(file)
	if err != nil || len(list) != 1 || !expected[0].match(list[0]) {
		t.Fatal(list, err)
	}
	if s := list[0].String(); !strings.Contains(s, "call-rejected      countries/denied         user 1001 to +18765550100 (7 times)") {
		t.Error(s)
	}
}
