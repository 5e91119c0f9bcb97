package call

import "strconv"

// RateText is a rate in the unit in which it is no fraction, as people write
// it: 5/s, 20/m, 100/h.
func RateText(perSecond float64) string {
	n, unit := perSecond*3600, "/h"
	for _, u := range []struct {
		name string
		of   float64
	}{{"/s", 1}, {"/m", 60}} {
		if per := perSecond * u.of; per > 0.999 {
			n, unit = per, u.name
			break
		}
	}
	return strconv.FormatFloat(n, 'g', 4, 64) + unit
}
