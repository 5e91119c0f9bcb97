package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a peer that runs until it ends by itself, Stop is called or the
// test is over.
type Process struct {
	Name string
	Dir  string // working directory, with the log in it

	tb    testing.TB
	cmd   *exec.Cmd
	log   string
	done  chan struct{}
	err   error
	stdin io.WriteCloser
	stop  sync.Once
}

// Command says what to run.
type Command struct {
	Name  string // of the peer, for logs
	Path  string // program
	Args  []string
	Dir   string // working directory; a new temporary one when empty
	Env   []string
	Hosts map[string]netip.Addr // names it may resolve through its hosts file

	// Children puts the process into a process namespace of its own, in which
	// whatever it forks dies with it. Its process id is then not that of the
	// program, so the gateway, whose memory tests measure, goes without.
	Children bool
	Stdin    bool // keep a pipe to its standard input
}

// private runs in the new mount namespace: it lays the peer's own resolv.conf
// and hosts over the machine's, then becomes the peer.
const private = `mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/hosts" /etc/hosts || exit 125
shift; exec "$@"`

// Start runs a command.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	path, err := exec.LookPath(c.Path)
	if err != nil {
		tb.Fatalf("peers: %s is not installed (./test installs it): %v", c.Path, err)
	}
	if c.Dir == "" {
		c.Dir = tb.TempDir()
	}
	etc := tb.TempDir()
	write(tb, filepath.Join(etc, "resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	if name, err := os.Hostname(); err == nil {
		hosts += "127.0.0.1 " + name + "\n"
	}
	for name, addr := range c.Hosts {
		hosts += addr.String() + " " + name + "\n"
	}
	write(tb, filepath.Join(etc, "hosts"), hosts)

	args := []string{"--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	if c.Children {
		args = append(args, "--pid", "--fork", "--kill-child=SIGKILL")
	}
	args = append(args, "sh", "-c", private, c.Name, etc, path)
	p := &Process{Name: c.Name, Dir: c.Dir, tb: tb, log: filepath.Join(c.Dir, c.Name+".log"), done: make(chan struct{})}
	p.cmd = exec.Command("unshare", append(args, c.Args...)...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(p.log)
	if err != nil {
		tb.Fatalf("peers: log of %s: %v", c.Name, err)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if c.Stdin {
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			tb.Fatalf("peers: %s: %v", c.Name, err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("peers: start %s: %v", c.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		out.Close()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.Stop()
		if tb.Failed() {
			tb.Logf("log of %s (last lines):\n%s", p.Name, tail(p.Log(), 120))
		}
	})
	return p
}

// PID is the process id; of a peer with Children that of its namespace's keeper.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end and gives the exit status, -1 for a signal.
func (p *Process) Wait(limit time.Duration) int {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.tb.Fatalf("peers: %s has not ended in %v\n%s", p.Name, limit, tail(p.Log(), 40))
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.tb.Fatalf("peers: %s: %v", p.Name, p.err)
	}
	return 0
}

// Stop ends the process: politely, and after two seconds by force.
func (p *Process) Stop() {
	p.stop.Do(func() {
		if p.stdin != nil {
			p.stdin.Close()
		}
		_ = syscall.Kill(-p.PID(), syscall.SIGTERM)
		select {
		case <-p.done:
			return
		case <-time.After(2 * time.Second):
		}
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
		<-p.done
	})
}

// Kill ends the process at once, as a power cut would.
func (p *Process) Kill() {
	p.stop.Do(func() {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
		<-p.done
	})
}

var ansi = regexp.MustCompile(`\x1b\[[^a-zA-Z]*[a-zA-Z]`)

// Log is what the process has written so far, without colours.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return "no log: " + err.Error()
	}
	return string(ansi.ReplaceAll(b, nil))
}

// WaitLog waits until a line of the log matches.
func (p *Process) WaitLog(pattern string, limit time.Duration) []string {
	p.tb.Helper()
	re := regexp.MustCompile(pattern)
	var m []string
	p.until(limit, "a log line like "+pattern, func() bool {
		m = re.FindStringSubmatch(p.Log())
		return m != nil
	})
	return m
}

// until polls a condition that only holds while the process lives.
func (p *Process) until(limit time.Duration, what string, ok func() bool) {
	p.tb.Helper()
	end := time.Now().Add(limit)
	for !ok() {
		select {
		case <-p.done:
			if !ok() {
				p.tb.Fatalf("peers: %s ended (%v) while waiting for %s\n%s", p.Name, p.err, what, tail(p.Log(), 60))
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			p.tb.Fatalf("peers: %s: waited %v for %s\n%s", p.Name, limit, what, tail(p.Log(), 60))
		}
	}
}

// Eventually polls a condition until it holds; what names it in the failure.
func Eventually(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if ok() {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("peers: waited %v for %s", limit, what)
		}
	}
}

func tail(s string, lines int) string {
	l := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(l) > lines {
		l = append([]string{fmt.Sprintf("… %d lines before", len(l)-lines)}, l[len(l)-lines:]...)
	}
	return strings.Join(l, "\n")
}

func write(tb testing.TB, path, text string) string {
	tb.Helper()
	if err := os.WriteFile(path, bytes.ReplaceAll([]byte(text), []byte("\r\n"), []byte("\n")), 0o600); err != nil {
		tb.Fatalf("peers: %v", err)
	}
	return path
}
