package arch

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

func TestRepository(t *testing.T) {
	found, err := Check(os.DirFS(root), Rampart())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// What the go command calls a package must be what the check looked at.
func TestSeesEveryPackage(t *testing.T) {
	cmd := exec.Command("go", "list", "-e", "-f", "{{.Dir}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	law := Rampart()
	found, err := Check(os.DirFS(root), Law{Module: law.Module}) // an empty law complains about every file
	if err != nil {
		t.Fatal(err)
	}
	for dir := range strings.Lines(string(out)) {
		rel, err := filepath.Rel(abs, strings.TrimSpace(dir))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(found, func(v Violation) bool { return filepath.Dir(v.File) == rel }) {
			t.Errorf("package %s was passed over", rel)
		}
	}
}

// The law must not contradict itself.
func TestTable(t *testing.T) {
	law := Rampart()
	seen := map[string]bool{}
	for _, p := range law.Packages {
		if seen[p.Path] {
			t.Errorf("%s is listed twice", p.Path)
		}
		seen[p.Path] = true
		if p.Why == "" {
			t.Errorf("%s: no reason", p.Path)
		}
	}
	for _, x := range law.Third {
		if x.Why == "" || len(x.Homes)+len(x.Tests) == 0 {
			t.Errorf("%s: no reason or no home", x.Prefix)
		}
		for _, h := range slices.Concat(x.Homes, x.Tests) {
			if !strings.HasSuffix(h, "**") && law.find(h) == nil {
				t.Errorf("%s lives in %s, which is not in the law", x.Prefix, h)
			}
		}
		// Pure packages use foreign code only where that is pure as well.
		for _, h := range x.Homes {
			if p := law.find(h); p != nil && p.Pure && !slices.Contains([]string{"go4.org/netipx", "golang.org/x/time/rate", "github.com/google/cel-go"}, x.Prefix) {
				t.Errorf("pure package %s is a home of %s", h, x.Prefix)
			}
		}
	}
}

var toy = Law{
	Module: "example.com/m",
	Packages: []Package{
		{Path: "cmd/**", Level: 5, Command: true, May: []string{"help"}, Why: "w"},
		{Path: "high", Level: 3, Why: "w"},
		{Path: "mid", Level: 2, Why: "w"},
		{Path: "side", Level: 2, May: []string{"mid"}, Why: "w"},
		{Path: "mid/**", Level: 1, Why: "w"},
		{Path: "pure", Level: 1, Pure: true, Why: "w"},
		{Path: "alone", Level: 4, Leaf: true, Why: "stands alone"},
		{Path: "help", Level: 4, Support: true, Why: "w"},
	},
	Third: []Third{
		{Prefix: "github.com/a/sip", Homes: []string{"mid"}, Why: "one home"},
		{Prefix: "github.com/a/check", Tests: []string{"**"}, Why: "tests only"},
	},
}

// Each case is one file of a toy module; want is what must be found in it, as
// "line: part of the message". The first line of a package clause without a
// comment gets one here, so that cases speak of one thing.
func TestCheckFinds(t *testing.T) {
	imports := func(p string) string { return "package x\n\nimport _ \"" + p + "\"\n" }
	tests := []struct {
		name, file, src string
		want            []string
	}{
		{"down", "high/a.go", imports("example.com/m/mid"), nil},
		{"up", "mid/a.go", imports("example.com/m/high"), []string{"4: mid (level 2) imports high (level 3)"}},
		{"sideways", "mid/a.go", imports("example.com/m/side"), []string{"4: mid (level 2) imports side (level 2)"}},
		{"sideways by exception", "side/a.go", imports("example.com/m/mid"), nil},
		{"below a folder", "mid/a.go", imports("example.com/m/mid/deep"), nil},
		{"from below a folder", "mid/deep/er/a.go", imports("example.com/m/mid"), []string{"4: mid/deep/er (level 1) imports mid (level 2)"}},
		{"up in a test", "mid/a_test.go", imports("example.com/m/high"), []string{"level 3"}},
		{"external test of itself", "mid/a_test.go", imports("example.com/m/mid"), nil},
		{"unlisted package", "new/a.go", "package x\n", []string{"2: package new is not in the law"}},
		{"import of an unlisted package", "high/a.go", imports("example.com/m/new"), []string{"new, which is not in the law"}},
		{"leaf", "alone/a.go", imports("example.com/m/pure"), []string{"4: alone stands alone but imports pure"}},
		{"support in a test", "pure/a_test.go", imports("example.com/m/help"), nil},
		{"support in what ships", "high/a.go", imports("example.com/m/help"), []string{"outside of tests"}},
		{"support by exception", "cmd/x/a.go", imports("example.com/m/help"), nil},
		{"another module with our prefix", "high/a.go", imports("example.com/mx/mid"), []string{"example.com/mx/mid, which is not in the law"}},

		{"foreign at home", "mid/a.go", imports("github.com/a/sip/message"), nil},
		{"foreign elsewhere", "high/a.go", imports("github.com/a/sip"), []string{"4: high imports github.com/a/sip"}},
		{"foreign elsewhere in a test", "high/a_test.go", imports("github.com/a/sip"), []string{"high imports github.com/a/sip"}},
		{"foreign with a longer name", "mid/a.go", imports("github.com/a/sipper"), []string{"not in the law"}},
		{"foreign for tests, in a test", "high/a_test.go", imports("github.com/a/check/v2"), nil},
		{"foreign for tests, elsewhere", "high/a.go", imports("github.com/a/check/v2"), []string{"high imports github.com/a/check/v2"}},
		{"foreign, unlisted", "high/a.go", imports("golang.org/x/y"), []string{"not in the law"}},
		{"a tool that is not built counts as a test", "high/gen.go", "//go:build ignore\n\n" + imports("github.com/a/check"), nil},
		{"a platform does not", "high/gen.go", "//go:build linux\n\n" + imports("github.com/a/check"), []string{"imports github.com/a/check"}},

		{"pure: addresses", "pure/a.go", imports("net/netip"), nil},
		{"pure: sockets", "pure/a.go", imports("net"), []string{"4: pure package pure imports net"}},
		{"pure: files", "pure/a.go", imports("os"), []string{"imports os"}},
		{"pure: below os", "pure/a.go", imports("os/signal"), []string{"imports os/signal"}},
		{"pure: web", "pure/a.go", imports("net/http/httptest"), []string{"imports net/http/httptest"}},
		{"pure: in a test", "pure/a_test.go", imports("os"), nil},
		{"impure", "mid/a.go", imports("net"), nil},
		{"pure: clock", "pure/a.go", "package x\n\nimport \"time\"\n\nfunc f() time.Time { return time.Now() }\n", []string{"6: pure package pure uses time.Now"}},
		{"pure: clock by another name", "pure/a.go", "package x\n\nimport chrono \"time\"\n\nvar f = chrono.Since\n", []string{"6: pure package pure uses time.Since"}},
		{"pure: values of time", "pure/a.go", "package x\n\nimport \"time\"\n\nfunc f() time.Time { return time.Unix(1, 0).Add(time.Second) }\n", nil},
		{"not that time", "pure/a.go", "package x\n\ntype c struct{}\n\nfunc (c) Now() {}\n\nfunc f(time c) { time.Now() }\n", nil},
		{"pure: goroutine", "pure/a.go", "package x\n\nfunc f() { go f() }\n", []string{"4: pure package pure starts a goroutine"}},
		{"pure: logging", "pure/a.go", "package x\n\nimport \"log/slog\"\n\nfunc f() { slog.Info(\"x\") }\n", []string{"6: pure package pure uses slog.Info"}},
		{"pure: redaction", "pure/a.go", "package x\n\nimport \"log/slog\"\n\ntype s string\n\nfunc (s) LogValue() slog.Value { return slog.StringValue(\"-\") }\n", nil},

		{"exit", "high/a.go", "package x\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n", []string{"6: os.Exit outside"}},
		{"exit by log", "high/a.go", "package x\n\nimport \"log\"\n\nfunc f() { log.Fatalf(\"\") }\n", []string{"6: log.Fatalf outside"}},
		{"exit of a command", "cmd/x/a.go", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(1) }\n", nil},
		{"init", "high/a.go", "package x\n\nfunc init() {}\n", []string{"4: func init"}},
		{"a method called init", "high/a.go", "package x\n\ntype t int\n\nfunc (t) init() {}\n", nil},
		{"sleeping test", "high/a_test.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", []string{"6: time.Sleep in a test"}},
		{"sleep in a loop that guesses", "high/a_test.go", "package x\n\nimport \"time\"\n\nfunc f() {\n\tfor range 3 {\n\t\ttime.Sleep(1)\n\t}\n\tfor i := 0; i < 3; i++ {\n\t\ttime.Sleep(1)\n\t}\n}\n", []string{"8: time.Sleep", "11: time.Sleep"}},
		{"sleep of a poll", "high/a_test.go", "package x\n\nimport \"time\"\n\nfunc f(t time.Time, ok bool) {\n\tfor !ok && time.Until(t) > 0 {\n\t\ttime.Sleep(1)\n\t}\n}\n", nil},
		{"sleep in simulated time", "high/a_test.go", "package x\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc f(t *testing.T) {\n\tsynctest.Test(t, func(*testing.T) { time.Sleep(1) })\n\ttime.Sleep(1)\n}\n", []string{"12: time.Sleep"}},
		{"sleep elsewhere", "high/a.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", nil},
		{"dot import", "high/a.go", "package x\n\nimport . \"time\"\n", []string{"4: imports time with a dot"}},
		{"package logger", "high/a.go", "package x\n\nimport \"log/slog\"\n\nvar log = slog.Default()\n", []string{"6: a package variable holds a logger (slog.Default)"}},
		{"logger passed in", "high/a.go", "package x\n\nimport \"log/slog\"\n\ntype t struct{ l *slog.Logger }\n\nvar f = func(l *slog.Logger) {}\n", nil},
		{"too long", "high/a.go", "package x\n" + strings.Repeat("\n", maxLines), []string{"lines; at most"}},
		{"too long but generated", "high/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage x\n" + strings.Repeat("\n", maxLines), nil},
		{"does not parse", "high/a.go", "package x\n\nfunc {\n", []string{"1: cannot be parsed"}},
	}
	const comment = "// Package x is a toy. Start reading at [Toy].\n"
	for _, tt := range tests {
		src := strings.Replace(tt.src, "package ", comment+"package ", 1)
		found, err := Check(fstest.MapFS{tt.file: {Data: []byte(src)}}, toy)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, tt.name, tt.file, found, tt.want)
	}
}

func compare(t *testing.T, name, file string, found []Violation, want []string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("%s: found %v, want %q", name, found, want)
		return
	}
	for i, v := range found {
		if s := v.String(); !strings.Contains(s, want[i]) || !strings.HasPrefix(s, file+":") || v.Why == "" {
			t.Errorf("%s: %q does not say %q", name, s, want[i])
		}
	}
}

func TestPackageComment(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"none", map[string]string{"a.go": "package x\n"}, "no package comment"},
		{"no start", map[string]string{"a.go": "// Package x is.\npackage x\n"}, "does not end with"},
		{"start in the middle", map[string]string{"a.go": "// Package x. Start reading at [A]. And more.\npackage x\n"}, "does not end with"},
		{"good", map[string]string{"a.go": "// Package x.\n//\n// Start reading\n// at [A.B].\npackage x\n"}, ""},
		{"in another file", map[string]string{"a.go": "package x\n", "doc.go": "// Package x. Start reading at [A]\npackage x\n"}, ""},
		{"a tool of one file", map[string]string{"../cmd/a/a.go": "// Command a.\npackage main\n"}, ""},
		{"a tool of two", map[string]string{"../cmd/a/a.go": "// Command a.\npackage main\n", "../cmd/a/b.go": "package main\n"}, "does not end with"},
		{"tests need none", map[string]string{"a_test.go": "package x\n"}, ""},
	}
	for _, tt := range tests {
		fsys := fstest.MapFS{}
		for n, src := range tt.files {
			fsys[path.Join("high", n)] = &fstest.MapFile{Data: []byte(src)}
		}
		found, err := Check(fsys, toy)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if tt.want != "" {
			want = []string{tt.want}
		}
		file := "high/a.go"
		if strings.Contains(tt.name, "tool") {
			file = "cmd/a/a.go"
		}
		compare(t, tt.name, file, found, want)
	}
}

func TestWhereItLooks(t *testing.T) {
	bad := &fstest.MapFile{Data: []byte("package x\n")}
	found, err := Check(fstest.MapFS{
		"testdata/a.go": bad, "high/testdata/a.go": bad, "vendor/v/a.go": bad, ".git/a.go": bad, "_old/a.go": bad,
		"nested/go.mod": {}, "nested/a.go": bad, "high/_a.go": bad, "high/a.txt": bad,
	}, toy)
	if err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := Check(os.DirFS(filepath.Join(t.TempDir(), "none")), toy); err == nil {
		t.Error("a tree that is not there is lawful")
	}
}
