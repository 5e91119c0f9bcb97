//go:build !linux

package sipx

import "time"

// age is not known here.
func (s *udpSocket) age(time.Time) (time.Duration, bool) { return 0, false }
