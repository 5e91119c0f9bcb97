package fraud

// A bucket is a level that leaks evenly: what is worth limit is gone in window.
// The level never passes its limit, so one burst is not held against anybody
// for longer than the window.
type bucket struct {
	level float64
	at    int64 // ns
}

func (b *bucket) now(at int64, limit float64, window int64) float64 {
	if at > b.at {
		b.level = max(0, b.level-limit*float64(at-b.at)/float64(window))
		b.at = at
	}
	return b.level
}

// add pours x in and returns the level as it would be without the cap.
func (b *bucket) add(at int64, x, limit float64, window int64) float64 {
	l := b.now(at, limit, window) + x
	b.level = min(l, limit)
	return l
}
