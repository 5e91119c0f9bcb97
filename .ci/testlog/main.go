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
		if _, n, ok := strings.Cut(e.Output, "NOTICE:"); ok {
			r.notices = append(r.notices, "notice: "+strings.TrimSpace(n))
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
