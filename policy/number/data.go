package number

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:generate go run ./internal/gen/numbertable table.bin

//go:embed table.bin
var builtin string

// Builtin returns the numbering data that was compiled in.
var Builtin = sync.OnceValue(func() *Data {
	d, err := Load(builtin)
	if err != nil {
		panic("number: the compiled-in table is broken: " + err.Error()) // a build that a test refuses
	}
	return d
})

// MaxDigits is the longest public number, calling code included (ITU-T E.164).
const MaxDigits = 15

// The classes of numbers. Rules name them by these words.
const (
	Unallocated   = "unallocated" // no such number, as far as the data knows
	Fixed         = "fixed"
	Mobile        = "mobile"
	FixedOrMobile = "fixed_or_mobile" // the numbering plan does not tell them apart
	PremiumRate   = "premium_rate"
	TollFree      = "toll_free"
	SharedCost    = "shared_cost"
	Personal      = "personal"
	VoIP          = "voip"
	Pager         = "pager"
	UAN           = "uan" // one number for all sites of a company
	Voicemail     = "voicemail"
	Satellite     = "satellite" // and the international networks +882 and +883
)

// classes holds the names by their code in the table.
var classes = [...]string{Unallocated, Fixed, Mobile, FixedOrMobile, PremiumRate, TollFree, SharedCost, Personal,
	VoIP, Pager, UAN, Voicemail, Satellite}

// costly marks the classes that stick: digits dialled beyond the end of such a
// number are ignored by the network, so they must not make it another class.
var costly = [len(classes)]bool{4: true, 6: true, 7: true, 12: true}

// Classes lists the class names that a rule may use.
func Classes() []string { return slices.Clone(classes[:]) }

// Data is what is known about the world's numbering plans. It is immutable.
type Data struct {
	version string
	regions []string
	roots   [1000]root // by calling code
	homes   map[string]habits
	nodes   string // states of 22 bytes: ten targets, class, region
}

type root struct {
	region uint8
	node   uint16
	trunk  string // national trunk prefix, "" if there is none
	ok     bool
}

// habits is how people of a country dial.
type habits struct {
	code          int
	national      string
	international []string
	emergency     []string
}

const nodeSize = 22

// Load reads a number table as `go generate` writes it. Everything that a
// lookup relies on is checked here, so a damaged file is an error and never a
// panic later.
func Load(table string) (*Data, error) {
	r := reader{s: table}
	if r.take(4) != "RNT1" {
		return nil, fmt.Errorf("read number table: not a number table of this version")
	}
	d := &Data{version: r.str(), homes: map[string]habits{}}
	for range r.u8() {
		d.regions = append(d.regions, r.str())
	}
	type link struct{ region, node int }
	var links []link
	for range r.u16() {
		code, region, node := r.u16(), r.u8(), r.u16()
		trunk := r.str()
		if code >= len(d.roots) {
			return nil, fmt.Errorf("read number table: calling code %d", code)
		}
		d.roots[code] = root{uint8(region), uint16(node), trunk, true}
		links = append(links, link{region, node})
	}
	for range r.u16() {
		country, code := r.str(), r.u16()
		h := habits{code: code, national: r.str(), international: strings.Fields(r.str()), emergency: strings.Fields(r.str())}
		if r.bad {
			break
		}
		if code >= len(d.roots) || !d.roots[code].ok {
			return nil, fmt.Errorf("read number table: %s has no calling code", country)
		}
		d.homes[country] = h
	}
	count := r.u16()
	d.nodes = r.take(count * nodeSize)
	if r.bad || r.s != "" {
		return nil, fmt.Errorf("read number table: cut short or too long")
	}
	for i := range count {
		links = append(links, link{int(d.nodes[i*nodeSize+21]), 0})
		if c := d.nodes[i*nodeSize+20]; int(c) >= len(classes) {
			return nil, fmt.Errorf("read number table: class %d", c)
		}
		for digit := range 10 {
			links = append(links, link{0, d.child(uint16(i), digit)})
		}
	}
	for _, l := range links {
		if l.node >= count || l.region >= len(d.regions) {
			return nil, fmt.Errorf("read number table: state %d or region %d is outside the table", l.node, l.region)
		}
	}
	return d, nil
}

// Version names the data, for alerts.
func (d *Data) Version() string { return d.version }

// Countries lists the ISO 3166-1 alpha-2 codes (and XK, Kosovo; AC, Ascension;
// TA, Tristan da Cunha) that have numbers, sorted.
func (d *Data) Countries() []string {
	out := make([]string, 0, len(d.homes))
	for c := range d.homes {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Known reports whether a country has numbers.
func (d *Data) Known(country string) bool { _, ok := d.homes[country]; return ok }

func (d *Data) child(node uint16, digit int) int {
	at := int(node)*nodeSize + digit*2
	return int(d.nodes[at]) | int(d.nodes[at+1])<<8
}

// Info is what the data says about one public number.
type Info struct {
	Code    int    // country calling code; 0: not assigned
	Country string // ISO code; "" for satellites and international services
	Class   string // one of the class names; never empty
}

// Lookup classifies a public number: digits with or without the leading "+".
// Numbers that do not exist still get the country their first digits belong
// to. It allocates nothing.
func (d *Data) Lookup(number string) Info {
	number = strings.TrimPrefix(number, "+")
	code, rest, ok := split(d, number)
	if !ok {
		return Info{Class: Unallocated}
	}
	info, _ := walk(d, code, rest)
	return info
}

// split finds the calling code; codes are prefix-free (ITU-T E.164), so the
// first that exists is the only one.
func split[T string | []byte](d *Data, number T) (code int, rest T, ok bool) {
	for i := 0; i < len(number) && i < 3; i++ {
		c := number[i]
		if c < '0' || c > '9' {
			return 0, rest, false
		}
		code = code*10 + int(c-'0')
		if code != 0 && d.roots[code].ok {
			return code, number[i+1:], true
		}
		if code == 0 {
			return 0, rest, false
		}
	}
	return 0, rest, false
}

// walk follows the digits after a calling code. alive is the number of digits
// that some number of the plan begins with.
func walk[T string | []byte](d *Data, code int, rest T) (info Info, alive int) {
	r := d.roots[code]
	node, region, sticky := r.node, r.region, uint8(0)
	for ; alive < len(rest); alive++ {
		c := rest[alive]
		if c < '0' || c > '9' {
			break
		}
		next := d.child(node, int(c-'0'))
		if next == 0 {
			break
		}
		node = uint16(next)
		if at := d.nodes[next*nodeSize+21]; at != 0 {
			region = at
		}
		if class := d.nodes[next*nodeSize+20]; costly[class] {
			sticky = class
		}
	}
	class := sticky
	if alive == len(rest) {
		if c := d.nodes[int(node)*nodeSize+20]; c != 0 {
			class = c
		}
	}
	return Info{Code: code, Country: d.regions[region], Class: classes[class]}, alive
}

type reader struct {
	s   string
	bad bool
}

func (r *reader) take(n int) string {
	if n > len(r.s) {
		r.bad, r.s = true, ""
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

func (r *reader) u8() int {
	if b := r.take(1); b != "" {
		return int(b[0])
	}
	return 0
}

func (r *reader) u16() int {
	if b := r.take(2); b != "" {
		return int(binary.LittleEndian.Uint16([]byte(b)))
	}
	return 0
}

func (r *reader) str() string { return r.take(r.u8()) }
