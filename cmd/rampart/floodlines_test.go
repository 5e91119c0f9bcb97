package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/plain"
)

// What may be written in a minute of any flood: lines of alerts about
// strangers, records of refused attempts, and lines of the log, of which there
// are few kinds. The sizes are those of long lines.
const (
	alertsInAMinute  = 2*600 + 100 // strangers in full and their summaries, and the gateway's own
	recordsInAMinute = 600 + 600 + 1024 + 1
	bytesOfALine     = 4 << 10
	bytesOfLog       = 256 << 10
)

// TestFloodLinesAddUp: junk, malformed requests, scanners, guesses, refused
// calls and messages of two hundred strangers, and refused calls in a
// carrier's name. What is written has a bound that does not depend on how much
// came, and the counts of the lines add up to what was told.
func TestFloodLinesAddUp(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir(), net: 82}
	s.write("rampart.yaml", strings.NewReplacer("listen: {tls:", `listen: {udp: ["127.91.82.1:5060"], tls:`).Replace(s.config(`admin: {listen: off}
overload: {shed: false}
cdr: [{file: state/cdr.jsonl}]
events: [{file: state/events.jsonl, max_size: 1MiB, keep: 1}]
alerts: [{file: state/alerts.jsonl}]
peers:
  - {name: carrier, identify: {ip: [127.91.82.60/32]}, uri: "sip:127.91.82.60;transport=udp", allow_plaintext: true, srtp: off, limits: {cps: 5000}}
`)))
	s.write("policy/a.yaml", "version: 1\nrules: [{id: site/none, on: any, then: reject 403}]\n")
	cfg, ps := config.Load(filepath.Join(s.dir, "rampart.yaml"), config.ThisHost())
	if cfg == nil {
		t.Fatal(ps)
	}
	g, err := startGateway(cfg, slog.New(plain.NewHandler(slog.NewTextHandler(&s.log, nil), plain.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	s.g = g
	t.Cleanup(func() { s.g.close(time.Second) })
	h := &hostileEnds{s: s}
	gw := netip.MustParseAddrPort("127.91.82.1:5060")
	began, sent := time.Now(), 0
	send := func(c *net.UDPConn, b []byte) {
		if _, err := c.WriteToUDPAddrPort(b, gw); err == nil {
			sent++
		}
	}
	message := func(kind int) []byte {
		method := []string{"REGISTER", "OPTIONS", "INVITE", "MESSAGE", "INVITE", ""}[kind%6]
		if method == "" {
			return bytes.Repeat([]byte{0xff, 0, 0x1b}, 50)
		}
		m := h.message(method, fmt.Sprint("user", sent), "UDP", sent)
		switch kind % 6 {
		case 0:
			hostileFields["credentials"](m, "x")
		case 1:
			m.Set("User-Agent", "friendly-scanner")
		case 4:
			m.Set("CSeq", "nonsense")
		}
		return m.Bytes()
	}
	for i := range 200 {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 91, 82, byte(50+i)), Port: 0})
		if err != nil {
			t.Fatal(err)
		}
		for k := range 24 {
			send(c, message(k))
		}
		c.Close()
	}
	h.strangers()
	carrier := h.bind(60)
	for n := 0; n < 4000 && s.g.rep.cdr.Stats().Records < 2000; n++ {
		send(carrier, h.message("INVITE", fmt.Sprintf("+3319900%04d", n), "UDP", sent).Bytes())
		if n%50 == 49 { // no more at a time than a socket's buffer holds
			want := s.g.rep.counters.RefusedFor("rate") + s.g.rep.cdr.Stats().Records
			eventually(t, "the gateway reads", func() bool {
				return s.g.rep.counters.RefusedFor("rate")+s.g.rep.cdr.Stats().Records >= want
			})
		}
	}
	eventually(t, "a thousand refused attempts", func() bool { return s.g.rep.cdr.Stats().Records > 1000 })
	s.g.close(5 * time.Second)
	minutes := int(time.Since(began)/time.Minute) + 1

	lines, size := map[string]int{}, 0
	told := map[string]int{}
	for _, name := range []string{"alerts.jsonl", "cdr.jsonl"} {
		b, err := os.ReadFile(filepath.Join(s.dir, "state", name))
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
		for line := range bytes.Lines(b) {
			var v struct {
				Coalesced int
				Rampart   struct {
					Count       int
					First, Last *time.Time
				}
			}
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%s: %v %q", name, err, line)
			}
			lines[name]++
			told[name] += v.Coalesced + max(v.Rampart.Count, 1)
			if r := v.Rampart; r.Count > 1 && (r.First == nil || r.Last == nil || r.Last.Before(*r.First)) {
				t.Errorf("count without first and last: %s", line)
			}
		}
	}
	bus, cdr := s.g.rep.bus.Stats(), s.g.rep.cdr.Stats()
	if bus.LostTable != 0 || cdr.Sinks[0].Lost() != 0 || bus.Sinks[0].Lost() != 0 {
		t.Errorf("lines are lost: %+v %+v", bus, cdr)
	}
	if uint64(told["alerts.jsonl"]) != bus.Published || uint64(told["cdr.jsonl"]) != cdr.Records {
		t.Errorf("the lines stand for %v, want %d alerts and %d records", told, bus.Published, cdr.Records)
	}
	if n := lines["alerts.jsonl"]; n > minutes*alertsInAMinute {
		t.Errorf("%d alerts in %d minutes", n, minutes)
	}
	if n := lines["cdr.jsonl"]; n > minutes*recordsInAMinute {
		t.Errorf("%d records in %d minutes", n, minutes)
	}
	log := len(s.log.all())
	if most := minutes * ((alertsInAMinute+recordsInAMinute)*bytesOfALine + bytesOfLog); size+log > most || log > minutes*bytesOfLog {
		t.Errorf("%d bytes and %d of log in %d minutes", size, log, minutes)
	}
	if cdr.Coalesced == 0 || uint64(lines["cdr.jsonl"]) >= cdr.Records {
		t.Errorf("no record was folded: %+v", cdr)
	}
	events := int64(0)
	all, _ := filepath.Glob(filepath.Join(s.dir, "state/events.jsonl*"))
	for _, f := range all {
		if st, err := os.Stat(f); err == nil {
			events += st.Size()
		}
	}
	if events > 2<<20 {
		t.Errorf("%d bytes of events", events)
	}
	t.Logf("%d datagrams: %d bytes of alerts (%d lines) and records (%d), %d of events, %d of log, for %d alerts and %d attempts",
		sent, size, lines["alerts.jsonl"], lines["cdr.jsonl"], events, log, bus.Published, cdr.Records)
}
