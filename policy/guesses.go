package policy

// guesses reads what limits say of attempts that failed: `leak`, `unanswered`.
func (c *compiler) guesses(at string, y *limitYAML, l *Limit) {
	if l.Unanswered = y.Unanswered; y.Unanswered && (y.Distinct == nil || y.Failures != nil) {
		c.problem(at+".unanswered", "write distinct: 20, of: register.user", "unanswered goes with distinct, and without failures")
	}
	if y.Leak == nil {
		return
	}
	l.Leak = y.Leak.perSecond
	switch {
	case y.Failures == nil || y.Distinct != nil:
		c.problem(at+".leak", "write failures: 30", "leak goes with failures alone")
	case y.Over != 0:
		c.problem(at+".leak", "write one of them", "failures are counted over a time, or leak")
	case l.Leak < 1e-6 || l.Leak > 1e6:
		c.problem(at+".leak", "write leak: 6/h", "leak must be 1e-6 to 1e6 a second")
	}
}
