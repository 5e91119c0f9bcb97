package peers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build makes the program once per test binary.
var build struct {
	sync.Once
	path string
	err  error
}

// Program gives the path of the gateway's program, built from the working tree,
// or that of the environment variable RAMPART_BIN.
func Program(tb testing.TB) string {
	tb.Helper()
	if p := os.Getenv("RAMPART_BIN"); p != "" {
		return p
	}
	build.Do(func() {
		dir, err := os.MkdirTemp("", "rampart-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "rampart")
		out, err := exec.Command("go", "build", "-o", build.path, "github.com/rampart-sbc/rampart/cmd/rampart").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if build.err != nil {
		tb.Fatalf("peers: build the gateway: %v", build.err)
	}
	return build.path
}

// RemoveProgram removes what Program has built; for TestMain, after the tests.
func RemoveProgram() {
	if build.path != "" {
		os.RemoveAll(filepath.Dir(build.path))
	}
}

// Gateway is the gateway's process under test.
type Gateway struct {
	*Process
	Config string // path of its rampart.yaml
}

// StartGateway runs `rampart run -c DIR/rampart.yaml` with this configuration in
// a directory, which also holds whatever the configuration names by a relative
// path, and waits until it says that it is up. The hosts are the names that it
// can resolve.
func StartGateway(tb testing.TB, dir, config string, hosts map[string]netip.Addr) *Gateway {
	tb.Helper()
	file := write(tb, filepath.Join(dir, "rampart.yaml"), config)
	g := &Gateway{Config: file}
	g.Process = Start(tb, Command{Name: "rampart", Path: Program(tb), Dir: dir, Hosts: hosts, Args: []string{"run", "-c", file}})
	g.WaitLog(`rampart is up`, 15*time.Second)
	return g
}

// Reload sends SIGHUP.
func (g *Gateway) Reload() {
	g.tb.Helper()
	if err := g.Signal(syscall.SIGHUP); err != nil {
		g.tb.Fatalf("peers: reload: %v", err)
	}
}

// Usage is what a process holds, for tests that look for leaks.
type Usage struct {
	Descriptors int
	UDPSockets  int // of the process, bound to the given block of addresses
	RSS         int // KiB
	Threads     int
	CPU         time.Duration // user and system
}

// Usage reads /proc of a process that was started without Children. UDP sockets
// are counted on the test's block of addresses: an open port is a leaked
// stream, when no call is up.
func (p *Process) Usage(n *Net) Usage {
	p.tb.Helper()
	var u Usage
	pid := fmt.Sprint(p.PID())
	fds, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		p.tb.Fatalf("peers: usage of %s: %v", p.Name, err)
	}
	u.Descriptors = len(fds)
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d", &u.RSS)
		fmt.Sscanf(line, "Threads: %d", &u.Threads)
	}
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	if _, rest, ok := strings.Cut(string(stat), ") "); ok {
		f := strings.Fields(rest)
		var user, sys int
		if len(f) > 12 {
			fmt.Sscan(f[11], &user)
			fmt.Sscan(f[12], &sys)
		}
		u.CPU = time.Duration(user+sys) * 10 * time.Millisecond // USER_HZ is 100
	}
	if n != nil {
		inode := map[string]bool{}
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/" + pid + "/fd/" + fd.Name()); err == nil {
				inode[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
			}
		}
		block := fmt.Sprintf("%02X%02X7F:", n.b, n.a) // the end of little-endian hex of 127.a.b.x
		udp, _ := os.ReadFile("/proc/" + pid + "/net/udp")
		for line := range strings.Lines(string(udp)) {
			f := strings.Fields(line)
			if len(f) > 9 && strings.Contains(f[1], block) && inode[f[9]] {
				u.UDPSockets++
			}
		}
	}
	return u
}
