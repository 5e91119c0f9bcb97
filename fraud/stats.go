package fraud

// Stats are for monitoring.
type Stats struct {
	Calls     int     // that are up or being set up
	Costing   int     // that are up and cost: abroad, premium
	PerMinute float64 // USD, what these cost together
	Failed    uint64  // events that made a detector fail
}

// Stats says what goes on now.
func (e *Engine) Stats() (s Stats) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	s.Calls, s.Failed = e.calls.len(), e.failed
	e.spend.purses.each(func(p *spending) {
		if p.key.kind == ofAccount {
			s.Costing += p.calls
			s.PerMinute += p.perMin
		}
	})
	return s
}
