// Command numbertable writes the number table that policy/number embeds:
// `go generate ./policy/number` runs it. VERSION names the data where the
// library is not the one that Rampart is built with.
package main

import (
	"fmt"
	"os"

	"github.com/rampart-sbc/rampart/policy/number/internal/gen"
)

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 || len(os.Args) == 3 && (os.Args[2] == "" || len(os.Args[2]) > 64) {
		fmt.Fprintln(os.Stderr, "usage: numbertable FILE [VERSION]")
		os.Exit(2)
	}
	version := gen.Version
	if len(os.Args) == 3 {
		version = os.Args[2]
	}
	b, err := gen.Build(version)
	if err == nil {
		err = os.WriteFile(os.Args[1], b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "numbertable:", err)
		os.Exit(1)
	}
}
