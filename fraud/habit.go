package fraud

import "time"

const day = int64(24 * time.Hour)

// A habit is on how many different days something was done, up to a few, and
// by how many users. Days are local ones where money is concerned, so that a
// working day is one day everywhere.
type habit struct {
	days   uint8
	today  int32 // day of the last sighting
	users  [8]uint32
	n      uint8 // of users
	people uint8 // calls at whose other end somebody seems to have been
	quick  uint8 // calls that were answered at once
}

// before says on how many days before today something was done.
func (h *habit) before(today int32) int {
	if h == nil {
		return 0
	}
	if today == h.today && h.days > 0 {
		return int(h.days) - 1
	}
	return int(h.days)
}

// seen counts the day, and a user.
func (h *habit) seen(today int32, user uint32) {
	if today != h.today || h.days == 0 {
		h.today = today
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

// answered counts a call by whether somebody seems to have taken it. When a
// count is full both are halved: the share of late calls counts for more.
func (h *habit) answered(people bool) {
	if h.people == 200 || h.quick == 200 {
		h.people, h.quick = h.people/2, h.quick/2
	}
	if people {
		h.people++
	} else {
		h.quick++
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

// utcDay is for habits that are asked for without the Engine's local day.
func utcDay(at int64) int32 { return int32(at / day) }
