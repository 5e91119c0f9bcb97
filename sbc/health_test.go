package sbc

import (
	"errors"
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	no := errors.New("no answer")
	for _, c := range []struct{ beats, want string }{
		{"+", "+"}, {"-", "-"}, {"+-", "++"}, {"+--", "++-"}, {"+-+-+-", "++++++"},
		{"-+", "--"}, {"-++", "--+"}, {"-+-++", "----+"}, {"+--++--", "++--+" + "+-"},
	} {
		var p pulse
		got := ""
		for i, b := range c.beats {
			var err error
			if b == '-' {
				err = no
			}
			was := p.down
			at := time.Unix(int64(i), 0)
			p = p.beat(err, at)
			if (p.down != was || i == 0) && !p.since.Equal(at) {
				t.Errorf("%s: since %v at %d", c.beats, p.since, i)
			}
			got += map[bool]string{true: "-", false: "+"}[p.down]
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.beats, got, c.want)
		}
	}
}
