package main

import (
	"io/fs"
	"math"
	"testing"
)

func TestMemory(t *testing.T) {
	const gib = 1 << 30
	meminfo := "MemTotal:        8388608 kB\nMemFree:         1 kB\n"
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing can be read", nil, 0},
		{"the machine's", map[string]string{"/proc/meminfo": meminfo}, 8 * gib},
		{"a group without a limit", map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n"}, 8 * gib},
		{"the group's own", map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "1073741824\n"}, gib},
		{"that of the group above", map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:cpu:/x\n0::/a/b\n", "/sys/fs/cgroup/a/memory.max": "1073741824\n", "/sys/fs/cgroup/a/b/memory.max": "4294967296\n"}, gib},
		{"a container sees itself as the root", map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "2147483648\n"}, 2 * gib},
		{"a limit above the machine's", map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "99999999999999\n"}, 8 * gib},
		{"nonsense", map[string]string{"/proc/meminfo": "MemTotal: many kB\n", "/proc/self/cgroup": "0::/../..\n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := memory(func(path string) ([]byte, error) {
				if s, ok := tt.files[path]; ok {
					return []byte(s), nil
				}
				return nil, fs.ErrNotExist
			})
			if got != tt.want {
				t.Errorf("memory is %d, want %d", got, tt.want)
			}
		})
	}
}

func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		rate, live float64
		want       int
	}{
		{0, 30 * mib, gcLeast},
		{8 * mib, 24 * mib, gcLeast},
		{20 * mib, 30 * mib, 200},
		{80 * mib, 45 * mib, gcMost},
		{80 * mib, 0, gcMost},
		{math.Inf(1), mib, gcMost},
	} {
		if got := gcPercent(tt.rate, tt.live); got != tt.want {
			t.Errorf("%v octets/s with %v alive: %d %%, want %d", tt.rate, tt.live, got, tt.want)
		}
	}
}
