package sbc

import (
	"fmt"
	"testing"
	"time"
)

// An answer is taken once, whatever the table has to forget, and the table has
// an end.
func TestUsesAreBounded(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	u := uses{most: 100}
	type taken struct {
		nonce string
		made  time.Time
		count uint32
	}
	var all []taken
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Second / 20) // all of them within the life of a nonce
		x := taken{fmt.Sprint("n", i), now.Truncate(time.Second), 1}
		if u.first(x.nonce, x.made, x.count, now) {
			all = append(all, x)
		}
		if len(u.by) > 100 {
			t.Fatalf("%d nonces are kept", len(u.by))
		}
	}
	if len(all) < 900 {
		t.Errorf("only %d of 1000 fresh nonces were taken", len(all))
	}
	now := start.Add(51 * time.Second)
	for _, x := range all {
		if u.first(x.nonce, x.made, x.count, now) {
			t.Fatalf("%s was taken twice", x.nonce)
		}
	}
	last := all[len(all)-1]
	if !u.first(last.nonce, last.made, 2, now) || u.first(last.nonce, last.made, 1, now) {
		t.Error("counts do not go upwards")
	}
	u.expire(now.Add(nonceLife + 2*time.Second))
	if len(u.by) != 0 {
		t.Errorf("%d nonces outlived their time", len(u.by))
	}
}
