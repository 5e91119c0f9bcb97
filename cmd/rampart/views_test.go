package main

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// A gateway is not ready before its PBX has answered once; one that is never
// asked counts as up.
func TestReadyAfterFirstAnswer(t *testing.T) {
	t.Parallel()
	pbx, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.91.7.3:5060")))
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	s := newSite(t, 7, "", "health: 0s", "health: 1s")
	if c := s.g.ready()[0]; c.OK || c.Detail != "no PBX has answered yet" {
		t.Errorf("before the first answer: %+v", c)
	}
	buf := make([]byte, 2048)
	pbx.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := pbx.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	answer := "SIP/2.0 200 OK\r\n"
	for _, h := range regexp.MustCompile(`(?m)^(Via|From|To|Call-ID|CSeq):.*\n`).FindAllString(string(buf[:n]), -1) {
		if strings.HasPrefix(h, "To:") {
			h = strings.TrimSpace(h) + ";tag=x\r\n"
		}
		answer += h
	}
	if _, err := pbx.WriteToUDPAddrPort([]byte(answer+"Content-Length: 0\r\n\r\n"), from); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(3 * time.Second); !s.g.ready()[0].OK; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after the first answer: %+v", s.g.ready())
		}
	}
	if c := newSite(t, 8, "").g.ready()[0]; !c.OK || c.Detail != "" {
		t.Errorf("a PBX that is never asked: %+v", c)
	}
}

// The limit of streams follows from the ports.
func TestStreamsLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, 9, "")
	if m := s.g.source().Media(); m.StreamsMax != 100 || m.PortsMax != 200 {
		t.Errorf("ports 21000-21199 on both sides: %d streams and %d pairs, want 100 and 200", m.StreamsMax, m.PortsMax)
	}
	two := config.Media{Ports: config.Ports{Min: 20000, Max: 20199}, Public: make([]config.Address, 2), Inside: make([]config.Address, 1)}
	if n := streamsLimit(two, 300); n != 100 {
		t.Errorf("two families outside, one inside: %d streams, want 100", n)
	}
	if n := streamsLimit(two, 100); n != 50 {
		t.Errorf("one address for both sides: %d streams, want 50", n)
	}
}
