package media

import "time"

// overlaps reports whether packets under the former keys are taken too, and
// forgets these keys when they are not.
func (e *end) overlaps(at time.Time) bool {
	if e.former == nil {
		return false
	}
	if at.Before(e.formerUntil) {
		return true
	}
	e.former = nil
	return false
}

// openRTP opens a packet under the keys in force, or for a moment under the
// former ones. What is under those never counts as newest: it may not move the
// latch. The copy is because a failed attempt damages what it was tried on.
func (e *end) openRTP(at time.Time, b []byte, header int) (out []byte, newest bool, why Cause) {
	if !e.overlaps(at) {
		return e.recv.openRTP(b, header)
	}
	kept := append(e.session.shard.kept[:0], b...)
	if out, newest, why = e.recv.openRTP(b, header); out != nil {
		return out, newest, 0
	}
	if out, _, _ = e.former.openRTP(kept, header); out == nil {
		return nil, false, why
	}
	return out, false, 0
}

// openRTCP is openRTP for a compound.
func (e *end) openRTCP(at time.Time, b []byte) (out []byte, newest bool, why Cause) {
	if !e.overlaps(at) {
		return e.recv.openRTCP(b)
	}
	kept := append(e.session.shard.kept[:0], b...)
	if out, newest, why = e.recv.openRTCP(b); out != nil {
		return out, newest, 0
	}
	if out, _, _ = e.former.openRTCP(kept); out == nil {
		return nil, false, why
	}
	return out, false, 0
}
