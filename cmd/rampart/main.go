// Command rampart is a VoIP security gateway (session border controller). It
// answers no question of its own: it reads flags, puts the packages together
// and turns their errors into exit codes: 0 done, 1 a finding or a failure, 2
// wrong usage. Everything it prints as a result goes to stdout, everything
// else to stderr. It owns signals and the only os.Exit; time comes from the
// machine's clock. When something breaks at start there is one clear line.
//
// Start reading at main, then at the Run of a command.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	_ "time/tzdata" // a static binary must know time zones on a bare machine

	"github.com/alecthomas/kong"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/plain"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// cli are the commands; each is a type with Run(*app) error in a file of its
// own.
type cli struct {
	Run      runCmd      `cmd:"" help:"Run the gateway."`
	Demo     demoCmd     `cmd:"" help:"Show everything on this computer, with nothing to configure."`
	Doctor   doctorCmd   `cmd:"" help:"Look at this host: ports, PBX, certificates, passwords, and every setting that is less safe than its default."`
	Init     initCmd     `cmd:"" help:"Write a first configuration with safe defaults and a private CA."`
	Check    checkCmd    `cmd:"" help:"Check the configuration, rules, certificates and databases."`
	AttackMe attackMeCmd `cmd:"" name:"attack-me" help:"Attack a configuration of yours in a sandbox and print a report card."`
	Sandbox  sandboxCmd  `cmd:"" hidden:""`
	Policy   policyCmd   `cmd:"" help:"Look at, load and roll back the policy."`
	Bans     bansCmd     `cmd:"" help:"List, add and lift bans and holds of a running gateway."`
	Fraud    fraudCmd    `cmd:"" help:"Look at incidents of fraud in a running gateway, close and release them."`
	Users    usersCmd    `cmd:"" help:"Add, list and remove the users of a file that the gateway checks passwords with."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of a file, for editors and log pipelines."`
	Replay   replayCmd   `cmd:"" help:"Run recorded calls through a policy and the detectors of fraud."`
	Calls    callsCmd    `cmd:"" help:"List and explain the calls of a running gateway."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// app is what commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	host           config.Host
}

// usageError is wrong usage that the flag parser cannot see.
type usageError struct{ error }

// exitCode carries the parser's wish to end (after --help) up to execute.
type exitCode int

func execute(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			c, ok := p.(exitCode)
			if !ok {
				panic(p)
			}
			code = int(c)
		}
	}()
	stdout, stderr = plain.Terminal(stdout), plain.Terminal(stderr) // errors quote what others wrote
	var c cli
	parser, err := kong.New(&c, kong.Name("rampart"),
		kong.Description("A security gateway between phones, carriers and any PBX: TLS and SRTP outside, your PBX inside, rules in between."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		panic(err) // the structs above are wrong: a bug, and every test finds it
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "rampart: %v\nTry: %s --help\n", err, commandOf(err))
		return 2
	}
	err = ctx.Run(&app{stdin: os.Stdin, stdout: stdout, stderr: stderr, host: config.ThisHost()})
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "rampart: %v\n", err)
		return 2
	}
	if text := err.Error(); text != "" {
		if !strings.HasPrefix(text, "rampart: ") {
			text = "rampart: " + text
		}
		fmt.Fprintln(stderr, text)
	}
	return 1
}

// commandOf is the one that was written, as far as it is one.
func commandOf(err error) string {
	var bad *kong.ParseError
	if !errors.As(err, &bad) || bad.Context == nil {
		return "rampart"
	}
	text := "rampart"
	for _, p := range bad.Context.Path {
		if p.Command != nil {
			text += " " + p.Command.Name
		}
	}
	return text
}

// configPath is the file that -c names, or the first that exists of
// ./rampart.yaml and /etc/rampart/rampart.yaml.
func (a *app) configPath(given string) string {
	if given != "" {
		return given
	}
	for _, path := range []string{"rampart.yaml", "/etc/rampart/rampart.yaml"} {
		if _, err := a.host.Stat(path); err == nil {
			return path
		}
	}
	return "rampart.yaml"
}

// load reads the configuration. Warnings and problems go to stderr.
func (a *app) load(given string) (*config.Config, error) {
	cfg, ps := config.Load(a.configPath(given), a.host)
	for _, p := range ps {
		fmt.Fprintln(a.stderr, p)
	}
	if n := len(ps.Errors()); n > 0 {
		return nil, fmt.Errorf("%s in the configuration", count(n, "error"))
	}
	return cfg, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
