package strictyaml

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type shout string

func (s *shout) UnmarshalScalar(text string, quoted bool) error {
	if !quoted {
		return errors.New("must be in quotes")
	}
	*s = shout(strings.ToUpper(text))
	return nil
}

// either is a name or a mapping.
type either struct {
	Name string
	Size int
}

func (e *either) UnmarshalNode(n Node) {
	if n.Kind() == Scalar {
		e.Name, _ = n.Text()
		return
	}
	var m struct {
		Name string `yaml:"name,required"`
		Size int    `yaml:"size"`
	}
	n.Decode(&m)
	e.Name, e.Size = m.Name, m.Size
	if m.Size > 9 {
		n.Problem("at most 9", "size %d is too large", m.Size)
	}
}

type inner struct {
	At    Pos      `yaml:"-"`
	Name  string   `yaml:"name,required"`
	Tags  []string `yaml:"tags,single"`
	Count int      `yaml:"count"`
}

type embedded struct {
	Owner string `yaml:"owner"`
}

type sample struct {
	Name     string           `yaml:"name"`
	On       bool             `yaml:"on"`
	Small    int8             `yaml:"small"`
	Port     uint16           `yaml:"port"`
	Ratio    float64          `yaml:"ratio"`
	Wait     time.Duration    `yaml:"wait"`
	Until    time.Time        `yaml:"until"`
	Addr     netip.Addr       `yaml:"addr"`
	AddrPort netip.AddrPort   `yaml:"addr_port"`
	Nets     []netip.Prefix   `yaml:"nets"`
	Items    []inner          `yaml:"items,single"`
	Sizes    map[string]int   `yaml:"sizes"`
	Deep     map[string]inner `yaml:"deep"`
	Opt      *inner           `yaml:"opt"`
	Shout    shout            `yaml:"shout"`
	Either   []either         `yaml:"either"`
	Future   Reserved         `yaml:"future" hint:"use name"`
	embedded `yaml:",inline"`
}

func TestDecodeEverything(t *testing.T) {
	const src = `# comment
name: "x"
on: true
small: -8
port: 5061
ratio: 0.5
wait: 1d12h
until: 2027-01-31
addr: "::ffff:192.0.2.1"
addr_port: "[2001:db8::1]:5061"
nets: [198.51.100.0/24, "2001:db8::/32"]
items:
  - name: one
    tags: a
  - {name: two, tags: [b, c], count: 3}
sizes: {a: 1, "2": 2}
deep:
  k: {name: n}
opt: {name: o}
shout: 'loud'
either: [plain, {name: m, size: 4}]
future: []
owner: alice
`
	var got sample
	at, ps := DecodeAt("f.yaml", []byte(src), &got)
	if len(ps) != 0 {
		t.Fatalf("problems:\n%s", ps)
	}
	want := sample{
		Name: "x", On: true, Small: -8, Port: 5061, Ratio: 0.5, Wait: 36 * time.Hour,
		Until: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		Addr:  netip.MustParseAddr("192.0.2.1"), AddrPort: netip.MustParseAddrPort("[2001:db8::1]:5061"),
		Nets:  []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Items: []inner{{Pos{13, 5}, "one", []string{"a"}, 0}, {Pos{15, 6}, "two", []string{"b", "c"}, 3}},
		Sizes: map[string]int{"a": 1, "2": 2}, Deep: map[string]inner{"k": {At: Pos{18, 7}, Name: "n"}},
		Opt: &inner{At: Pos{19, 7}, Name: "o"}, Shout: "LOUD", Either: []either{{"plain", 0}, {"m", 4}},
		embedded: embedded{"alice"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for path, pos := range map[string]Pos{
		"port": {5, 7}, "nets[1]": {11, 25}, "items[1].tags[1]": {15, 27}, "items[1].tags[9].x": {15, 23}, "nowhere": {2, 1}, "sizes.2": {16, 20},
	} {
		if got := at.At(path); got != pos {
			t.Errorf("At(%s) = %v, want %v", path, got, pos)
		}
	}
	if at.Has("nowhere") || !at.Has("items[0].name") {
		t.Error("Has is wrong")
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", ""},
		{"only a comment", "# nothing\n", ""},
		{"unknown key", "nmae: x", "f:1:1: unknown key \"nmae\" here\n    hint: did you mean name?"},
		{"unknown key, dashes", "addr-port: x", "f:1:1: unknown key \"addr-port\" here\n    hint: did you mean addr_port?"},
		{"unknown key inside", "opt: {name: x, zzzzzz: 1}", "f:1:16: unknown key \"zzzzzz\" in opt\n    hint: known keys: count, name, tags"},
		{"two unknown keys", "opt: {name: x, yyyyyy: 1, zzzzzz: 2}", "f:1:16: unknown key \"yyyyyy\" in opt\n    hint: known keys: count, name, tags\nf:1:27: unknown key \"zzzzzz\" in opt\n    hint: known keys: count, name, tags"},
		{"duplicate", "name: a\non: true\nname: b", "f:3:1: \"name\" is given twice\n    hint: it already stands in line 1; keep one of them"},
		{"number for text", "name: 0033", "f:1:7: name: 0033 without quotes is a number in YAML, and text belongs here\n    hint: put it in quotes: \"0033\""},
		{"plus number for text", "name: +33", "f:1:7: name: +33 without quotes is a number in YAML, and text belongs here\n    hint: put it in quotes: \"+33\""},
		{"float for text", "name: 1.2", "f:1:7: name: 1.2 without quotes is a number in YAML, and text belongs here\n    hint: put it in quotes: \"1.2\""},
		{"bool for text", "name: true", "f:1:7: name: true without quotes is a truth value in YAML, and text belongs here\n    hint: put it in quotes: \"true\""},
		{"null for text", "name:\non: true", "f:1:1: name: no value\n    hint: give one, or leave the key out"},
		{"number in list", "opt: {name: x, tags: [a, 15]}", "f:1:26: opt.tags[1]: 15 without quotes is a number in YAML, and text belongs here\n    hint: put it in quotes: \"15\""},
		{"yes", "on: yes", "f:1:5: on: \"yes\" is not true or false\n    hint: write true or false, without quotes"},
		{"octal", "port: 0755", "f:1:7: port: \"0755\" is not a whole number, zero or more\n    hint: write a number such as 30, without quotes, sign or unit"},
		{"port range", "port: 65536", "f:1:7: port: 65536 is too large"},
		{"small range", "small: -129", "f:1:8: small: -129 is too large"},
		{"quoted int", "small: \"1\"", "f:1:8: small: \"1\" is not a whole number\n    hint: write a number such as 30, without quotes or unit"},
		{"duration without unit", "wait: 10", "f:1:7: wait: \"10\" is not a duration\n    hint: a number with a unit: 500ms, 10s, 5m, 12h, 7d"},
		{"negative duration", "wait: -1s", "f:1:7: wait: \"-1s\" is not a duration\n    hint: a number with a unit: 500ms, 10s, 5m, 12h, 7d"},
		{"address", "addr: example.com", "f:1:7: addr: \"example.com\" is not an IP address\n    hint: an IP address, such as 192.0.2.1 or \"2001:db8::1\""},
		{"list for scalar", "name: [a]", "f:1:7: name: this is a list, not a single value"},
		{"scalar for list", "nets: 10.0.0.0/8", "f:1:7: nets: this is a single value, not a list\n    hint: write [10.0.0.0/8]"},
		{"null list", "nets:\n", "f:1:1: nets: no value\n    hint: write [] for an empty list, or leave the key out"},
		{"scalar for map", "sizes: 3", "f:1:8: sizes: this is a single value, not a mapping"},
		{"top scalar", "hello", "f:1:1: this is a single value, not a mapping"},
		{"null section", "sizes:\nopt:\n", ""},
		{"required", "opt: {count: 1}", "f:1:7: opt.name is missing"},
		{"reserved", "future: {x: 1}", "f:1:1: future is not available in this version\n    hint: use name"},
		{"hook", "shout: quiet", "f:1:8: shout: must be in quotes"},
		{"node hook", "either: [{size: 10, name: x}]", "f:1:11: either[0]: size 10 is too large\n    hint: at most 9"},
		{"anchor and alias", "name: &a x\nowner: *a", "f:1:7: anchors (&name) are not supported\n    hint: write the value out where it is needed\nf:2:8: aliases (*name) are not supported\n    hint: write the value out where it is needed"},
		{"merge", "opt:\n  <<: {name: x}", "f:2:3: merge keys (<<) are not supported\n    hint: write the value out where it is needed"},
		{"tag", "name: !!str 1", "f:1:7: tags (!type) are not supported\n    hint: write the value out where it is needed"},
		{"tab", "opt:\n\tname: x", "f:2:1: a tab in the indentation\n    hint: indent with spaces"},
		{"two documents", "name: x\n---\nname: y", "f:2:1: a second document begins here\n    hint: one file holds one document; remove the line ---"},
		{"control", "name: \"a\x01\"", "f:1:9: the control character U+0001 is not allowed"},
		{"utf8", "name: x\nowner: \xff", "f:2:1: the line is not valid UTF-8"},
		{"deep flow", "name: " + strings.Repeat("[", 1000), "f:1:38: nested more than 32 levels deep"},
		{"deep block", strings.Repeat("- ", 1000), "f:1:65: nested more than 32 levels deep"},
		{"several", "nmae: x\nport: -1\nwait: soon", "f:1:1: unknown key \"nmae\" here\n    hint: did you mean name?\n" +
			"f:2:7: port: \"-1\" is not a whole number, zero or more\n    hint: write a number such as 30, without quotes, sign or unit\n" +
			"f:3:7: wait: \"soon\" is not a duration\n    hint: a number with a unit: 500ms, 10s, 5m, 12h, 7d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s sample
			if got := Decode("f", []byte(c.src), &s).String(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestCaps(t *testing.T) {
	var s sample
	if ps := Decode("f", make([]byte, MaxSize+1), &s); len(ps) != 1 {
		t.Errorf("an oversized file gives %v", ps)
	}
	var b strings.Builder
	b.WriteString("sizes:\n")
	for i := range 5000 {
		b.WriteString("  k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String() + ": no\n")
	}
	many := Decode("f", []byte(strings.Repeat("a: b\n", MaxKeys+1)), &s)
	if len(many) != 1 || many[0].Line != MaxKeys+1 {
		t.Errorf("too many keys give %v", many)
	}
	ps := Decode("f", []byte(b.String()), &s)
	if len(ps) != MaxProblems+1 || !strings.Contains(ps.String(), "more problems") {
		t.Errorf("%d problems kept", len(ps))
	}
}

func TestErr(t *testing.T) {
	ps := Problems{At("b", Pos{2, 1}, "second").AsWarning(), At("a", Pos{}, "first")}
	ps.Sort()
	if ps[0].File != "a" || ps.Err() == nil || ps.Err().Error() != "a: first" {
		t.Errorf("%v, %v", ps, ps.Err())
	}
	if err := ps[1:].Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
	if got := ps[1].String(); got != "b:2:1: warning: second" {
		t.Error(got)
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "10s": 10 * time.Second, "7d": 168 * time.Hour, "1w2d": 216 * time.Hour, "1d12h": 36 * time.Hour, "500ms": 500 * time.Millisecond,
		"": -1, "10": -1, "-1s": -1, "+1s": -1, "d": -1, "1.5d": -1, "-1d": -1, "1d-1s": -1, "1d1w": -1, "1dd": -1,
	} {
		got, err := ParseDuration(in)
		if want < 0 != (err != nil) || err == nil && got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
}

// FuzzDecode: never a panic; without a problem, decoding again gives the same
// value; every problem has a message of one line and a place in the file.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "name: x", "items: [{name: a}, {name: b}]", "- a\n- b", "a: &x [*x]", "? a\n: b", "{", "name: |\n  x\n  y", "name: 'it''s'\r\non: true\r\n", "either: [a, {name: b}]", "%YAML 1.2\n---\n", "name: \"\\u00e9\"", "a:\n - b:\n   - c: [1,{d: e}]", "---\n...\n---"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b sample
		at, ps := DecodeAt("f", data, &a)
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
		for _, p := range ps {
			if p.Message == "" || strings.Contains(p.Message, "\n") || p.Line > lines || p.Line < 0 {
				t.Fatalf("bad problem %+v", p)
			}
		}
		if len(ps) == 0 {
			if ps := Decode("f", data, &b); len(ps) != 0 || !reflect.DeepEqual(a, b) && a.Ratio == a.Ratio {
				t.Fatalf("not the same again: %v", ps)
			}
		}
		if at == nil {
			t.Fatal("no positions")
		}
	})
}
