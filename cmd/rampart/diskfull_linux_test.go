package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// ownMounts runs a test again in a process with a mount table of its own, in
// which it is root, and says whether this is that process. What is mounted
// there nobody else sees, and it goes with the process.
func ownMounts(t *testing.T) bool {
	t.Helper()
	const marker = "RAMPART_TEST_OWN_MOUNTS"
	if os.Getenv(marker) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a process of its own: %v\n%s", err, out)
	}
	return false
}

// tinyDisk mounts a file system of so many bytes.
func tinyDisk(t *testing.T, dir string, size int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("a mount table of its own: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// fillDisk takes all room that is left, and gives it back.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that is full costs lines, never a call: it is told of once, the files
// go on when there is room, no line is cut in two, and what was kept before
// (bans, the history of the policy) is whole. A gateway that starts on a full
// disk takes calls too.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if !ownMounts(t) {
		return
	}
	const files = `cdr: [{file: state/cdr.jsonl}]
events: [{file: state/events.jsonl, max_size: 1MiB}]
alerts: [{file: state/alerts.jsonl}, {file: elsewhere/alerts.jsonl}]
`
	s := &site{t: t, dir: t.TempDir(), net: 80}
	state := filepath.Join(s.dir, "state")
	tinyDisk(t, state, 2<<20)
	s.write("elsewhere/.keep", "")
	s.write("rampart.yaml", strings.Replace(s.config("admin: {listen: off}\n"+files), "admin: {listen: off}", "admin: {listen: \"127.91.80.8:18180\"}", 1))
	s.start()
	defer func() { s.g.close(time.Second) }()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: map[string]string{"1001": "one"},
		Listen: netip.MustParseAddrPort("127.91.80.3:5060"), Trunk: netip.MustParseAddrPort("127.91.80.2:5060")})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	calls := 0
	var phone *siptest.Phone
	place := func(n int) {
		t.Helper()
		for range n {
			c, err := phone.Invite(ctx, "600")
			if err == nil {
				err = c.Bye(ctx)
			}
			if err != nil {
				t.Fatalf("call %d: %v", calls, err)
			}
			calls++
		}
	}
	register := func() {
		t.Helper()
		var err error
		if phone, err = s.office(50).phone(ctx, "1001", "one"); err == nil {
			err = phone.Register(ctx, time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ban := func(who string) {
		t.Helper()
		if code, v := s.ask("POST", "/api/v1/bans", `{"source": "`+who+`"}`, "Content-Type", "application/json"); code != 200 {
			t.Fatal(code, v)
		}
	}
	banned := func(who string) bool {
		b, err := os.ReadFile(s.g.banFile.path)
		var f banFile
		if err != nil || json.Unmarshal(b, &f) != nil {
			t.Fatalf("bans.json is damaged: %v %q", err, b)
		}
		return strings.Contains(string(b), `"`+who)
	}

	register()
	place(2)
	ban("192.0.2.1")
	eventually(t, "the first ban is kept", func() bool { _, err := os.Stat(s.g.banFile.path); return err == nil && banned("192.0.2.1") })
	eventually(t, "records are written", func() bool { return s.g.rep.cdr.Stats().Sinks[0].Written == 2 })

	free := fillDisk(t, state)
	s.log.take()
	began := time.Now()
	place(12) // beyond what the last pages of the files hold
	ban("192.0.2.2")
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	before := s.revision()
	s.g.reload()
	if s.revision() == before {
		t.Error("a policy is not loaded while the disk is full")
	}
	degraded := func() (n int) {
		for _, all := range [][]alert.SinkStats{s.g.rep.cdr.Stats().Sinks, s.g.rep.events.Stats().Sinks, s.g.rep.bus.Stats().Sinks} {
			for _, x := range all {
				if x.Degraded {
					n++
				}
			}
		}
		return n
	}
	eventually(t, "records, events and alerts are not written", func() bool { return degraded() == 3 })
	eventually(t, "the other file says so", func() bool {
		b, err := os.ReadFile(filepath.Join(s.dir, "elsewhere/alerts.jsonl"))
		return err == nil && bytes.Contains(b, []byte("cdr.jsonl")) && bytes.Contains(b, []byte("events.jsonl")) && bytes.Contains(b, []byte(`"bans/not-kept"`)) &&
			bytes.Contains(b, []byte("no space left"))
	})
	if banned("192.0.2.2") {
		t.Error("the disk is not full")
	}
	banned("192.0.2.1")
	eventually(t, "nothing is left of what could not be written", func() bool {
		left, err := filepath.Glob(filepath.Join(state, "*.new"))
		return err == nil && len(left) == 0
	})
	if len(s.metric(`rampart_alert_degraded_sinks_active\{[^}]*\} 1`)) != 3 {
		t.Error("the metrics do not say that three sinks are degraded")
	}
	for _, x := range s.g.rep.cdr.Stats().Sinks {
		// One try at once, then one a second; a timer never fires early.
		if most := uint64(time.Since(began)/retryEveryAtLeast) + 2; x.Errors > most {
			t.Errorf("%d tries in %s", x.Errors, time.Since(began))
		}
	}
	if log := s.log.take(); strings.Count(log, "sink cannot take its lines") != 3 || strings.Count(log, "bans cannot be written") != 1 {
		t.Errorf("not one line for each:\n%s", log)
	}

	// Killed now, it starts again on the full disk.
	phone.Close()
	s.g.close(0)
	lost := calls // what the queue held is lost with the process, and said
	s.log.take()  // what it said while it was closed
	s.start()
	if len(s.g.bans.List(time.Now())) != 1 {
		t.Errorf("bans after a start on a full disk: %+v", s.g.bans.List(time.Now()))
	}
	register()
	place(3)
	ban("192.0.2.3")
	eventually(t, "the ban was tried and not written", func() bool { return strings.Contains(s.log.all(), "bans cannot be written") })
	free()
	place(1)
	eventually(t, "everything is written again", func() bool { return degraded() == 0 && s.g.rep.cdr.Stats().Sinks[0].Written == uint64(calls-lost) })
	eventually(t, "the bans are written again", func() bool { return banned("192.0.2.3") })
	eventually(t, "the log says so", func() bool { return strings.Contains(s.log.all(), "bans are written again") })
	phone.Close()
	s.g.close(time.Second)
	whole := 0
	for _, name := range []string{"cdr.jsonl", "events.jsonl", "alerts.jsonl"} {
		b, err := os.ReadFile(filepath.Join(state, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if !json.Valid([]byte(line)) || !strings.HasSuffix(line, "\n") {
				t.Errorf("%s: a line is cut: %q", name, line)
			}
			if name == "cdr.jsonl" {
				whole++
			}
		}
	}
	if whole < 2+calls-lost || whole > calls {
		t.Errorf("%d records of %d calls", whole, calls)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "*.new")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// retryEveryAtLeast is the pause between two tries of a sink.
const retryEveryAtLeast = time.Second
