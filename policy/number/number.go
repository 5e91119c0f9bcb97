// Package number answers: which number is this, however it is spelt?
//
// Every check of the gateway works on one canonical form. [Plan.Normalise]
// turns what stood in a URI (00…, +…, tel:, %2B…, separators, full-width
// digits, phone-context, trunk prefixes) into that form and says what kind of
// number it is, in which country and of which class. [Data] holds the world's
// numbering plans as one compact table, made from libphonenumber's metadata at
// build time; a lookup is one table step per digit and allocates nothing. (The
// metadata is Google's, under the Apache License 2.0, taken from the module
// github.com/nyaruka/phonenumbers.) It cannot tell Saint-Martin from Guadeloupe:
// numbers of both are GP.
//
// It does not parse SIP messages, does not decide anything and does not format
// numbers for people. Plans and Data are immutable once made, so anybody may
// share them. There is no clock in here: newer numbering data is a new Data.
// What cannot be understood is call.Invalid, never a guess; policy decides
// what to do with it.
//
// Start reading at [Plan.Normalise].
package number

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// Home is how people around the gateway dial: the `home:` of the
// configuration. Empty fields take the country's own habits; an empty Home
// knows "+", "00", 112 and urn:service:sos.
type Home struct {
	Country       string   // ISO 3166-1 alpha-2
	International []string // prefixes before a country code, e.g. "00", "011"
	National      *string  // trunk prefix before a national number; nil: the country's, "": none
	Extensions    string   // regular expression over the digits of an extension
	Emergency     []string // emergency numbers
	OutsidePrefix string   // what a phone dials to get an outside line
	// CarrierSelection are prefixes that choose a carrier, such as "010xx"; nil:
	// the country's, empty: none.
	CarrierSelection []string
	// TechPrefixes stand before numbers for machines' sake, such as "99#".
	TechPrefixes []string
}

// DefaultExtensions is used where Home does not say what an extension is.
const DefaultExtensions = "^[1-9][0-9]{2,4}$"

// Context says who spelt a number.
type Context uint8

const (
	// Dialled numbers were typed by a user of the PBX: the outside prefix counts.
	Dialled Context = iota
	// Trunk numbers passed between the PBX and a carrier: no outside prefix,
	// and public numbers may come without any prefix.
	Trunk
)

// Number is the outcome of normalising.
type Number struct {
	Kind call.NumberKind
	// Canonical is "+" and digits for public numbers, bare digits for
	// extensions and emergency numbers (or the lower-case urn:service:sos…),
	// "" for invalid ones.
	Canonical string
	Country   string // of a public number; "" for international services
	Class     string // of a public number, one of the class names
	// Other is an existing public number that the same text is for those who
	// read it another way, nil where there is none. Both are to be judged.
	Other *Number
	Steps []string // how it came about; only from Explain
}

// Fill writes the number into a party of an attempt.
func (n Number) Fill(p *call.Party) {
	p.Other = nil
	if n.Other != nil {
		p.Other = &call.Party{User: p.User, Host: p.Host}
		n.Other.Fill(p.Other)
	}
	p.Number, p.Kind, p.Country, p.Class = n.Canonical, n.Kind, n.Country, n.Class
	p.Region = Region(n.Country)
}

// Plan is a compiled Home.
type Plan struct {
	data          *Data
	country       string
	code          int // calling code; 0 without a country
	codeText      string
	international []string // longest first
	national      string
	optional      bool // national numbers may come without the trunk prefix
	extensions    extensions
	emergency     map[string]bool
	outside       string
	tech          []string  // longest first
	carriers      []pattern // longest first
}

// Compile checks a Home. The error names every field that is wrong.
func Compile(h Home, d *Data) (*Plan, error) {
	if d == nil {
		d = Builtin()
	}
	p := &Plan{data: d, country: h.Country, outside: h.OutsidePrefix, emergency: map[string]bool{}}
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	habits, known := d.homes[h.Country]
	switch {
	case known:
		p.code, p.codeText = habits.code, fmt.Sprint(habits.code)
	case h.Country != "":
		problem("country: %q is not the ISO code of a country with telephone numbers", h.Country)
	}
	p.international = slices.Clone(h.International)
	if len(p.international) == 0 {
		p.international = slices.Clone(habits.international)
	}
	if len(p.international) == 0 {
		p.international = []string{"00"}
	}
	p.national = habits.national
	if h.National != nil {
		p.national = *h.National
	}
	// Around the North Atlantic the trunk prefix is dialled or not as the
	// fancy takes you, so a number without it is national there too.
	p.optional = p.national == "" || p.code == 1
	emergency := h.Emergency
	if len(emergency) == 0 {
		emergency = habits.emergency
	}
	if len(emergency) == 0 {
		emergency = []string{"112"}
	}
	for _, e := range emergency {
		if !allDigits(e) {
			problem("emergency: %q is not a number", e)
		}
		p.emergency[e] = true
	}
	for _, e := range p.international {
		if !allDigits(e) {
			problem("international: %q is not a prefix of digits", e)
		}
	}
	slices.SortFunc(p.international, func(a, b string) int { return len(b) - len(a) })
	if p.national != "" && !allDigits(p.national) {
		problem("national: %q is not a prefix of digits", p.national)
	}
	if p.outside != "" && !allDigits(p.outside) {
		problem("outside_prefix: %q is not a prefix of digits", p.outside)
	}
	p.prefixes(h, problem)
	ext := h.Extensions
	if ext == "" {
		ext = DefaultExtensions
	}
	var err error
	if p.extensions, err = compileExtensions(ext); err != nil {
		problem("extensions: %v", err)
	}
	if problems != nil {
		return nil, fmt.Errorf("home: %s", strings.Join(problems, "; "))
	}
	return p, nil
}

// prefixes compiles carrier selection and tech prefixes.
func (p *Plan) prefixes(h Home, problem func(format string, args ...any)) {
	carriers := h.CarrierSelection
	if carriers == nil {
		carriers = carrierSelection[h.Country]
	}
	if len(carriers) > maxPrefixes {
		problem("carrier_selection: more than %d prefixes", maxPrefixes)
		carriers = nil
	}
	for _, text := range carriers {
		c, err := compilePattern(text)
		if err != nil {
			problem("carrier_selection: %v", err)
			continue
		}
		p.carriers = append(p.carriers, c)
	}
	slices.SortStableFunc(p.carriers, func(a, b pattern) int { return len(b) - len(a) })
	if len(h.TechPrefixes) > maxPrefixes {
		problem("tech_prefixes: more than %d prefixes", maxPrefixes)
		return
	}
	for _, text := range h.TechPrefixes {
		if err := techPrefix(text); err != nil {
			problem("tech_prefixes: %v", err)
		}
		p.tech = append(p.tech, text)
	}
	slices.SortStableFunc(p.tech, func(a, b string) int { return len(b) - len(a) })
}

// With is the plan of a neighbour whose numbers bear tech prefixes of their own,
// beside those of the plan.
func (p *Plan) With(tech []string) (*Plan, error) {
	if len(tech) == 0 {
		return p, nil
	}
	if len(tech)+len(p.tech) > maxPrefixes {
		return nil, fmt.Errorf("tech_prefixes: more than %d prefixes", maxPrefixes)
	}
	q := *p
	for _, text := range tech {
		if err := techPrefix(text); err != nil {
			return nil, fmt.Errorf("tech_prefixes: %w", err)
		}
	}
	q.tech = append(slices.Clone(p.tech), tech...)
	slices.SortStableFunc(q.tech, func(a, b string) int { return len(b) - len(a) })
	return &q, nil
}

// Country is the home country, or "".
func (p *Plan) Country() string { return p.country }

// Emergency lists the emergency numbers, sorted.
func (p *Plan) Emergency() []string { return slices.Sorted(maps.Keys(p.emergency)) }

// Data is the numbering data behind the plan.
func (p *Plan) Data() *Data { return p.data }

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
