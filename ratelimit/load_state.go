package ratelimit

import "math"

// With is a state together with that of a Load which stands before it: what
// was admitted there has been asked about here too. Of each value the one that
// restrains more counts.
func (s LoadState) With(o LoadState) LoadState {
	if o.Rate > 0 && (s.Rate == 0 || o.Rate < s.Rate) {
		s.Rate, s.Share = o.Rate, o.Share
	}
	// Whoever fills the queue that stands before is one of the known, or writes
	// their address: that says nothing of how the rest fares.
	s.Level, s.Pressure = max(s.Level, min(o.Level, int(LoadNew)+1)), max(s.Pressure, o.Pressure)
	s.Signals.Delay = max(s.Signals.Delay, o.Signals.Delay)
	for c := range s.Shed {
		s.Shed[c] += o.Shed[c]
	}
	return s
}

// Among is a state together with those of Loads of which each is asked first about
// a part of what comes. Their rates are not of all; if none of the parts is
// without a limit, the whole has one, too. Nor does a PBX that fails make the
// gateway one that should be given no more.
func (s LoadState) Among(parts []LoadState) LoadState {
	rate := 0.0
	for _, o := range parts {
		s.Level, s.Pressure, s.Signals.PBX = max(s.Level, min(o.Level, int(LoadNew)+1)), max(s.Pressure, o.Pressure), max(s.Signals.PBX, o.Signals.PBX)
		for c := range s.Shed {
			s.Shed[c] += o.Shed[c]
		}
		if rate += o.Rate; o.Rate == 0 {
			rate = math.Inf(-1)
		}
	}
	if rate > 0 && (s.Rate == 0 || rate < s.Rate) {
		s.Rate = rate
	}
	return s
}
