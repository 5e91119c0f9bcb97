package peers

import "testing"

func TestPBXAnswers(t *testing.T) {
	n := NewNet(t)
	StartPBX(t, n, PBX{})
}
