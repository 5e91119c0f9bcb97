package sdp

import (
	"maps"
	"testing"
)

// TestClocks: both legs of a call learn the clock of every payload type that
// they may send, by the numbers that they use.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		types Payloads
		names []map[uint8]string
		want  map[uint8]uint32
	}{
		{Payloads{0, 8, 9, 101}, []map[uint8]string{{9: "g722/8000", 101: "telephone-event/8000"}}, nil},
		{Payloads{111, 0, 110}, []map[uint8]string{{111: "opus/48000/2", 110: "telephone-event/48000"}}, map[uint8]uint32{111: 48000, 110: 48000}},
		{Payloads{34, 14, 96}, nil, map[uint8]uint32{34: 90000, 14: 90000}},
		{Payloads{96}, []map[uint8]string{{}, {96: "amr-wb/16000"}}, map[uint8]uint32{96: 16000}},
		{Payloads{96}, []map[uint8]string{{96: "speex/8000"}, {96: "speex/16000"}}, nil},
		{Payloads{96}, []map[uint8]string{{97: "opus/48000/2"}}, nil},
	} {
		if got := clocks(c.types, c.names...); !maps.Equal(got, c.want) {
			t.Errorf("%v %v: %v, want %v", c.types, c.names, got, c.want)
		}
	}
	if codecClock("opus") != 0 || codecClock("opus/x") != 0 || codecClock("") != 0 {
		t.Error("a clock out of nothing")
	}
}
