package policy

import (
	"fmt"
	"strings"
	"time"
)

// hours is one time of the week on the clocks of a place. What begins on one
// day and ends on the next belongs to the day on which it begins.
type hours struct {
	text     string
	days     uint8          // bits by time.Weekday
	from, to int            // minutes of the day; to may be beyond 24 h
	zone     *time.Location // nil: the gateway's home
}

// homeZone is how hours name the time that people around the gateway keep.
const homeZone = "home"

const day = 24 * 60

// holds looks at the clock on the wall: in the night in which clocks go back
// an hour is there twice and both count, and what is skipped never comes.
func (h *hours) holds(at time.Time) bool {
	at = at.In(h.zone)
	hour, minute, _ := at.Clock()
	m, d := hour*60+minute, at.Weekday()
	return m >= h.from && m < h.to && h.days&(1<<d) != 0 ||
		m+day < h.to && h.days&(1<<((d+6)%7)) != 0
}

// hoursYAML is "[Mon-Fri,Sun] 22:00-06:00 Europe/Paris", or "… home".
type hoursYAML struct{ h hours }

func (y *hoursYAML) UnmarshalScalar(text string, _ bool) error {
	h, err := parseHours(text)
	if err != nil {
		return err
	}
	y.h = h
	return nil
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseHours(text string) (hours, error) {
	h := hours{text: text}
	words := strings.Fields(text)
	bad := func(format string, args ...any) (hours, error) {
		return h, fmt.Errorf("%q: %s; write \"22:00-06:00 Europe/Paris\" or \"Mon-Fri 22:00-06:00 Europe/Paris\"", text, fmt.Sprintf(format, args...))
	}
	named := len(words) > 1 && (words[0][0] < '0' || words[0][0] > '9')
	if named {
		days, err := parseDays(words[0])
		if err != nil {
			return bad("%v", err)
		}
		h.days, words = days, words[1:]
	} else {
		h.days = 1<<7 - 1
	}
	switch {
	case len(words) == 1 && strings.Contains(words[0], ":"):
		return bad("no time zone")
	case len(words) == 1 && named: // days without a time: all day
		words = []string{"00:00-24:00", words[0]}
	case len(words) != 2:
		return bad("not a time of day and a time zone")
	}
	from, to, ok := strings.Cut(words[0], "-")
	var err error
	if !ok {
		return bad("%s has no end", words[0])
	}
	if h.from, err = parseClock(from); err != nil {
		return bad("%v", err)
	}
	if h.to, err = parseClock(to); err != nil {
		return bad("%v", err)
	}
	if h.from == h.to || h.from == day {
		return bad("%s is no time at all; 00:00-24:00 is all day", words[0])
	}
	if h.to < h.from {
		h.to += day
	}
	zone := words[1]
	if zone == homeZone {
		return h, nil
	}
	if h.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		return bad("%s is not the name of a time zone", zone)
	}
	return h, nil
}

// parseDays reads "Mon-Fri,Sun".
func parseDays(text string) (days uint8, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		from, to := weekday(first), weekday(last)
		if from < 0 || to < 0 {
			return 0, fmt.Errorf("%s is not a day (Mon … Sun) or a span of days", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			days |= 1 << d
			if d == to {
				break
			}
		}
	}
	return days, nil
}

func weekday(text string) int {
	for i, name := range weekdays {
		if strings.EqualFold(text, name) {
			return i
		}
	}
	return -1
}

// parseClock reads HH:MM as minutes; 24:00 is the end of the day.
func parseClock(text string) (int, error) {
	h, m, ok := 0, 0, len(text) == 5 && text[2] == ':'
	for i, c := range []byte(text) {
		switch {
		case i == 2:
		case c < '0' || c > '9':
			ok = false
		case i < 2:
			h = h*10 + int(c-'0')
		default:
			m = m*10 + int(c-'0')
		}
	}
	if !ok || m > 59 || h > 24 || h == 24 && m > 0 {
		return 0, fmt.Errorf("%s is not a time of day such as 06:00", text)
	}
	return h*60 + m, nil
}
