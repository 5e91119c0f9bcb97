// Command numbertable writes the number table that policy/number embeds:
// `go generate ./policy/number` runs it.
package main

import (
	"fmt"
	"os"

	"github.com/rampart-sbc/rampart/policy/number/internal/gen"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: numbertable FILE")
		os.Exit(2)
	}
	b, err := gen.Build()
	if err == nil {
		err = os.WriteFile(os.Args[1], b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "numbertable:", err)
		os.Exit(1)
	}
}
