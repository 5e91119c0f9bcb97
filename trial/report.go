package trial

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
)

// Text says at length what went wrong with a request: what was sent, what was
// expected, what came, and why.
func (f *Failure) Text() string {
	var b strings.Builder
	if f.Of > 1 {
		fmt.Fprintf(&b, "request %d of %d, at +%s\n", f.Index, f.Of, f.After)
	}
	if f.Attempt == nil {
		fmt.Fprintf(&b, "problem:  %s\n", strings.Join(f.Wrong, "\n          "))
		return b.String()
	}
	fmt.Fprintf(&b, "request:  %s\n", explain.Printable(Describe(f.Attempt)))
	if f.Expect != nil {
		fmt.Fprintf(&b, "expected: %s\n", Expected(f.Expect))
	}
	fmt.Fprintf(&b, "actual:   %s\n", actual(&f.Outcome))
	for _, line := range f.trace() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

func actual(o *Outcome) string {
	text := Verdict(o.Decision)
	if alerts := o.Alerts(); len(alerts) > 0 {
		text += ", alerts " + list(alerts)
	}
	flags, shadow := besides(o.Decision)
	if len(flags) > 0 {
		text += ", flags " + list(flags)
	}
	if len(shadow) > 0 {
		text += ", shadow refusals " + list(shadow)
	}
	if found := o.Findings(); len(found) > 0 {
		text += ", findings " + list(found)
	}
	if effects := o.Effects(); len(effects) > 0 {
		text += ", effects " + list(effects)
	}
	return text
}

// Problem is a failed test as a problem of its file.
func (r *Result) Problem() strictyaml.Problem {
	f := r.Failures[0]
	pos := r.Test.Pos
	if f.Expect != nil {
		pos = f.Expect.Pos
	}
	which := ""
	if f.Of > 1 {
		which = fmt.Sprintf(", request %d of %d at +%s", f.Index, f.Of, f.After)
	}
	p := strictyaml.At(r.Test.File, pos, "test %q failed%s: expected %s", r.Test.Name, which, strings.Join(f.Wrong, "; "))
	if f.Attempt == nil {
		p.Message = fmt.Sprintf("test %q failed%s: %s", r.Test.Name, which, strings.Join(f.Wrong, "; "))
	}
	return p.WithHint("rampart policy test shows the whole trace")
}

// Report is a run of tests.
type Report struct {
	Results  []Result
	Coverage *Coverage
	Took     time.Duration // as the caller measured it
}

// Join adds the tests of another policy, which was tried by itself.
func (r *Report) Join(o *Report) {
	r.Results = append(r.Results, o.Results...)
	r.Coverage.more = append(r.Coverage.more, o.Coverage)
}

// Failed counts the tests that failed.
func (r *Report) Failed() (n int) {
	for i := range r.Results {
		if !r.Results[i].Passed() {
			n++
		}
	}
	return n
}

// RunAll runs tests in their order; only those that want picks, when it is
// given.
func RunAll(o Options, tests []policy.Test, want func(*policy.Test) bool) *Report {
	r := &Report{Coverage: NewCoverage(o.Set)}
	for i := range tests {
		if want == nil || want(&tests[i]) {
			r.Results = append(r.Results, Run(o, &tests[i], r.Coverage))
		}
	}
	return r
}

// The JUnit XML of CI systems: one suite for each file.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the report for CI systems.
func (r *Report) JUnit(w io.Writer) error {
	top := junitSuites{Name: "rampart policy test", Tests: len(r.Results), Failures: r.Failed(), Time: seconds(r.Took)}
	at := map[string]int{}
	for i := range r.Results {
		res := &r.Results[i]
		n, there := at[res.Test.File]
		if !there {
			n = len(top.Suites)
			at[res.Test.File] = n
			top.Suites = append(top.Suites, junitSuite{Name: res.Test.File, Time: "0.000"})
		}
		s := &top.Suites[n]
		s.Tests++
		c := junitCase{Name: res.Test.Name, Class: res.Test.File, File: res.Test.File, Line: res.Test.Pos.Line, Time: "0.000"}
		if !res.Passed() {
			s.Failures++
			texts := make([]string, len(res.Failures))
			for i := range res.Failures {
				texts[i] = res.Failures[i].Text()
			}
			c.Failure = &junitFailure{Message: res.Problem().Message, Type: "policy", Text: strings.Join(texts, "\n")}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(top); err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
