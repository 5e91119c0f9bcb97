package main

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

const explainRules = `version: 1
countries: {allow: [DE]}
rules:
  - id: site/watched
    on: invite
    match: {user: "1001"}
    when: "call.to.user.startsWith('6')"
    then: flag
    why: "test call of {call.from.user}"
limits:
  - {id: site/two-calls, on: invite, match: {registered: true}, key: [user], rate: 1/h, burst: 2, then: reject 480}
`

// command runs a command as a user would.
func command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(args, &stdout, &stderr)
	if code != 0 {
		return code, stderr.String()
	}
	return code, stdout.String()
}

// Calls of a running gateway are explained by any of their names: one let
// through, one refused by its country however it is spelt, one refused by a
// limit; later, with another policy in force; and from the records.
func TestCallsAreExplained(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(rules, []byte(explainRules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, 60, "policy: {use: [countries], files: ["+rules+"]}\ncdr: [{file: "+dir+"/cdr.jsonl}]\n",
		"{listen: off}", `{listen: "127.91.60.4:8080"}`)
	at := s.g.admin.Addr().String()
	pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: map[string]string{"1001": "secret-of-1001"},
		Listen: netip.MustParseAddrPort("127.91.60.3:5060"), Trunk: netip.MustParseAddrPort("127.91.60.2:5060")})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	pem, err := os.ReadFile(filepath.Join(s.dir, "state", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	phone, err := siptest.NewPhone(ctx, siptest.PhoneConfig{User: "1001", Password: "secret-of-1001", Domain: "sip.example.com", Server: netip.MustParseAddrPort("127.91.60.1:5061"),
		Transport: "tls", TLS: &cryptotls.Config{RootCAs: pool, ServerName: "sip.example.com"}, SRTP: []string{"AEAD_AES_256_GCM"}, UserAgent: "Desk phone \u202e7"})
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()
	if err := phone.Register(ctx, time.Hour); err != nil {
		t.Fatal(err, s.log.take())
	}
	up, err := phone.Invite(ctx, "600")
	if err != nil {
		t.Fatal(err)
	}

	// While it is up.
	code, out := command(t, "calls", "list", "--admin", at)
	if code != 0 || !strings.Contains(out, "1001") || !strings.Contains(out, "600") {
		t.Errorf("calls list: %d %s", code, out)
	}
	if code, out := command(t, "calls", "show", up.ID(), "--admin", at); code != 0 || !strings.Contains(out, up.ID()) {
		t.Errorf("calls show: %d %s", code, out)
	}
	explained := func(id string, want ...string) string {
		t.Helper()
		code, out := command(t, "calls", "explain", id, "--admin", at)
		for _, w := range want {
			if code != 0 || !strings.Contains(out, w) {
				t.Errorf("calls explain %s: exit %d, %q is missing in\n%s", id, code, w, out)
			}
		}
		if strings.Contains(out, "\u202e") || strings.Contains(out, "secret-of-1001") {
			t.Errorf("it shows what it must not:\n%q", out)
		}
		return out
	}
	allowed := explained(up.ID(), "ALLOW: INVITE from 1001 to 600", "a registered phone of user 1001", "! site/watched: flag: test call of 1001",
		"· site/two-calls: 1 of a burst of 2 used", "asked of outbound requests only", "nobody was against it")
	if n := strings.Count(allowed, "ALLOW:"); n < 1 {
		t.Errorf("%d decisions:\n%s", n, allowed)
	}

	refused := func(to string) (callID string) {
		t.Helper()
		var no *siptest.Refused
		if _, err := phone.Invite(ctx, to); !errors.As(err, &no) {
			t.Fatalf("%s was not refused: %v", to, err)
		}
		return no.Response.Get("Call-ID")
	}
	jamaica := refused("00%31-876-555-0100")
	explained(jamaica, "REJECT 403 by countries/denied", "00%31-876-555-0100", "digits 0018765550100", "international prefix 00",
		"= +18765550100 (JM)", "> countries/denied: country JM is not listed; the default is deny, countries:", "site/watched: when: call.to.user.startsWith(",
		"2 of a burst of 2 used")
	third := refused("600")
	explained(third, "REJECT 480 by site/two-calls", "> site/two-calls: the burst of 2 is used up")

	// By our own id, as JSON, and whoever asks for nothing that is known.
	var j struct {
		CallID    string `json:"call_id"`
		Decisions []struct {
			Verdict, Rule string
			Steps         []struct{ Stage, Outcome, Rule, Text string }
		}
	}
	_, text := command(t, "calls", "explain", jamaica, "--admin", at, "--json")
	if err := json.Unmarshal([]byte(text), &j); err != nil || len(j.Decisions) != 1 || j.Decisions[0].Rule != "countries/denied" || j.Decisions[0].Verdict != "reject" {
		t.Errorf("%v %s", err, text)
	}
	explained(j.CallID, "REJECT 403 by countries/denied")
	if code, out := command(t, "calls", "explain", "nobody", "--admin", at); code != 1 || !strings.Contains(out, `no decision about "nobody" is in memory`) {
		t.Errorf("%d %s", code, out)
	}

	// Of many decisions under one name the latest are told.
	for i := range 120 {
		s.g.rep.Decision(&call.Attempt{At: time.Unix(int64(i), 0), Method: "REGISTER", PeerKind: call.Phone, SIPCallID: "refresh", Source: call.Source{Registered: true}},
			call.Decision{Verdict: call.Allow, Counts: []call.Count{}})
	}
	if many, ok := s.g.explain("refresh", false); !ok || len(many.Decisions) != 50 || many.Omitted != 70 || many.Decisions[49].At.Unix() != 119 {
		t.Errorf("%d decisions, %d left out", len(many.Decisions), many.Omitted)
	}
	explained("refresh", "70 earlier decisions left out")

	// Another policy is in force; the one of then still explains.
	if err := os.WriteFile(rules, []byte("version: 1\ncountries: {default: allow, deny: [US]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log, _ := s.reload(); strings.Contains(log, "not loaded") {
		t.Fatal(log)
	}
	if out := explained(jamaica, "> countries/denied: country JM is not listed; the default is deny, countries:"); strings.Contains(out, "Note:") {
		t.Errorf("a policy that is in memory:\n%s", out)
	}

	// Also when it is forgotten and only the history knows it.
	s.g.rep.recall.sets = s.g.rep.recall.sets[len(s.g.rep.recall.sets)-1:]
	if out := explained(jamaica, "> countries/denied: country JM is not listed; the default is deny, countries:"); strings.Contains(out, "Note:") {
		t.Errorf("a policy of the history:\n%s", out)
	}

	// From the records, with the rules of now, which is said.
	if err := up.Bye(ctx); err != nil {
		t.Fatal(err)
	}
	conf, cdr := filepath.Join(s.dir, "rampart.yaml"), filepath.Join(dir, "cdr.jsonl")
	eventually(t, "a record of the call", func() bool { b, _ := os.ReadFile(cdr); return bytes.Contains(b, []byte(up.ID())) })
	code, out = command(t, "calls", "explain", jamaica, "--cdr", cdr, "-c", conf)
	for _, w := range []string{"REJECT 403 by countries/denied", "digits 0018765550100", "is no longer at hand: rules are explained with", "2 of a burst of 2 used", "country JM is not listed; the default is allow"} {
		if code != 0 || !strings.Contains(out, w) {
			t.Errorf("from the records: exit %d, %q is missing in\n%s", code, w, out)
		}
	}
	if code, out = command(t, "calls", "explain", up.ID(), "--cdr", cdr, "-c", conf); code != 0 || !strings.Contains(out, "ALLOW: INVITE from 1001 to 600") {
		t.Errorf("from the records: %d %s", code, out)
	}
}

// eventually waits for something that comes about by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// A record is found by whatever its Call-ID is made of.
func TestFindRecordByAnyCallID(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cdr.jsonl")
	sink, err := alert.File(file)
	if err != nil {
		t.Fatal(err)
	}
	cdr := alert.NewCDR(alert.CDROptions{}, sink)
	ids := []string{"a84b<4c>&@192.168.1.20", `a"b\c{}@x`, "plain@x"}
	for i, id := range ids {
		cdr.WriteKnown(call.Record{ID: string(rune('a' + i)), CallID: "c", User: "1001", Passes: []call.Pass{{SIPCallID: id}}})
	}
	if err := cdr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if rec, err := findRecord(file, id); err != nil || rec.ID != string(rune('a'+i)) {
			t.Errorf("%s: %q %v", id, rec.ID, err)
		}
	}
	for _, args := range [][]string{{"explain", "", "--cdr", file}, {"show", "", "--admin", "127.0.0.1:1"}} {
		if code, out := command(t, append([]string{"calls"}, args...)...); code != 2 || !strings.Contains(out, "which call?") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}
