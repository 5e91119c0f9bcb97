package fraud

import "time"

// A week learns how much goes on in each hour of the week: an average of each
// hour that follows slowly, drawn towards the mean of all hours while little is
// known about it (weight n/(n+shrink)). Hours while an alarm is up, and days on
// which next to nothing happens on a working day (holidays), are not learned.
type week struct {
	mean  [168]float32
	n     [168]uint8
	total float64 // mean of all hours, slow
	hours int     // learned
	slot  int64   // hour now running, since 1970
	count float32
	quiet bool // do not learn the hour now running
}

const shrink = 8

// hourOf is the hour of the week of an instant in local time given by offset.
func hourOf(hour int64) int { return int((hour + 72) % 168) } // 1970-01-01 was a Thursday; 0 is Monday 0:00

// roll closes the hours before that of at.
func (w *week) roll(at int64) {
	h := at / int64(time.Hour)
	if w.slot == 0 {
		w.slot = h
	}
	for i := 0; w.slot < h && i < 24*14; i++ {
		w.close()
		w.slot++
	}
	w.slot = max(w.slot, h)
}

func (w *week) close() {
	if !w.quiet {
		i := hourOf(w.slot)
		if w.n[i] < 50 {
			w.n[i]++
		}
		w.mean[i] += (w.count - w.mean[i]) / float32(min(w.n[i], 6))
		w.hours++
		w.total += (float64(w.count) - w.total) / float64(min(w.hours, 168*6))
	}
	w.count, w.quiet = 0, false
}

func (w *week) add(at int64) {
	w.roll(at)
	w.count++
}

// expect is how much is usual in the hour of at, and the mean of all hours.
func (w *week) expect(at int64) (hour, mean float64) {
	i := hourOf(at / int64(time.Hour))
	n := float64(w.n[i])
	k := n / (n + shrink)
	return k*float64(w.mean[i]) + (1-k)*w.total, w.total
}

// known reports whether a whole week was learned.
func (w *week) known() bool { return w.hours >= 168 }
