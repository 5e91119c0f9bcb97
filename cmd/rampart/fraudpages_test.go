package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Pages about detectors show calls and what the detectors say of them. The
// calls are played to the detectors as an office in GB has them, without a rate
// deck, and the rest of the example is made from the code.
//
//	[DAY] TIME in|out|register KEY VALUE… [times N every DURATION]
//
// {n} in a value is the number of the repetition.
func TestFraudPages(t *testing.T) {
	pages, _ := filepath.Glob("../../docs/fraud-*.md")
	examples := 0
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		next := pageExample.ReplaceAllFunc(page, func(all []byte) []byte {
			m := pageExample.FindSubmatch(all)
			examples++
			evs := pageEvents(t, string(m[2]))
			told, first := pageFindings(t, evs, strings.TrimSpace(string(m[4])))
			return slices.Concat(m[1], m[2], m[3], m[4], m[5], []byte(told), m[7], []byte(first), m[9])
		})
		if *updateDocs {
			if err := os.WriteFile(path, next, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if string(next) != string(page) {
			t.Errorf("%s does not show what the detectors say of its calls; go test ./cmd/rampart -run TestFraudPages -update-docs makes\n%s", path, next)
		}
	}
	if examples < 3 {
		t.Errorf("%d examples: the test looks in the wrong place", examples)
	}
}

var pageExample = regexp.MustCompile("(?s)(```text calls\n)(.*?)(```\n\n<!-- told of )([a-z-]+)( -->\n```text\n)(.*?)(```\n\n[^\n]*\n\n```json\n)(.*?)(```\n)")

// pageEvents are the events of the calls that a page shows.
func pageEvents(t *testing.T, text string) (evs []call.Event) {
	t.Helper()
	n := 0
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		day := 0
		if d, err := strconv.Atoi(words[0]); err == nil {
			day, words = d, words[1:]
		}
		at, err := time.Parse("15:04:05", words[0])
		if err != nil || len(words)%2 != 0 {
			t.Fatalf("%q: %v", line, err)
		}
		begin := time.Date(2026, 3, 2+day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		kv := map[string]string{}
		for i := 2; i < len(words); i += 2 {
			kv[words[i]] = words[i+1]
		}
		times, every := max(int(pageNumber(t, kv["times"])), 1), time.Duration(0)
		if kv["every"] != "" {
			if every, err = time.ParseDuration(kv["every"]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range times {
			n++
			one := map[string]string{}
			for k, v := range kv {
				one[k] = strings.ReplaceAll(v, "{n}", fmt.Sprintf("%03d", i))
			}
			evs = append(evs, pageCall(t, fmt.Sprintf("call-%03d", n), words[1], begin.Add(time.Duration(i)*every), one)...)
		}
	}
	slices.SortStableFunc(evs, func(a, b call.Event) int { return a.At.Compare(b.At.Time) })
	return evs
}

func pageNumber(t *testing.T, v string) float64 {
	if v == "" {
		return 0
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func pageCall(t *testing.T, id, kind string, begin time.Time, kv map[string]string) (evs []call.Event) {
	add := func(after float64, ev call.Event) {
		ev.ID, ev.At = id, call.Time{Time: begin.Add(time.Duration(after * float64(time.Second)))}
		evs = append(evs, ev)
	}
	ev := call.Event{Kind: call.EventInvite, Account: "main", Peer: "carrier-a", User: kv["user"], From: kv["from"], To: kv["to"], Source: "198.51.100.7",
		SourceCountry: kv["country"], Diversion: kv["diverted"], UserAgent: kv["agent"]}
	if kv["source"] != "" {
		ev.Source = kv["source"]
	}
	code := int(pageNumber(t, kv["code"]))
	switch kind {
	case "in":
		ev.Direction = call.Inbound.String()
	case "out":
		ev.Direction = call.Outbound.String()
	case "register":
		ev.Kind, ev.Peer = call.EventRegister, ""
		if ev.Code = code; code == 0 {
			ev.Code = 200
		}
		add(0, ev)
		return evs
	default:
		t.Fatalf("%q is no call", kind)
	}
	add(0, ev)
	ring, talk := pageNumber(t, kv["ring"]), pageNumber(t, kv["talk"])
	if ring > 0 {
		add(.1, call.Event{Kind: call.EventRinging})
	}
	if talk > 0 {
		add(.1+ring, call.Event{Kind: call.EventAnswer})
	}
	by := call.ByCaller
	if kv["by"] != "" {
		by = call.EndedBy(kv["by"])
	}
	switch {
	case code != 0:
	case talk > 0:
		code = 200
	default:
		code = 487
	}
	add(.1+ring+talk, call.Event{Kind: call.EventEnd, Code: code, EndedBy: by, RingSeconds: &ring, Seconds: &talk})
	return evs
}

// What has nothing in it but values stands on one line.
var (
	leaf = regexp.MustCompile(`[{\[]\n[^{}\[\]]*[}\]]`)
	gap  = regexp.MustCompile(`\n *`)
)

// pageFindings are a line for each thing that is told, and the first alert of
// the detector that the page is about.
func pageFindings(t *testing.T, evs []call.Event, id string) (told, first string) {
	e := fraud.New(fraud.Defaults("office"), fraud.DefaultRates("GB", number.Builtin()))
	var fs []fraud.Finding
	for _, ev := range evs {
		fs = append(fs, e.Observe(ev)...)
	}
	fs = append(fs, e.Flush()...)
	for _, f := range fs {
		if f.Quiet {
			continue
		}
		told += fmt.Sprintf("%s %s %s %s: %s\n", f.At.Format("2 15:04:05"), f.Action, f.Severity, f.Subject.Value, f.Reason)
		if first != "" || f.Detector != "fraud/"+id {
			continue
		}
		a := alert.FromFinding(f, alert.Meta{Node: "sbc-1", Version: "1.0"})
		a.Event.ID = "01KJQ6Z3NB" // the bus gives each its own
		b, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		first = leaf.ReplaceAllStringFunc(string(b), func(s string) string {
			if one := gap.ReplaceAllString(s, " "); len(one) < 120 {
				return one
			}
			return s
		}) + "\n"
	}
	if first == "" {
		t.Errorf("no %s is found", id)
	}
	return told, first
}
