// Package arch answers one question: does the code still have the shape that
// docs/architecture.md draws? It reads the source of all packages, compares it
// with one table ([Rampart]) and reports each line that breaks the law, with the
// reason why the law is there.
//
// It does not compile, load modules or judge style, and it sees names, not
// types: a clock that is hidden behind a function value passes. It keeps no
// state and needs no clock. A file that cannot be parsed is a violation like
// any other; the check itself fails only when the tree cannot be read.
//
// To change the law, change the table in the same commit and say why there.
// Start reading at [Check].
package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Law is the table that code is compared with.
type Law struct {
	Module   string
	Packages []Package
	Third    []Third
}

// Package is the law for one package, or for all below a folder.
type Package struct {
	Path  string // relative to the module: "sbc/sdp", or "media/**" for all below media but not media
	Level int    // a package imports lower levels only
	// Pure packages have no goroutine, socket, file, clock or logger: what they
	// answer depends on their arguments alone, so replay and tests can trust it.
	Pure bool
	// Leaf packages import nothing of ours but what May lists.
	Leaf bool
	// Support packages serve tests. Code that ships must not import them,
	// except where the importer's May lists them.
	Support bool
	// Command packages may end the process.
	Command bool
	// May lists imports against the rule, each a considered exception.
	May []string
	Why string
}

// Third is the law for foreign modules with one prefix. Modules that no entry
// names may not be imported at all.
type Third struct {
	Prefix string
	Homes  []string // patterns of packages that may import it
	Tests  []string // patterns of packages whose tests may, besides
	Why    string
}

// Violation is one line of code against the law.
type Violation struct {
	File string // relative to the root of the module
	Line int
	What string
	Why  string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s (law: %s)", v.File, v.Line, v.What, v.Why)
}

const (
	maxLines = 650

	whyPure    = "a pure package depends on its arguments alone, so that replay and exact tests can trust it"
	whyDown    = "imports go down only, and siblings of one level never import each other: then each layer can be understood without those above it"
	whyListed  = "every package and every foreign module has its place in internal/arch/law.go, with a reason"
	whyExit    = "only a command may end the process; everywhere else a failure is an error or ends one call"
	whyInit    = "an init function acts before anybody decided that it should; pass what is needed instead"
	whySleep   = "a test that sleeps is slow on a fast machine and fails on a slow one; poll with a deadline or use testing/synctest"
	whyComment = "a package comment tells what the package is for and where to start reading"
	whyLogger  = "a logger is passed in, or tests and embedders cannot tell where lines go"
	whySize    = "a file that does not fit in the head gets split"
	whySupport = "what serves tests does not ship"
)

// Check compares a source tree with the law. Folders named testdata or vendor,
// those that begin with a dot or an underscore, and nested modules are passed over, as the
// go command does. Violations are in order of file and line.
func Check(root fs.FS, law Law) ([]Violation, error) {
	c := &checker{law: law, fset: token.NewFileSet(), docs: map[string]*pkgDoc{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			if _, err := fs.Stat(root, name+"/go.mod"); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || base[0] == '.' || base[0] == '_' {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		c.file(name, src)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("arch: read the source tree: %w", err)
	}
	c.comments()
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.What, b.What))
	})
	return c.found, nil
}

// pkgDoc remembers the comment of one package while its files go by.
type pkgDoc struct {
	first string // a file to complain about
	files int
	doc   string
	law   *Package
}

type checker struct {
	law   Law
	fset  *token.FileSet
	docs  map[string]*pkgDoc
	found []Violation
}

// source is one parsed file and what decides which rules count for it.
type source struct {
	dir   string // package path relative to the module
	law   *Package
	test  bool
	tool  bool // not built: //go:build ignore
	ast   *ast.File
	names map[string]string // import name → path
	calm  []ast.Node        // where a sleep waits for nothing real, or polls
}

func (c *checker) report(pos token.Pos, why, format string, args ...any) {
	p := c.fset.Position(pos)
	c.found = append(c.found, Violation{File: p.Filename, Line: p.Line, What: fmt.Sprintf(format, args...), Why: why})
}

func (c *checker) file(name string, src []byte) {
	f, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		c.found = append(c.found, Violation{File: name, Line: 1, What: "cannot be parsed: " + err.Error(), Why: "code that cannot be read cannot be checked"})
		return
	}
	s := &source{dir: path.Dir(name), ast: f, test: strings.HasSuffix(name, "_test.go"), tool: ignored(f), names: map[string]string{}}
	s.law = c.law.find(s.dir)
	if s.law == nil {
		c.report(f.Package, whyListed, "package %s is not in the law", s.dir)
		return
	}
	for _, imp := range f.Imports {
		c.imported(s, imp)
	}
	c.body(s)
	if lines := strings.Count(string(src), "\n"); lines > maxLines && !s.test && !ast.IsGenerated(f) {
		c.report(f.Package, whySize, "%d lines; at most %d", lines, maxLines)
	}
	if !s.test && !s.tool {
		d := c.docs[s.dir]
		if d == nil {
			d = &pkgDoc{first: name, law: s.law}
			c.docs[s.dir] = d
		}
		d.files++
		if f.Doc != nil {
			d.doc += f.Doc.Text()
		}
	}
}

func ignored(f *ast.File) bool {
	for _, g := range f.Comments {
		for _, l := range g.List {
			if l.Pos() < f.Package && constraint.IsGoBuild(l.Text) {
				x, err := constraint.Parse(l.Text)
				return err == nil && !x.Eval(func(tag string) bool { return tag != "ignore" })
			}
		}
	}
	return false
}

// find gives the most specific entry for a package.
func (l *Law) find(dir string) *Package {
	var best *Package
	for i := range l.Packages {
		p := &l.Packages[i]
		if matches(p.Path, dir) && (best == nil || specific(p.Path) > specific(best.Path)) {
			best = p
		}
	}
	return best
}

func specific(pattern string) int {
	if strings.HasSuffix(pattern, "/**") {
		return len(pattern)
	}
	return 1 << 16 // exact
}

func matches(pattern, dir string) bool {
	if pattern == "**" {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(dir, prefix)
	}
	return pattern == dir
}

func anyMatches(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, dir) })
}

func (c *checker) imported(s *source, imp *ast.ImportSpec) {
	p, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		return
	}
	name := path.Base(p)
	if v := strings.TrimPrefix(name, "v"); v != name && v != "" && strings.Trim(v, "0123456789") == "" {
		name = path.Base(path.Dir(p))
	}
	if imp.Name != nil {
		name = imp.Name.Name
	}
	s.names[name] = p
	if name == "." {
		c.report(imp.Pos(), "a dot import hides where a name comes from", "imports %s with a dot", p)
	}
	first, _, _ := strings.Cut(p, "/")
	switch own, ok := strings.CutPrefix(p, c.law.Module+"/"); {
	case ok:
		c.own(s, imp, own)
	case strings.Contains(first, "."):
		c.third(s, imp, p)
	default:
		if s.law.Pure && !s.test && !s.tool && impure(p) {
			c.report(imp.Pos(), whyPure, "pure package %s imports %s", s.dir, p)
		}
	}
}

// own checks an import of one of our packages.
func (c *checker) own(s *source, imp *ast.ImportSpec, target string) {
	to := c.law.find(target)
	switch {
	case target == s.dir: // an external test
	case anyMatches(s.law.May, target):
	case to == nil:
		c.report(imp.Pos(), whyListed, "imports %s, which is not in the law", target)
	case to.Support:
		if !s.test {
			c.report(imp.Pos(), whySupport, "%s imports %s outside of tests", s.dir, target)
		}
	case s.law.Leaf:
		c.report(imp.Pos(), s.law.Why, "%s stands alone but imports %s", s.dir, target)
	case to.Level >= s.law.Level:
		c.report(imp.Pos(), whyDown, "%s (level %d) imports %s (level %d)", s.dir, s.law.Level, target, to.Level)
	}
}

func (c *checker) third(s *source, imp *ast.ImportSpec, p string) {
	for _, t := range c.law.Third {
		if p != t.Prefix && !strings.HasPrefix(p, strings.TrimSuffix(t.Prefix, "/")+"/") {
			continue
		}
		if anyMatches(t.Homes, s.dir) || (s.test || s.tool) && anyMatches(t.Tests, s.dir) {
			return
		}
		c.report(imp.Pos(), t.Why, "%s imports %s", s.dir, p)
		return
	}
	c.report(imp.Pos(), whyListed, "%s imports %s, which is not in the law", s.dir, p)
}

// impure tells which of the standard library gives a package a way out of
// its arguments.
func impure(p string) bool {
	switch p {
	case "net", "os", "log", "syscall", "plugin", "expvar", "crypto/tls", "crypto/rand", "math/rand", "math/rand/v2", "io/ioutil", "testing":
		return true
	}
	for _, prefix := range []string{"net/http", "net/rpc", "net/smtp", "net/textproto", "os/", "runtime/", "log/syslog", "testing/", "database/"} {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}

// clock lists what of package time reads or waits for the real clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// redaction lists what of package slog is a value: types that keep secrets out
// of logs need these and nothing else.
var redaction = []string{
	"Value", "LogValuer", "Attr", "AnyValue", "StringValue", "GroupValue", "IntValue", "Int64Value", "Uint64Value", "BoolValue",
	"DurationValue", "TimeValue", "Float64Value", "String", "Int", "Int64", "Uint64", "Bool", "Any", "Time", "Duration", "Group",
}

func (c *checker) body(s *source) {
	for _, d := range s.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.report(d.Pos(), whyInit, "func init")
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR && !s.test {
				c.loggers(s, d)
			}
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok {
				if pkg, name := s.selector(f); pkg == "testing/synctest" && name == "Test" {
					s.calm = append(s.calm, n) // time is simulated in there
				}
			}
		case *ast.ForStmt:
			if deadline(n) {
				s.calm = append(s.calm, n)
			}
		case *ast.GoStmt:
			if s.law.Pure && !s.test && !s.tool {
				c.report(n.Pos(), whyPure, "pure package %s starts a goroutine", s.dir)
			}
		case *ast.SelectorExpr:
			if pkg, name := s.selector(n); pkg != "" {
				c.use(s, n, pkg, name)
			}
		}
		return true
	})
}

// deadline tells whether a loop looks at one: then a sleep in it is the pause
// of a poll, not a guess.
func deadline(loop *ast.ForStmt) (found bool) {
	ast.Inspect(loop, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"After", "Before", "Since", "Until", "Err"}, f.Sel.Name) {
				found = true
			}
		}
		return !found
	})
	return found
}

func (s *source) isCalm(n ast.Node) bool {
	return slices.ContainsFunc(s.calm, func(c ast.Node) bool { return c.Pos() <= n.Pos() && n.End() <= c.End() })
}

// selector resolves x.Name when x is an imported package.
func (s *source) selector(n *ast.SelectorExpr) (pkg, name string) {
	id, ok := n.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return s.names[id.Name], n.Sel.Name
}

func (c *checker) use(s *source, n ast.Node, pkg, name string) {
	pure := s.law.Pure && !s.test && !s.tool
	switch {
	case pkg == "time" && s.test && name == "Sleep" && !s.isCalm(n):
		c.report(n.Pos(), whySleep, "time.Sleep in a test")
	case pkg == "time" && pure && slices.Contains(clock, name):
		c.report(n.Pos(), whyPure, "pure package %s uses time.%s; time is an argument", s.dir, name)
	case pkg == "log/slog" && pure && !slices.Contains(redaction, name):
		c.report(n.Pos(), whyPure, "pure package %s uses slog.%s", s.dir, name)
	case s.law.Command || s.test || s.tool:
	case pkg == "os" && name == "Exit", pkg == "syscall" && name == "Exit",
		pkg == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")):
		c.report(n.Pos(), whyExit, "%s.%s outside of a command", pkg, name)
	}
}

// loggers finds a package variable that holds a logger.
func (c *checker) loggers(s *source, d *ast.GenDecl) {
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			pkg, name := s.selector(n)
			if pkg == "log/slog" && (name == "Logger" || name == "New" || name == "Default" || name == "With") ||
				pkg == "log" && (name == "Logger" || name == "New" || name == "Default") {
				c.report(n.Pos(), whyLogger, "a package variable holds a logger (%s.%s)", path.Base(pkg), name)
			}
		}
		return true
	})
}

func (c *checker) comments() {
	for dir, d := range c.docs {
		text := strings.Join(strings.Fields(d.doc), " ")
		if text == "" {
			c.found = append(c.found, Violation{File: d.first, Line: 1, What: "package " + dir + " has no package comment", Why: whyComment})
			continue
		}
		if d.law.Command && d.files == 1 {
			continue // a small tool: there is but one place to start
		}
		// In the last sentence, so that nobody has to look for it.
		if i := strings.LastIndex(text, "Start reading at"); i < 0 || strings.Contains(strings.TrimSuffix(text[i:], "."), ". ") {
			c.found = append(c.found, Violation{File: d.first, Line: 1, What: "the comment of package " + dir + ` does not end with "Start reading at …"`, Why: whyComment})
		}
	}
}
