package fraud

import "time"

const day = int64(24 * time.Hour)

// A habit is on how many different days something was done, up to a few, and
// by how many users. Days are those of UTC: they are only counted.
type habit struct {
	days  uint8
	today int32 // day of the last sighting
	users [8]uint32
	n     uint8 // of users
}

// before says on how many days before that of at something was done.
func (h *habit) before(at int64) int {
	if h == nil {
		return 0
	}
	if int32(at/day) == h.today {
		return int(h.days) - 1
	}
	return int(h.days)
}

// seen counts the day of at, and a user.
func (h *habit) seen(at int64, user uint32) {
	if d := int32(at / day); d != h.today || h.days == 0 {
		h.today = d
		if h.days < 255 {
			h.days++
		}
	}
	for i := range h.n {
		if h.users[i] == user {
			return
		}
	}
	if int(h.n) < len(h.users) {
		h.users[h.n] = user
		h.n++
	}
}

// hash of a user's name: habits need to tell users apart, not to know them.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
