package explain

import (
	"reflect"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// FuzzCodec: damaged facts are found to be damaged or are facts within their
// bounds; what was read writes itself again as the same.
func FuzzCodec(f *testing.F) {
	a := call.Attempt{At: time.Unix(1, 2).UTC(), Method: "INVITE", From: call.Party{User: "1001"}}
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: "pack/rule", Evidence: []call.Evidence{{Name: "a", Value: uint64(1), Threshold: "b"}}}
	c := codec{}
	c.attempt(&a)
	c.decision(&d, false)
	f.Add(c.buf)
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (a call.Attempt, d call.Decision, bad bool) {
			c := codec{buf: b, read: true}
			c.attempt(&a)
			c.decision(&d, false)
			return a, d, c.bad
		}
		a, d, bad := read(b)
		if bad {
			return
		}
		if len(d.Evidence) > maxItems || len(a.Headers) > maxItems {
			t.Fatalf("%d and %d items", len(d.Evidence), len(a.Headers))
		}
		w := codec{}
		w.attempt(&a)
		w.decision(&d, false)
		if w.cut {
			return // longer than what is ever written
		}
		a2, d2, bad := read(w.buf)
		if bad || !reflect.DeepEqual(a, a2) || !reflect.DeepEqual(d, d2) {
			t.Fatalf("damaged: %v\n%+v\n%+v\n%+v\n%+v", bad, a, a2, d, d2)
		}
	})
}
