package sdp

import (
	"strconv"
	"strings"
)

// usualClock is the RTP clock in Hz of telephony.
const usualClock = 8000

// staticClocks are the static payload types with another one (RFC 3551 §6).
var staticClocks = map[uint8]uint32{6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050,
	25: 90000, 26: 90000, 28: 90000, 31: 90000, 32: 90000, 33: 90000, 34: 90000}

// clocks gives the RTP clocks of payload types, where they are not the usual
// one. names are rtpmaps, the first that knows a type counts: an answer may
// leave out what the offer said.
func clocks(types Payloads, names ...map[uint8]string) map[uint8]uint32 {
	var out map[uint8]uint32
	for _, pt := range types {
		rate := staticClocks[pt]
		for _, n := range names {
			if name := n[pt]; name != "" {
				rate = codecClock(name)
				break
			}
		}
		if rate == 0 || rate == usualClock {
			continue
		}
		if out == nil {
			out = map[uint8]uint32{}
		}
		out[pt] = rate
	}
	return out
}

// codecClock reads the rate of "opus/48000/2".
func codecClock(name string) uint32 {
	_, rest, _ := strings.Cut(name, "/")
	rate, _, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(rate, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// ptime is the whole milliseconds of a=ptime, 0 without one that can be.
func (m *mline) ptime() uint16 {
	for _, k := range m.attrs {
		if k.attr.Name == "ptime" {
			whole, _, _ := strings.Cut(k.attr.Value, ".")
			n, _ := number(whole, 1000)
			return uint16(n)
		}
	}
	return 0
}
