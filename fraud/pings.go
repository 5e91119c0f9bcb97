package fraud

import "time"

// pings are the calls of the last while from a number, a block or a country.
// Ordinary calls are only counted, by twelfths of the window; of the short ones
// the last are kept, of a number or block fewPings.
type pings struct {
	Short  []pinged // those in the window, the last of them
	Shorts int      // in the window, also those that are not kept
	Others int
	Count  [parts]pingPart
	Slot   int64 // number of the part of the window that is being filled
	Alarm  int64 // until when its calls belong to a campaign that was found
	Told   bool  // that campaign was told
	Lambda float64
	Up     pinged // the call of a number that was answered last
}

type pingPart struct{ Short, Other uint16 }

// pinged is one call.
type pinged struct {
	At, Start int64
	From      string
	Callee    string
	User      string // that it rang
}

const (
	maxPings = 64 // of a country
	fewPings = 24 // of a number or block, of which there may be MaxKeys
	parts    = 12
	together = int64(250 * time.Millisecond) // what phones that ring for one call may be apart
)

// add counts a call that is over.
func (k *pings) add(v pinged, short bool, now, over int64, most int) {
	width := max(over/parts, 1)
	slot := now / width
	if gone := slot - k.Slot; gone < 0 || gone >= parts {
		k.Count = [parts]pingPart{}
	} else {
		for i := range gone {
			k.Count[(k.Slot+1+i)%parts] = pingPart{}
		}
	}
	k.Slot = slot
	c := &k.Count[slot%parts]
	n := 0
	for _, s := range k.Short {
		if s.At > now-over {
			k.Short[n] = s
			n++
		}
	}
	clear(k.Short[n:])
	k.Short = k.Short[:n]
	if short {
		c.Short += min(1, ^c.Short)
		if len(k.Short) >= most {
			n := copy(k.Short, k.Short[len(k.Short)-most+1:])
			k.Short = k.Short[:n]
		}
		k.Short = append(k.Short, v)
	} else {
		c.Other += min(1, ^c.Other)
	}
	k.Shorts, k.Others = 0, 0
	for _, c := range k.Count {
		k.Shorts += int(c.Short)
		k.Others += int(c.Other)
	}
	if len(k.Short) < most {
		k.Shorts = len(k.Short)
	}
}

// forks reports whether a short call is no call of its own: another phone that
// rang for one that was counted or answered. Calls to several public numbers
// are never one call.
func (k *pings) forks(v *pinged) bool {
	near := func(a, b int64) bool { return max(a-b, b-a) <= together }
	same := func(s *pinged) bool {
		return near(s.Start, v.Start) && near(s.At, v.At) && (s.Callee == v.Callee || !public(s.Callee) || !public(v.Callee))
	}
	if k.Up.At != 0 && same(&k.Up) {
		return true
	}
	for i := len(k.Short) - 1; i >= 0; i-- {
		if same(&k.Short[i]) {
			return true
		}
	}
	return false
}

func (k *pings) share() float64 {
	return float64(k.Shorts) / float64(max(k.Shorts+k.Others, 1))
}

// alarms notes whether the calls are a campaign's now.
func (k *pings) alarms(yes bool, now int64, over time.Duration) {
	if now >= k.Alarm {
		k.Told = false
	}
	if yes {
		k.Alarm = now + int64(over)
	}
}

func (k *pings) alarmed(now int64) bool { return now < k.Alarm }

// times says how often a number rang.
func (k *pings) times(from string) (n int) {
	for i := range k.Short {
		if k.Short[i].From == from {
			n++
		}
	}
	return n
}

func callees(v *pinged) string { return v.Callee }
func callers(v *pinged) string { return v.From }
func blocks(v *pinged) string  { return block(v.From, 3) }

// spread reports whether the calls are over n numbers: of ours, or, where
// everybody calls one number of a switchboard, of theirs.
func (k *pings) spread(n int) bool {
	return k.different(callees, n) >= n || k.different(callers, n) >= n
}

// different counts up to enough different values.
func (k *pings) different(of func(*pinged) string, enough int) (n int) {
	for i := range k.Short {
		first := true
		for j := range i {
			if of(&k.Short[j]) == of(&k.Short[i]) {
				first = false
				break
			}
		}
		if first {
			if n++; n == enough {
				break
			}
		}
	}
	return n
}
