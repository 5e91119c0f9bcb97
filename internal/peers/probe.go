package peers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Answers asks a SIP endpoint with OPTIONS, over "udp" or "tcp", and says
// whether any response came in time. Readiness is probed so, never guessed by
// time.
func Answers(network string, to netip.AddrPort, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	d := net.Dialer{Deadline: deadline}
	c, err := d.Dial(network, to.String())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(deadline)
	via, id := "UDP", rand.Uint64()
	if network == "tcp" {
		via = "TCP"
	}
	fmt.Fprintf(c, "OPTIONS sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/%[2]s %[3]s;rport;branch=z9hG4bK%[4]x\r\nMax-Forwards: 5\r\n"+
		"From: <sip:probe@%[3]s>;tag=%[4]x\r\nTo: <sip:%[1]s>\r\nCall-ID: %[4]x@probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		to, via, c.LocalAddr(), id)
	b := make([]byte, 2048)
	n, err := c.Read(b)
	return err == nil && bytes.HasPrefix(b[:n], []byte("SIP/2.0 "))
}

// bound says whether somebody is bound to an address, by trying to bind it: a
// probe that sends nothing, for scripts that count every message.
func bound(at netip.AddrPort, tcp bool) bool {
	if tcp {
		l, err := net.Listen("tcp", at.String())
		if err == nil {
			l.Close()
		}
		return err != nil
	}
	c, err := net.ListenPacket("udp", at.String())
	if err == nil {
		c.Close()
	}
	return err != nil
}
