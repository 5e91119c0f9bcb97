package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/plain"
)

// runCmd is the gateway itself.
type runCmd struct {
	Config string `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	Log    string `enum:"text,json" default:"text" help:"Format of the log on stderr: text or json."`
	Debug  bool   `help:"Log more."`

	AllowFailingTests bool `help:"Load rules although their tests fail: at start and at each reload. It is logged and alerted."`
}

// Help is shown under the flags.
func (runCmd) Help() string {
	return "Runs the gateway. SIGHUP loads rules, limits of peers, certificates and GeoIP data again and reopens log files; SIGTERM refuses new calls and " +
		"ends when the live ones have, or after drain_timeout.\n\nExample:\n  rampart run -c /etc/rampart/rampart.yaml"
}

func (c *runCmd) Run(app *app) error {
	cfg, err := app.load(c.Config)
	if err != nil {
		return err
	}
	tuned, stop := context.WithCancel(context.Background())
	defer stop()
	tuneMemory(tuned)
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})
	if c.Log == "json" {
		h = slog.NewJSONHandler(plain.Writer(os.Stderr), &slog.HandlerOptions{Level: level})
	}
	log := slog.New(plain.NewHandler(h, plain.Options{}))
	sigs := make(chan os.Signal, 4)
	signal.Notify(sigs, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(sigs)
	g, err := startGateway(cfg, log, func(g *gateway) { g.allowFailing = c.AllowFailingTests })
	if err != nil {
		return failure(err)
	}
	for _, side := range []call.Side{call.Public, call.Inside} {
		for _, tr := range []string{"tls", "tcp", "udp"} {
			for _, a := range g.sbc.Addrs(side, tr) {
				log.Info("listening", "side", side.String(), "transport", tr, "address", a.String())
			}
		}
	}
	log.Info("rampart is up", "version", version(), "domain", cfg.Domains[0], "admin", cfg.Admin.Listen.String())
	for s := range sigs {
		if s == syscall.SIGHUP {
			g.reload()
			continue
		}
		g.sbc.Refuse() // before anybody is told
		log.Info("stopping", "signal", s.String(), "calls", g.sbc.Live(), "drain_timeout", g.drainTime().String())
		done := make(chan struct{})
		go func() { g.drain(g.drainTime()); close(done) }()
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case s := <-sigs:
				if s != syscall.SIGHUP { // asked twice: at once
					waiting = false
				}
			}
		}
		break
	}
	g.close(5 * time.Second)
	log.Info("stopped")
	return nil
}

// failure is an error that ends a command with exit code 1.
func failure(err error) error { return fmt.Errorf("rampart: %w", err) }
