package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/alert"
)

const replayed = `{"at":"2026-01-05T09:00:00Z","event":"invite","id":"a","direction":"outbound","account":"main","user":"1001","from":"1001","to":"+442079460000","source":"192.0.2.7"}
{"at":"2026-01-05T09:00:02Z","event":"answer","id":"a"}
{"at":"2026-01-05T09:01:02Z","event":"end","id":"a","code":200,"ended_by":"caller","ring_seconds":2,"seconds":60}
nonsense
{"at":"2026-01-05T09:02:00Z","event":"invite","id":"b","direction":"outbound","account":"main","user":"1002","from":"1002","to":"+18765550100","source":"198.51.100.9"}
{"at":"2026-01-05T09:02:02Z","event":"answer","id":"b"}
{"at":"2026-01-05T09:04:02Z","event":"end","id":"b","code":200,"ended_by":"caller","ring_seconds":2,"seconds":120}
`

func TestReplayCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	events, alerts := write("events.jsonl", replayed), filepath.Join(dir, "alerts.jsonl")
	write("new/a.yaml", "version: 1\nrules: [{id: site/no-1002, on: invite, match: {user: [\"1002\"]}, then: reject 403}]\n")
	write("old/a.yaml", "version: 1\nrules: [{id: site/no-1001, on: invite, match: {user: [\"1001\"]}, then: reject 403}]\n")
	geo := write("geo.csv", "cidr,country\n198.51.100.0/24,NL\n")
	rates := write("rates.csv", "prefix,code,usd_per_min,class\n44,GB,0.01,home\n1876,JM,2,high\n")
	labels := write("labels.jsonl", `{"id":"x","ids":["b"]}`)
	for _, c := range []struct {
		args []string
		code int
		out  []string
	}{
		{[]string{"--home", "GB"}, 0, []string{"6 events, 2 calls, 2 answered", "events.jsonl:4: invalid character", "newly refused: 1\n", "countries/denied"}},
		{[]string{"--home", "GB", "--rates", rates, "--geo", geo, "--labels", labels, "--alerts", alerts}, 0, []string{"countries/denied (4.00)", "money: 4.01 spent; kept: 4.00 by refusing", "labelled: "}},
		{[]string{"--home", "GB", "--policy", filepath.Join(dir, "new"), "--against", filepath.Join(dir, "old"), "--profile", "call-centre"}, 0, []string{"refused 1, before 2", "newly allowed: 1\n       1  site/no-1001"}},
		{[]string{"--home", "XX"}, 2, []string{"home: "}},
		{[]string{"--profile", "bank"}, 2, []string{"no profile \"bank\""}},
		{[]string{"--home", "GB", "-c", "rampart.yaml"}, 2, []string{"-c brings its own"}},
		{[]string{"--rates", geo}, 1, []string{"--rates: ", "no column"}},
		{[]string{"--geo", rates}, 1, []string{"--geo: "}},
		{[]string{"--policy", filepath.Join(dir, "nowhere")}, 1, []string{"no such file"}},
	} {
		var out bytes.Buffer
		if code := execute(append([]string{"replay", events}, c.args...), &out, &out); code != c.code {
			t.Errorf("%v: exit %d\n%s", c.args, code, out.String())
		}
		for _, want := range c.out {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, out.String())
			}
		}
	}
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var first alert.Event
	if err := json.Unmarshal(bytes.SplitN(text, []byte("\n"), 2)[0], &first); err != nil || first.Rule == nil || first.Rule.ID != "countries/denied" || first.Source.Geo == nil || first.Source.Geo.Country != "NL" {
		t.Errorf("%v: %s", err, text)
	}
	var out bytes.Buffer
	if code := execute([]string{"replay", filepath.Join(dir, "nowhere.jsonl")}, &out, &out); code != 1 {
		t.Errorf("no file: exit %d", code)
	}
	out.Reset()
	if code := execute([]string{"replay", alerts}, &out, &out); code != 1 || !strings.Contains(out.String(), "alerts.jsonl:1: neither an event nor a CDR: event cannot be an object") || !strings.Contains(out.String(), "no line of it is an event or a CDR") {
		t.Errorf("alerts instead of events: exit %d\n%s", code, out.String())
	}
	out.Reset()
	if code := execute([]string{"replay", events, "--home", "GB", "--json"}, &out, &out); code != 0 || !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"newly_refused"`) {
		t.Errorf("exit %d: %s", code, out.String())
	}
}
