package config

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rampart-sbc/rampart/policy/number"
)

// newer is the program's numbering data under another version.
func newer(t *testing.T) []byte {
	t.Helper()
	table, err := os.ReadFile("../policy/number/table.bin")
	if err != nil {
		t.Fatal(err)
	}
	old := number.Builtin().Version()
	next := strings.Repeat("9", len(old))
	return []byte(strings.Replace(string(table), old, next, 1))
}

func TestNumberKeys(t *testing.T) {
	const base = "domain: a.example\npbx: \"sip:10.0.0.5\"\n"
	files := fstest.MapFS{
		"new.bin":   {Data: newer(t), Mode: 0o644},
		"cut.bin":   {Data: newer(t)[:5000], Mode: 0o644},
		"large.bin": {Data: make([]byte, maxNumbering+1), Mode: 0o644},
	}
	peer := func(tech string) string {
		return base + "home: {country: FR}\npeers: [{name: a, identify: {ip: [198.51.100.0/24]}, tech_prefixes: " + tech + "}]\n"
	}
	for _, c := range []struct{ name, src, want string }{
		{"all", base + "home: {country: FR, carrier_selection: [\"16xx\"], tech_prefixes: [\"99#\", \"1234\"], numbering: new.bin}\nnumbers: {forward: canonical, carriers: as-dialled}\n", ""},
		{"carrier selection", base + "home: {country: FR, carrier_selection: [\"16xx\", \"x\", \"16-1\"]}\n", `home.carrier_selection: "x" is not a prefix`},
		{"every problem", base + "home: {country: FR, carrier_selection: [\"16xx\", \"x\", \"16-1\"]}\n", `home.carrier_selection: "16-1" is not a prefix of digits`},
		{"tech prefix", base + "home: {country: FR, tech_prefixes: [\"99#\", \"a\"]}\n", `home.tech_prefixes: "a" is not a prefix of digits, * and #`},
		{"tech prefix of a peer", peer(`["9a"]`), `peer a: tech_prefixes: "9a" is not a prefix`},
		{"too many", peer(`[` + strings.Repeat(`"9", `, 65) + `]`), "more than 64 prefixes"},
		{"form", base + "home: {country: FR}\nnumbers: {forward: e164}\n", `"e164" is not one of`},
		{"no file", base + "home: {country: FR, numbering: no.bin}\n", "home.numbering: /etc/rampart/no.bin: file does not exist"},
		{"cut file", base + "home: {country: FR, numbering: cut.bin}\n", "home.numbering: /etc/rampart/cut.bin: read number table: cut short"},
		{"large file", base + "home: {country: FR, numbering: large.bin}\n", "at most 4194304"},
	} {
		cfg, problems := parse(t, c.src, files)
		if c.want == "" && problems != "" || !strings.Contains(problems, c.want) {
			t.Errorf("%s: %q, want %q", c.name, problems, c.want)
		}
		if c.name != "all" {
			continue
		}
		if v := cfg.NumberData().Version(); !strings.HasPrefix(v, "999") {
			t.Errorf("data %s", v)
		}
		if cfg.Numbers != (Numbers{Canonical, AsDialled}) {
			t.Errorf("%+v", cfg.Numbers)
		}
		plan, err := cfg.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if n := plan.Normalise("99#16110018765550100", number.Dialled); n.Canonical != "+18765550100" {
			t.Errorf("%+v", n)
		}
	}
}
