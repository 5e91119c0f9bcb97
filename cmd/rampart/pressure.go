package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

// pressure measures how much of the machine the process uses: processors,
// memory, descriptors. It has one caller, ten times a second, and opens a file
// for each thread, and another, each time.
type pressure struct {
	cpu    time.Duration // used so far
	at     time.Time
	memory int64 // that the process may use; 0: not known
	page   int64
	live   []metrics.Sample
	read   func(string) ([]byte, error)

	waited map[string]time.Duration // of each thread, for a processor, so far
}

func newPressure() *pressure {
	return &pressure{memory: memory(os.ReadFile), page: int64(os.Getpagesize()), read: os.ReadFile,
		live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
}

func (p *pressure) measure(now time.Time) ratelimit.LoadSignals {
	last := p.at
	cpu := p.processors(now)
	return ratelimit.LoadSignals{CPU: cpu, Busy: p.busy(cpu, now.Sub(last)), Memory: p.memoryUsed(), Files: files()}
}

// maxThreads are looked at; more would cost more than they tell.
const maxThreads = 64

// busy is the share of dt in which the process ran, as cpu says, or stood ready
// and others had the processor; 0 when the kernel does not tell.
func (p *pressure) busy(cpu float64, dt time.Duration) float64 {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxThreads)
	if err != nil {
		return 0
	}
	now := make(map[string]time.Duration, len(names))
	var all time.Duration
	for _, name := range names {
		b, err := p.read("/proc/self/task/" + name + "/schedstat") // ns: ran, waited
		f := strings.Fields(string(b))
		if err != nil || len(f) < 2 {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		now[name] = time.Duration(n)
		if was, ok := p.waited[name]; ok {
			all += max(0, now[name]-was)
		}
	}
	first := p.waited == nil
	if p.waited = now; first || dt <= 0 || dt > time.Minute || len(now) == 0 {
		return 0
	}
	return min(1, cpu+float64(all)/float64(dt)/float64(runtime.GOMAXPROCS(0)))
}

// processors is the share in use of those that the process may use. Go knows
// affinity and the quota of the control group.
func (p *pressure) processors(now time.Time) float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	cpu, dt := time.Duration(u.Utime.Nano()+u.Stime.Nano()), now.Sub(p.at)
	used := cpu - p.cpu
	first := p.at.IsZero()
	p.cpu, p.at = cpu, now
	if first || dt <= 0 {
		return 0
	}
	return min(1, float64(used)/float64(dt)/float64(runtime.GOMAXPROCS(0)))
}

// memoryUsed is the worse of two: what the process has of what it may have,
// and what is in use of where the collector tries to stay; beyond that it
// takes the processors.
func (p *pressure) memoryUsed() (share float64) {
	metrics.Read(p.live)
	if most := debug.SetMemoryLimit(-1); most > 0 && most < math.MaxInt64 {
		share = float64(p.live[0].Value.Uint64()) / float64(most)
	}
	b, err := p.read("/proc/self/statm") // pages: size, resident
	if f := strings.Fields(string(b)); err == nil && len(f) > 1 && p.memory > 0 {
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			share = max(share, float64(n*p.page)/float64(p.memory))
		}
	}
	return share
}

// files is the share in use of the descriptors that the process may have. The
// directory's size is their number since Linux 6.2; before that it is 0, and
// the number of a fresh descriptor, the lowest that is free, is a good guess.
func files() float64 {
	var most syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most) != nil || most.Cur == 0 {
		return 0
	}
	fi, err := os.Stat("/proc/self/fd")
	if err == nil && fi.Size() > 0 {
		return float64(fi.Size()) / float64(most.Cur)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		return 1 // none left
	}
	defer f.Close()
	return float64(f.Fd()) / float64(most.Cur)
}
