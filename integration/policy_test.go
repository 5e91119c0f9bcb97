package integration_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

func (w *world) write(name, text string) string {
	w.tb.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	return file
}

// reload sends SIGHUP and waits until all is done.
func (w *world) reload() {
	w.tb.Helper()
	lines := strings.Count(w.gw.Log(), "\n")
	w.gw.Reload()
	peers.Eventually(w.tb, soon, "the reload", func() bool {
		now := strings.Split(w.gw.Log(), "\n")
		return len(now) > lines && strings.Contains(strings.Join(now[lines:], "\n"), "certificates")
	})
}

// rampart runs a command of the program.
func rampart(tb testing.TB, args ...string) (string, int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), soon)
	defer cancel()
	c := exec.CommandContext(ctx, peers.Program(tb), args...)
	b, _ := c.CombinedOutput()
	return string(b), c.ProcessState.ExitCode()
}

// A country that is shut is shut however it is dialled, by a telephone and by
// the PBX; and opened it is without touching a call.
func TestCountryIsOpened(t *testing.T) {
	t.Parallel()
	files := "policy: {use: [base, countries, scanners], files: [\"policy/*.yaml\"]}\n"
	w := newSuburb(t, files, map[string]string{"policy/site.yaml": "version: 1\ncountries: {allow: [GB]}\n"}, nil)
	if out, code := rampart(t, "check", "-c", w.gw.Config); code != 0 {
		t.Errorf("rampart check: exit code %d\n%s", code, out)
	}
	phone := w.telephone("1001")
	live := w.dial(phone, siptest.ExtTone)
	w.hears(live, siptest.ToneFreq)

	at := "@" + peers.Domain
	spellings := []string{"0018765550100", "sip:+18765550100" + at, "sip:%2B18765550100" + at + ";user=phone", "sip:+1-876-555-0100" + at,
		"sip:+1(876)5550100" + at, "sip:8765550100;phone-context=+1" + at, "tel:+1-876-555-0100", "sip:00%318765550100" + at, "sip:+18765550100;npdi" + at}
	for _, to := range spellings {
		if got := w.code(phone, to); got != 403 {
			t.Errorf("a telephone's call to %s: %d, want 403", to, got)
		}
	}
	out := w.out(peers.Scenario{Name: "uac_any", Service: "0018765550100"}) // straight from the PBX
	if got := out.Success().Final; got[403] != 1 {
		t.Errorf("the PBX's call: %v, want 403", got)
	}
	peers.Eventually(t, soon, "a CDR of each refused call", func() bool {
		return len(w.lines("cdr.jsonl", "country", "JM", "code", "403", "verdict", "reject")) == len(spellings)+1
	})
	peers.Eventually(t, soon, "an alert for each refused call", func() bool {
		sum := 0
		for _, r := range w.lines("alerts.jsonl", "rule.id", "countries/denied", "event.action", "call-rejected", "rampart.to_country", "JM") {
			n := 1
			if c, ok := r["rampart"].(map[string]any)["count"].(float64); ok {
				n = int(c)
			}
			sum += n
		}
		return sum == len(spellings)+1
	})
	if n := len(w.carrier.Answered()); n != 0 {
		t.Fatalf("the carrier was called %d times", n)
	}

	// A file that is wrong changes nothing.
	w.write("policy/site.yaml", "version: 1\ncountries: {allow: [GB, XX]}\n")
	w.reload()
	w.waitLine("alerts.jsonl", "event.action", "policy-reloaded", "event.outcome", "failure")
	if got := w.code(phone, "0018765550100"); got != 403 {
		t.Errorf("after a wrong file: %d, want 403", got)
	}
	if out, code := rampart(t, "check", "-c", w.gw.Config); code != 1 || !strings.Contains(out, "site.yaml:2:") {
		t.Errorf("rampart check of a wrong file: exit code %d\n%s", code, out)
	}
	w.write("policy/site.yaml", "version: 1\ncountries: {allow: [GB, JM]}\n")
	w.reload()
	call := w.dial(phone, "0018765550100")
	w.hears(call, siptest.CarrierTone)
	if got := siptest.UserOf(w.carrier.Answered()[0].Request.URI); got != "+18765550100" {
		t.Errorf("the carrier was asked for %s", got)
	}
	w.must("BYE", call.Bye)
	w.hears(live, siptest.ToneFreq)
	w.must("BYE", live.Bye)
	w.idle()
}

// A new certificate is shown to new connections; a call on an old one goes on.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	ca := peers.NewCA(t, "own")
	read := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first, second := ca.Issue(peers.Leaf{DNS: []string{peers.Domain}}), ca.Issue(peers.Leaf{DNS: []string{peers.Domain}})
	w := newSuburb(t, "tls: {certificate: {cert: server.pem, key: server.key}}\n",
		map[string]string{"server.pem": read(first.CertFile), "server.key": read(first.KeyFile), "state/ca.pem": read(ca.File)}, nil)
	phone := w.telephone("1001")
	live := w.dial(phone, siptest.ExtTone)
	shown := func() *x509.Certificate {
		d := tls.Dialer{Config: w.trust()}
		c, err := d.DialContext(limited(t, soon), "tcp", w.tls().String())
		if err != nil {
			t.Fatalf("a new connection: %v", err)
		}
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	}
	is := func(c *x509.Certificate, p peers.Pair) bool { return string(c.Raw) == string(p.TLS.Certificate[0]) }
	if !is(shown(), first) {
		t.Error("the first certificate is not shown")
	}
	w.write("server.pem", read(second.CertFile))
	w.write("server.key", read(second.KeyFile))
	w.reload()
	if !is(shown(), second) {
		t.Error("the new certificate is not shown")
	}
	w.waitLine("alerts.jsonl", "event.action", "certificate-reloaded", "event.outcome", "success")
	// A key that does not fit: what was good stays.
	w.write("server.key", read(first.KeyFile))
	w.reload()
	if !is(shown(), second) {
		t.Error("a broken pair is shown")
	}
	w.waitLine("alerts.jsonl", "event.action", "certificate-reloaded", "event.outcome", "failure")
	w.hears(live, siptest.ToneFreq)
	w.must("hold", live.Hold)
	w.must("resume", live.Resume)
	w.must("BYE", live.Bye)
	if res, err := phone.Options(limited(t, soon)); err != nil || res.Code != 200 {
		t.Errorf("OPTIONS on the old connection: %v, %v", res, err)
	}
	w.idle()
}
