package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// datagrams sends so many of a kind, by turns from so many addresses, the first
// of which is given.
func datagrams(from netip.Addr, sources int, to netip.AddrPort, kind string, n int, sent *atomic.Int64) error {
	a := from
	for i := range sources {
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		for k := range n / sources {
			b := fmt.Appendf(nil, "%s sip:+4930%07d@sip.example.com SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%[4]d.%[5]d\r\nMax-Forwards: 70\r\nFrom: <sip:flood%[4]d@sip.example.com>;tag=%[5]d\r\n"+
				"To: <sip:flood%[5]d@sip.example.com>\r\nCall-ID: flood-%[1]s-%[4]d-%[5]d-%[6]s\r\nCSeq: 1 %[1]s\r\nContact: <sip:flood@192.0.2.1>\r\nContent-Length: 0\r\n\r\n", kind, k, c.LocalAddr(), i, k, from)
			if kind == "garbage" {
				b = append(bytes.Repeat([]byte{0xff}, 200), byte(k))
			}
			if _, err := c.Write(b); err == nil { // else it is told of an earlier one that nobody took
				sent.Add(1)
			}
		}
		c.Close()
		a = a.Next()
	}
	return nil
}

// TestFloodFillsNoDisk: beside 20,000 datagrams of each kind from 250 addresses,
// and as many INVITEs in the name of a carrier that may use UDP, twenty calls
// over TLS succeed, and what is written of the flood has a bound that how much
// of it comes has no part in.
func TestFloodFillsNoDisk(t *testing.T) {
	t.Parallel()
	const each, peerPackets = 20_000, 200
	s := newSite(t, 95, fmt.Sprintf(`alerts: [{file: state/alerts.jsonl}]
cdr: [{file: state/cdr.jsonl}]
events: [{file: state/events.jsonl}]
peers: [{name: carrier, identify: {ip: 127.91.95.7}, uri: "sip:127.91.95.7:5060;transport=udp", allow_plaintext: true, srtp: optional, limits: {calls: 4, cps: 5}}]
limits: {peer_packets: %d/s}
`, peerPackets), `listen: {tls:`, `listen: {udp: ["127.91.95.1:5060"], tls:`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: map[string]string{"1001": "one"},
		Listen: netip.MustParseAddrPort("127.91.95.3:5060"), Trunk: netip.MustParseAddrPort("127.91.95.2:5060")})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	phone, err := s.office(50).phone(ctx, "1001", "one")
	if err == nil {
		err = phone.Register(ctx, time.Hour)
	}
	if err != nil {
		t.Fatal(err)
	}

	began, to := time.Now(), netip.MustParseAddrPort("127.91.95.1:5060")
	var sent atomic.Int64
	var wg sync.WaitGroup
	for i, kind := range []string{"garbage", "REGISTER", "INVITE", "OPTIONS"} {
		wg.Go(func() {
			if err := datagrams(netip.AddrFrom4([4]byte{127, 95, byte(i), 1}), 250, to, kind, each, &sent); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := datagrams(netip.MustParseAddr("127.91.95.7"), 1, to, "INVITE", each, &sent); err != nil {
			t.Error(err)
		}
	})
	const calls = 20 // more in a minute a user may not make
	for i := range calls {
		c, err := phone.Invite(ctx, "600")
		if err == nil {
			err = c.Bye(ctx)
		}
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	wg.Wait()
	passed := s.g.gate.Count(ratelimit.Passed)
	if got := s.g.bans.Remembered(); len(got) != 0 {
		t.Errorf("%d bans, such as %+v", len(got), got[0])
	}
	if n := len(s.g.sbc.Registrations()); n != 1 {
		t.Errorf("%d are registered, want the phone alone", n)
	}
	s.g.close(5 * time.Second) // what is folded is written, too
	seconds := int(time.Since(began).Seconds()) + 1
	minutes := seconds/60 + 2

	// Lines, of which none is longer than 2 KiB: strangers' alerts have a budget
	// of 600 a minute and a line in ten seconds for the rest of each rule; records
	// have three, and one for each address that is told apart; of strangers 200
	// refusals a second have an event when they come and one when they end, and
	// so have the carrier's that its budget lets in.
	own := 10 * (calls + 10)
	for name, most := range map[string]int{
		"alerts.jsonl": minutes*(600+60) + own,
		"cdr.jsonl":    minutes*(600+600+1024+1) + own,
		"events.jsonl": 2*200*seconds + 2*peerPackets*(seconds+2) + own,
	} {
		b, err := os.ReadFile(filepath.Join(s.dir, "state", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(b, []byte("\n"))
		if lines > most || len(b) > most*2048 {
			t.Errorf("%s: %d lines, %d bytes of %d datagrams; want %d lines and 2 KiB for each at most", name, lines, len(b), sent.Load(), most)
		}
		t.Logf("%s: %d lines of %d at most, %d KB", name, lines, most, len(b)>>10)
	}
	if n := len(s.log.all()); n > 256<<10 {
		t.Errorf("%d KB of log", n>>10)
	}
	t.Logf("%d datagrams in %d s, %d passed the gate, %d calls", sent.Load(), seconds, passed, calls)
}
