package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

func TestLoadStateWith(t *testing.T) {
	t.Parallel()
	main := ratelimit.LoadState{Level: 1, Shed: [5]uint64{3, 0, 0, 0, 0}, Admitted: [5]uint64{9, 9, 9, 9, 9}}
	front := ratelimit.LoadState{Level: 5, Rate: 40, Share: 4, Pressure: 7, Signals: ratelimit.LoadSignals{Delay: time.Second}, Shed: [5]uint64{1, 0, 2, 0, 4},
		Admitted: [5]uint64{1, 1, 1, 1, 1}}
	got := main.With(front)
	if got.Level != 3 {
		t.Errorf("level %d: a queue of datagrams alone must not make a gateway unready", got.Level)
	}
	if got.Rate != 40 || got.Share != 4 || got.Pressure != 7 || got.Signals.Delay != time.Second {
		t.Errorf("%+v", got)
	}
	if got.Shed != [5]uint64{4, 0, 2, 0, 4} || got.Admitted != main.Admitted {
		t.Errorf("shed %v, admitted %v", got.Shed, got.Admitted)
	}
	main.Level, main.Rate = 5, 10
	if got = main.With(front); got.Level != 5 || got.Rate != 10 {
		t.Errorf("level %d, rate %v", got.Level, got.Rate)
	}
}

func TestLoadStateAmong(t *testing.T) {
	t.Parallel()
	all := ratelimit.LoadState{Level: 1, Rate: 100, Shed: [5]uint64{1}, Signals: ratelimit.LoadSignals{Delay: 5}}
	slow := ratelimit.LoadState{Level: 5, Rate: 4, Share: 1, Pressure: 9, Signals: ratelimit.LoadSignals{PBX: 0.8}, Shed: [5]uint64{1, 2}}
	got := all.Among([]ratelimit.LoadState{{}, slow})
	if got.Level != 3 || got.Rate != 100 || got.Share != 0 || got.Pressure != 9 || got.Signals.PBX != 0.8 || got.Signals.Delay != 5 || got.Shed != [5]uint64{2, 2} {
		t.Errorf("one of two: %+v", got)
	}
	if got = all.Among([]ratelimit.LoadState{slow, slow}); got.Rate != 8 {
		t.Errorf("both: %+v", got)
	}
	if got = (ratelimit.LoadState{}).Among([]ratelimit.LoadState{slow}); got.Rate != 4 {
		t.Errorf("the only one: %+v", got)
	}
	if got = all.Among(nil); got != all {
		t.Errorf("none: %+v", got)
	}
}
