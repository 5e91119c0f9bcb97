package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/attack"
	"github.com/rampart-sbc/rampart/internal/plain"
)

// The gateway of a sandbox is a process of its own: what attackers and telephones
// cost is not taken for its load, and its memory can be told.

// sandbox is what that process is told, on its standard input. It ends when
// the input does, so it never outlives who started it.
type sandbox struct {
	File  string // the operator's configuration
	Dir   string // everything it writes
	Place attack.Place
}

// sandboxGateway is what it answers: one line, when it listens.
type sandboxGateway struct {
	Domain        string
	TLS, UDP, TCP netip.AddrPort
	Trunk         netip.Addr
	Files         []string // the alerts first
	Error         string
}

// sandboxEnv tells a test program that it is to be the gateway.
const sandboxEnv = "RAMPART_SANDBOX"

// sandboxCmd is that process. Nobody types it.
type sandboxCmd struct{}

func (sandboxCmd) Run(app *app) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return usageError{errors.New("this is a part of attack-me")}
	}
	var s sandbox
	if err := json.Unmarshal(line, &s); err != nil {
		return usageError{err}
	}
	tuned, stop := context.WithCancel(context.Background())
	defer stop()
	tuneMemory(tuned)
	out, end, err := s.serve(app)
	if err != nil {
		out.Error = err.Error()
	}
	if e := json.NewEncoder(app.stdout).Encode(out); err != nil || e != nil {
		return errors.Join(err, e)
	}
	io.Copy(io.Discard, in)
	end()
	return nil
}

// serve runs the gateway as "rampart run" would, with its log in a file.
func (s sandbox) serve(app *app) (out sandboxGateway, end func(), err error) {
	cfg, ps := config.Load(s.File, app.host)
	if cfg == nil {
		return out, nil, listed("configuration", ps)
	}
	mine, trunk, err := sandboxed(*cfg, s.Place, s.Dir)
	if err != nil {
		return out, nil, err
	}
	logFile := filepath.Join(s.Dir, "rampart.log")
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return out, nil, err
	}
	g, err := startGateway(&mine, slog.New(plain.NewHandler(slog.NewTextHandler(f, nil), plain.Options{})))
	if err != nil {
		f.Close()
		return out, nil, fmt.Errorf("the gateway does not start in the sandbox: %w", err)
	}
	first := func(l []netip.AddrPort) (a netip.AddrPort) {
		if len(l) > 0 {
			a = l[0]
		}
		return a
	}
	out = sandboxGateway{Domain: mine.Domains[0], TLS: first(mine.Listen.TLS), UDP: first(mine.Listen.UDP), TCP: first(mine.Listen.TCP), Trunk: trunk,
		Files: []string{mine.Alerts[0].File, mine.CDR[0].File, logFile}}
	for _, e := range mine.Events {
		out.Files = append(out.Files, e.File)
	}
	return out, func() {
		g.close(2 * time.Second)
		f.Close()
	}, nil
}

// startSandbox starts the process and waits until it listens.
func startSandbox(s sandbox) (*attack.Gateway, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "sandbox")
	cmd.Env = append(os.Environ(), sandboxEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway of the sandbox: %w", err)
	}
	end := func() {
		in.Close()
		hard := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		hard.Stop()
	}
	g, err := s.meet(in, out)
	if err != nil {
		end()
		return nil, err
	}
	g.Close, g.Process = end, cmd.Process.Pid
	return g, nil
}

// meet tells the process what to be and reads what it is.
func (s sandbox) meet(in io.Writer, out io.Reader) (*attack.Gateway, error) {
	if err := json.NewEncoder(in).Encode(s); err != nil {
		return nil, fmt.Errorf("the gateway of the sandbox: %w", err)
	}
	var got sandboxGateway
	if err := json.NewDecoder(out).Decode(&got); err != nil {
		return nil, fmt.Errorf("the gateway of the sandbox: %w", err)
	}
	if got.Error != "" {
		return nil, errors.New(got.Error)
	}
	pem, err := os.ReadFile(filepath.Join(s.Dir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("the sandbox's certificates: %w", err)
	}
	roots, err := attack.Trust(pem, got.Domain)
	if err != nil {
		return nil, err
	}
	return &attack.Gateway{Domain: got.Domain, TLS: got.TLS, UDP: got.UDP, TCP: got.TCP, Trunk: got.Trunk, Roots: roots, Alerts: got.Files[0], Files: got.Files}, nil
}
