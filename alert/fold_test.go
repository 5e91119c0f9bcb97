package alert

import (
	"testing"
	"time"
)

// TestFoldAlloc: what a flood adds to a record that waits already is counted
// and costs no memory, be it of a source that is told apart or of all others.
func TestFoldAlloc(t *testing.T) {
	m := &memory{}
	c := NewCDR(CDROptions{PerSource: 1, Total: 1, Table: 1, Now: func() time.Time { return t0 }}, m)
	r := refused()
	r.User, r.Account = "", ""
	other := r
	other.Source = "198.51.100.9:5060"
	const each = 3
	for range each {
		c.Write(r)
		c.Write(other)
	}
	last := after(time.Hour)
	r.End, other.End = last, last
	const runs = 100
	if n := testing.AllocsPerRun(runs, func() { c.Write(r); c.Write(other) }); n != 0 {
		t.Errorf("%v allocations for two records", n)
	}
	const most = 2 * (each + runs + 1)
	if s := c.Stats(); s.Records != most || s.Coalesced != most-1 {
		t.Errorf("%d records, %d of them folded, want %d and all but the first", s.Records, s.Coalesced, most)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rs, sum := records(t, m.data()), 0
	for i, r := range rs {
		sum += r.Coalesced + 1
		if i > 0 && !r.End.Equal(last.Time) {
			t.Errorf("line %d ended at %v, want %v", i, r.End, last)
		}
	}
	if sum != most || len(rs) != 3 { // the first in full, those of its source, all others
		t.Errorf("%d lines stand for %d attempts, want 3 for %d", len(rs), sum, most)
	}
}
