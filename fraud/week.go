package fraud

import "time"

// A week learns how much goes on in each hour of the week, in local time: an
// average of each hour that follows slowly, drawn towards the mean of that hour
// on all days while little is known about it (weight n/(n+shrink)): a night is
// known after a week, the days of an office's weekend never are wholly. It learns
// whole days. A day on which the account was suspected is not learned, nor are the
// calls of a user who is, nor a holiday (a day with less
// than a quarter of what is usual on its weekday), nor one on which clocks were
// changed.
type week struct {
	mean  [168]float32
	n     [168]uint8
	total float64 // mean of all hours, slow
	hours int     // learned
	slot  int64   // hour now running, in local hours since 1970
	off   int32   // of local time, s
	today [24]float32
	quiet bool // do not learn today
}

const (
	shrink  = 8
	holiday = .25 // of the usual, at most
	busy    = 10  // a day of so many calls can be told from a holiday
)

// offset of local time from UTC, in seconds.
func offset(zone *time.Location, at int64) int32 {
	if zone == nil {
		return 0
	}
	_, off := time.Unix(0, at).In(zone).Zone()
	return int32(off)
}

// localDay is the day that people around the gateway have, counted from 1970.
func (e *Engine) localDay() int32 {
	return int32((e.wall() + int64(offset(e.cfg.Zone, e.wall()))*int64(time.Second)) / day)
}

// hourOf is the hour of the week of a local hour since 1970, a Thursday; 0 is
// Monday 0:00.
func hourOf(hour int64) int { return int((hour + 72) % 168) }

func localHour(at int64, off int32) int64 {
	return (at + int64(off)*int64(time.Second)) / int64(time.Hour)
}

// roll closes the days before that of at.
func (w *week) roll(at int64, off int32) {
	h := localHour(at, off)
	if w.slot == 0 {
		w.slot, w.off = h, off
		w.quiet = h%24 != 0 // the first day is not whole
	}
	if off != w.off {
		w.off, w.quiet = off, true
	}
	for i := 0; w.slot/24 < h/24 && i < 14; i++ {
		w.close()
		w.slot = (w.slot/24 + 1) * 24
	}
	w.slot = max(w.slot, h)
}

// close learns the day that is over.
func (w *week) close() {
	first := w.slot / 24 * 24
	var sum, usual float32
	known := true
	for i := range w.today {
		h := hourOf(first + int64(i))
		sum += w.today[i]
		usual += w.mean[h]
		known = known && w.n[h] > 0
	}
	if !w.quiet && !(known && usual >= busy && sum < holiday*usual) {
		for i, count := range w.today {
			h := hourOf(first + int64(i))
			if w.n[h] < 50 {
				w.n[h]++
			}
			w.mean[h] += (count - w.mean[h]) / float32(min(w.n[h], 6))
			w.hours++
			w.total += (float64(count) - w.total) / float64(min(w.hours, 168*6))
		}
	}
	w.today, w.quiet = [24]float32{}, false
}

func (w *week) add(at int64, off int32) {
	w.roll(at, off)
	w.today[w.slot%24]++
}

// observe counts a call, but not one of a user who is suspected; while the whole
// account is, the day is not learned.
func (w *week) observe(at int64, off int32, account, user bool) {
	w.roll(at, off)
	w.quiet = w.quiet || account
	if !user {
		w.today[w.slot%24]++
	}
}

// expect is how much is usual in the hour of at, and the mean of all hours.
func (w *week) expect(at int64, off int32) (hour, mean float64) {
	i := hourOf(localHour(at, off))
	var daily, days float64
	for j := i % 24; j < len(w.mean); j += 24 {
		if w.n[j] > 0 {
			daily += float64(w.mean[j])
			days++
		}
	}
	daily /= max(days, 1)
	if days == 0 {
		daily = w.total
	}
	n := float64(w.n[i])
	k := n / (n + shrink)
	return k*float64(w.mean[i]) + (1-k)*daily, w.total
}

// known reports whether a whole week was learned.
func (w *week) known() bool { return w.hours >= 168 }
