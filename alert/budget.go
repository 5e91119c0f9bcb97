package alert

import "time"

// budget is how many lines strangers get in full in a minute.
type budget struct {
	most  int
	began time.Time
	spent int
}

const budgetWindow = time.Minute

// spend takes one line, if there is one left.
func (b *budget) spend(now time.Time) bool {
	if now.Sub(b.began) >= budgetWindow || now.Before(b.began) {
		b.began, b.spent = now, 0
	}
	if b.spent >= b.most {
		return false
	}
	b.spent++
	return true
}
