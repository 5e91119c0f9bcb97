package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// doctorCmd looks at the live host, where check looks at files.
type doctorCmd struct {
	Config string        `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	Guess  time.Duration `default:"20s" help:"How long passwords of a file of users are guessed." placeholder:"TIME"`
	JSON   bool          `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (doctorCmd) Help() string {
	return "Looks at this host with the eyes of the gateway: ports, certificates, whether the PBX answers OPTIONS, names, buffers, what the kernel is to drop, clock, file limits, disks, modes of files, " +
		"weak passwords. Then lists every setting that is less safe than its default, with its risk. Changes nothing and may run beside the gateway. " +
		"Ends with 1 when something is broken; warnings and relaxations leave it at 0.\n\nExample:\n  rampart doctor -c /etc/rampart/rampart.yaml"
}

// level of a symptom.
type level string

const (
	healthy level = "ok"
	relaxed level = "relaxed" // as configured, and less safe than the default
	warning level = "warning"
	broken  level = "broken"
)

// symptom is one thing that was looked at.
type symptom struct {
	Area    string `json:"area"`
	Level   level  `json:"level"`
	Message string `json:"message"`
	Risk    string `json:"risk,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// examination collects what is found, in the order of areas.
type examination struct {
	cfg   *config.Config
	host  config.Host
	proc  string // where the kernel tells: /proc
	guess time.Duration
	now   time.Time

	mu       sync.Mutex
	area     string
	symptoms []symptom
}

func (x *examination) say(l level, hint, format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.symptoms = append(x.symptoms, symptom{Area: x.area, Level: l, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (x *examination) ok(format string, args ...any) { x.say(healthy, "", format, args...) }

// areas in the order in which they are shown.
var areas = []struct {
	name string
	look func(*examination, context.Context)
}{
	{"ports", (*examination).ports},
	{"certificates", (*examination).certificates},
	{"pbx", (*examination).pbxs},
	{"names", (*examination).names},
	{"buffers", (*examination).buffers},
	{"kernel", (*examination).kernel},
	{"clock", (*examination).clock},
	{"limits", (*examination).fileLimits},
	{"disk", (*examination).disk},
	{"files", (*examination).files},
	{"passwords", (*examination).passwords},
	{"relaxations", (*examination).relaxations},
}

// Run examines.
func (c *doctorCmd) Run(a *app) error {
	path := a.configPath(c.Config)
	cfg, ps := config.Inspect(path, a.host)
	if cfg == nil || ps.Err() != nil {
		for _, p := range ps.Errors() {
			fmt.Fprintln(a.stderr, p)
		}
		return fmt.Errorf("doctor: %s in the configuration; rampart check shows all", count(len(ps.Errors()), "error"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found := examine(ctx, &examination{cfg: cfg, host: a.host, proc: "/proc", guess: c.Guess, now: time.Now()})
	n := map[level]int{}
	for _, s := range found {
		n[s.Level]++
	}
	if c.JSON {
		out := struct {
			OK       bool      `json:"ok"`
			File     string    `json:"file"`
			Symptoms []symptom `json:"symptoms"`
		}{n[broken] == 0, path, found}
		if err := printJSON(a, out); err != nil {
			return err
		}
	} else {
		printSymptoms(a.stdout, found)
		fmt.Fprintf(a.stdout, "\n%s: %d ok, %s, %d broken, %s of the safe defaults\n", path, n[healthy], count(n[warning], "warning"), n[broken], count(n[relaxed], "relaxation"))
	}
	if n[broken] > 0 {
		return fmt.Errorf("doctor: %s", count(n[broken], "thing")+" broken")
	}
	return nil
}

// examine looks at all areas at the same time: most of them wait for somebody.
func examine(ctx context.Context, all *examination) (out []symptom) {
	parts := make([]*examination, len(areas))
	var wg sync.WaitGroup
	for i, area := range areas {
		x := &examination{cfg: all.cfg, host: all.host, proc: all.proc, guess: all.guess, now: all.now, area: area.name}
		parts[i] = x
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					x.say(broken, "", "this could not be examined: %v", p)
				}
			}()
			area.look(x, ctx)
		})
	}
	wg.Wait()
	for _, x := range parts {
		out = append(out, x.symptoms...)
	}
	return out
}

func printSymptoms(w io.Writer, found []symptom) {
	mark := map[level]string{healthy: "  ok ", warning: "warn ", broken: "FAIL ", relaxed: "note "}
	last := ""
	for _, s := range found {
		if s.Area != last {
			fmt.Fprintf(w, "%s\n", s.Area)
			last = s.Area
		}
		fmt.Fprintf(w, "  %s%s\n", mark[s.Level], clean(s.Message))
		for _, more := range []struct{ name, text string }{{"risk", s.Risk}, {"hint", s.Hint}} {
			if more.text != "" {
				fmt.Fprintf(w, "         %s: %s\n", more.name, clean(more.text))
			}
		}
	}
}

// clean keeps what others wrote, such as a PBX, from speaking to the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
