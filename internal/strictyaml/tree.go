package strictyaml

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Caps. A file beyond them is refused before it is parsed.
const (
	MaxSize     = 1 << 20 // bytes of one file
	MaxDepth    = 32      // nested mappings and lists
	MaxKeys     = 20_000  // in all mappings together; the parser's time grows with their square
	MaxProblems = 100     // reported for one file; more are counted, not kept
)

// Kind says what a node is.
type Kind uint8

const (
	Null Kind = iota
	Scalar
	List
	Map
)

func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a mapping"}[k]
}

// node is one value of the file, free of the parser's types.
type node struct {
	kind   Kind
	pos    Pos
	text   string // Scalar: as it stands in the file, quotes removed
	quoted bool   // Scalar: in quotes or a block, so certainly text
	plain  plain  // Scalar: what YAML takes an unquoted one for
	items  []*node
	fields []field
}

type field struct {
	key   string
	pos   Pos
	value *node
}

// plain is YAML's reading of an unquoted scalar.
type plain uint8

const (
	plainText plain = iota
	plainNumber
	plainBool
)

// parse makes the tree of a file's only document. A nil node with no problem
// is an empty file.
func parse(file string, data []byte) (root *node, ps Problems) {
	if len(data) > MaxSize {
		return nil, Problems{At(file, Pos{}, "the file has %d bytes; at most %d are read", len(data), MaxSize)}
	}
	// The parser miscounts lines that end in CR LF.
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	if ps = checkText(file, text); len(ps) > 0 {
		return nil, ps
	}
	// The parser is foreign code on foreign input; it has crashed on odd
	// files before. A crash there is a file that cannot be read.
	defer func() {
		if p := recover(); p != nil {
			root, ps = nil, Problems{At(file, Pos{}, "the file cannot be read as YAML")}
		}
	}()
	tokens := lexer.Tokenize(text)
	if ps = checkTokens(file, tokens); len(ps) > 0 {
		return nil, ps
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, Problems{syntax(file, err)}
	}
	c := &converter{file: file}
	for i, doc := range f.Docs {
		if i > 0 {
			pos := Pos{}
			if doc.Start != nil {
				pos = tokenPos(doc.Start)
			}
			c.add(At(file, pos, "a second document begins here").
				WithHint("one file holds one document; remove the line ---"))
			break
		}
		if doc.Body != nil {
			root = c.convert(doc.Body, 0)
		}
	}
	return root, c.ps
}

// checkText refuses what YAML does not allow in a file at all, and tabs in the
// indentation, where every parser reports something else.
func checkText(file, text string) (ps Problems) {
	if !utf8.ValidString(text) {
		line := 1
		for l := range strings.Lines(text) {
			if !utf8.ValidString(l) {
				break
			}
			line++
		}
		return Problems{At(file, Pos{line, 1}, "the line is not valid UTF-8")}
	}
	n := 0
	for l := range strings.Lines(text) {
		n++
		col := 0
		indent := true
		for _, r := range l {
			col++
			switch {
			case r == '\t' && indent:
				ps = append(ps, At(file, Pos{n, col}, "a tab in the indentation").WithHint("indent with spaces"))
				indent = false
			case r == '\t' || r == '\n':
			case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 && r != 0x85 || r == 0xfeff:
				ps = append(ps, At(file, Pos{n, col}, "the control character U+%04X is not allowed", r))
			}
			if r != ' ' {
				indent = false
			}
			if len(ps) >= MaxProblems {
				return ps
			}
		}
	}
	return ps
}

// checkTokens refuses the parts of YAML that this package does not read, and
// nesting so deep that the parser's recursion would be the limit.
func checkTokens(file string, tokens token.Tokens) (ps Problems) {
	var columns []int  // of the block structures that are open
	flow, keys := 0, 0 // open [ and {; mapping keys so far
	for _, tk := range tokens {
		if len(ps) >= MaxProblems {
			return ps
		}
		pos := tokenPos(tk)
		refuse := func(what string) {
			ps = append(ps, At(file, pos, "%s are not supported", what).WithHint("write the value out where it is needed"))
		}
		switch tk.Type {
		case token.AnchorType:
			refuse("anchors (&name)")
		case token.AliasType:
			refuse("aliases (*name)")
		case token.MergeKeyType:
			refuse("merge keys (<<)")
		case token.TagType:
			refuse("tags (!type)")
		case token.DirectiveType:
			refuse("directives (%NAME)")
		case token.MappingKeyType:
			refuse("explicit keys (?)")
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.MappingValueType:
			if keys++; keys > MaxKeys {
				return append(ps, At(file, pos, "more than %d keys in one file", MaxKeys).WithHint("split the file, or write the entries as a list"))
			}
		}
		block := tk.Type == token.SequenceEntryType || tk.Next != nil && tk.Next.Type == token.MappingValueType
		if block && flow <= 0 {
			for len(columns) > 0 && columns[len(columns)-1] > pos.Col {
				columns = columns[:len(columns)-1]
			}
			if len(columns) == 0 || columns[len(columns)-1] < pos.Col {
				columns = append(columns, pos.Col)
			}
		}
		if len(columns)+flow > MaxDepth {
			return append(ps, At(file, pos, "nested more than %d levels deep", MaxDepth))
		}
	}
	return ps
}

func tokenPos(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{}
	}
	return Pos{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}

func syntax(file string, err error) Problem {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &at) {
		return At(file, tokenPos(at.GetToken()), "%s", oneLine(at.GetMessage()))
	}
	return At(file, Pos{}, "%s", oneLine(err.Error()))
}

func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

type converter struct {
	file string
	ps   Problems
}

func (c *converter) add(p Problem) {
	if len(c.ps) < MaxProblems {
		c.ps = append(c.ps, p)
	}
}

func (c *converter) convert(n ast.Node, depth int) *node {
	if n == nil {
		return &node{}
	}
	pos := tokenPos(n.GetToken())
	if depth > 2*MaxDepth { // checkTokens counts columns; this counts levels
		c.add(At(c.file, pos, "nested more than %d levels deep", MaxDepth))
		return &node{pos: pos}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(n.Values, pos, depth)
	case *ast.MappingValueNode:
		return c.mapping([]*ast.MappingValueNode{n}, pos, depth)
	case *ast.SequenceNode:
		out := &node{kind: List, pos: pos}
		for _, v := range n.Values {
			out.items = append(out.items, c.convert(v, depth+1))
		}
		return out
	case *ast.NullNode:
		return &node{pos: pos}
	case *ast.BoolNode:
		return scalar(n.Token, plainBool)
	case *ast.IntegerNode:
		return scalar(n.Token, plainNumber)
	case *ast.FloatNode:
		return scalar(n.Token, plainNumber)
	case *ast.InfinityNode:
		return scalar(n.Token, plainNumber)
	case *ast.NanNode:
		return scalar(n.Token, plainNumber)
	case *ast.StringNode:
		out := scalar(n.Token, plainText)
		out.text = n.Value
		if !out.quoted && exponent.MatchString(out.text) {
			out.plain = plainNumber
		}
		return out
	case *ast.LiteralNode:
		out := &node{kind: Scalar, pos: pos, quoted: true}
		if n.Value != nil {
			out.text = n.Value.Value
		}
		return out
	}
	c.add(At(c.file, pos, "%s is not supported here", strings.ToLower(n.Type().YAMLName())))
	return &node{pos: pos}
}

// exponent is a number of YAML's core schema that the parser takes for text.
var exponent = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$`)

func scalar(tk *token.Token, p plain) *node {
	quoted := tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
	return &node{kind: Scalar, pos: tokenPos(tk), text: tk.Value, quoted: quoted, plain: p}
}

func (c *converter) mapping(values []*ast.MappingValueNode, pos Pos, depth int) *node {
	out := &node{kind: Map, pos: pos}
	seen := make(map[string]Pos, len(values))
	for i, v := range values {
		kpos := tokenPos(v.Key.GetToken())
		if i == 0 {
			out.pos = kpos // the parser gives the place of the colon or brace
		}
		k := c.convert(v.Key, depth+1)
		if k.kind != Scalar {
			c.add(At(c.file, kpos, "a key must be a single value"))
			continue
		}
		if first, dup := seen[k.text]; dup {
			c.add(At(c.file, kpos, "%s is given twice", quote(k.text)).
				WithHint("it already stands in line %d; keep one of them", first.Line))
			continue
		}
		seen[k.text] = kpos
		val := c.convert(v.Value, depth+1)
		if val.kind == Null || val.pos == (Pos{}) {
			val.pos = kpos // an empty value has no place of its own
		}
		out.fields = append(out.fields, field{key: k.text, pos: kpos, value: val})
	}
	return out
}

// quote prints text from a file: short, on one line, printable.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
