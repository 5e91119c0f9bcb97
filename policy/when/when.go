// Package when answers: does this condition hold for this request?
//
// A condition is an expression of CEL, the language that Kubernetes and Envoy
// write their policies in. An [Env] knows the variables; [Env.Compile] turns a
// text into a [Program] or into all its problems, each with its place in the
// text; [Program.Holds] asks it of a request; [Program.Why] says how the answer
// came about.
//
// It does not know what the variables mean (package policy has the table of
// them), reads no files and carries nothing out. It is the one home of the
// library, so that no value of it is seen outside.
//
// An Env and a Program may be shared by goroutines; a Program has no state, an
// Env is written while policies are compiled. Time is the attempt's own.
//
// What it costs to ask a Program is bounded when it is compiled: every
// variable has a largest size, the library estimates from these the cost of
// the worst request, and what is above [MaxCost] is a problem. A value that is
// larger than its variable allows is an error of the evaluation, and never cut
// off: a condition must not be evaded by padding. What an error means is
// decided by whoever asked.
//
// Start reading at [Env.Compile].
package when

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// Caps on one condition.
const (
	MaxText = 4096 // bytes of an expression
	MaxCost = 6000 // estimated cost of the worst request; see the package comment
	maxList = 64   // elements of a variable that is a list
	maxItem = 256  // bytes of each
	maxSlot = 32   // variables of families, of each kind, in one condition
)

// Counters tells the present value of a limit's counter for the key of a
// request. ok is false when nobody counts the limit.
type Counters interface {
	Counter(limit string, a *call.Attempt) (n int64, ok bool)
}

// Facts are what a condition is asked about.
type Facts struct {
	*call.Attempt
	Counters Counters // nil: conditions that read counters fail
	Lists    Lists    // nil: conditions that read lists fail
}

// Lists has the lists of a policy, which may change while its conditions do
// not.
type Lists interface {
	List(i int) Set
}

// Set is something a text can be in.
type Set interface {
	Has(text string) bool
}

// Kind is the type of a variable.
type Kind uint8

const (
	Text    Kind = iota // text
	Number              // a whole number
	Truth               // true or false
	Texts               // a list of texts
	Members             // something a text can be in
)

func (k Kind) String() string {
	return [...]string{"text", "number", "true or false", "list of text", "list"}[k]
}

// Value is the value of a variable.
type Value struct {
	kind Kind
	text string
	n    int64
	list []string
	set  Set
	err  error
}

// Str makes a text.
func Str(s string) Value { return Value{kind: Text, text: s} }

// Num makes a number.
func Num[T ~int | ~int64 | ~uint | ~uint16](n T) Value { return Value{kind: Number, n: int64(n)} }

// Bool makes a truth value.
func Bool(b bool) Value {
	v := Value{kind: Truth}
	if b {
		v.n = 1
	}
	return v
}

// Strs makes a list of texts.
func Strs(list []string) Value { return Value{kind: Texts, list: list} }

// In makes a value that texts can be in.
func In(s Set) Value { return Value{kind: Members, set: s} }

// Addr makes the text of an address.
func Addr(a netip.Addr) Value {
	if !a.IsValid() {
		return Str("")
	}
	return Str(a.Unmap().WithZone("").String())
}

// Fail makes a value that is not there; reading it is an error.
func Fail(err error) Value { return Value{err: err} }

// String writes the value as `why:` shows it.
func (v Value) String() string {
	switch {
	case v.err != nil:
		return "?"
	case v.kind == Number:
		return strconv.FormatInt(v.n, 10)
	case v.kind == Truth:
		return strconv.FormatBool(v.n != 0)
	case v.kind == Texts:
		return strings.Join(v.list, ", ")
	}
	return v.text
}

// Any is the value as evidence.
func (v Value) Any() any {
	switch {
	case v.err != nil, v.kind == Members:
		return nil
	case v.kind == Number:
		return v.n
	case v.kind == Truth:
		return v.n != 0
	case v.kind == Texts:
		return v.list
	}
	return v.text
}

// Var is a variable.
type Var struct {
	Name string // call.to.country
	Kind Kind
	Max  int // Text: bytes it may have
	Cost int // Members: of asking it, beyond that of a look-up
	// Words are all that a Text can be, beside empty; nil: anything. Comparing it
	// with another is a problem: it would never hold, or always.
	Words    []string
	Never    map[string]string // Members: variables that are seldom spelt like what is in it, and which to ask instead
	Capitals bool              // a Text never has small letters
	Get      func(*Facts) Value

	slot string // what the library calls it; see Env
}

// Family is variables that are named by an argument: request.headers["x-id"],
// counters["limits/calls"], lists.staff, clock.zone("Europe/Paris").hour.
type Family struct {
	Name   string   // request.headers
	Call   bool     // name(argument).field instead of name[argument]
	Dotted bool     // name.argument is the same as name["argument"]
	Fields []string // of a Call
	Known  []string // arguments that exist, for did-you-mean; nil: any that Make takes
	What   string   // of an argument, in words: header, limit, list, time zone
	// Make makes the variable of an argument; its Name is overwritten.
	Make func(argument, field string) (Var, error)
}

// Problem is something wrong with a condition.
type Problem struct {
	Offset  int // in bytes
	Message string
	Hint    string
}
