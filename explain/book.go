package explain

import (
	"cmp"
	"slices"
)

// book is a ring of octets: what comes in pushes out the oldest.
type book struct {
	buf   []byte
	bytes int // the most of buf
	most  int // the most of spans
	at    int // where the next one is written
	spans []span
	first int // the oldest of spans that is alive
}

type span struct {
	id, sip   uint64
	from, len int
}

// add keeps a copy. What is longer than the whole book is not kept.
func (b *book) add(text []byte, id, sip uint64) {
	if len(text) > b.bytes {
		return
	}
	if b.at+len(text) > b.bytes {
		// What is left of the round before lies behind here and is older than
		// what lies at the beginning.
		for b.first < len(b.spans) && b.spans[b.first].from >= b.at {
			b.first++
		}
		b.at = 0
	}
	end := b.at + len(text)
	for b.first < len(b.spans) && b.overlaps(b.spans[b.first], b.at, end) {
		b.first++
	}
	for len(b.spans)-b.first >= b.most {
		b.first++
	}
	if b.first > 1024 && b.first > len(b.spans)/2 {
		b.spans = slices.Delete(b.spans, 0, b.first)
		b.first = 0
	}
	b.grow(end)
	copy(b.buf[b.at:end], text)
	b.spans = append(b.spans, span{id: id, sip: sip, from: b.at, len: len(text)})
	b.at = end
}

func (b *book) overlaps(s span, from, end int) bool { return s.from < end && s.from+s.len > from }

func (b *book) grow(end int) {
	if end <= len(b.buf) {
		return
	}
	size := min(max(2*len(b.buf), 64<<10, end), b.bytes)
	bigger := make([]byte, size)
	copy(bigger, b.buf)
	b.buf = bigger
}

// find appends copies of what has one of the two names.
func (b *book) find(h uint64, out [][]byte) [][]byte {
	for _, s := range b.spans[b.first:] {
		if s.id == h || s.sip == h {
			out = append(out, slices.Clone(b.buf[s.from:s.from+s.len]))
		}
	}
	return out
}

// names is a ring of further names of calls.
type names struct {
	most int
	list []alias
	at   int
}

type alias struct {
	name   uint64
	callID string
}

func (n *names) add(h uint64, callID string) {
	if len(n.list) < n.most {
		n.list = append(n.list, alias{h, callID})
		return
	}
	n.list[n.at] = alias{h, callID}
	n.at = (n.at + 1) % n.most
}

func (n *names) find(h uint64) string {
	for i := range n.list {
		if n.list[i].name == h {
			return n.list[i].callID
		}
	}
	return ""
}

func sortFacts(fs []Fact) {
	slices.SortStableFunc(fs, func(a, b Fact) int {
		return cmp.Or(a.Attempt.At.Compare(b.Attempt.At), cmp.Compare(a.Attempt.Pass, b.Attempt.Pass))
	})
}
