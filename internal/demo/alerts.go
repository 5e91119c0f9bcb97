package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// alertLine is what the story reads of an alert.
type alertLine struct {
	raw   string
	Time  time.Time `json:"@timestamp"`
	Event struct {
		Action   string
		Severity int
		Reason   string
	}
	Rule    struct{ ID string }
	Rampart struct {
		Count     int
		ToE164    string `json:"to_e164"`
		ToCountry string `json:"to_country"`
		Verdict   string
		Subject   struct{ Kind, Value string }
	}
}

// readLines reads the whole lines of a file; a missing file has none.
func readLines(file string) [][]byte {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return nil
	}
	return bytes.Split(b[:end], []byte("\n"))
}

func readAlerts(file string) (out []alertLine, err error) {
	for _, line := range readLines(file) {
		a := alertLine{raw: string(line)}
		if e := json.Unmarshal(line, &a); e != nil {
			err = fmt.Errorf("alert %q: %w", line, e)
			continue
		}
		out = append(out, a)
	}
	return out, err
}

// expected are the alerts that the story must have raised.
var expected = []struct {
	text  string
	match func(alertLine) bool
}{
	{"the calls to Jamaica", func(a alertLine) bool { return a.Event.Action == "call-rejected" && a.Rampart.ToCountry == "JM" }},
	{"the call without TLS", func(a alertLine) bool { return a.Event.Action == "plaintext-refused" }},
	{"the call without SRTP", func(a alertLine) bool { return a.Event.Action == "srtp-refused" }},
	{"the burst", func(a alertLine) bool { return a.Rule.ID == "demo/burst" }},
	{"the calls to Italy that were cut", func(a alertLine) bool { return a.Event.Action == "spend-cap" }},
	{"countries one after the other", func(a alertLine) bool { return a.Rule.ID == "toll-fraud/countries-per-user" }},
	{"the hold on 1002", func(a alertLine) bool { return a.Event.Action == "account-held" }},
	{"the ping calls", func(a alertLine) bool { return a.Event.Action == "ping-call" }},
	{"the emergency call", func(a alertLine) bool { return a.Event.Action == "emergency-call" }},
}

// alerts shows what the operator sees.
func (w *world) alerts(ctx context.Context) {
	w.title("What the operator sees")
	file := filepath.Join(w.dir, "alerts.jsonl")
	var list []alertLine
	var err error
	missing := func() (out []error) {
		for _, e := range expected {
			found := false
			for _, a := range list {
				found = found || e.match(a)
			}
			if !found {
				out = append(out, fmt.Errorf("none for %s", e.text))
			}
		}
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, w.step/2)
	defer cancel()
	for {
		if list, err = readAlerts(file); len(missing()) == 0 {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			break
		}
	}
	w.expect(errors.Join(append(missing(), err)...), "there are alerts of %s", texts())
	for _, a := range list {
		w.sayf("           %s", a)
	}
	if len(list) > 0 {
		w.sayf("\n   One of them, as it goes to a SIEM:\n   %s", show(list).raw)
	}
	lines := readLines(filepath.Join(w.dir, "cdr.jsonl"))
	w.expect(when(len(lines) >= 20, "there are %d", len(lines)), "every call attempt left a record, the refused ones too (%d records)", len(lines))
}

func texts() string {
	var out []string
	for _, e := range expected {
		out = append(out, e.text)
	}
	return strings.Join(out[:len(out)-1], ", ") + " and " + out[len(out)-1]
}

// show picks the alert that is printed whole.
func show(list []alertLine) alertLine {
	for _, a := range list {
		if expected[0].match(a) {
			return a
		}
	}
	return list[0]
}

func (a alertLine) String() string {
	s := fmt.Sprintf("%s  %-18s %-24s", a.Time.Local().Format("15:04:05"), a.Event.Action, a.Rule.ID)
	if a.Rampart.Subject.Value != "" {
		s += " " + a.Rampart.Subject.Kind + " " + a.Rampart.Subject.Value
	}
	if a.Rampart.ToE164 != "" {
		s += " to " + a.Rampart.ToE164
	}
	if a.Rampart.Count > 1 {
		s += fmt.Sprintf(" (%d times)", a.Rampart.Count)
	}
	return s
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
