package when

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"

	"github.com/rampart-sbc/rampart/call"
)

// expr is a generated condition and the Go function that it means.
type expr struct {
	text string
	is   func(*call.Attempt) bool
}

var (
	words     = []string{"", "DE", "FR", "JM", "1001", "Acme Phone", "ü\"\\"}
	countries = []string{"DE", "FR", "JM", ""}
)

func leaf(r *rand.Rand) expr {
	word := words[r.IntN(len(words))]
	n := r.IntN(5)
	switch r.IntN(8) {
	case 0:
		return expr{fmt.Sprintf("call.to.country == %q", word), func(a *call.Attempt) bool { return a.To.Country == word }}
	case 1:
		return expr{fmt.Sprintf("call.to.country != %q", word), func(a *call.Attempt) bool { return a.To.Country != word }}
	case 2:
		some := countries[:1+r.IntN(len(countries))]
		return expr{fmt.Sprintf(`call.to.country in ["%s"]`, strings.Join(some, `", "`)), func(a *call.Attempt) bool { return slices.Contains(some, a.To.Country) }}
	case 3:
		return expr{fmt.Sprintf("call.hops > %d", n), func(a *call.Attempt) bool { return a.Hops > n }}
	case 4:
		return expr{"call.diverted", func(a *call.Attempt) bool { return a.Diversion != "" }}
	case 5:
		return expr{fmt.Sprintf("request.user_agent.contains(%q)", word), func(a *call.Attempt) bool { return strings.Contains(a.UserAgent, word) }}
	case 6:
		return expr{fmt.Sprintf("call.to.user.size() * 2 - %d <= call.hops", n), func(a *call.Attempt) bool { return len([]rune(a.To.User))*2-n <= a.Hops }}
	}
	return expr{fmt.Sprintf("request.body.content_types.exists(x, x == %q || x == call.to.user)", word), func(a *call.Attempt) bool {
		return slices.Contains(a.ContentTypes, word) || slices.Contains(a.ContentTypes, a.To.User)
	}}
}

func generate(r *rand.Rand, depth int) expr {
	if depth == 0 || r.IntN(5) == 0 {
		return leaf(r)
	}
	x, y := generate(r, depth-1), generate(r, depth-1)
	switch r.IntN(4) {
	case 0:
		return expr{"(" + x.text + " && " + y.text + ")", func(a *call.Attempt) bool { return x.is(a) && y.is(a) }}
	case 1:
		return expr{"(" + x.text + " || " + y.text + ")", func(a *call.Attempt) bool { return x.is(a) || y.is(a) }}
	case 2:
		return expr{"!(" + x.text + ")", func(a *call.Attempt) bool { return !x.is(a) }}
	}
	z := leaf(r)
	return expr{"(" + z.text + " ? " + x.text + " : " + y.text + ")", func(a *call.Attempt) bool {
		if z.is(a) {
			return x.is(a)
		}
		return y.is(a)
	}}
}

// Conditions mean what a naive reading of them means.
func TestAgreesWithGo(t *testing.T) {
	e := env(t)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return words[r.IntN(len(words))] }
	held := 0
	for range 300 {
		x := generate(r, 4)
		p, ps := e.Compile(x.text)
		if p == nil {
			if len(ps) == 1 && strings.Contains(ps[0].Message, "may cost") {
				continue
			}
			t.Fatalf("%s: %s", x.text, shown(x.text, ps))
		}
		for range 10 {
			a := &call.Attempt{UserAgent: pick(), Hops: r.IntN(6), Diversion: pick(), ContentTypes: []string{pick(), pick()}[:r.IntN(3)]}
			a.To.User, a.To.Country = pick(), pick()
			got, err := p.Holds(Facts{Attempt: a})
			if err != nil || got != x.is(a) {
				t.Fatalf("%s: %v %v of %+v", x.text, got, err, a)
			}
			if got {
				held++
			}
			if parts := p.Why(Facts{Attempt: a}); len(parts) == 0 {
				t.Fatalf("%s: nothing says why it is %v", x.text, got)
			}
		}
	}
	if held < 300 || held > 2700 {
		t.Errorf("%d of 3000 held: the generator is lopsided", held)
	}
}

// TestCostIsBounded: what a condition really costs, by the library's own count
// and with all that a request can hold, is no more than was estimated for it;
// what a request holds beyond that is not looked at.
func TestCostIsBounded(t *testing.T) {
	e := env(t)
	full := strings.Repeat("ab", 32)
	a := &call.Attempt{UserAgent: full, Hops: 255, Diversion: full, Headers: []call.Header{{Name: "X", Value: full}}}
	a.To.User, a.To.Country = full, full
	for range maxList {
		a.ContentTypes = append(a.ContentTypes, strings.Repeat("ab", maxItem/2))
	}
	tried := 0
	for _, text := range []string{
		`request.user_agent.matches("(a|b)+c|(ab)*d|[ab]{1,20}e")`, `request.user_agent.contains(call.to.user + "x")`,
		`request.body.content_types.all(a, a.contains("b"))`, `request.body.content_types.exists(a, a.endsWith("zzzz"))`,
		`request.body.content_types.exists(a, a == call.to.user)`, `"z" in request.body.content_types`, `call.to.user in ["a", "b", "c"] || call.to.user in countries.allow`,
		`request.headers["x"] + request.user_agent + call.to.user == "z"`, `size(request.user_agent + call.to.user) > 1000`,
		`request.user_agent.startsWith(call.to.user) && call.to.country.endsWith(call.to.user) && string(call.hops) == call.to.user`,
	} {
		p, ps := e.Compile(text)
		if p == nil {
			t.Errorf("%s: %s", text, shown(text, ps))
			continue
		}
		prog, err := e.cel.Program(p.ast, cel.CostTracking(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, details, err := prog.Eval(&frame{p: p, f: Facts{Attempt: a}})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := details.ActualCost(); got == nil || *got > p.Cost || p.Cost > MaxCost {
			t.Errorf("%s: cost %v, estimated %d, bound %d", text, got, p.Cost, MaxCost)
		}
		tried++
	}
	if tried < 8 {
		t.Errorf("%d conditions were asked", tried)
	}
}

// FuzzCompile: never a panic; what compiles stays under the bound and can be
// asked; what does not says why, at a place inside of the text.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{`call.to.country == "DE"`, `request.body.content_types.all(x, x.matches("a+"))`, `lists.staff`, `request.headers["a"] + "b" == counters["x"]`,
		`clock.zone("Europe/Paris").hour in [1,2]`, "a ? b : c", `"\u00fc" in [call.to.user]`, `[[[[1]]]]`, `!!!!call.diverted`, `{}`, `a.b.c.d(e)[f]{g:1}`, `1/0 == 1 || true`, `has(call.to)`, "``"} {
		f.Add(s)
	}
	e := env(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, ps := e.Compile(text)
		if (p == nil) != (len(ps) > 0) {
			t.Fatalf("%q: a program and problems, or neither: %v", text, ps)
		}
		for _, x := range ps {
			if x.Message == "" || strings.Contains(x.Message, "\n") || x.Offset < 0 || x.Offset > len(text) {
				t.Fatalf("%q: %+v", text, x)
			}
		}
		if p == nil {
			return
		}
		if p.Cost > MaxCost {
			t.Fatalf("%q may cost %d", text, p.Cost)
		}
		p.Holds(facts())
		p.Why(facts())
	})
}

// A condition that is asked costs few allocations: one for each text it reads.
func TestFewAllocations(t *testing.T) {
	e := env(t)
	for text, most := range map[string]float64{
		`call.hops > 99 && call.to.country == "DE"`:           3,
		`call.to.country == "JM" && request.user_agent == ""`: 4,
	} {
		p, ps := e.Compile(text)
		if p == nil {
			t.Fatal(shown(text, ps))
		}
		f := facts()
		if n := testing.AllocsPerRun(200, func() { p.Holds(f) }); n > most {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkHolds(b *testing.B) {
	e := env(b)
	for _, c := range []struct{ name, text string }{
		{"first false", `call.to.country == "JM" && call.hops > 3 && request.user_agent.matches("(?i)scanner")`},
		{"all true", `call.to.country in ["FR", "DE"] && call.hops > 3 && !call.diverted && call.to.user.startsWith("10")`},
		{"regex", `request.user_agent.matches("(?i)friendly-scanner|sipvicious|pplsip|sipcli")`},
		{"header", `request.headers["x-tenant"] == "blue"`},
		{"loop", `request.body.content_types.exists(c, c.startsWith("text/"))`},
	} {
		p, ps := e.Compile(c.text)
		if p == nil {
			b.Fatal(shown(c.text, ps))
		}
		f := facts()
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Holds(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	e := env(b)
	b.ReportAllocs()
	for b.Loop() {
		if p, _ := e.Compile(`call.to.country in ["FR", "DE"] && call.hops > 3 && !call.diverted`); p == nil {
			b.Fatal("does not compile")
		}
	}
}
