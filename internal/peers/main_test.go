package peers

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	RemoveProgram()
	os.Exit(code)
}
