package fraud

// Release says that an incident was none, or is dealt with: what is remembered
// against somebody because of it is forgotten. Numbers that it guards may be
// called; whoever it is about has nothing at risk, and habits are learned again.
// Later findings are as they would have been. It returns how many numbers and
// blocks are no longer guarded.
func (e *Engine) Release(id string) (numbers int) {
	e.lock()
	defer e.unlock()
	if id == "" {
		return 0
	}
	for n, g := range e.ping.guard.at {
		if g.v.ID == id {
			e.ping.rung.remove(userCode{g.v.Account, "", n})
			e.ping.guard.remove(n)
			numbers++
		}
	}
	for t, in := range e.open.at {
		if in.v.ID == id {
			e.toll.forgive(t)
			e.spend.forgive(t)
		}
	}
	e.unstand(id)
	return numbers
}

// forgive takes what is at risk off whom an incident is about.
func (t *toll) forgive(about topic) {
	var p *entry[userKey, purse]
	switch about.Subject.Kind {
	case "user":
		p = t.users.at[userKey{about.Account, about.Subject.Value}]
	case "account":
		if a := t.accounts.at[about.Subject.Value]; a != nil {
			a.v.forget()
		}
	}
	if p != nil {
		p.v.forget()
	}
}

func (p *purse) forget() {
	p.hour.level, p.day.level, p.spent.level, p.alarm, p.told, p.lost = 0, 0, 0, 0, 0, 0
	p.tried = [3]trial{}
	p.fresh.level, p.toldFresh = 0, 0
	p.who, p.paid, p.paidTo = nil, nil, nil
}
