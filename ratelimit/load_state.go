package ratelimit

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
