package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// scan is judge as its definition says it: each rule of each file, in order.
func (s *Set) scan(a *call.Attempt) call.Decision {
	var o opinion
	s.places.judge(a, bitOf(a), s, &o)
	for _, f := range s.files {
		for _, r := range f.rules {
			if r.match.holds(a, s.lists) && r.inForce(a) && o.take(r, a, s) {
				break
			}
		}
	}
	for _, i := range s.opened {
		l := &s.counted[i]
		if l.match.holds(a, s.lists) && l.inForce(a) {
			if e := l.except.find(a, s); e != nil {
				o.excepted(e)
			}
		}
	}
	return o.decision()
}

// writer makes policies and requests at random. Values come from small pools,
// so that rules and requests often meet.
type writer struct {
	*rand.Rand
	pool int // of users and of prefixes
}

func (w writer) some(of []string, most int) string {
	var out []string
	for range 1 + w.IntN(most) {
		out = append(out, fmt.Sprintf("%q", of[w.IntN(len(of))]))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

var (
	poolCountries = []string{"GB", "DE", "JM", "US", "FR", "LV"}
	poolClasses   = []string{"fixed", "mobile", "premium_rate", "fixed_or_mobile"}
	poolNets      = []string{"192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/8", "198.51.100.7", "2001:db8::/32", "2001:db8:1::/48"}
	poolPeers     = []string{"a", "b", "c"}
	poolNumbers   = []string{"+442079460000", "+4915123456789", "+18765550100", "+16175550100", "0123456789", "1042", "*97", "+447012345678", "+37126123456"}
	poolAgents    = []string{"acme", "^snom", "scan"}
)

func (w writer) user() string { return fmt.Sprintf("u%d", w.IntN(w.pool)) }

func (w writer) prefixes() string {
	var out []string
	for range 1 + w.IntN(3) {
		p := poolNumbers[w.IntN(4)]
		out = append(out, fmt.Sprintf("%q", p[:2+w.IntN(len(p)-2)]))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (w writer) party(list string) string {
	var keys []string
	for range 1 + w.IntN(2) {
		switch w.IntN(6) {
		case 0, 1:
			keys = append(keys, "country: "+w.some(poolCountries, 3))
		case 2:
			keys = append(keys, "class: "+w.some(poolClasses, 2))
		case 3:
			keys = append(keys, "prefix: "+w.prefixes())
		case 4:
			keys = append(keys, fmt.Sprintf("international: %v", w.IntN(2) == 0))
		case 5:
			keys = append(keys, "list: "+list)
		}
	}
	return "{" + strings.Join(unique(keys), ", ") + "}"
}

// unique keeps the first of each key.
func unique(keys []string) (out []string) {
	for _, k := range keys {
		name, _, _ := strings.Cut(k, ":")
		if !slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, name+":") }) {
			out = append(out, k)
		}
	}
	return out
}

// match writes keys that do not contradict each other.
func (w writer) match(on string) string {
	for {
		text := w.keys()
		_, ps := Compile([]Source{{Name: "m", Data: []byte("version: 1\nhome: {country: FR}\n" + poolLists + "rules: [{id: a/b, on: " + on + ", match: " + text + ", then: drop}]\n")}}, Options{})
		if ps.Err() == nil {
			return text
		}
	}
}

const poolLists = `lists:
  numbers: ["+442079460000", "1042", "0123456789"]
  prefixes: ["+1876", "+4915"]
  lands: [GB, JM]
  nets: [192.0.2.0/24, "2001:db8::/32"]
  users: [u1, u2, u3]
`

func (w writer) keys() string {
	var keys []string
	for range w.IntN(4) {
		switch w.IntN(13) {
		case 0:
			keys = append(keys, "direction: "+w.some([]string{"inbound", "outbound", "internal"}, 2))
		case 1, 2, 3:
			keys = append(keys, "to: "+w.party("[numbers, prefixes]"))
		case 4:
			keys = append(keys, "from: "+w.party("lands"))
		case 5:
			keys = append(keys, "source: {cidr: "+w.some(poolNets, 3)+"}")
		case 6:
			keys = append(keys, fmt.Sprintf("source: {asn: %d}", 1+w.IntN(5)))
		case 7:
			keys = append(keys, "source: {list: [nets, lands]}")
		case 8:
			keys = append(keys, "peer: "+w.some(poolPeers, 2))
		case 9:
			keys = append(keys, fmt.Sprintf("user: [%q, %q]", w.user(), w.user()))
		case 10:
			keys = append(keys, "user: {list: [users, numbers]}")
		case 11:
			keys = append(keys, "user_agent: "+w.some(poolAgents, 2))
		case 12:
			keys = append(keys, fmt.Sprintf("hours: \"%02d:00-%02d:30 Europe/Paris\"", w.IntN(24), w.IntN(24)))
		}
	}
	return "{" + strings.Join(unique(keys), ", ") + "}"
}

// policy writes one file of n rules.
func (w writer) policy(name string, n int) Source {
	var b strings.Builder
	b.WriteString("version: 1\n")
	if name == "f0" {
		b.WriteString("home: {country: FR}\ncountries: {default: deny, allow: [GB, DE, \"+1617\"], classes: {premium_rate: deny}}\n" + poolLists)
	}
	b.WriteString("rules:\n")
	closing := []string{name + "/limit"} // what exceptions can open
	for i := range n {
		then := []string{"allow", "reject 403", "reject 480", "drop", "flag", "reject 403, mode: shadow", "reject 403, expires: 2026-11-24"}[w.IntN(7)]
		if then != "allow" {
			closing = append(closing, fmt.Sprintf("%s/r%d", name, i))
		}
		on := []string{"invite", "any", "[message, invite]", "register"}[w.IntN(4)]
		fmt.Fprintf(&b, "  - {id: %s/r%d, on: %s, match: %s, then: %s}\n", name, i, on, w.match(on), then)
	}
	b.WriteString("limits: [{id: " + name + "/limit, on: any, rate: 5/s, then: reject 480}]\nexceptions:\n")
	for i := range max(n/4, 1) {
		rule := closing[w.IntN(len(closing))]
		switch {
		case i%5 == 0:
			rule = name + "/limit"
		case i%3 == 0 && name == "f0":
			rule = []string{RuleDenied, RuleClassDenied, RuleInvalidNumber}[w.IntN(3)]
		}
		fmt.Fprintf(&b, "  - {rule: %s, match: %s, owner: o, expires: 2026-12-01}\n", rule, w.match("any"))
	}
	return Source{Name: name, Data: []byte(b.String())}
}

func (w writer) attempt(plan *number.Plan) *call.Attempt {
	pick := func(of []string) string { return of[w.IntN(len(of))] }
	a := &call.Attempt{At: time.Date(2026, 11, 23+w.IntN(2), w.IntN(24), w.IntN(60), 0, 0, time.UTC), Method: pick([]string{"INVITE", "INVITE", "MESSAGE", "REGISTER"}),
		PeerKind: call.Phone, User: w.user(), Direction: call.Direction(w.IntN(3)), UserAgent: pick([]string{"", "Acme 1", "snom", "a scanner"})}
	a.Source.Addr = netip.AddrPortFrom(netip.MustParseAddr(pick([]string{"192.0.2.200", "192.0.2.1", "192.9.9.9", "198.51.100.7", "203.0.113.1", "2001:db8:1::1", "2001:db8:2::1", "::ffff:192.0.2.1"})), 5061)
	a.Source.Country, a.Source.ASN, a.Source.Transport = pick([]string{"", "GB", "JM"}), uint(w.IntN(6)), pick([]string{"tls", "udp"})
	if w.IntN(3) == 0 {
		a.Peer, a.PeerKind = pick(poolPeers), call.Carrier
	}
	fill := func(p *call.Party) {
		p.User = pick(poolNumbers)
		plan.Normalise(p.User, number.Dialled).Fill(p)
	}
	fill(&a.To)
	fill(&a.From)
	return a
}

// The index finds what a scan finds: verdict, rule, trace, flags and evidence.
func TestIndexAgreesWithScan(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	matched, refused, excepted := 0, 0, 0
	for seed := range uint64(12) {
		w := writer{rand.New(rand.NewPCG(seed, 7)), 8}
		n := []int{2, 9, 40, 150}[seed%4]
		s, ps := Compile([]Source{w.policy("f0", n), w.policy("f1", n), w.policy("f2", 1+n/2)}, Options{Now: now})
		if s == nil {
			t.Fatal(ps)
		}
		for range 400 {
			a := w.attempt(s.plan)
			got, want := s.judge(a), s.scan(a)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %+v\nindex: %+v\nscan:  %+v", seed, a, got, want)
			}
			if len(got.Trace) > 0 {
				matched++
			}
			if got.Verdict >= call.Reject {
				refused++
			}
			if strings.Contains(strings.Join(got.Trace, " "), TraceException) {
				excepted++
			}
		}
	}
	if matched < 1200 || refused < 800 || excepted < 200 {
		t.Errorf("the test proves little: %d matched, %d refused, %d by exception", matched, refused, excepted)
	}
}

// large is a policy of 10,000 rules as sites have them, over several files.
func large(t testing.TB) *Set {
	w := writer{rand.New(rand.NewPCG(1, 1)), 5000}
	var files []Source
	for f := range 5 {
		var b strings.Builder
		b.WriteString("version: 1\n")
		if f == 0 {
			b.WriteString("home: {country: FR}\n")
		}
		b.WriteString("rules:\n")
		for i := range 2000 {
			match := ""
			switch i % 5 {
			case 0:
				match = fmt.Sprintf("user: [%q], to: {country: [%s]}", w.user(), poolCountries[w.IntN(6)])
			case 1:
				match = fmt.Sprintf("direction: outbound, to: {prefix: \"+%d\"}", 10000+w.IntN(900000))
			case 2:
				match = fmt.Sprintf("source: {cidr: 10.%d.%d.0/24}", w.IntN(250), w.IntN(250))
			case 3:
				match = fmt.Sprintf("from: {prefix: \"+%d\"}, to: {international: true}", 10000+w.IntN(900000))
			case 4:
				match = fmt.Sprintf("peer: p%d, to: {class: [premium_rate], country: [%s]}", w.IntN(500), poolCountries[w.IntN(6)])
			}
			fmt.Fprintf(&b, "  - {id: f%d/r%d, on: invite, match: {%s}, then: reject 403}\n", f, i, match)
		}
		files = append(files, Source{Name: fmt.Sprintf("f%d", f), Data: []byte(b.String())})
	}
	s, ps := Compile(files, Options{})
	if s == nil {
		t.Fatal(ps)
	}
	if len(s.flat) != 10_000 {
		t.Fatal(len(s.flat))
	}
	return s
}

// quiet are requests that no rule of large matches.
func quiet(t testing.TB, s *Set) (out []*call.Attempt) {
	w := writer{rand.New(rand.NewPCG(2, 2)), 5000}
	for len(out) < 256 {
		a := w.attempt(s.plan)
		a.Method = "INVITE"
		if len(s.judge(a).Trace) == 0 {
			out = append(out, a)
		}
	}
	return out
}

func TestTenThousandRules(t *testing.T) {
	s := large(t)
	calls := quiet(t, s)
	i := 0
	if n := testing.AllocsPerRun(2000, func() { s.Judge(calls[i%len(calls)]); i++ }); n != 0 {
		t.Errorf("%v allocations while nothing matches", n)
	}
	// How much is looked at does not depend on the machine: the longest way
	// through the buckets is far below the number of rules.
	if n := len(s.index.rest); n > 0 {
		t.Errorf("%d rules are looked at for every request", n)
	}
	for _, a := range calls[:100] {
		got, want := s.judge(a), s.scan(a)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v: %+v, want %+v", a, got, want)
		}
	}
}

func BenchmarkJudge10000(b *testing.B) {
	s := large(b)
	calls := quiet(b, s)
	b.Run("index", func(b *testing.B) {
		b.ReportAllocs()
		times := make([]time.Duration, 0, 1<<20)
		i := 0
		for b.Loop() {
			from := time.Now()
			s.Judge(calls[i%len(calls)])
			if i++; len(times) < cap(times) {
				times = append(times, time.Since(from))
			}
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
	})
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			s.scan(calls[i%len(calls)])
			i++
		}
	})
}
