package integration_test

import (
	"os"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	peers.RemoveProgram()
	os.Exit(code)
}
