package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is how much the heap may grow between two collections when nobody
// has said otherwise. What a call leaves behind is garbage within a second, so
// fewer collections cost a little memory and spare a single core the pauses
// that callers would hear of.
const gcPercent = 400

// tuneMemory sets the collector's defaults where GOGC and GOMEMLIMIT do not:
// the heap may grow freely until three quarters of the memory there is, and is
// collected the harder above it, so that generosity never becomes a kill.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		if n := memory(os.ReadFile); n > 0 {
			debug.SetMemoryLimit(n / 4 * 3)
		}
	}
}

// memory is what this process may use: the machine's, or less where a control
// group says so; 0 where neither can be read.
func memory(read func(string) ([]byte, error)) int64 {
	least := int64(math.MaxInt64)
	if b, err := read("/proc/meminfo"); err == nil {
		_, rest, _ := strings.Cut(string(b), "MemTotal:")
		if f := strings.Fields(rest); len(f) > 0 {
			if kb, err := strconv.ParseInt(f[0], 10, 64); err == nil && kb > 0 {
				least = min(least, kb<<10)
			}
		}
	}
	for _, dir := range groupDirs(read) {
		if b, err := read(dir + "/memory.max"); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// groupDirs lists this process's control group (version 2) and those above it:
// the strictest counts.
func groupDirs(read func(string) ([]byte, error)) []string {
	const root = "/sys/fs/cgroup"
	dirs := []string{root}
	b, _ := read("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		dir := root
		for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			if part != "" && part != ".." {
				dir += "/" + part
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}
