package alert

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rampart-sbc/rampart/call"
)

func TestClean(t *testing.T) {
	for _, c := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"plain", "sip:1001@example.com", 256, "sip:1001@example.com"},
		{"empty", "", 256, ""},
		{"letters of the world", "Zoë 電話", 256, "Zoë 電話"},
		{"terminal escape", "a\x1b[2Jb", 256, `a\x1b[2Jb`},
		{"line ends", "a\r\nb\tc\x00\x7f", 256, `a\x0d\x0ab\x09c\x00\x7f`},
		{"second control block", "a\u009bb", 256, `a\u009bb`},
		{"writing direction", "a\u202egnp.exe", 256, `a\u202egnp.exe`},
		{"line separator", "a\u2028b", 256, `a\u2028b`},
		{"zero width", "a\u200bb\ufeff", 256, `a\u200bb\ufeff`},
		{"outside the basic plane", "a\U000e0041", 256, `a\U000e0041`},
		{"not UTF-8", "a\xff\xfeb", 256, `a\xff\xfeb`},
		{"exactly fits", "abcdef", 6, "abcdef"},
		{"cut", "abcdefg", 6, "abc…"},
		{"never half a letter", "aa電話", 7, "aa…"},
		{"never half an escape", "aa\x1b\x1b", 6, "aa…"},
		{"escapes count", strings.Repeat("\x00", 100), 11, `\x00\x00…`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := clean(c.in, c.max); got != c.want {
				t.Errorf("clean(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "abc", "\x1b[0m", "é\xff", "\u202e\U000e0041", strings.Repeat("x", 300)} {
		f.Add(s, 20)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 3 || max > 4096 {
			max = 16
		}
		got := clean(s, max)
		if len(got) > max {
			t.Fatalf("%d bytes, cap %d", len(got), max)
		}
		if !utf8.ValidString(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q holds %U", got, r)
			}
		}
		if again := clean(got, max); again != got {
			t.Fatalf("not stable: %q becomes %q", got, again)
		}
	})
}

func TestEvidenceIsScalar(t *testing.T) {
	in := []call.Evidence{
		{Name: "rate", Value: 7.5, Threshold: 5},
		{Name: "window", Value: 10 * time.Second},
		{Name: "nan", Value: math.NaN(), Threshold: math.Inf(1)},
		{Name: "addr", Value: netip.MustParseAddr("::ffff:192.0.2.1")},
		{Name: "err", Value: errors.New("bad\nthing")},
		{Name: "list", Value: []int{1, 2}},
		{Name: "nothing", Value: nil},
		{Name: "yes", Value: true},
		{Name: "bytes", Value: []byte{0xff}},
	}
	got, err := json.Marshal(cleanEvidence(in))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"rate","value":7.5,"threshold":5},{"name":"window","value":10},` +
		`{"name":"nan","value":"NaN","threshold":"+Inf"},{"name":"addr","value":"192.0.2.1"},` +
		`{"name":"err","value":"bad\\x0athing"},{"name":"list","value":"[1 2]"},{"name":"nothing","value":""},` +
		`{"name":"yes","value":true},{"name":"bytes","value":"\\xff"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := len(cleanEvidence(make([]call.Evidence, 1000))); n != maxEvidence {
		t.Errorf("%d entries are kept, cap %d", n, maxEvidence)
	}
}
