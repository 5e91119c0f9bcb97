package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// The collector runs about every gcEvery: what a call leaves behind is garbage
// within a second, and collecting it more often only slows a single core down
// for a tenth of a second each time, which callers notice. Between collections
// the heap may grow by gcLeast to gcMost per cent: an idle gateway stays small.
const (
	gcEvery = 3 * time.Second
	gcLeast = 100
	gcMost  = 400
)

// tuneMemory looks after the collector until ctx ends, where GOGC and
// GOMEMLIMIT do not. The heap may grow freely until three quarters of the
// memory there is, and is collected the harder above it, so that generosity
// never becomes a kill.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") == "" {
		if n := memory(os.ReadFile); n > 0 {
			debug.SetMemoryLimit(n / 4 * 3)
		}
	}
	if os.Getenv("GOGC") == "" {
		go paceCollector(ctx)
	}
}

func paceCollector(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	heap := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	percent, last, at := gcLeast, heap[0].Value.Uint64(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(heap)
		now, all := time.Now(), heap[0].Value.Uint64()
		want := gcPercent(float64(all-last)/now.Sub(at).Seconds(), float64(heap[1].Value.Uint64()))
		last, at = all, now
		if want > percent*5/4 || want < percent*4/5 { // a change stops everything for a moment
			percent = want
			debug.SetGCPercent(percent)
		}
	}
}

// gcPercent is by how much the heap may grow, for a rate of allocation in
// octets per second and what the last collection left.
func gcPercent(rate, live float64) int {
	return int(min(max(100*rate*gcEvery.Seconds()/max(live, 1<<20), gcLeast), gcMost))
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
