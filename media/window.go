package media

// windowSize is how far behind the newest index a packet may be and still be
// told from a replay. RFC 3711 §3.3.2 wants 64 at least; 256 is five seconds
// of audio.
const windowSize = 256

// window remembers which of the last windowSize indices were seen. It serves
// both directions: on receipt it refuses replays, before sending it refuses to
// protect a second packet under one index, which would reuse key stream
// (RFC 3711 §9.1) and for GCM give away the authentication key.
//
// The zero value has seen nothing. It is plain data, so a Snapshot can carry
// it.
type window struct {
	top  uint64 // newest index; meaningless while !any
	any  bool
	bits [windowSize / 64]uint64 // index i is bit i%windowSize
}

// fresh reports whether i is neither seen nor too old to tell.
func (w *window) fresh(i uint64) bool {
	switch {
	case !w.any || i > w.top:
		return true
	case w.top-i >= windowSize:
		return false
	}
	return w.bits[i/64%uint64(len(w.bits))]&(1<<(i%64)) == 0
}

// mark records i, which was fresh, and reports whether it is the newest now.
func (w *window) mark(i uint64) bool {
	newest := !w.any || i > w.top
	if newest {
		if !w.any || i-w.top >= windowSize {
			w.bits = [windowSize / 64]uint64{}
		} else {
			for j := w.top + 1; j < i; j++ { // skipped: not seen, whatever was there a lap ago
				w.bits[j/64%uint64(len(w.bits))] &^= 1 << (j % 64)
			}
		}
		w.top, w.any = i, true
	}
	w.bits[i/64%uint64(len(w.bits))] |= 1 << (i % 64)
	return newest
}

// estimate is the 48-bit index of the packet with sequence number seq, given
// the newest one so far (RFC 3711 §3.3.1). The first packet has ROC 0.
func (w *window) estimate(seq uint16) uint64 {
	if !w.any {
		return uint64(seq)
	}
	roc, last, s := w.top>>16, int(w.top&0xffff), int(seq)
	switch {
	case last < 1<<15 && s-last > 1<<15 && roc > 0:
		roc--
	case last >= 1<<15 && last-1<<15 > s:
		roc++
	}
	return roc<<16 | uint64(seq)
}
