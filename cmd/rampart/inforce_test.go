package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/policy/history"
)

func (s *site) revision() string { return s.g.policyView(time.Now()).Revision }

// look polls until what changed has come to rest, and once more.
func look(w *watcher) {
	for range 3 {
		w.poll()
	}
}

// Files that come, change and go are loaded by themselves, once they have
// settled; a fault is told once.
func TestWatchLoadsWhatChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t, 10, "")
	w := s.g.newWatcher()
	first := s.revision()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	if w.poll(); s.revision() != first {
		t.Error("a file was loaded before it had come to rest")
	}
	if look(w); s.revision() == first {
		t.Fatal("a new file was not loaded")
	}
	if v := s.g.policyView(time.Now()); v.By != byWatch {
		t.Errorf("by %s", v.By)
	}
	second := s.revision()
	s.write("policy/b.yaml", "version: 1\ncountrys: {}\n")
	s.log.take()
	if look(w); s.revision() != second {
		t.Error("a broken file was loaded")
	}
	look(w)
	if log := s.log.take(); strings.Count(log, "policy not loaded") != 1 || !strings.Contains(log, "b.yaml:2:1") {
		t.Errorf("want the fault once:\n%s", log)
	}
	s.waitAlert("policy/not-loaded", "b.yaml:2:1")
	s.write("policy/b.yaml", "version: 1\ncountries: {allow: [DE]}\n# mended\n")
	if look(w); s.revision() == second {
		t.Error("a mended file was not loaded")
	}
	third := s.revision()
	for _, n := range []string{"a", "b"} { // a file system that went away
		if err := os.Remove(filepath.Join(s.dir, "policy", n+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	if look(w); s.revision() != third {
		t.Error("all files vanished and the policy went with them")
	}
	s.waitAlert("policy/not-loaded", "finds no file any more")
	if log, rev := s.reload(); rev != third || !strings.Contains(log, "finds no file any more") {
		t.Errorf("SIGHUP, which rotates logs, took vanished files for an empty policy: %s\n%s", rev, log)
	}
	if out, err := s.g.reloadPolicy(byAPI, true); err != nil || out.Revision != first {
		t.Errorf("an explicit reload says that it is meant: %+v %v", out, err)
	}
	s.write("policy/c.yaml", "version: 1\ncountries: {allow: [NL]}\n")
	if look(w); s.revision() == first {
		t.Error("after that a new file was not loaded")
	}
	if err := os.Remove(filepath.Join(s.dir, "policy", "c.yaml")); err != nil {
		t.Fatal(err)
	}
	if out, err := s.g.reloadPolicy(byAPI, true); err != nil || out.Revision != first {
		t.Errorf("%+v %v", out, err)
	}
	s.write("rampart.yaml", s.config("admin: {listen: off}\npolicy: {watch: false}\n"))
	s.reload()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	if look(w); s.revision() != first {
		t.Error("watch: false loads files")
	}
}

// A directory that is a link is swapped as a whole, as Kubernetes does.
func TestWatchFollowsASwappedLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, 11, "")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, cc := range []string{"GB", "DE"} {
		name := fmt.Sprintf("..v%d/x.yaml", i)
		s.write(name, "version: 1\ncountries: {allow: ["+cc+"]}\n")
		if err := os.Chtimes(filepath.Join(s.dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(s.dir, "policy")
	if err := os.Symlink("..v0", link); err != nil {
		t.Fatal(err)
	}
	s.reload()
	w, first := s.g.newWatcher(), s.revision()
	if err := os.Symlink("..v1", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	if look(w); s.revision() == first {
		t.Error("a swapped link was not seen")
	}
}

// An old policy comes back, stays until an explicit reload, and over a restart.
func TestRollbackIsPinned(t *testing.T) {
	t.Parallel()
	s := newSite(t, 12, "")
	w, first := s.g.newWatcher(), s.revision()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	_, second := s.reload()
	out, err := s.g.rollback("", byAPI)
	if err != nil || out.Revision != first || s.revision() != first || !out.Pinned {
		t.Fatalf("%+v %v", out, err)
	}
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB, DE]}\n")
	if look(w); s.revision() != first {
		t.Error("the watcher undid a rollback")
	}
	if log, rev := s.reload(); rev != first || !strings.Contains(log, "pinned") {
		t.Errorf("SIGHUP undid a rollback\n%s", log)
	}
	s.g.close(time.Second)
	s.log.take()
	s.start()
	if log := s.log.take(); s.revision() != first || !strings.Contains(log, "an old policy is pinned") {
		t.Errorf("a restart undid a rollback, or does not say so\n%s", log)
	}
	if v := s.g.policyView(time.Now()); v.Pinned == nil {
		t.Error("the status does not say that it is pinned")
	}
	if out, err := s.g.rollback(second[:6], byAPI); err != nil || out.Revision != second {
		t.Errorf("%+v %v", out, err)
	}
	out, err = s.g.reloadPolicy(byAPI, true)
	if err != nil || out.Pinned || out.Revision == first || out.Revision == second {
		t.Errorf("%+v %v", out, err)
	}
	s.g.close(time.Second)
	s.start()
	if s.revision() != out.Revision || s.g.policyView(time.Now()).Pinned != nil {
		t.Error("the pin outlived the reload")
	}
	if _, err := s.g.rollback("ffffffffffff", byAPI); err == nil {
		t.Error("an unknown revision was loaded")
	}
}

// Who rolls back again goes further back, never to what he has just left, and
// what was undone is no step of the way later.
func TestRollbackGoesFurtherBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, 17, "policy: {watch: false}\n")
	load := func(cc string) string {
		t.Helper()
		s.write("policy/a.yaml", "version: 1\ncountries: {allow: ["+cc+"]}\n")
		out, err := s.g.reloadPolicy(byAPI, true)
		if err != nil || !out.Changed {
			t.Fatalf("%+v %v", out, err)
		}
		return out.Revision
	}
	back := func(want string) {
		t.Helper()
		if out, err := s.g.rollback("", byAPI); err != nil || out.Revision != want || s.revision() != want {
			t.Fatalf("%+v %v, want %s", out, err, want)
		}
	}
	first := s.revision()
	second := load("GB")
	load("DE")
	back(second)
	back(first)
	if _, err := s.g.rollback("", byAPI); !errors.Is(err, history.ErrUnknown) || s.revision() != first {
		t.Errorf("%v, in force: %s", err, s.revision())
	}
	load("NL")
	back(first) // and not one of those that were undone
	// Also where an old policy has another revision when it is made again.
	e, err := s.g.policies.store.Load(first)
	if err != nil {
		t.Fatal(err)
	}
	e.Revision, e.By = "aaaaaaaaaaaa", byAPI
	e.Files[0].Data = append(e.Files[0].Data, "\n"...)
	load("PT")
	if err := s.g.policies.store.Add(e); err != nil {
		t.Fatal(err)
	}
	load("ES")
	out, err := s.g.rollback("", byAPI)
	if err != nil || out.Revision == e.Revision || out.Revision == first {
		t.Fatalf("%+v %v", out, err)
	}
	if again, err := s.g.rollback("", byAPI); err != nil || again.Revision == "aaaaaaaaaaaa" || s.revision() == out.Revision {
		t.Errorf("%+v %v", again, err)
	} else if e, err := s.g.policies.store.Load(again.Revision); err != nil || !strings.Contains(string(e.Files[len(e.Files)-1].Data), "PT") {
		t.Errorf("not the one before: %v %q", err, e.Files[len(e.Files)-1].Data)
	}
	if _, err := s.g.rollback("12", byAPI); err == nil || !strings.Contains(err.Error(), "four characters") {
		t.Error(err)
	}
}

// Explanations that need a policy of the history are asked for while the policy
// changes; with -race.
func TestExplainWhilePoliciesChange(t *testing.T) {
	t.Parallel()
	s := newSite(t, 19, "policy: {watch: false}\n")
	first := s.revision()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	s.reload()
	forget := func() {
		s.g.rep.recall.mu.Lock()
		defer s.g.rep.recall.mu.Unlock()
		s.g.rep.recall.sets = s.g.rep.recall.sets[:0]
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for range 5 {
			forget()
			if set, then := s.g.policyOf(first); !then || set.Revision() != first {
				t.Error("the policy of then was not made again")
			}
		}
	}()
	for range 5 {
		s.reload()
	}
	<-done
}

// A pinned policy that cannot be made again is told of, and the files count.
func TestLostPinIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, 18, "")
	first := s.revision()
	if err := s.g.policies.store.Pin(&history.Pin{Revision: "ffffffffffff", At: time.Now(), By: byAPI}); err != nil {
		t.Fatal(err)
	}
	s.g.close(time.Second)
	s.start()
	if s.revision() != first {
		t.Error("the files are not in force")
	}
	s.waitAlert("policy/pin-lost", "ffffffffffff")
}

func (s *site) ask(method, path, body string, header ...string) (int, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.g.admin.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		s.t.Fatalf("%s: %v", b, err)
	}
	return res.StatusCode, v
}

// The API and the commands change the policy; a page of another site does not.
func TestPolicyOverTheAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t, 13, "", "admin: {listen: off}", "admin: {listen: \"127.91.13.8:18099\"}")
	first := s.revision()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	const js = "application/json"
	for _, h := range [][]string{
		{}, {"Content-Type", "text/plain"}, {"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", js, "Origin", "https://evil.example"}, {"Content-Type", js, "Sec-Fetch-Site", "cross-site"},
		{"Content-Type", js, "Sec-Fetch-Site", "same-site"}, {"Content-Type", js, "Host", "evil.example"},
	} {
		for _, path := range []string{"/api/v1/policy/reload", "/api/v1/policy/rollback"} {
			if code, v := s.ask("POST", path, "{}", h...); code < 400 {
				t.Errorf("%s with %q: %d %v", path, h, code, v)
			}
		}
	}
	if s.revision() != first {
		t.Fatal("a foreign page changed the policy")
	}
	code, v := s.ask("POST", "/api/v1/policy/reload", "{}", "Content-Type", js)
	if code != 200 || v["before"] != first || v["revision"] == first {
		t.Fatalf("%d %v", code, v)
	}
	second := v["revision"].(string)
	s.write("policy/a.yaml", "version: 1\ncountrys: 1\n")
	if code, v := s.ask("POST", "/api/v1/policy/reload", "{}", "Content-Type", js); code != 422 || !strings.Contains(fmt.Sprint(v["detail"]), "a.yaml:2:1") {
		t.Errorf("%d %v", code, v)
	}
	if code, _ := s.ask("POST", "/api/v1/policy/rollback", `{"revision": "ffffffffffff"}`, "Content-Type", js); code != 404 {
		t.Errorf("%d", code)
	}
	if code, _ := s.ask("POST", "/api/v1/policy/rollback", `{"rev": 1}`, "Content-Type", js); code != 400 {
		t.Errorf("%d", code)
	}
	var stdout, stderr bytes.Buffer
	run := func(args ...string) (int, string) {
		stdout.Reset()
		stderr.Reset()
		code := execute(append(args, "-c", filepath.Join(s.dir, "rampart.yaml")), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	if code, out := run("policy", "rollback"); code != 0 || !strings.Contains(out, first) || s.revision() != first {
		t.Errorf("%d %s", code, out)
	}
	if code, out := run("policy", "status"); code != 0 || !strings.Contains(out, first) || !strings.Contains(out, "pinned") {
		t.Errorf("%d %s", code, out)
	}
	if code, out := run("policy", "history"); code != 0 || !strings.Contains(out, first) || !strings.Contains(out, second) || !strings.Contains(out, "pinned") {
		t.Errorf("%d %s", code, out)
	}
	if code, out := run("policy", "reload"); code != 1 || !strings.Contains(out, "a.yaml:2:1") || s.revision() != first {
		t.Errorf("%d %s", code, out)
	}
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	if code, out := run("policy", "reload", "--json"); code != 0 || !strings.Contains(out, second) || s.revision() != second {
		t.Errorf("%d %s", code, out)
	}
	s.waitAlert("admin/policy-rollback", "ffffffffffff")
	s.waitAlert("admin/policy-reload", "a.yaml:2:1")
	b, err := os.ReadFile(filepath.Join(s.dir, "state/alerts.jsonl"))
	if err != nil || !strings.Contains(string(b), `"policy/rolled-back"`) || strings.Count(string(b), `"admin-change"`) < 5 {
		t.Errorf("%v\n%s", err, b)
	}
}

// A list file is loaded when it changes; one that vanishes or breaks keeps its
// last values, with an alert, also when that policy is rolled back to.
func TestListFilesAreWatched(t *testing.T) {
	t.Parallel()
	s := newSite(t, 14, "")
	s.write("policy/blocked.txt", "+18765550100\n")
	s.write("policy/a.yaml", "version: 1\nlists: {blocked: {file: blocked.txt, kind: prefixes}}\nrules:\n  - {id: site/blocked, on: invite, match: {to: {list: blocked}}, then: reject 403}\n")
	s.reload()
	w, first := s.g.newWatcher(), s.revision()
	s.write("policy/blocked.txt", "+18765550100\n+18765550101\n")
	if look(w); s.revision() == first {
		t.Fatal("a changed list was not loaded")
	}
	second := s.revision()
	if err := os.Remove(filepath.Join(s.dir, "policy/blocked.txt")); err != nil {
		t.Fatal(err)
	}
	if look(w); s.revision() != second {
		t.Error("a vanished list took the policy with it")
	}
	s.waitAlert("policy/list-not-loaded", "blocked.txt")
	s.write("policy/a.yaml", "version: 1\nlists: {blocked: {file: blocked.txt, kind: prefixes}}\nrules:\n  - {id: site/blocked, on: invite, match: {to: {list: blocked}}, then: reject 404}\n")
	if look(w); s.revision() == second {
		t.Error("a rule was not loaded because the list is gone")
	}
	third := s.revision()
	// A policy that names a list which is not there yet is loaded when it comes.
	s.write("policy/b.yaml", "version: 1\nlists: {late: {file: late.txt, kind: prefixes}}\nrules:\n  - {id: site/late, on: invite, match: {to: {list: late}}, then: reject 403}\n")
	if look(w); s.revision() != third {
		t.Error("a policy without its list was loaded")
	}
	s.write("policy/late.txt", "+18765550100\n")
	if look(w); s.revision() == third {
		t.Error("the list came and nobody saw it")
	}
	if out, err := s.g.rollback(first, byAPI); err != nil || s.g.policies.now.set.Lists()[0].Len() != 1 {
		t.Errorf("%+v %v", out, err)
	}
	if out, err := s.g.rollback(third, byAPI); err != nil || s.g.policies.now.set.Lists()[0].Len() != 2 {
		t.Errorf("the policy with a list from before: %+v %v", out, err)
	}
}

// policy diff compares what is in force with the files, revisions, directories.
func TestPolicyDiffCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, 15, "")
	first := s.revision()
	diff := func(args ...string) (int, string) {
		code, stdout, stderr := rampart(append(append([]string{"policy", "diff"}, args...), "-c", filepath.Join(s.dir, "rampart.yaml"))...)
		return code, stdout + stderr
	}
	if code, out := diff(); code != 0 || !strings.Contains(out, "mean the same") {
		t.Errorf("%d %s", code, out)
	}
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\nrules: [{id: site/x, on: invite, match: {user: \"1042\"}, then: flag}]\n")
	if code, out := diff(); code != 1 || !strings.Contains(out, "OPENED  GB: deny -> allow") || !strings.Contains(out, "added    site/x") || strings.Contains(out, "rampart:") {
		t.Errorf("%d %s", code, out)
	}
	_, second := s.reload()
	if code, out := diff(second, first[:8]); code != 1 || !strings.Contains(out, "closed  GB") || !strings.Contains(out, "removed  site/x") {
		t.Errorf("%d %s", code, out)
	}
	s.write("other/b.yaml", "version: 1\ncountries: {allow: [DE]}\n")
	if code, out := diff(second, filepath.Join(s.dir, "other"), "--json"); code != 1 || !strings.Contains(out, `"place": "DE"`) || !strings.Contains(out, `"moved": []`) || strings.Contains(out, "null") {
		t.Errorf("%d %s", code, out)
	}
	s.write("other/b.yaml", "version: 1\ncountries: {allow: [DE]}\ntests: [{name: germany is open, invite: {from: \"1001\", to: \"004930123456\"}, expect: {verdict: allow}}]\n")
	if code, out := diff(second, filepath.Join(s.dir, "other")); code != 1 || !strings.Contains(out, "the old policy fails a test of the new files: germany is open") {
		t.Errorf("%d %s", code, out)
	}
	s.write("other/b.yaml", "version: 1\nlists: {vip: [\"1001\", \"1002\"]}\n")
	s.write("another/b.yaml", "version: 1\nlists: {vip: [\"1001\", \"1003\"]}\n")
	if code, out := diff(filepath.Join(s.dir, "other"), filepath.Join(s.dir, "another")); code != 1 || !strings.Contains(out, "list     vip: other values, 2 as before") {
		t.Errorf("%d %s", code, out)
	}
	for _, args := range [][]string{{"ffffffff"}, {first, filepath.Join(s.dir, "absent.yaml")}, {first, s.dir + "/state"}} {
		if code, out := diff(args...); code != 1 || !strings.Contains(out, "rampart:") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

// Who goes back gets there though the rate deck was broken meanwhile; the rates
// in force stay, which is told. Whoever goes on is told to mend it first.
func TestRollbackWithABrokenDeck(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), net: 125}
	s.write("deck.csv", "prefix,code,usd_per_min\n371,LV,2\n")
	s.write("rampart.yaml", s.config("admin: {listen: off}\npolicy: {watch: false}\nrates: deck.csv\n"))
	s.start()
	t.Cleanup(func() { s.g.close(time.Second) })
	first := s.revision()
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	if log, rev := s.reload(); rev == first {
		t.Fatalf("not loaded\n%s", log)
	}
	before := s.g.detectors.Rates()
	s.write("deck.csv", "prefix,code,usd_per_min\n371,LV,dear\n")
	if log, _ := s.reload(); !strings.Contains(log, "is no price") || s.g.detectors.Rates() != before {
		t.Errorf("a broken deck was taken\n%s", log)
	}
	s.log.take()
	if out, err := s.g.rollback("", byAPI); err != nil || out.Revision != first || s.revision() != first {
		t.Errorf("rolled back to %+v, %v, want %s", out, err, first)
	}
	if log := s.log.take(); !strings.Contains(log, "the rates in force stay") || s.g.detectors.Rates() != before {
		t.Errorf("the rates are others, or it is not told\n%s", log)
	}
}
