package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/demo"
)

// demoCmd plays everything on the loopback interface.
type demoCmd struct {
	Keep    bool `help:"Leave everything running at the end, until Ctrl-C."`
	Verbose bool `short:"v" help:"Show the gateway's log and what the telephones have to say, on stderr."`
}

// Help is shown under the flags.
func (demoCmd) Help() string {
	return "Starts a gateway, telephones, a PBX and a carrier on this computer, with nothing to configure, lets them call each other, and " +
		"shows what is allowed, refused and reported. Ends with 1 when something did not happen.\n\nExample:\n  rampart demo"
}

func (c *demoCmd) Run(app *app) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	o := demo.Options{Out: app.stdout, Keep: c.Keep}
	if c.Verbose {
		log = slog.New(slog.NewTextHandler(app.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Verbose = func(format string, args ...any) { log.Debug(fmt.Sprintf(format, args...)) }
	}
	o.Start = func(file string) (*demo.Gateway, error) { return startDemo(app, file, log) }
	if err := demo.Run(ctx, o); err != nil {
		return failure(err)
	}
	return nil
}

// startDemo runs the gateway as "rampart run" would.
func startDemo(app *app, file string, log *slog.Logger) (*demo.Gateway, error) {
	cfg, ps := config.Load(file, app.host)
	if bad := ps.Errors(); len(bad) > 0 {
		var errs []error
		for _, p := range bad {
			errs = append(errs, errors.New(p.String()))
		}
		return nil, errors.Join(errs...)
	}
	g, err := startGateway(cfg, log)
	if err != nil {
		return nil, err
	}
	why := func(callID string) (string, error) {
		out, ok := g.explain(callID, false)
		if !ok {
			return "", fmt.Errorf("the gateway remembers no decision about %s", callID)
		}
		var b strings.Builder
		for _, t := range out.Decisions {
			if err := t.Text(&b); err != nil {
				return "", err
			}
		}
		return b.String(), nil
	}
	return &demo.Gateway{CA: filepath.Join(cfg.State, "ca.pem"), Explain: why, Close: func() { g.close(2 * time.Second) }}, nil
}
