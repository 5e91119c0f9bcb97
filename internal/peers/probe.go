package peers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
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

// bound says whether somebody is bound to an address, by the kernel's table of
// sockets: a probe that sends nothing, for scripts that count every message, and
// that takes nothing, for scripts that are about to bind it.
func bound(at netip.AddrPort, tcp bool) bool {
	table := "udp"
	if tcp {
		table = "tcp"
	}
	ip, width := at.Addr().AsSlice(), 4
	if at.Addr().Is6() {
		table += "6"
	}
	// Each word of the address as a number of this machine, in hexadecimal.
	var local strings.Builder
	for ; len(ip) >= width; ip = ip[width:] {
		fmt.Fprintf(&local, "%08X", binary.NativeEndian.Uint32(ip))
	}
	fmt.Fprintf(&local, ":%04X", at.Port())
	b, err := os.ReadFile("/proc/net/" + table)
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[1] == local.String() && (!tcp || f[3] == "0A") { // 0A: listens
			return true
		}
	}
	return false
}
