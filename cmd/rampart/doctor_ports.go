package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rampart-sbc/rampart/call"
)

// ports tries to take every port of the configuration; one that is held must be
// held by the gateway.
func (x *examination) ports(context.Context) {
	cfg := x.cfg
	for _, side := range []call.Side{call.Public, call.Inside} {
		l := cfg.Listen
		if side == call.Inside {
			l = cfg.Inside
		}
		for _, transport := range []string{"tls", "tcp", "udp"} {
			for _, at := range l.Of(transport) {
				network := "tcp"
				if transport == "udp" {
					network = "udp"
				}
				x.port(fmt.Sprintf("%s %s %s", side, transport, at), network, at)
			}
		}
	}
	if at := cfg.Admin.Listen; at.IsValid() {
		x.port("admin "+at.String(), "tcp", at.AddrPort)
	}
	x.mediaPorts()
}

func (x *examination) port(what, network string, at netip.AddrPort) {
	err := bindable(network, at)
	switch {
	case err == nil:
		x.ok("%s is free", what)
	case errors.Is(err, syscall.EADDRINUSE):
		pid, name := x.holder(network, at)
		switch {
		case name == "rampart":
			x.ok("%s is held by the running gateway (process %d)", what, pid)
		case pid != 0:
			x.say(broken, "stop it, or give the gateway another address or port", "%s is held by %s (process %d)", what, clean(name), pid)
		default:
			x.say(broken, "as root the doctor says who holds it", "%s is held by another program", what)
		}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		x.say(broken, "give it to an interface, or name one that this host has: ip address", "%s: this host does not have that address", what)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		x.say(warning, "grant CAP_NET_BIND_SERVICE to the gateway, or use a port above 1023", "%s: this user may not take that port", what)
	default:
		x.say(broken, "", "%s: %v", what, err)
	}
}

// bindable takes the port and lets it go.
func bindable(network string, at netip.AddrPort) error {
	family := "6"
	if at.Addr().Is4() {
		family = "4"
	}
	if network == "udp" {
		c, err := net.ListenPacket(network+family, at.String())
		if err != nil {
			return err
		}
		return c.Close()
	}
	c, err := net.Listen(network+family, at.String())
	if err != nil {
		return err
	}
	return c.Close()
}

// mediaPorts looks whether audio has addresses, and ports that nobody else is
// given.
func (x *examination) mediaPorts() {
	m := x.cfg.Media
	for _, a := range append(append(m.Public[:0:0], m.Public...), m.Inside...) {
		if err := bindable("udp", netip.AddrPortFrom(a.Bind, 0)); err != nil {
			x.say(broken, "name an address of this host; behind 1:1 NAT {bind: …, advertise: …}", "media %s: %v", a.Bind, rootOf(err))
		} else {
			x.ok("media %s is an address of this host, ports %s", a.Bind, m.Ports)
		}
	}
	text, err := os.ReadFile(filepath.Join(x.proc, "sys/net/ipv4/ip_local_port_range"))
	var lo, hi int
	if err != nil {
		return // another system
	}
	if n, _ := fmt.Sscan(string(text), &lo, &hi); n != 2 || hi < int(m.Ports.Min) || lo > int(m.Ports.Max) {
		return
	}
	from, to := max(lo, int(m.Ports.Min)), min(hi, int(m.Ports.Max))
	reserved, _ := os.ReadFile(filepath.Join(x.proc, "sys/net/ipv4/ip_local_reserved_ports"))
	if covers(string(reserved), from, to) {
		return
	}
	l, what := healthy, "a call that finds one taken takes another"
	if 2*(to-from+1) > int(m.Ports.Max-m.Ports.Min)+1 {
		l, what = warning, "more than half of what calls have may be taken"
	}
	x.say(l, fmt.Sprintf("to keep them apart: sysctl net.ipv4.ip_local_reserved_ports=%s, or other media.ports", m.Ports),
		"media.ports %s overlap with the ports that the kernel gives to any program (%d-%d): %s", m.Ports, lo, hi, what)
}

// covers: a list such as "5060,20000-39999" has all ports from lo to hi in one
// of its ranges.
func covers(list string, lo, hi int) bool {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(strings.TrimSpace(from))
		b := a
		if isRange {
			b, _ = strconv.Atoi(strings.TrimSpace(to))
		}
		if err == nil && a <= lo && b >= hi {
			return true
		}
	}
	return false
}

// holder finds the process that holds a port: the socket's inode in the kernel's
// table, then whoever has it open. 0 when nothing may be seen of it.
func (x *examination) holder(network string, at netip.AddrPort) (pid int, name string) {
	inodes := map[string]bool{}
	for _, table := range []string{network, network + "6"} {
		text, err := os.ReadFile(filepath.Join(x.proc, "net", table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || network == "tcp" && f[3] != "0A" {
				continue
			}
			held, ok := kernelAddr(f[1])
			if ok && held.Port() == at.Port() && (held.Addr() == at.Addr().Unmap() || held.Addr().IsUnspecified() || at.Addr().IsUnspecified()) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, _ := filepath.Glob(filepath.Join(x.proc, "[0-9]*", "fd", "[0-9]*"))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err != nil || !inodes[link] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		pid, _ = strconv.Atoi(filepath.Base(dir))
		if name = strings.TrimSpace(string(comm)); name == "rampart" {
			return pid, name
		}
	}
	return pid, name
}

// kernelAddr reads "0100007F:13C5": words of four octets, the last octet first on
// the machines that there are.
func kernelAddr(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	b, err2 := hex.DecodeString(host)
	if err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// rootOf is what an error of a socket comes from, without what is known.
func rootOf(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}
