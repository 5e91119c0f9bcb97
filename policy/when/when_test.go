package when

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

type names []string

func (n names) Has(s string) bool { return strings.Contains(strings.Join(n, " "), s) }

func env(t testing.TB) *Env {
	t.Helper()
	str := func(name string, get func(*Facts) string) Var {
		return Var{Name: name, Kind: Text, Max: 64, Get: func(f *Facts) Value { return Str(get(f)) }}
	}
	e, err := NewEnv([]Var{
		str("call.to.country", func(f *Facts) string { return f.To.Country }),
		str("call.to.user", func(f *Facts) string { return f.To.User }),
		str("request.user_agent", func(f *Facts) string { return f.UserAgent }),
		{Name: "call.hops", Kind: Number, Get: func(f *Facts) Value { return Num(f.Hops) }},
		{Name: "call.diverted", Kind: Truth, Get: func(f *Facts) Value { return Bool(f.Diversion != "") }},
		{Name: "request.body.content_types", Kind: Texts, Get: func(f *Facts) Value { return Strs(f.ContentTypes) }},
		{Name: "source.ip", Kind: Text, Max: 64, Get: func(f *Facts) Value { return Addr(f.Source.Addr.Addr()) }},
		{Name: "countries.allow", Kind: Members, Get: func(*Facts) Value { return In(names{"DE", "FR"}) }},
	}, []Family{
		{Name: "request.headers", What: "header", Make: func(name, _ string) (Var, error) {
			return Var{Kind: Text, Max: 64, Get: func(f *Facts) Value {
				for _, h := range f.Headers {
					if strings.EqualFold(h.Name, name) {
						return Str(h.Value)
					}
				}
				return Str("")
			}}, nil
		}},
		{Name: "lists", What: "list", Dotted: true, Make: func(name, _ string) (Var, error) {
			if name != "staff" {
				return Var{}, Unknown{"list", name, []string{"staff"}}
			}
			return Var{Kind: Members, Get: func(*Facts) Value { return In(names{"1001"}) }}, nil
		}},
		{Name: "clock.zone", What: "time zone", Call: true, Fields: []string{"hour", "weekday"}, Make: func(name, field string) (Var, error) {
			if name != "Europe/Paris" {
				return Var{}, fmt.Errorf("unknown time zone %q", name)
			}
			return Var{Kind: Number, Get: func(f *Facts) Value { return Num(f.At.Hour()) }}, nil
		}},
		{Name: "counters", What: "limit", Make: func(id, _ string) (Var, error) {
			return Var{Kind: Number, Get: func(f *Facts) Value {
				if f.Counters == nil {
					return Fail(fmt.Errorf("nobody counts here"))
				}
				n, _ := f.Counters.Counter(id, f.Attempt)
				return Num(n)
			}}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func facts() Facts {
	a := &call.Attempt{UserAgent: "Acme Phone 3", Hops: 70, ContentTypes: []string{"application/sdp", "text/plain"},
		Headers: []call.Header{{Name: "X-Tenant", Value: "red"}}}
	a.To.User, a.To.Country = "1001", "DE"
	a.Source.Addr = netip.MustParseAddrPort("[::ffff:192.0.2.7]:5060")
	return Facts{Attempt: a}
}

func shown(text string, ps []Problem) string {
	var b strings.Builder
	for _, p := range ps {
		line := text[strings.LastIndexByte(text[:p.Offset], '\n')+1:]
		line, _, _ = strings.Cut(line, "\n")
		fmt.Fprintf(&b, "%d %s", p.Offset, p.Message)
		if p.Hint != "" {
			fmt.Fprintf(&b, " | %s", p.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestHolds(t *testing.T) {
	e := env(t)
	for text, want := range map[string]bool{
		`call.to.country == "DE"`:                                             true,
		`call.to.country != "DE" || call.hops > 60`:                           true,
		`call.to.country in ["FR", "DE"] && !call.diverted`:                   true,
		`call.to.country in countries.allow`:                                  true,
		`call.to.user in lists.staff && call.to.user in lists["staff"]`:       true,
		`request.headers["X-Tenant"] == "red"`:                                true,
		`request.headers["x-nothing"] == ""`:                                  true,
		`request.user_agent.matches("(?i)^acme")`:                             true,
		`matches(request.user_agent, "^acme")`:                                false,
		`request.body.content_types.exists(c, c.startsWith("text/"))`:         true,
		`"text/html" in request.body.content_types`:                           false,
		`request.body.content_types[0] == "application/sdp"`:                  true,
		`request.body.content_types.filter(c, c == "text/plain").size() == 1`: true,
		`size(request.body.content_types) == 2`:                               true,
		`source.ip == "192.0.2.7"`:                                            true,
		`clock.zone("Europe/Paris").hour < 24`:                                true,
		`call.hops % 7 == 0 ? call.hops == 70 : false`:                        true,
		`string(call.hops) + call.to.user == "701001"`:                        true,
		`int(call.to.user) > 1000`:                                            true,
		"call.hops > 1 &&\n // a comment\n call.hops < 100":                   true,
		manyHeaders(maxSlot):                                                  true,
		`true`:                                                                true,
	} {
		p, ps := e.Compile(text)
		if p == nil {
			t.Errorf("%s: %s", text, shown(text, ps))
			continue
		}
		if got, err := p.Holds(facts()); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestErrors(t *testing.T) {
	e := env(t)
	long := facts()
	long.UserAgent = strings.Repeat("a", 65)
	many := facts()
	many.ContentTypes = make([]string, maxList+1)
	wide := facts()
	wide.ContentTypes = []string{strings.Repeat("a", maxItem+1)}
	for _, c := range []struct {
		text string
		f    Facts
		want string
	}{
		{`call.hops / (call.hops - 70) > 1`, facts(), "condition: division by zero"},
		{`int(call.to.country) == 1`, facts(), "condition: "},
		{`request.user_agent == "x"`, long, "condition: request.user_agent has 65 bytes; conditions read up to 64"},
		{`"x" in request.body.content_types`, many, "condition: request.body.content_types has 65 entries; conditions read up to 64"},
		{`"x" in request.body.content_types`, wide, "condition: request.body.content_types has an entry of 257 bytes; conditions read up to 256"},
		{`request.body.content_types[9] == "x"`, facts(), "condition: index out of bounds: 9"},
		{`counters["a/b"] > 1`, facts(), "condition: counters[\"a/b\"]: nobody counts here"},
	} {
		p, ps := e.Compile(c.text)
		if p == nil {
			t.Errorf("%s: %s", c.text, shown(c.text, ps))
			continue
		}
		if got, err := p.Holds(c.f); got || err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", c.text, got, err)
		}
	}
}

// Each problem has its place and says what may have been meant.
func TestProblems(t *testing.T) {
	e := env(t)
	var got strings.Builder
	for _, text := range []string{
		``, `  `, strings.Repeat("a", MaxText+1),
		`call.to.contry == "DE"`, `cal.to.country == "DE"`, `call.to == "DE"`, `call.zzzzzzz == 1 && call.to.usr == ""`,
		`call.to.country.name == "x"`, `nothing`, `call`, `true || 'ü' == call.to.usr`,
		`call.to.country == 1`, `call.hops == "1"`, `call.hops + "1" == 2`, `call.to.country && call.diverted`, `!call.hops`,
		`call.to.country`, `call.hops`, `request.body.content_types`, `call.to.country in "DE"`, `call.hops in ["1"]`,
		`call.to.country = "DE"`, `call.to.country == "DE`, `(call.hops > 1`, `call.hops > `, `call.hops >> 1`, "call.hops > 1 &&\n  call.hop < 3",
		`call.to.user.matches(call.to.country)`, `call.to.user.matches("(")`, `call.to.user.matches("a" + "b")`, `call.to.user.lower() == "x"`, `lenght(call.to.user) > 1`, `call.to.user.startWith("x")`,
		`has(call.to.user)`, `dyn(1) == 1`, `type(1) == int`, `timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")`,
		`{"a": 1}["a"] == 1`, `Thing{a: 1} == 1`, `call.to.user.contains(1)`,
		`request.headers == 1`, `request.headers.x == ""`, `request.headers[call.to.user] == ""`, `size(request.headers) == 1`, `"x" in request.headers`,
		`call.to.user in lists`, `call.to.user in lists.staf`, `lists.staff == 1`, `lists.staff`, `call.to.user in lists.staff.more`, `call.to.user in lists["nobody_at_all"]`, `lists.staff.exists(x, x == "")`, `1 in lists.staff`,
		`clock.zone == 1`, `clock.zone("Europe/Paris") == 1`, `clock.zone("Mars/Olympus").hour == 1`, `clock.zone("Europe/Paris").hours == 1`, `clock.zone(call.to.user).hour == 1`, `clock.zone().hour == 1`, `clock.hour == 1`, `counters.x == 1`, `counters[1] == 1`,
		`call.to.user.matches("` + strings.Repeat("a", 4000) + `")`,
		`request.user_agent.matches("x{1,999}x{1,999}z")`,
		`request.body.content_types.all(a, a.matches("(a|b)+c") && a.matches("x{1,30}"))`,
		manyHeaders(maxSlot + 1),
		`request.body.content_types.all(a, request.body.content_types.all(b, request.body.content_types.all(c, a != b)))`,
	} {
		p, ps := e.Compile(text)
		if p != nil || len(ps) == 0 {
			t.Errorf("%s: no problem", text)
		}
		show := text
		if len(show) > 200 {
			show = show[:20] + "…"
		}
		fmt.Fprintf(&got, "%s\n", show)
		for line := range strings.Lines(shown(text, ps)) {
			got.WriteString("    " + line)
		}
	}
	golden(t, "testdata/problems.txt", got.String())
}

// manyHeaders reads n of them.
func manyHeaders(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`request.headers["h%d"] == ""`, i))
	}
	return strings.Join(parts, " && ")
}

func TestWhy(t *testing.T) {
	e := env(t)
	for text, want := range map[string]string{
		`call.to.country == "JM"`:                                                             `call.to.country == "JM" is false (call.to.country = "DE")`,
		`call.hops > 3 && call.to.country == "JM" && call.diverted`:                           `call.to.country == "JM" is false (call.to.country = "DE")`,
		`call.hops > 99 || call.to.country == "JM"`:                                           `call.hops > 99 is false (call.hops = 70); call.to.country == "JM" is false (call.to.country = "DE")`,
		`!(call.to.user in lists.staff)`:                                                      `call.to.user in lists.staff is true (call.to.user = "1001")`,
		`request.headers["h1"] == "" && request.headers["x-tenant"] == request.headers["h2"]`: `request.headers["x-tenant"] == request.headers["h2"] is false (request.headers["x-tenant"] = "red", request.headers["h2"] = "")`,
		`request.headers["x-tenant"] == "blue"`:                                               `request.headers["x-tenant"] == "blue" is false (request.headers["x-tenant"] = "red")`,
		`request.body.content_types.exists(c, c == "x")`:                                      `request.body.content_types.exists(c, c == "x") is false (request.body.content_types = application/sdp, text/plain)`,
		`clock.zone("Europe/Paris").hour > 30`:                                                `clock.zone("Europe/Paris").hour > 30 is false (clock.zone("Europe/Paris").hour = 0)`,
		`call.diverted`:                                                                       `call.diverted is false (call.diverted = false)`,
		`call.hops / (call.hops - 70) > 1`:                                                    `call.hops / (call.hops - 70) > 1 is an error: division by zero (call.hops = 70)`,
		`call.hops > 3`:                                                                       `call.hops > 3 is true (call.hops = 70)`,
	} {
		p, ps := e.Compile(text)
		if p == nil {
			t.Errorf("%s: %s", text, shown(text, ps))
			continue
		}
		var got []string
		for _, part := range p.Why(facts()) {
			got = append(got, part.String())
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s:\n got %s\nwant %s", text, s, want)
		}
	}
}
