package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/rampart-sbc/rampart/internal/plain"
	"github.com/rampart-sbc/rampart/policy/number"
)

// versionCmd prints what this binary is made of.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (versionCmd) Help() string { return "Example:\n  rampart version --json" }

// build is the answer of rampart version --json.
type build struct {
	Version   string            `json:"version"`
	Commit    string            `json:"commit,omitempty"`
	Modified  bool              `json:"modified,omitempty"` // built from a tree with changes
	Built     string            `json:"commit_time,omitempty"`
	Go        string            `json:"go"`
	Platform  string            `json:"platform"`
	Numbers   string            `json:"number_data"` // numbering data that is compiled in
	Libraries map[string]string `json:"libraries"`
}

// builtFrom reads what the Go linker wrote into the binary.
func builtFrom() build {
	b := build{Version: "dev", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Numbers: number.Builtin().Version(), Libraries: map[string]string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Built = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Libraries[m.Path] = m.Version
	}
	return b
}

// version names the program in alerts and logs.
func version() string { return builtFrom().Version }

// Run prints it.
func (c *versionCmd) Run(a *app) error {
	b := builtFrom()
	if c.JSON {
		return printJSON(a, b)
	}
	fmt.Fprintf(a.stdout, "rampart %s\n", b.Version)
	if b.Commit != "" {
		changed := ""
		if b.Modified {
			changed = ", with changes"
		}
		fmt.Fprintf(a.stdout, "commit  %s (%s%s)\n", b.Commit, b.Built, changed)
	}
	fmt.Fprintf(a.stdout, "go      %s %s\n", b.Go, b.Platform)
	fmt.Fprintf(a.stdout, "numbers %s\n", b.Numbers)
	for _, path := range sortedKeys(b.Libraries) {
		fmt.Fprintf(a.stdout, "library %s %s\n", path, b.Libraries[path])
	}
	return nil
}

func printJSON(a *app, v any) error {
	e := json.NewEncoder(plain.Writer(a.stdout)) // texts of others are shown on a terminal
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
