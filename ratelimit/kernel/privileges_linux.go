package kernel

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// capabilities that the engines need. The program reads packets at offsets that
// it computes, which the kernel lets nobody do without CAP_PERFMON.
var capabilities = []struct {
	name string
	bit  int
	xdp  bool // for XDP alone, and contained in CAP_SYS_ADMIN
}{{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, false}, {"CAP_BPF", unix.CAP_BPF, true}, {"CAP_PERFMON", unix.CAP_PERFMON, true}}

// Lacking names the capabilities that a process (0: this one) lacks to open the
// table, and the program if xdp is set.
func Lacking(pid int, xdp bool) (names []string, err error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3, Pid: int32(pid)}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return nil, fmt.Errorf("capabilities of process %d: %w", pid, err)
	}
	has := func(bit int) bool { return data[bit/32].Effective&(1<<(bit%32)) != 0 }
	for _, c := range capabilities {
		if c.xdp && (!xdp || has(unix.CAP_SYS_ADMIN)) || has(c.bit) {
			continue
		}
		names = append(names, c.name)
	}
	return names, nil
}

// told says what is missing when it is privileges.
func told(err error, xdp bool) error {
	lacking, e := Lacking(0, xdp)
	switch {
	case err == nil || e != nil || !denied(err):
		return err
	case len(lacking) > 0:
		return fmt.Errorf("%w: %s", ErrPrivileges, strings.Join(lacking, ", "))
	}
	return fmt.Errorf("the system forbids it, though the capabilities are there (a container, a filter of system calls, kernel lockdown?): %w", err)
}
