package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

// files is a directory in memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		return []byte(text), nil
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
}

func withFiles(t testing.TB, f files, text string) *policy.Set {
	t.Helper()
	s, ps := policy.Compile([]policy.Source{file("/etc/p/a.yaml", text)}, policy.Options{Now: noon, ReadFile: f.read})
	if s == nil || len(ps) > 0 {
		t.Fatalf("problems:\n%s", ps)
	}
	return s
}

func TestListKinds(t *testing.T) {
	s := withFiles(t, files{
		"/etc/p/numbers.txt": "# ours\n0123456789\n+44 20 7946 0000 # London\n\n\"1042\",reception\n",
		"/srv/rates.csv":     "1876,0.30,Jamaica\r\n447;0.2\r\n",
		"/etc/p/expr.txt":    "friendly-scanner\n^sip(vicious|cli)[,/ ]\n",
	}, `
version: 1
home: {country: FR}
lists:
  night: ["1020", "1021"]
  names: [alice, bob]
  abroad: ["+1876", "+44 20"]
  mixed: ["+33123456789", "0612345678"]
  nets: [192.0.2.0/24, "2001:db8::/32", 198.51.100.7]
  lands: [DE, "NO"]
  agents: {kind: regexes, values: ["^acme", "scan"]}
  numbers: {file: numbers.txt, kind: numbers}
  rates: {file: /srv/rates.csv, kind: prefixes, without_plus: true}
  expr: {file: expr.txt, kind: regexes}
`)
	got := map[string]string{}
	by := map[string]*policy.List{}
	for _, l := range s.Lists() {
		got[l.Name()] = fmt.Sprintf("%s %d", l.Kind(), l.Len())
		by[l.Name()] = l
	}
	for name, want := range map[string]string{"night": "numbers 2", "names": "text 2", "abroad": "prefixes 2", "mixed": "numbers 2", "nets": "cidrs 3",
		"lands": "countries 2", "agents": "regexes 2", "numbers": "numbers 3", "rates": "prefixes 2", "expr": "regexes 2"} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	for _, c := range []struct {
		list    string
		in, out []string
	}{
		{"night", []string{"1020"}, []string{"102", "10200", "", "+1020"}},
		{"names", []string{"alice"}, []string{"alic", "Alice", ""}},
		{"abroad", []string{"+18765550100", "+1876", "+442079460000"}, []string{"+187", "+4421", "18765550100", ""}},
		{"mixed", []string{"+33612345678", "0612345678", "+33123456789"}, []string{"612345678", "+330612345678"}},
		{"nets", []string{"192.0.2.9", "2001:db8::1", "198.51.100.7", "::ffff:192.0.2.1"}, []string{"192.0.3.0", "198.51.100.8", "x", ""}},
		{"lands", []string{"DE", "NO"}, []string{"FR", "de", ""}},
		{"agents", []string{"ACME 1", "a Scanner"}, []string{"an acme", ""}},
		{"numbers", []string{"+33123456789", "+442079460000", "1042", "0123456789"}, []string{"+441", "London"}},
		{"rates", []string{"+18765550100", "+447012345678"}, []string{"+442079460000", "1876"}},
		{"expr", []string{"Friendly-Scanner", "sipcli/1", "SIPvicious,"}, []string{"mysipcli/1"}},
	} {
		for _, v := range c.in {
			if !by[c.list].Has(v) {
				t.Errorf("%s does not hold %q", c.list, v)
			}
		}
		for _, v := range c.out {
			if by[c.list].Has(v) {
				t.Errorf("%s holds %q", c.list, v)
			}
		}
	}
}

func TestListsInRules(t *testing.T) {
	s := withFiles(t, files{"/etc/p/bad.txt": "+1876\n+4420\n"}, `
version: 1
home: {country: FR}
lists:
  night: ["1020", "1021"]
  bad: {file: bad.txt, kind: prefixes}
  lands: [KP]
  nets: [192.0.2.0/24]
  stars: ["*97", "*98"]
  old: {kind: regexes, values: ["^OldPhone"]}
rules:
  - {id: a/night, on: invite, match: {user: {list: night}}, then: reject 480}
  - {id: a/bad, on: invite, match: {to: {list: bad}}, then: reject 403}
  - {id: a/from, on: invite, match: {from: {list: bad}}, then: reject 404}
  - {id: a/lands, on: invite, match: {source: {list: [lands, nets]}}, then: reject 405}
  - {id: a/stars, on: invite, match: {to: {list: stars}}, then: reject 406}
  - {id: a/old, on: invite, match: {user_agent: {list: old}}, then: reject 488}
`)
	for _, c := range []struct {
		to, want string
		edit     func(*call.Attempt)
	}{
		{"0123456789", "abstain", func(*call.Attempt) {}},
		{"0123456789", "reject 480 a/night", func(a *call.Attempt) { a.User = "1020" }},
		{"0018765550100", "reject 403 a/bad", func(*call.Attempt) {}},
		{"%2B1876%35550100", "reject 403 a/bad", func(*call.Attempt) {}},
		{"0123456789", "reject 404 a/from", func(a *call.Attempt) { a.From.Number, a.From.Kind = "+442079460000", call.International }},
		{"0123456789", "reject 405 a/lands", func(a *call.Attempt) { a.Source.Country = "KP" }},
		{"0123456789", "reject 405 a/lands", func(a *call.Attempt) { a.Source.Addr = netip.MustParseAddrPort("[::ffff:192.0.2.1]:5060") }},
		{"*97", "reject 406 a/stars", func(*call.Attempt) {}},
		{"%2A9%37", "reject 406 a/stars", func(*call.Attempt) {}},
		{"*97;x=y", "reject 406 a/stars", func(*call.Attempt) {}},
		{"*99", "abstain", func(*call.Attempt) {}},
		{"0123456789", "reject 488 a/old", func(a *call.Attempt) { a.UserAgent = "OldPhone 1" }},
	} {
		a := invite(s, c.to)
		c.edit(a)
		d := s.Judge(a)
		if show(d) != c.want {
			t.Errorf("%s: %s, want %s", c.to, show(d), c.want)
		}
		if d.Rule == "a/bad" && !strings.Contains(fmt.Sprint(d.Evidence), "+1876 in list bad, version ") {
			t.Errorf("evidence: %v", d.Evidence)
		}
	}
}

// A Set with newer lists judges by them and the old one by the old; a file
// that is gone or wrong keeps what was there.
func TestFreshLists(t *testing.T) {
	dir := files{"/etc/p/bad.txt": "+1876\n"}
	text := `
version: 1
home: {country: FR}
lists: {bad: {file: bad.txt, kind: prefixes}}
rules: [{id: a/bad, on: invite, match: {to: {list: bad}}, then: reject 403}]
limits: [{id: a/rate, on: invite, match: {to: {list: bad}}, rate: 1/s, then: reject 480}]
`
	old := withFiles(t, dir, text)
	if f := old.ListFiles(); len(f) != 1 || f[0] != (policy.ListFile{List: "bad", Path: "/etc/p/bad.txt"}) {
		t.Fatal(f)
	}
	jamaica, london := invite(old, "+18765550100"), invite(old, "+442079460000")
	verdicts := func(s *policy.Set) string {
		l := s.Limits()[0]
		return fmt.Sprint(s.Judge(jamaica).Verdict, s.Judge(london).Verdict, l.Match(jamaica), l.Match(london))
	}
	dir["/etc/p/bad.txt"] = "+44\n"
	fresh, ps := old.WithLists(dir.read)
	if len(ps) > 0 || fresh == old {
		t.Fatal(ps)
	}
	if got := verdicts(old); got != "reject abstain true false" {
		t.Errorf("the old set: %s", got)
	}
	if got := verdicts(fresh); got != "abstain reject false true" {
		t.Errorf("the new set: %s", got)
	}
	if old.Revision() == fresh.Revision() {
		t.Error("both have one revision")
	}
	if again, _ := fresh.WithLists(dir.read); again != fresh {
		t.Error("nothing changed, yet the set is another")
	}
	for _, c := range []struct{ text, problem string }{{"", "cannot be read"}, {"+44\nbad\n", `/etc/p/bad.txt:2:1: warning: "bad" is not a prefix`}} {
		if dir["/etc/p/bad.txt"] = c.text; c.text == "" {
			delete(dir, "/etc/p/bad.txt")
		}
		kept, ps := fresh.WithLists(dir.read)
		if kept == nil || verdicts(kept) != verdicts(fresh) || !strings.Contains(ps.String(), c.problem) || ps.Err() != nil {
			t.Errorf("%q: %s", c.text, ps)
		}
		// Compiling anew does the same with the policy in force at hand, and
		// fails without.
		src := []policy.Source{file("/etc/p/a.yaml", text)}
		anew, ps := policy.Compile(src, policy.Options{ReadFile: dir.read, Last: fresh})
		if anew == nil || verdicts(anew) != verdicts(fresh) || !strings.Contains(ps.String(), "keeps its last 1 values") {
			t.Errorf("%q: %s", c.text, ps)
		}
		if s, _ := policy.Compile(src, policy.Options{ReadFile: dir.read}); s != nil {
			t.Errorf("%q: a set without its list", c.text)
		}
	}
}

func TestListProblems(t *testing.T) {
	var many strings.Builder
	for range 25 {
		many.WriteString("x\n")
	}
	dir := files{"/etc/p/n.txt": "+44\nabc\n", "/etc/p/many.txt": many.String(), "/etc/p/empty.txt": "# nothing\n",
		"/etc/p/huge.txt": strings.Repeat("+1\n", 2_000_001)}
	_, ps := policy.Compile([]policy.Source{file("/etc/p/a.yaml", `version: 1
home: {country: FR}
lists:
  unquoted: [1020, 0033]
  Bad: ["1"]
  both: {file: n.txt, values: ["1"], kind: text}
  none: {kind: text}
  kind: {file: n.txt, kind: prefix}
  nokind: {file: n.txt}
  mixed: [alice, 192.0.2.0/24]
  unclear: ["+44", "99"]
  bits: [192.0.2.1/24]
  nets: [192.0.2.0/24]
  gone: {file: gone.txt, kind: text}
  wrong: {file: n.txt, kind: numbers}
  many: {file: many.txt, kind: prefixes}
  huge: {file: huge.txt, kind: prefixes}
  empty: []
  empty_file: {file: empty.txt, kind: text}
  land: {kind: countries, values: [Germany]}
  expr: {kind: regexes, values: ["("]}
  us: {kind: prefixes, values: ["900"]}
  unknown: {files: x}
rules:
  - {id: a/b, on: any, match: {to: {list: [nets, expr, wrnog]}, source: {list: land}, user: {list: mny}}, then: drop}
  - {id: a/c, on: any, match: {to: {list: []}, user: {}, source: {asn: []}}, then: drop}
`), file("/etc/p/b.yaml", "version: 1\nlists: {wrong: [alice]}\n"), pack("p", "version: 1\nlists: {file: {file: x, kind: text}, gone: [x]}\n")},
		policy.Options{Now: noon, ReadFile: dir.read})
	got := ps.String()
	for _, want := range []string{
		`a.yaml:4:14: lists.unquoted[0]: 1020 without quotes is a number in YAML`,
		`a.yaml:4:20: lists.unquoted[1]: 0033 without quotes is a number in YAML`,
		`a.yaml:5:8: "Bad" is not a name for a list`,
		`a.yaml:6:10: the list both has both values: and file:`,
		`a.yaml:7:10: the list none has no values`,
		`a.yaml:8:29: unknown kind of list "prefix"` + "\n    hint: did you mean prefixes?",
		`the list nokind does not say of what kind the values in n.txt are`,
		`the values of list mixed are of several kinds`,
		`the values of list unclear are of several kinds`,
		`192.0.2.1/24 has bits set behind its length` + "\n    hint: write 192.0.2.0/24",
		`/etc/p/a.yaml:14:16: the list gone cannot be read: open /etc/p/gone.txt: file does not exist`,
		`/etc/p/n.txt:2:1: "abc" is not a number that can be dialled from here`,
		`/etc/p/many.txt:20:1: "x" is not a prefix of public numbers`,
		`/etc/p/a.yaml:16:16: and 5 more problems in /etc/p/many.txt`,
		`/etc/p/huge.txt:2000001:1: more than 2000000 values`,
		`a.yaml:18:10: warning: the list empty is empty`,
		`warning: the list empty_file is empty`,
		`"Germany" is not a country`,
		`"(" is not a regular expression`,
		`"900" is not a prefix of public numbers` + "\n" + `    hint: write "+900"`,
		`unknown key "files" in lists.unknown`,
		`the list nets holds cidrs; here it can be numbers or prefixes or countries or text`,
		`there is no list "wrnog"` + "\n    hint: did you mean wrong?",
		`there is no list "mny"` + "\n    hint: did you mean many?",
		`b.yaml:2:16: the list wrong is in /etc/p/a.yaml:15 already`,
		`p:2:16: a pack has no files beside it`,
		`the list is empty`,
		`match.user.list is missing`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(got, "the list us is empty") || strings.Contains(got, "many.txt:21") || strings.Contains(got, "the list gone is in") {
		t.Error("too many problems")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// A million prefixes load, and answer without allocating. The oracle is a map
// that is asked for every beginning of the number.
func TestAMillionPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string]bool{}
	var text strings.Builder
	digits := func(n int) string {
		return fmt.Sprintf("+%d", 1+r.IntN(9)) + fmt.Sprintf("%015d", r.Int64N(1e15))[:n-1]
	}
	for len(want) < 1_000_000 {
		if p := digits(6 + r.IntN(6)); !want[p] {
			want[p] = true
			text.WriteString(p + "\n")
		}
	}
	s := withFiles(t, files{"/etc/p/many.txt": text.String()}, "version: 1\nlists: {many: {file: many.txt, kind: prefixes}}\n")
	l := s.Lists()[0]
	if l.Len() != len(want) {
		t.Fatal(l.Len())
	}
	hits := 0
	for range 50_000 {
		n, in := digits(4+r.IntN(12)), false
		for i := 2; i <= len(n); i++ {
			in = in || want[n[:i]]
		}
		if l.Has(n) != in {
			t.Fatalf("%s: %v", n, !in)
		}
		if in {
			hits++
		}
	}
	if hits < 500 {
		t.Fatalf("only %d hits", hits)
	}
	if n := testing.AllocsPerRun(1000, func() { l.Has("+18765550100") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMillionPrefixes(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	numbers := make([]string, 1<<16)
	for range 1_000_000 {
		fmt.Fprintf(&text, "+%d\n", 1e9+r.Int64N(9e9))
	}
	for i := range numbers {
		numbers[i] = fmt.Sprintf("+%d", int64(1e11)+r.Int64N(9e11))
	}
	l := withFiles(b, files{"/etc/p/many.txt": text.String()}, "version: 1\nlists: {many: {file: many.txt, kind: prefixes}}\n").Lists()[0]
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Has(numbers[i&0xffff])
		i++
	}
}

// What a policy may hold of lists and exceptions is bounded.
func TestListCaps(t *testing.T) {
	var lists, expr, hours, exceptions strings.Builder
	for i := range 257 {
		fmt.Fprintf(&lists, "  l%d: [a]\n", i)
	}
	for range 1001 {
		expr.WriteString("x\n")
	}
	for i := range 33 {
		fmt.Fprintf(&hours, "\"00:%02d-12:00 UTC\", ", i)
	}
	for range 2001 {
		exceptions.WriteString("  - {rule: a/b, match: {user: x}, owner: o, expires: 2027-01-01}\n")
	}
	million := strings.Repeat("::/0\n", 1_400_000)
	dir := files{"/etc/p/expr.txt": expr.String(), "/etc/p/a.txt": million, "/etc/p/b.txt": million, "/etc/p/c.txt": million, "/etc/p/long.txt": strings.Repeat("x", 256) + "\n",
		"/etc/p/big.txt": strings.Repeat("#", policy.MaxListFile+1)}
	for text, want := range map[string]string{
		"lists:\n" + lists.String():                                                                              "257 lists; at most 256 are possible",
		"lists: {l: {file: expr.txt, kind: regexes}}\n":                                                          "/etc/p/expr.txt:1001:1: more than 1000 regular expressions",
		"lists: {l: {file: long.txt, kind: text}}\n":                                                             "/etc/p/long.txt:1:1: a text of 256 bytes",
		"lists: {l: {file: big.txt, kind: text}}\n":                                                              "the list l cannot be read: it has more than 67108864 bytes",
		"rules: [{id: a/b, on: any, match: {hours: [" + hours.String() + "]}, then: drop}]\n":                    "more than 32 times of the week",
		"lists: {a: {file: a.txt, kind: cidrs}, b: {file: b.txt, kind: cidrs}, c: {file: c.txt, kind: cidrs}}\n": "the lists hold more than 4000000 values together",
	} {
		s, ps := policy.Compile([]policy.Source{file("/etc/p/a.yaml", "version: 1\n"+text)}, policy.Options{ReadFile: dir.read})
		if s != nil || !strings.Contains(ps.String(), want) {
			t.Errorf("%s is not said: %.300s", want, ps)
		}
	}
	var all []policy.Source
	for i := range 6 {
		all = append(all, file(fmt.Sprintf("%d.yaml", i), "version: 1\nexceptions:\n"+exceptions.String()))
	}
	_, ps := policy.Compile(append(all, file("r.yaml", "version: 1\nrules: [{id: a/b, on: any, then: drop}]\n")), policy.Options{})
	if !strings.Contains(ps.String(), "more than 10000 exceptions") {
		t.Errorf("exceptions are not bounded: %.300s", ps)
	}
}
