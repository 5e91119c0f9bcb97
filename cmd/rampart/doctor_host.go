package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// buffers looks at how large the kernel lets receive buffers be.
func (x *examination) buffers(context.Context) {
	if len(x.cfg.Listen.UDP)+len(x.cfg.Inside.UDP) == 0 {
		x.ok("no SIP over UDP is configured")
		return
	}
	n, err := x.number("sys/net/core/rmem_max")
	wanted := int64(x.cfg.Limits.UDPBuffer)
	switch {
	case err != nil:
		x.ok("the largest receive buffer is not told on this system")
	case n < wanted:
		x.say(warning, fmt.Sprintf("sysctl -w net.core.rmem_max=%d, and in /etc/sysctl.d; or CAP_NET_ADMIN for the gateway", wanted),
			"net.core.rmem_max is %d: bursts of datagrams are lost earlier than they need be", n)
	default:
		x.ok("net.core.rmem_max is %d", n)
	}
}

func (x *examination) number(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(x.proc, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// clock asks the kernel whether it is disciplined: certificates, nonces, hours in
// rules and the times in CDRs depend on it.
func (x *examination) clock(context.Context) {
	k, err := kernelClock()
	const hint = "run chrony or systemd-timesyncd: timedatectl set-ntp true"
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		x.ok("this system does not tell whether its clock is right")
	case err != nil:
		x.say(warning, hint, "the kernel does not tell whether the clock is right: %v", err)
	case !k.synchronised:
		x.say(warning, hint, "the clock is not synchronised (NTP): certificates, hours in rules and the times of calls depend on it")
	case k.maxError.Seconds() > 1:
		x.say(warning, hint, "the clock may be wrong by %s", k.maxError)
	default:
		x.ok("the clock is synchronised, wrong by %s at most", k.maxError)
	}
}

// fileLimits compares what the gateway may open with what it is allowed to open.
func (x *examination) fileLimits(context.Context) {
	l := x.cfg.Limits
	need := uint64(l.Connections + 4*l.Calls + 256) // RTP and RTCP on each side of a call
	where := "for this shell"
	limit, err := openFiles()
	if pid := x.running(); pid != 0 {
		if n, e := x.limitOf(pid); e == nil {
			limit, err, where = n, nil, fmt.Sprintf("for the running gateway (process %d)", pid)
		}
	}
	switch {
	case err != nil:
		x.ok("this system does not tell how many files may be open")
	case limit < need:
		x.say(warning, fmt.Sprintf("LimitNOFILE=%d in the systemd unit, ulimit -n in a shell; or smaller limits.connections and limits.calls", need),
			"%d files may be open %s; limits.connections and limits.calls may need %d", limit, where, need)
	default:
		x.ok("%d files may be open %s, %d may be needed", limit, where, need)
	}
}

// running is the process of a gateway that runs with this configuration's first
// port, 0 when there is none.
func (x *examination) running() int {
	for _, at := range x.cfg.Listen.TLS {
		if pid, name := x.holder("tcp", at); name == "rampart" {
			return pid
		}
	}
	return 0
}

func (x *examination) limitOf(pid int) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(x.proc, strconv.Itoa(pid), "limits"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(rest); len(f) >= 2 {
				return strconv.ParseUint(f[1], 10, 64) // the hard one: the gateway raises the soft one to it
			}
		}
	}
	return 0, errors.New("no limit of open files")
}

const (
	diskWarn = 1 << 30
	diskFail = 64 << 20
)

// disk looks at the room for state and logs.
func (x *examination) disk(context.Context) {
	dirs := map[string][]string{x.cfg.State: {"state"}}
	add := func(dir, what string) {
		for _, w := range dirs[dir] {
			if w == what {
				return
			}
		}
		dirs[dir] = append(dirs[dir], what)
	}
	add(x.cfg.Store.Path, "store")
	for _, s := range x.cfg.Alerts {
		add(filepath.Dir(s.File), "alerts")
	}
	for _, s := range x.cfg.CDR {
		add(filepath.Dir(s.File), "CDRs")
	}
	for _, s := range x.cfg.Events {
		add(filepath.Dir(s.File), "events")
	}
	for _, dir := range sortedKeys(dirs) {
		what := fmt.Sprintf("%s (%s)", dir, strings.Join(dirs[dir], ", "))
		free, err := freeSpace(existing(dir))
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			continue
		case err != nil:
			x.say(broken, "", "%s: %v", what, err)
		case free < diskFail:
			x.say(broken, "make room, or let max_size and keep of the files be smaller", "%s: %d MiB are free", what, free>>20)
		case free < diskWarn:
			x.say(warning, "make room, or let max_size and keep of the files be smaller", "%s: %d MiB are free", what, free>>20)
		default:
			x.ok("%s: %.1f GiB are free", what, float64(free)/(1<<30))
		}
	}
}

// existing is the directory, or the nearest above it that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// files looks at who may read secrets and write what the gateway obeys.
func (x *examination) files(context.Context) {
	cfg := x.cfg
	secret := func(what, file string) {
		if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o077 != 0 {
			x.say(broken, "chmod 600 "+file, "%s %s has mode %04o: others can read it", what, file, st.Mode().Perm())
		} else if err == nil {
			x.ok("%s %s is its owner's alone", what, file)
		}
	}
	secret("the registration key", filepath.Join(cfg.State, "registration.key"))
	if len(cfg.TLS.Certificates) == 0 {
		secret("the private CA's key", filepath.Join(cfg.State, "ca.key"))
		secret("the server's key", filepath.Join(cfg.State, "server.key"))
	}
	if cfg.Authentication.File != "" {
		secret("the file of users", cfg.Authentication.File)
	}
	obeyed := append([]string{cfg.File, filepath.Dir(cfg.File)}, cfg.PolicyFiles...)
	for _, f := range cfg.PolicyFiles {
		obeyed = append(obeyed, filepath.Dir(f))
	}
	bad := false
	for _, f := range uniq(obeyed) {
		st, err := os.Stat(f)
		if err == nil && st.Mode().Perm()&0o022 != 0 && !(st.IsDir() && st.Mode()&fs.ModeSticky != 0) {
			bad = true
			x.say(broken, "chmod go-w "+f, "%s has mode %04o: others can change what the gateway obeys", f, st.Mode().Perm())
		}
	}
	if !bad {
		x.ok("the configuration and the policy can be written by their owner alone")
	}
	x.literalSecrets()
}

// literalSecrets: a password in the configuration itself is read by everybody who
// may read that.
func (x *examination) literalSecrets() {
	st, err := os.Stat(x.cfg.File)
	if err != nil || st.Mode().Perm()&0o044 == 0 {
		return
	}
	data, err := x.host.ReadFile(x.cfg.File)
	if err != nil {
		return
	}
	for _, p := range x.cfg.Peers {
		if p.Register != nil && p.Register.Password.Reveal() != "" && strings.Contains(string(data), p.Register.Password.Reveal()) {
			x.say(warning, `password: "file:carrier.secret" (mode 0600), or chmod 600 `+x.cfg.File,
				"the password for peer %s stands in %s, which others can read (mode %04o)", p.Name, x.cfg.File, st.Mode().Perm())
		}
	}
}

func uniq(all []string) (out []string) {
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
