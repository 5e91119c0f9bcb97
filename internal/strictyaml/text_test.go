package strictyaml

import "testing"

// What YAML readers disagree about is refused where text belongs; what is text
// to all of them is taken as it stands.
func TestText(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"NO", "NO"}, {"no", "no"}, {"on", "on"}, {"off", "off"}, {"y", "y"}, {"a b", "a b"}, {"a#b", "a#b"}, {"10.0.0.5", "10.0.0.5"},
		{"10.0.0.0/8", "10.0.0.0/8"}, {"12h", "12h"}, {"2027-01-31", "2027-01-31"}, {"sip:a.example", "sip:a.example"}, {"é", "é"},
		{"'it''s'", "it's"}, {`"a\tb\u00e9"`, "a\tbé"}, {`"0033"`, "0033"}, {"'true'", "true"}, {`""`, ""}, {"|\n  one\n  two\n", "one\ntwo\n"}, {">-\n  one\n  two\n", "one two"},
	} {
		for _, ending := range []string{"", "\n", "\r\n"} {
			var s struct {
				Name string `yaml:"name"`
			}
			if ps := Decode("f", []byte("\ufeffname: "+c.src+ending), &s); len(ps) != 0 || s.Name != c.want && ending == "" {
				t.Errorf("%s: %q %v", c.src, s.Name, ps)
			}
		}
	}
	for _, src := range []string{"33", "0033", "+33", "-1", "0x1F", "0o17", "0b1", "1_000", "1.5", ".5", "1e3", "true", "false", "True", "FALSE", "null", "~", "Null", ".inf", "-.INF", ".nan", ""} {
		var s struct {
			Name string `yaml:"name"`
		}
		if ps := Decode("f", []byte("name: "+src+"\n"), &s); len(ps) != 1 || s.Name != "" {
			t.Errorf("%s is taken as the text %q (%v)", src, s.Name, ps)
		}
	}
}

// Lines and columns are right in files of other systems too, and columns count
// characters, not bytes.
func TestPlaces(t *testing.T) {
	for name, src := range map[string]string{
		"unix": "a: 1\n# é\nname: \"é\" \nopt: {näme: 3}\n",
		"crlf": "a: 1\r\n# é\r\nname: \"é\" \r\nopt: {näme: 3}\r\n",
		"bom":  "\ufeffa: 1\n# é\nname: \"é\" \nopt: {näme: 3}\n",
	} {
		var s struct {
			Name string         `yaml:"name"`
			Opt  map[string]int `yaml:"opt"`
		}
		at, ps := DecodeAt("f", []byte(src), &s)
		if len(ps) != 1 || ps[0].Line != 1 || ps[0].Col != 1 {
			t.Errorf("%s: %v", name, ps)
		}
		if at["name"] != (Pos{3, 7}) || at["opt.näme"] != (Pos{4, 13}) {
			t.Errorf("%s: %v", name, at)
		}
	}
}
