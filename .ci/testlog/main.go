// Command testlog answers: how did the tests go? It reads what `go test -json`
// wrote and prints one line for each package, the output of the tests that
// failed, and what was skipped or left out (lines with "NOTICE:"). It runs no
// tests and keeps nothing. Exit status 1 when a test failed or was skipped.
//
//	testlog FILE.json…          the report
//	testlog -total FILE.json…   one line with totals, and what failed tests said
//	testlog -again FILE.json…   the failed tests that may run once more
//
// A test that failed in one file and passed in a later one is unsteady: it is
// counted and named, and does not fail the whole. That is for tests beside
// other load on a shared machine; a data race, a panic or a time-out is never
// tried again, nor are many failures.
//
// Start reading at main.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
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
	unsteady                []key
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
	again := flag.Bool("again", false, "print the failed tests that may run once more")
	flag.Parse()
	r := report{text: map[key][]string{}}
	for _, name := range flag.Args() {
		if err := r.read(name); err != nil {
			fmt.Fprintln(os.Stderr, "testlog:", err)
			os.Exit(2)
		}
	}
	if *again {
		for _, k := range r.again() {
			fmt.Println(k.pkg, k.test)
		}
		return
	}
	if *total {
		fmt.Printf("%d passed, %d failed, %d skipped, %d packages, %d notices, %d unsteady\n",
			r.passed, r.failed, r.skipped, len(r.packages), len(r.notices), len(r.unsteady))
		r.said(os.Stdout)
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
	for _, k := range r.unsteady {
		fmt.Printf("unsteady: %s %s failed once and passed when run again\n", k.pkg, k.test)
	}
	r.said(os.Stdout)
	if r.failed > 0 || r.skipped > 0 || len(r.broken) > 0 {
		os.Exit(1)
	}
}

// most is how many failures may be tried again: more is no accident.
const most = 3

// again are the failed tests that may run once more.
func (r *report) again() (out []key) {
	if len(r.broken) > 0 || r.skipped > 0 {
		return nil
	}
	for _, k := range r.bad {
		for _, l := range r.text[k] {
			if strings.Contains(l, "DATA RACE") || strings.Contains(l, "race detected") || strings.HasPrefix(l, "panic:") {
				return nil
			}
		}
		if !strings.Contains(k.test, "/") {
			out = append(out, k)
		}
	}
	if len(out) > most {
		return nil
	}
	return out
}

// What a test says itself: "    storm_test.go:32: …".
var said = regexp.MustCompile(`^\s*\w+\.go:\d+: `)

// said prints the own words of the tests that failed, at last: a log that is
// cut short keeps its end.
func (r *report) said(w io.Writer) {
	for _, k := range r.bad {
		fmt.Fprintf(w, "failed: %s %s\n", k.pkg, k.test)
		n := 0
		for _, l := range r.text[k] {
			if said.MatchString(l) && n < 20 {
				n++
				fmt.Fprintf(w, "%.500s\n", strings.TrimRight(l, "\n"))
			}
		}
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
			if i := slices.Index(r.bad, k); i >= 0 {
				r.bad = slices.DeleteFunc(r.bad, func(b key) bool { return b == k || b.pkg == k.pkg && strings.HasPrefix(b.test, k.test+"/") })
				r.failed = len(r.bad)
				r.unsteady = append(r.unsteady, k)
			}
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
