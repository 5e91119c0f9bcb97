// Command testlog answers: how did the tests go? It reads what `go test -json`
// wrote and prints one line for each package, the output of the tests that
// failed, and what was skipped or left out (lines with "NOTICE:"). It runs no
// tests and keeps nothing. Exit status 1 when a test failed or was skipped.
//
//	testlog FILE.json…          the report
//	testlog -total FILE.json…   one line with totals
//
// Start reading at main.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is one line of test2json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type key struct{ pkg, test string }

// report is what the events say together.
type report struct {
	passed, failed, skipped int
	packages                []string
	text                    map[key][]string
	bad                     []key // failed or skipped tests
	broken                  []string
	notices                 []string
}

// A notice is what a test logs itself: "    torture_test.go:32: NOTICE: …".
var notice = regexp.MustCompile(`^\s*\w+_test\.go:\d+: NOTICE: (.*)`)

// longest is how many lines of an unfinished test are shown: a time-out prints
// every goroutine.
const longest = 400

func main() {
	total := flag.Bool("total", false, "print one line with totals")
	flag.Parse()
	r := report{text: map[key][]string{}}
	for _, name := range flag.Args() {
		if err := r.read(name); err != nil {
			fmt.Fprintln(os.Stderr, "testlog:", err)
			os.Exit(2)
		}
	}
	if *total {
		fmt.Printf("%d passed, %d failed, %d skipped, %d packages, %d notices\n",
			r.passed, r.failed, r.skipped, len(r.packages), len(r.notices))
		return
	}
	for _, l := range r.packages {
		fmt.Println(l)
	}
	for _, k := range r.bad {
		fmt.Printf("\n--- %s %s\n%s", k.pkg, k.test, strings.Join(r.text[k], ""))
	}
	for _, p := range r.broken {
		fmt.Printf("\n--- %s\n%s", p, strings.Join(r.text[key{pkg: p}], ""))
		for _, k := range r.unfinished(p) {
			l := r.text[k]
			fmt.Printf("\n--- %s %s has not ended\n%s", k.pkg, k.test, strings.Join(l[:min(len(l), longest)], ""))
		}
	}
	for _, n := range r.notices {
		fmt.Println(n)
	}
	if r.failed > 0 || r.skipped > 0 || len(r.broken) > 0 {
		os.Exit(1)
	}
}

func (r *report) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read test log: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var e event
		if json.Unmarshal(s.Bytes(), &e) != nil {
			continue // go test writes plain text when something does not build
		}
		r.add(e)
	}
	return s.Err()
}

func (r *report) add(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath // of a build that failed
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		r.text[k] = append(r.text[k], e.Output)
		if m := notice.FindStringSubmatch(e.Output); m != nil {
			r.notices = append(r.notices, "notice: "+strings.TrimSpace(m[1]))
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.pkg(e)
			return
		}
		switch e.Action {
		case "pass":
			r.passed++
			delete(r.text, k)
			return
		case "fail":
			r.failed++
		case "skip":
			r.skipped++
		}
		r.bad = append(r.bad, k)
	case "build-fail":
		r.broken = append(r.broken, e.Package)
	}
}

// unfinished are the tests of a package that had begun and neither passed nor
// failed, those with the most to say (a panic) first.
func (r *report) unfinished(pkg string) []key {
	var out []key
	for k := range r.text {
		if k.pkg == pkg && k.test != "" && !slices.Contains(r.bad, k) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b key) int { return len(r.text[b]) - len(r.text[a]) })
	return out[:min(len(out), 5)]
}

func (r *report) pkg(e event) {
	switch {
	case e.Action == "skip": // no test files
		return
	case e.Action == "fail" && !slices.ContainsFunc(r.bad, func(k key) bool { return k.pkg == e.Package }):
		// It ended without a failed test: a panic, a time-out, TestMain.
		r.broken = append(r.broken, e.Package)
	}
	word := map[string]string{"pass": "ok  ", "fail": "FAIL"}[e.Action]
	r.packages = append(r.packages, fmt.Sprintf("%s %-60s %6.2fs", word, e.Package, e.Elapsed))
}
