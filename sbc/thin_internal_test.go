package sbc

import "testing"

// TestUnread: what the kernel drops while it drops calls of the known is no sign
// of strangers who flood, and what it dropped before and drops after is; the
// count never goes back.
func TestUnread(t *testing.T) {
	var u unread
	for i, c := range []struct {
		all  uint64
		thin int // 1: begins, -1: ends
		want uint64
	}{{0, 0, 0}, {5, 0, 5}, {7, 1, 7}, {5000, 0, 7}, {9000, 1, 7}, {9100, -1, 7}, {9000, 0, 7}, {9103, 0, 10}} {
		if c.thin != 0 {
			u.thins(c.all, c.thin > 0)
		}
		if got := u.of(c.all); got != c.want {
			t.Errorf("%d: %d of %d, want %d", i, got, c.all, c.want)
		}
	}
}
