package fraud

// Cost is what an incident costs.
type Cost struct {
	Lost   float64 // so far
	PerMin float64 // of its calls that are up
}

// Costs are what the incidents that are kept cost by now, by their ids. An alert
// says what was so when it was sent: calls that are over cost nothing any more.
func (e *Engine) Costs() map[string]Cost {
	e.lock()
	defer e.unlock()
	out := make(map[string]Cost, e.open.len())
	for _, x := range e.open.at {
		if x.v.ID != "" {
			lost, perMin := x.v.Bill.cost(e)
			out[x.v.ID] = Cost{lost, perMin}
		}
	}
	return out
}
