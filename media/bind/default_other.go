//go:build !linux

package bind

// New returns the best engine this system has.
func New(opt Options) (Engine, error) { return NewNet(opt), nil }
