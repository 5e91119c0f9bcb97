package policy

import (
	"math"
	"net/netip"
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// dim is one key of `match:` that is looked up by a text.
type dim uint8

const (
	byUser dim = iota
	byPeer
	byTransport
	byDirection
	bySourceCountry
	byToCountry
	byToRegion
	byToClass
	byFromCountry
	byFromRegion
	byFromClass
	dims
)

// likely is how often a request meets one value of a key, roughly: what is
// seldom met is the better key to look a rule up by.
var likely = [dims]float64{byUser: 1e-3, byPeer: 0.1, byTransport: 0.4, byDirection: 0.4, bySourceCountry: 0.02,
	byToCountry: 0.02, byToRegion: 0.07, byToClass: 0.15, byFromCountry: 0.02, byFromRegion: 0.07, byFromClass: 0.15}

// likelyList is the same for a list; asking one costs more than a look-up.
const likelyList = 0.05

// index finds those of many matchers that hold. Each stands in the buckets of
// the one key by which it is met least often, so a request looks at few of
// them; those without such a key are all looked at. It is immutable.
type index struct {
	items    []*matcher
	text     [dims]map[string][]int32
	asn      map[uint][]int32
	to, from prefixIndex
	nets     netIndex
	lists    []listBucket
	rest     []int32
}

// listBucket holds those that are met when a list holds a part of the request.
type listBucket struct {
	of    listOf
	list  int
	items []int32
}

// listOf says what of a request a list is asked about.
type listOf uint8

const (
	ofUser listOf = iota
	ofTo
	ofFrom
	ofSource
)

// few are scanned faster than looked up.
const few = 8

func newIndex(items []*matcher) *index {
	x := &index{items: items}
	if len(items) <= few {
		for i := range items {
			x.rest = append(x.rest, int32(i))
		}
		return x
	}
	n := newTally(items)
	for i, m := range items {
		x.add(int32(i), m, n)
	}
	return x
}

// values of a text key; nil: the matcher does not ask for it.
func (m *matcher) values(d dim) []string {
	to, from := m.to, m.from
	if to == nil {
		to = &party{}
	}
	if from == nil {
		from = &party{}
	}
	switch d {
	case byUser:
		if m.userLists != nil {
			return nil // either is enough
		}
		return m.users
	case byPeer:
		return m.peers
	case byTransport:
		return m.transports
	case byDirection:
		if m.directions == 0 {
			return nil
		}
		var out []string
		for d := call.Internal; d <= call.Outbound; d++ {
			if m.directions&(1<<d) != 0 {
				out = append(out, d.String())
			}
		}
		return out
	case bySourceCountry:
		return m.country
	case byToCountry:
		return to.countries
	case byToRegion:
		return to.regions
	case byToClass:
		return to.classes
	case byFromCountry:
		return from.countries
	case byFromRegion:
		return from.regions
	case byFromClass:
		return from.classes
	}
	return nil
}

// value of a text key in a request.
func (d dim) value(a *call.Attempt) string {
	switch d {
	case byUser:
		return a.User
	case byPeer:
		return a.Peer
	case byTransport:
		return a.Source.Transport
	case byDirection:
		return a.Direction.String()
	case bySourceCountry:
		return a.Source.Country
	case byToCountry:
		return a.To.Country
	case byToRegion:
		return a.To.Region
	case byToClass:
		return a.To.Class
	case byFromCountry:
		return a.From.Country
	case byFromRegion:
		return a.From.Region
	}
	return a.From.Class
}

func prefixesOf(p *party) []string {
	if p == nil {
		return nil
	}
	return p.prefixes
}

func (m *matcher) listsOf(of listOf) []int {
	switch of {
	case ofUser:
		if m.users == nil {
			return m.userLists
		}
	case ofTo:
		if m.to != nil {
			return m.to.lists
		}
	case ofFrom:
		if m.from != nil {
			return m.from.lists
		}
	case ofSource:
		return m.sourceLists
	}
	return nil
}

// tally counts how many matchers name each value.
type tally struct {
	text [dims]map[string]int
	to   map[string]int
	from map[string]int
	nets map[netip.Prefix]int
	asn  map[uint]int
}

func newTally(items []*matcher) *tally {
	n := &tally{to: map[string]int{}, from: map[string]int{}, nets: map[netip.Prefix]int{}, asn: map[uint]int{}}
	for d := range dims {
		n.text[d] = map[string]int{}
	}
	for _, m := range items {
		for d := range dims {
			for _, v := range m.values(d) {
				n.text[d][v]++
			}
		}
		for _, p := range prefixesOf(m.to) {
			n.to[p]++
		}
		for _, p := range prefixesOf(m.from) {
			n.from[p]++
		}
		for _, p := range m.cidr {
			n.nets[p]++
		}
		for _, v := range m.asn {
			n.asn[v]++
		}
	}
	return n
}

// add puts a matcher into the buckets of its best key: that by which the
// fewest matchers are looked at for each request, all requests considered.
func (x *index) add(i int32, m *matcher, n *tally) {
	best, put := math.Inf(1), func() { x.rest = append(x.rest, i) }
	offer := func(cost float64, how func()) {
		if cost < best {
			best, put = cost, how
		}
	}
	for d := range dims {
		if vs := m.values(d); vs != nil {
			cost := 0.0
			for _, v := range vs {
				cost += likely[d] * float64(n.text[d][v])
			}
			offer(cost, func() {
				if x.text[d] == nil {
					x.text[d] = map[string][]int32{}
				}
				for _, v := range vs {
					x.text[d][v] = append(x.text[d][v], i)
				}
			})
		}
	}
	prefix := func(ps []string, count map[string]int, into *prefixIndex) {
		if ps == nil {
			return
		}
		cost := 0.0
		for _, p := range ps {
			cost += math.Max(math.Pow(10, 1-float64(len(p)-1)), 1e-4) * float64(count[p])
		}
		offer(cost, func() {
			for _, p := range ps {
				into.add(p, i)
			}
		})
	}
	prefix(prefixesOf(m.to), n.to, &x.to)
	prefix(prefixesOf(m.from), n.from, &x.from)
	if m.cidr != nil {
		cost := 0.0
		for _, p := range m.cidr {
			cost += math.Max(math.Pow(2, -float64(p.Bits())), 1e-3) * float64(n.nets[p])
		}
		offer(cost, func() {
			for _, p := range m.cidr {
				x.nets.add(p, i)
			}
		})
	}
	if m.asn != nil {
		cost := 0.0
		for _, v := range m.asn {
			cost += 1e-3 * float64(n.asn[v])
		}
		offer(cost, func() {
			if x.asn == nil {
				x.asn = map[uint][]int32{}
			}
			for _, v := range m.asn {
				x.asn[v] = append(x.asn[v], i)
			}
		})
	}
	for _, of := range []listOf{ofUser, ofTo, ofFrom, ofSource} {
		if ls := m.listsOf(of); ls != nil {
			offer(likelyList*float64(len(ls)), func() {
				for _, l := range ls {
					x.addList(of, l, i)
				}
			})
		}
	}
	put()
}

func (x *index) addList(of listOf, list int, i int32) {
	for b := range x.lists {
		if x.lists[b].of == of && x.lists[b].list == list {
			x.lists[b].items = append(x.lists[b].items, i)
			return
		}
	}
	x.lists = append(x.lists, listBucket{of, list, []int32{i}})
}

// held appends the places of those that hold, in order and each once. It
// allocates only when out is too short for them.
func (x *index) held(a *call.Attempt, ls []*List, out []int32) []int32 {
	out = x.hold(out, x.rest, a, ls)
	for d := range dims {
		if x.text[d] != nil {
			out = x.hold(out, x.text[d][d.value(a)], a, ls)
		}
	}
	if x.asn != nil {
		out = x.hold(out, x.asn[a.Source.ASN], a, ls)
	}
	if x.to.buckets != nil {
		out = x.prefixed(&x.to, a.To.E164(), out, a, ls)
	}
	if x.from.buckets != nil {
		out = x.prefixed(&x.from, a.From.E164(), out, a, ls)
	}
	if x.nets.buckets != nil {
		addr := a.Source.Addr.Addr().Unmap().WithZone("")
		for _, bits := range x.nets.lengths(addr) {
			if p, err := addr.Prefix(int(bits)); err == nil {
				out = x.hold(out, x.nets.buckets[p], a, ls)
			}
		}
	}
	for i := range x.lists {
		if b := &x.lists[i]; b.met(a, ls) {
			out = x.hold(out, b.items, a, ls)
		}
	}
	if len(out) > 1 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// hold appends those of a bucket that hold.
func (x *index) hold(out, bucket []int32, a *call.Attempt, ls []*List) []int32 {
	for _, i := range bucket {
		if x.items[i].holds(a, ls) {
			out = append(out, i)
		}
	}
	return out
}

func (x *index) prefixed(p *prefixIndex, number string, out []int32, a *call.Attempt, ls []*List) []int32 {
	c, ok := codeOf(number)
	if !ok {
		return out
	}
	for _, n := range p.sizes {
		if int(n) > len(number) {
			break
		}
		out = x.hold(out, p.buckets[c.cut(int(n))], a, ls)
	}
	return out
}

func (b *listBucket) met(a *call.Attempt, ls []*List) bool {
	l := ls[b.list]
	switch b.of {
	case ofUser:
		return a.User != "" && l.Has(a.User)
	case ofTo:
		return l.hasParty(&a.To)
	case ofFrom:
		return l.hasParty(&a.From)
	}
	return l.hasSource(&a.Source)
}

// prefixIndex holds buckets by prefix, and which lengths prefixes have.
type prefixIndex struct {
	buckets map[code][]int32
	sizes   []uint8 // ascending
}

func (p *prefixIndex) add(prefix string, i int32) {
	c, ok := codeOf(prefix)
	if !ok {
		return // reported: no prefix is like that
	}
	if p.buckets == nil {
		p.buckets = map[code][]int32{}
	}
	p.buckets[c] = append(p.buckets[c], i)
	p.sizes = withSize(p.sizes, uint8(len(prefix)))
}

func withSize(sizes []uint8, n uint8) []uint8 {
	at, found := slices.BinarySearch(sizes, n)
	if found {
		return sizes
	}
	return slices.Insert(sizes, at, n)
}

// netIndex is the same for networks.
type netIndex struct {
	buckets map[netip.Prefix][]int32
	v4, v6  []uint8
}

func (n *netIndex) add(p netip.Prefix, i int32) {
	if n.buckets == nil {
		n.buckets = map[netip.Prefix][]int32{}
	}
	n.buckets[p] = append(n.buckets[p], i)
	if p.Addr().Is4() {
		n.v4 = withSize(n.v4, uint8(p.Bits()))
	} else {
		n.v6 = withSize(n.v6, uint8(p.Bits()))
	}
}

func (n *netIndex) lengths(a netip.Addr) []uint8 {
	if a.Is4() {
		return n.v4
	}
	return n.v6
}
