package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/replay"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/trial"
)

// replayCmd runs recorded calls through a policy and the detectors.
type replayCmd struct {
	File      string   `arg:"" help:"Event stream or CDRs, JSON Lines; - for standard input."`
	Policy    string   `help:"Policy files on trial, a directory or one file. Default: those of the configuration." placeholder:"DIR"`
	Against   string   `help:"Policy files that they are compared with. Default: what was recorded." placeholder:"DIR"`
	Config    string   `short:"c" help:"Configuration file: its packs, dialling plan and peers. Default: the shipped packs with --profile and --home." placeholder:"FILE"`
	Profile   string   `help:"Profile, without a configuration: office or call-centre. Default: office." placeholder:"NAME"`
	Home      string   `help:"Home country, without a configuration. Default: FR." placeholder:"CC"`
	Rates     string   `help:"Rate deck: prefix,code,usd_per_min,class,lat,lon. Default: the shipped price classes." placeholder:"CSV"`
	Geo       string   `help:"Countries of addresses that the recording does not know: cidr,country." placeholder:"CSV"`
	Alerts    string   `help:"Write what would have been alerted." placeholder:"OUT.jsonl"`
	Labels    string   `help:"What is known to be an attack, JSON Lines: {\"id\": \"…\", \"ids\": [events]}. Gives the rate of false alarms." placeholder:"FILE"`
	Strangers []string `help:"Names of peers in the recording that stand for nobody who was identified." default:"internet,public,anonymous,unknown" placeholder:"NAME"`
	JSON      bool     `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (replayCmd) Help() string {
	return "Judges recorded calls with the code of the gateway, in their own time and without a network: limits, policy and the detectors of fraud. " +
		"What happened stands; what would have been decided is told beside it.\n\n" +
		"Examples:\n  rampart replay events.jsonl -c rampart.yaml --policy policy-new/ --against policy/\n" +
		"  rampart replay events.jsonl --profile office --home GB --rates rates.csv --alerts alerts.jsonl"
}

// Run replays.
func (c *replayCmd) Run(a *app) (err error) {
	o, err := c.options(a)
	if err != nil {
		return err
	}
	in := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		defer f.Close()
		in = f
	}
	if c.Alerts != "" {
		out, err := os.Create(c.Alerts)
		if err != nil {
			return fmt.Errorf("--alerts: %w", err)
		}
		w := lineWriter{w: bufio.NewWriterSize(out, 1<<16)}
		o.New.Alerts = w.write
		defer func() {
			if bad := errors.Join(w.err, w.w.Flush(), out.Close()); bad != nil && err == nil {
				err = fmt.Errorf("--alerts: %w", bad)
			}
		}()
	}
	rep, err := replay.Run(in, o)
	if err != nil {
		return fmt.Errorf("replay: %s: %w", c.File, err)
	}
	if c.JSON {
		err = printJSON(a, rep)
	} else {
		rep.Text(a.stdout, c.File)
	}
	if err == nil && rep.Events == 0 && rep.Malformed > 0 {
		err = fmt.Errorf("replay: %s: no line of it is an event or a CDR", c.File)
	}
	return err
}

// lineWriter writes alerts and keeps the first error.
type lineWriter struct {
	w   *bufio.Writer
	err error
}

func (l *lineWriter) write(e alert.Event) {
	line, err := e.Line()
	if err == nil {
		_, err = l.w.Write(line)
	}
	if l.err == nil {
		l.err = err
	}
}

// options are both sides, and what is known beside the recording.
func (c *replayCmd) options(a *app) (o replay.Options, err error) {
	o.Strangers = c.Strangers
	var base replayBase
	if c.Config != "" {
		if c.Profile+c.Home != "" {
			return o, usageError{errors.New("-c brings its own profile and home; give either it or them")}
		}
		base.cfg, err = a.load(c.Config)
	} else {
		base.cfg, err = packsOnly(c.Profile, c.Home)
	}
	if err != nil {
		return o, err
	}
	if base.plan, err = base.cfg.Plan(); err != nil {
		return o, usageError{err}
	}
	base.bare = c.Config == ""
	if c.Rates != "" { // instead of the configuration's
		base.cfg.Rates = ""
	}
	if base.rates, err = rates(base.cfg, base.plan.Data()); err != nil {
		return o, err
	}
	if err := readCSV("--rates", c.Rates, func(name string, r io.Reader) (err error) {
		base.rates, err = base.rates.ReadDeck(name, r)
		return err
	}); err != nil {
		return o, err
	}
	if err := readCSV("--geo", c.Geo, func(name string, r io.Reader) error {
		geo, err := replay.ReadGeo(name, r)
		o.Geo = geo.Country
		return err
	}); err != nil {
		return o, err
	}
	if err := readCSV("--labels", c.Labels, func(name string, r io.Reader) (err error) {
		o.Attacks, err = replay.ReadLabels(name, r)
		return err
	}); err != nil {
		return o, err
	}
	if o.New, err = base.side(a, c.Policy); err != nil {
		return o, err
	}
	if c.Against != "" {
		old, err := base.side(a, c.Against)
		if err != nil {
			return o, err
		}
		o.Old = &old
	}
	return o, nil
}

// readCSV opens a file that a flag names, if it does.
func readCSV(flag, path string, read func(name string, r io.Reader) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	defer f.Close()
	if err := read(path, f); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// replayBase is what both sides have in common.
type replayBase struct {
	cfg   *config.Config
	plan  *number.Plan
	rates *fraud.Rates
	bare  bool // no configuration: any peer may be there
}

// packsOnly is a configuration of the shipped packs and nothing else.
func packsOnly(profile, home string) (*config.Config, error) {
	p := config.Office
	if profile != "" {
		p = config.Profile(profile)
	}
	if _, ok := rules.Profile(string(p)); !ok {
		return nil, usageError{fmt.Errorf("--profile: no profile %q; there are office and call-centre", profile)}
	}
	cfg := config.Defaults(p)
	cfg.Domains = []string{"sip.example.com"}
	cfg.PolicyFiles = nil
	if home == "" {
		home = packHome
	}
	cfg.Home, _ = config.HomeOf(home) // where it is not known, the numbering data says it
	return &cfg, nil
}

// side is a policy with its detectors; files are its policy files, or those of
// the configuration.
func (b *replayBase) side(a *app, files string) (s replay.Side, err error) {
	cfg := b.cfg
	if files != "" {
		here := *cfg
		here.PolicyFiles = []string{files}
		if st, err := os.Stat(files); err != nil {
			return s, fmt.Errorf("replay: %w", err)
		} else if st.IsDir() {
			if here.PolicyFiles, err = policyFilesIn(files); err != nil {
				return s, err
			}
		}
		cfg = &here
	}
	set, _, ps := compileRules(cfg, b.plan, readBounded, time.Now(), nil)
	if set == nil {
		return s, listed("rules", ps)
	}
	detect, err := detectorsOf(cfg, set)
	if err != nil {
		return s, err
	}
	s = replay.Side{Name: nameOf(files), Rates: b.rates, Fraud: detect, Meta: alert.Meta{Node: "replay", PolicyRevision: set.Revision()}}
	if s.Trial = trialOptions(cfg, set); b.bare {
		s.Trial = trial.Options{Set: set}
	}
	return s, nil
}

func nameOf(files string) string {
	if files == "" {
		return "the configuration"
	}
	return shortPath(files)
}
