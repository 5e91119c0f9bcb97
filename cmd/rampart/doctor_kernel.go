package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// grant is how the gateway gets what it needs.
func grant(c config.Kernel) string {
	all := "CAP_NET_ADMIN"
	if c.XDP.Interface != "" {
		all += " CAP_BPF CAP_PERFMON"
	}
	return "in the systemd unit: AmbientCapabilities=" + all + " and CapabilityBoundingSet=" + all
}

// privileges says what this process lacks for what the kernel is asked to do.
func (in *inspection) privileges() {
	c := in.cfg.Kernel
	if !c.On() {
		return
	}
	path := "kernel.nftables"
	if c.XDP.Interface != "" {
		path = "kernel.xdp.interface"
	}
	lacking, err := kernel.Lacking(0, c.XDP.Interface != "")
	switch {
	case err != nil:
		in.ps = append(in.ps, in.cfg.Problem(path, "kernel: %v", err).AsWarning())
	case len(lacking) > 0:
		in.ps = append(in.ps, in.cfg.Problem(path, "kernel: this process lacks %s; a gateway that is started with no more drops packets itself", strings.Join(lacking, ", ")).
			WithHint("%s", grant(c)).AsWarning())
	}
}

// kernel looks at whether the kernel can do what the configuration asks of it.
func (x *examination) kernel(context.Context) {
	c := x.cfg.Kernel
	if !c.On() {
		x.ok("the kernel is not asked to drop anything: the gateway does it, which is enough for most (docs/denial-of-service.md)")
		return
	}
	x.kernelPrivileges(c)
	if c.XDP.Interface != "" {
		x.kernelInterface(c.XDP.Interface)
	}
}

func (x *examination) kernelPrivileges(c config.Kernel) {
	pid, who := x.running(), "this shell has"
	if pid != 0 {
		who = fmt.Sprintf("the running gateway (process %d) has", pid)
	}
	lacking, err := kernel.Lacking(pid, c.XDP.Interface != "")
	switch {
	case err != nil:
		x.say(warning, "", "%v", err)
	case len(lacking) > 0 && pid == 0 && c.Nftables != config.SwitchOn && c.XDP.Interface == "":
		x.ok("%s no %s: with nftables: auto the gateway then drops packets itself", who, strings.Join(lacking, ", "))
	case len(lacking) > 0:
		x.say(warning, grant(c), "%s no %s: packets are not dropped in the kernel, the gateway drops them itself", who, strings.Join(lacking, ", "))
	default:
		x.ok("%s the capabilities to drop packets in the kernel", who)
	}
}

// kernelInterface: a program on an interface that the gateway is not reached by
// does nothing.
func (x *examination) kernelInterface(name string) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		x.say(warning, "the name as ip link shows it", "kernel.xdp.interface: %s: %v", name, err)
		return
	}
	if i.Flags&net.FlagUp == 0 {
		x.say(warning, "ip link set "+name+" up", "kernel.xdp.interface: %s is down", name)
		return
	}
	has := map[netip.Addr]bool{}
	addrs, err := i.Addrs()
	if err != nil {
		x.say(warning, "", "kernel.xdp.interface: %s: %v", name, err)
		return
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			has[p.Addr().Unmap().WithZone("")] = true
		}
	}
	all := slices.Concat(x.cfg.Listen.TLS, x.cfg.Listen.TCP, x.cfg.Listen.UDP)
	if !slices.ContainsFunc(all, func(a netip.AddrPort) bool { return a.Addr().IsUnspecified() || has[a.Addr().Unmap()] }) {
		x.say(warning, "the interface that senders reach the gateway by: ip address shows which has the addresses of listen",
			"kernel.xdp.interface: %s has none of the addresses that the gateway listens on", name)
		return
	}
	x.ok("%s is up and has addresses that the gateway listens on", name)
}
