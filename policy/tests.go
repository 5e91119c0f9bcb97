package policy

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Caps on tests: a policy is loaded only when they pass, so they must not take
// for ever.
const (
	maxTests        = 20_000  // of all files
	maxTestEvents   = 1_000   // of one test
	maxTestRequests = 10_000  // of one test
	maxAllRequests  = 200_000 // of all tests
	maxTestSpan     = 10 * 366 * 24 * time.Hour
	maxRing         = time.Hour
)

// testStart is when a test happens that does not say when: a Monday, so that
// its outcome is the same tomorrow.
var testStart = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// tests compiles `tests:`. Rules and limits are known by now.
func (c *compiler) tests() {
	known := append(slices.Collect(maps.Keys(c.owner)), builtinRules...)
	for _, d := range c.set.detectors {
		known = append(known, d.ID)
	}
	slices.Sort(known)
	count, requests := 0, 0
	for _, s := range c.files {
		c.cur = s
		names := map[string]int{}
		for i := range s.y.Tests {
			y, at := &s.y.Tests[i], item("tests", i)
			if count++; count > maxTests {
				c.problem(at, "", "more than %d tests", maxTests)
				return
			}
			if line, twice := names[y.Name]; twice && y.Name != "" {
				c.problem(at+".name", "a failure is known by its name", "test %q is already in line %d", y.Name, line)
			}
			names[y.Name] = y.Pos.Line
			t, ok := c.test(at, y, known)
			if !ok {
				continue
			}
			if requests += len(t.Requests); requests > maxAllRequests {
				c.problem(at, "", "more than %d requests in all tests together", maxAllRequests)
				return
			}
			c.set.tests = append(c.set.tests, t)
		}
	}
}

func (c *compiler) test(at string, y *testYAML, known []string) (Test, bool) {
	before := len(c.ps)
	t := Test{Name: y.Name, File: c.cur.Name, Pos: y.Pos, Pack: c.cur.level() < 2, At: y.At}
	if t.At.IsZero() {
		t.At = testStart
	}
	for i, p := range y.Own {
		if p.text != "" && !p.prefix {
			c.problem(at+item(".own_numbers", i), `write a prefix such as "+3312345"`, "%s is not a prefix", p.text)
		}
		t.Own = append(t.Own, p.text)
	}
	single := y.one()
	switch {
	case len(single) > 0 && y.Events != nil:
		c.problem(at+"."+single[0].method, "put it into events:, or remove them", "a test has one request or events, not both")
	case len(single) > 1:
		c.problem(at+"."+single[1].method, "write two tests, or events:", "two requests in one test")
	case y.Events != nil:
		c.events(at, y, &t)
	case len(single) == 0:
		c.problem(at, "add for example invite: {from: \"1001\", to: \"+442079460000\"}", "a test has a request or events")
	default:
		t.Requests = []TestRequest{{Request: c.described(at, single[0]), N: 1, Ring: someRing}}
	}
	slices.SortStableFunc(t.Requests, func(a, b TestRequest) int { return cmp.Compare(a.After, b.After) })
	c.expectations(at, y, &t)
	for i := range t.Requests {
		if e := t.Requests[i].Expect; e != nil && (i == 0 || e != t.Requests[i-1].Expect) {
			c.knownRules(e, known)
		}
	}
	return t, len(c.ps) == before
}

// events lays the requests of a sequence out in time.
func (c *compiler) events(at string, y *testYAML, t *Test) {
	if len(y.Events) == 0 || len(y.Events) > maxTestEvents {
		c.problem(at+".events", "", "a test has 1 to %d events, not %d", maxTestEvents, len(y.Events))
		return
	}
	for i := range y.Events {
		e, at := &y.Events[i], at+item(".events", i)
		one := e.one()
		if len(one) != 1 {
			c.problem(at, "write one of invite:, register:, message:, …", "an event is one request, not %d", len(one))
			continue
		}
		times := 1
		if e.Times != nil {
			times = *e.Times
		}
		after := e.At.after
		if !e.At.abs.IsZero() {
			after = e.At.abs.Sub(t.At)
		}
		switch {
		case times < 1 || len(t.Requests)+times > maxTestRequests:
			c.problem(at+".times", "", "a test has at most %d requests", maxTestRequests)
			continue
		case after < 0:
			c.problem(at+".at", "", "the event is before the test, which begins at %s", t.At.Format(time.RFC3339))
			continue
		case after > maxTestSpan || e.Hangup != nil && *e.Hangup > maxTestSpan || times > 1 && e.Every > (maxTestSpan-after)/time.Duration(times-1):
			c.problem(at, "", "a test lasts at most ten years")
			continue
		case e.Code != 0 && (e.Code < 200 || e.Code > 699):
			c.problem(at+".code", "200 answers the request; 300 to 699 refuse it", "%d is not a final SIP code", e.Code)
		case e.Hangup != nil && one[0].method != "invite":
			c.problem(at+".hangup", "", "only calls are hung up")
		case e.Ring != nil && one[0].method != "invite":
			c.problem(at+".ring", "", "only calls ring")
		case e.Ring != nil && (*e.Ring < 0 || *e.Ring > maxRing):
			c.problem(at+".ring", "", "a call rings for at most %s", maxRing)
		case e.Hangup != nil && e.Ring != nil && *e.Hangup < *e.Ring:
			c.problem(at+".hangup", "a caller who hangs up while it rings: ring: 2s and code: 487", "the call would end before it is answered")
		case e.EndedBy != "" && e.EndedBy != string(call.ByCaller) && e.EndedBy != string(call.ByCallee):
			c.unknown(at+".ended_by", "side", e.EndedBy, []string{string(call.ByCaller), string(call.ByCallee)})
		}
		r := TestRequest{Request: c.described(at, one[0]), Code: e.Code, Ring: e.rings(), By: call.EndedBy(e.EndedBy)}
		if e.Hangup != nil {
			r.Ends, r.Hangup = true, *e.Hangup
		}
		expects := c.perRequest(at, &e.Expect, times)
		for n := range times {
			r.After = after + time.Duration(n)*e.Every
			r.N, r.Expect = n+1, nil
			if expects != nil {
				r.Expect = expects[n]
			}
			t.Requests = append(t.Requests, r)
		}
	}
}

// someRing is how long calls ring in a test that does not say it.
const someRing = 6 * time.Second

// rings: somebody takes a call after a while, and before it is over; what is
// refused does not ring.
func (y *eventYAML) rings() time.Duration {
	switch {
	case y.Ring != nil:
		return *y.Ring
	case y.Code >= 300:
		return 0
	case y.Hangup != nil:
		return min(someRing, *y.Hangup/2)
	}
	return someRing
}

// expectations gives each request of a test what the test expects of it; the
// order is that of time.
func (c *compiler) expectations(at string, y *testYAML, t *Test) {
	expects := c.perRequest(at, &y.Expect, len(t.Requests))
	inside := slices.ContainsFunc(t.Requests, func(r TestRequest) bool { return r.Expect != nil })
	switch {
	case expects != nil && inside:
		c.problem(at+".expect", "keep one of them", "expect: stands at the test and at its events")
	case expects != nil:
		for i := range t.Requests {
			t.Requests[i].Expect = expects[i]
		}
	case !inside && y.Expect.items == nil && len(t.Requests) > 0:
		c.problem(at, "add expect: allow, or expect: {verdict: reject, rule: …}", "the test expects nothing")
	}
}

// perRequest is one expectation for each of n requests: a single one counts
// for all. It is nil when there are none or a wrong number of them.
func (c *compiler) perRequest(at string, y *expectsYAML, n int) []*Expect {
	if y.items == nil || n == 0 {
		return nil
	}
	if !y.list {
		return slices.Repeat([]*Expect{c.expect(at+".expect", &y.items[0])}, n)
	}
	var out []*Expect
	total := 0
	for i := range y.items {
		x, times := c.expect(at+item(".expect", i), &y.items[i]), max(1, y.items[i].times)
		if total += times; times > maxTestRequests || total > maxTestRequests {
			c.problem(at+item(".expect", i), "", "a test has at most %d requests", maxTestRequests)
			return nil
		}
		out = append(out, slices.Repeat([]*Expect{x}, times)...)
	}
	if len(out) != n {
		c.problem(at+".expect", "one for each request in the order of time; {times: 20, verdict: allow} stands for twenty",
			"%d requests and %d expectations", n, len(out))
		return nil
	}
	return out
}

// knownRules reports rules that are in no file.
func (c *compiler) knownRules(e *Expect, known []string) {
	if c.cur.Profile {
		return // its packs need not all be in use
	}
	check := func(id string) {
		if _, found := slices.BinarySearch(known, id); found || id == "" || id == RuleNone {
			return
		}
		hint := "rules of a pack are known where the pack is in use"
		if best := strictyaml.Nearest(id, known); best != "" {
			hint = "did you mean " + best + "?"
		}
		p := strictyaml.At(c.cur.Name, e.Pos, "the test expects a rule %s, which is nowhere", id)
		p.Hint = hint
		c.ps = append(c.ps, p)
	}
	check(e.Rule)
	for _, ids := range [][]string{e.Asked, e.NotRule, e.Except, e.Flags, e.Shadow} {
		for _, id := range ids {
			check(id)
		}
	}
}
