// Package gen answers: what does the published numbering metadata say, as one
// compact automaton?
//
// It turns the regular expressions of libphonenumber's metadata (one per
// region and number class) into the single table that policy/number walks at
// run time. It runs at build time and in tests only and is the one importer of
// phonenumbers, so the shipped binary carries neither the library nor a
// regular expression. It keeps no state, reads no clock and fails by error
// when the metadata holds something it does not understand.
//
// The trick: every pattern describes a finite set of digit strings, so the
// patterns of all regions behind one calling code can be run side by side as
// one nondeterministic automaton, made deterministic, and then folded from the
// leaves up so that equal tails are stored once. The result classifies exactly
// as the expressions do, one table step per digit.
//
// Start reading at [Build].
package gen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// MaxDigits is the longest number of ITU-T E.164, calling code included.
const MaxDigits = 15

// Classes in the order of their codes in the table; code 0 is "no such number".
var Classes = []string{"unallocated", "fixed", "mobile", "fixed_or_mobile", "premium_rate", "toll_free",
	"shared_cost", "personal", "voip", "pager", "uan", "voicemail", "satellite"}

const (
	unallocated = iota
	fixed
	mobile
	fixedOrMobile
	premiumRate
	tollFree
	sharedCost
	personal
	voip
	pager
	uan
	voicemail
	satellite
)

// satelliteCodes are the calling codes of satellite systems and of the
// international networks beside them, which are billed like satellites: what
// the metadata calls their mobile or voip numbers is satellite to us.
var satelliteCodes = map[int]bool{870: true, 881: true, 882: true, 883: true}

// node is one state of the automaton: where each digit leads (0: nowhere),
// what a number that ends here is, and which region (index into the table's
// list; 0: see above) a number that came this far belongs to.
type node struct {
	next   [10]uint16
	class  uint8
	region uint8
}

type table struct {
	nodes   []node
	ids     map[node]uint16
	regions []string
	index   map[string]uint8
}

func (t *table) add(n node) (uint16, error) {
	if id, ok := t.ids[n]; ok {
		return id, nil
	}
	if len(t.nodes) > 0xffff {
		return 0, fmt.Errorf("more than %d states", 0xffff)
	}
	id := uint16(len(t.nodes))
	t.nodes = append(t.nodes, n)
	t.ids[n] = id
	return id, nil
}

func (t *table) region(name string) uint8 {
	if i, ok := t.index[name]; ok {
		return i
	}
	i := uint8(len(t.regions))
	t.regions = append(t.regions, name)
	t.index[name] = i
	return i
}

// Version names the data; it goes into alerts and `rampart version`. Change it
// with the module's version: the module does not say which metadata it holds.
const Version = "libphonenumber 9.0.32"

// Build returns the table in the layout that policy/number reads, under a
// version.
func Build(version string) ([]byte, error) {
	coll, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, fmt.Errorf("read numbering metadata: %w", err)
	}
	short, err := phonenumbers.ShortNumberMetadataCollection()
	if err != nil {
		return nil, fmt.Errorf("read short number metadata: %w", err)
	}
	byCode := map[int][]*phonenumbers.PhoneMetadata{}
	for code := range phonenumbers.GetSupportedCallingCodes() {
		for _, region := range phonenumbers.GetRegionCodesForCountryCode(code) {
			for _, m := range coll.GetMetadata() {
				if m.GetId() == region && int(m.GetCountryCode()) == code {
					byCode[code] = append(byCode[code], m)
				}
			}
		}
	}
	codes := make([]int, 0, len(byCode))
	for code := range byCode {
		codes = append(codes, code)
	}
	sort.Ints(codes)

	t := &table{ids: map[node]uint16{}, index: map[string]uint8{}}
	t.region("")                             // 0: no region of its own
	if _, err := t.add(node{}); err != nil { // 0: nowhere
		return nil, err
	}
	type root struct {
		code   int
		region uint8
		node   uint16
		ndd    string
	}
	var roots []root
	for _, code := range codes {
		b := &builder{table: t, code: code, general: map[*pattern]bool{}, memo: map[string]uint16{}}
		for _, m := range byCode[code] {
			if err := b.addRegion(m); err != nil {
				return nil, fmt.Errorf("calling code %d, region %s: %w", code, m.GetId(), err)
			}
		}
		if code == 212 { // Morocco's patterns include Western Sahara's few: ask the smaller first (see addRegion)
			slices.SortStableFunc(b.regions, func(x, y *region) int { return strings.Compare(x.name, y.name) })
		}
		id, err := b.build()
		if err != nil {
			return nil, fmt.Errorf("calling code %d: %w", code, err)
		}
		main := byCode[code][0].GetId()
		if main == "001" {
			main = ""
		}
		roots = append(roots, root{code, t.region(main), id, digits(byCode[code][0].GetNationalPrefix())})
	}

	var out bytes.Buffer
	str := func(s string) { out.WriteByte(byte(len(s))); out.WriteString(s) }
	u16 := func(n int) { _ = binary.Write(&out, binary.LittleEndian, uint16(n)) }
	out.WriteString("RNT1")
	str(version)
	out.WriteByte(byte(len(t.regions)))
	for _, r := range t.regions {
		str(r)
	}
	u16(len(roots))
	for _, r := range roots {
		u16(r.code)
		out.WriteByte(r.region)
		u16(int(r.node))
		str(r.ndd)
	}
	homes, err := homes(coll, short)
	if err != nil {
		return nil, err
	}
	u16(len(homes))
	for _, h := range homes {
		str(h.country)
		u16(h.code)
		str(h.national)
		str(strings.Join(h.international, " "))
		str(strings.Join(h.emergency, " "))
	}
	u16(len(t.nodes))
	for _, n := range t.nodes {
		for _, c := range n.next {
			u16(int(c))
		}
		out.WriteByte(n.class)
		out.WriteByte(n.region)
	}
	return out.Bytes(), nil
}

type home struct {
	country                  string
	code                     int
	national                 string
	international, emergency []string
}

// homes lists the dialling habits of each region. Prefixes that are not a
// short list of plain digit strings are left to the operator.
func homes(coll, short *phonenumbers.PhoneMetadataCollection) ([]home, error) {
	emergency := map[string][]string{}
	for _, m := range short.GetMetadata() {
		list, err := enumerate(m.GetEmergency().GetNationalNumberPattern(), 64, 6)
		if err != nil {
			return nil, fmt.Errorf("emergency numbers of %s: %w", m.GetId(), err)
		}
		emergency[m.GetId()] = list
	}
	var out []home
	for _, m := range coll.GetMetadata() {
		if m.GetId() == "001" {
			continue
		}
		intl, err := enumerate(m.GetInternationalPrefix(), 64, 8)
		if err != nil {
			return nil, fmt.Errorf("international prefixes of %s: %w", m.GetId(), err)
		}
		out = append(out, home{m.GetId(), int(m.GetCountryCode()), digits(m.GetNationalPrefix()), intl, emergency[m.GetId()]})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].country < out[j].country })
	return out, nil
}

func digits(s string) string {
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		return ""
	}
	return s
}
