package kernel_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// tables lists those of the namespace.
func (w *wire) tables() (names []string) {
	w.t.Helper()
	var err error
	w.in(w.host, func() {
		var c *nftables.Conn
		if c, err = nftables.New(); err != nil {
			return
		}
		var all []*nftables.Table
		all, err = c.ListTables()
		for _, t := range all {
			names = append(names, t.Name)
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func (w *wire) table() *kernel.Table {
	w.t.Helper()
	var t *kernel.Table
	var err error
	w.in(w.host, func() { t, err = kernel.OpenTable("rampart", ports, budget) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { t.Close() })
	return t
}

func TestTablesOfOthersStay(t *testing.T) {
	w := newWire(t)
	var err error
	w.in(w.host, func() {
		var c *nftables.Conn
		if c, err = nftables.New(); err != nil {
			return
		}
		c.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyINet})
		c.AddTable(&nftables.Table{Name: "rampart", Family: nftables.TableFamilyINet}) // not ours, whatever its name says
		err = c.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := w.table(), w.table()
	ours := fmt.Sprintf("rampart-%d", os.Getpid())
	if got, want := w.tables(), []string{"filter", "rampart", ours, ours + "-2"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	// Two gateways of one host do not see each other's bans.
	w.in(w.host, func() { err = first.Sync(kernel.State{Bans: []kernel.Ban{ban("10.78.0.5/32", time.Hour)}}, time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	w.in(w.host, func() { err = second.Sync(kernel.State{}, time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	eventually(t, "only the first is gone", func() bool { return slices.Equal(w.tables(), []string{"filter", "rampart", ours + "-2"}) })
	second.Close()
	eventually(t, "both are gone", func() bool { return slices.Equal(w.tables(), []string{"filter", "rampart"}) })
}

// Everything goes with the process, even when it is killed.
func TestKilled(t *testing.T) {
	w := newWire(t)
	cmd := exec.Command("ip", "netns", "exec", w.host, os.Args[0], "-test.run", "^TestHeldByAnother$")
	cmd.Env = append(os.Environ(), "RAMPART_KERNEL_HOLD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for s := bufio.NewScanner(out); ; {
		if !s.Scan() {
			t.Fatal("it ended before it held anything")
		}
		if s.Text() == "held" {
			break
		}
	}
	if got := w.tables(); !slices.Equal(got, []string{"rampart"}) {
		t.Fatalf("tables %q", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no table", func() bool { return len(w.tables()) == 0 })
	eventually(t, "the interface has no program", func() bool {
		got := "x"
		w.in(w.host, func() {
			x, err := kernel.OpenXDP("eth0", kernel.Native, ports, budget)
			if err == nil {
				got = ""
				x.Close()
			}
		})
		return got == ""
	})
}

// TestHeldByAnother is the process that TestKilled kills.
func TestHeldByAnother(t *testing.T) {
	if os.Getenv("RAMPART_KERNEL_HOLD") == "" {
		return
	}
	table, err := kernel.OpenTable("rampart", ports, budget)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Sync(kernel.State{Bans: []kernel.Ban{ban("10.78.0.5/32", time.Hour)}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := kernel.OpenXDP("eth0", kernel.Native, ports, budget); err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	time.AfterFunc(time.Minute, func() { os.Exit(1) })
	select {}
}

// Half a table of bans comes at once, and goes at once.
func TestManyBans(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		s := kernel.State{Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5")}}}
		end := time.Now().Add(time.Hour)
		for i := range 65_536 {
			s.Bans = append(s.Bans, kernel.Ban{Net: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i>>16), byte(i >> 8), byte(i)}), 32), Until: end})
		}
		s.Bans = append(s.Bans, ban("10.78.0.0/24", time.Hour))
		b.sync(s)
		b.dropped("10.78.0.6", kernel.Banned)
		b.arrives("10.78.0.5")
		b.sync(kernel.State{})
		b.arrives("10.78.0.6")
	})
}

// When not all of the known have room nothing is dropped, and at no moment before
// that are those who are there without cover: they stay.
func TestFullTableKeepsTheKnown(t *testing.T) {
	w := newWire(t)
	table := w.table()
	held := func(name string) (n int) {
		t.Helper()
		var err error
		w.in(w.host, func() {
			var c *nftables.Conn
			if c, err = nftables.New(); err != nil {
				return
			}
			var es []nftables.SetElement
			es, err = c.GetSetElements(&nftables.Set{Table: &nftables.Table{Name: "rampart", Family: nftables.TableFamilyINet}, Name: name})
			n = len(es)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	now := time.Now()
	s := kernel.State{Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5")}}, Emergency: true, Bans: []kernel.Ban{ban("10.78.0.6/32", time.Hour)}}
	if err := table.Sync(s, now); err != nil || held("known4") != 1 || held("ban4") != 1 {
		t.Fatalf("%v: %d known, %d banned", err, held("known4"), held("ban4"))
	}
	for i := range kernel.MaxKnown {
		s.Connected.Addrs = append(s.Connected.Addrs, netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	for range 2 {
		if err := table.Sync(s, now); !errors.Is(err, kernel.ErrFull) || held("known4") != 1 || held("ban4") != 0 {
			t.Fatalf("%v: %d known, %d banned", err, held("known4"), held("ban4"))
		}
	}
	s.Connected.Addrs = nil
	if err := table.Sync(s, now); err != nil || held("known4") != 1 || held("ban4") != 1 {
		t.Errorf("%v: %d known, %d banned", err, held("known4"), held("ban4"))
	}
}

// Nobody else removes the table or empties it, also not with the whole firewall.
func TestTableIsOurs(t *testing.T) {
	w := newWire(t)
	b := bench{wire: w, c: w.listen(5060), e: w.table()}
	b.sync(kernel.State{Bans: []kernel.Ban{ban("10.78.0.5/32", time.Hour)}})
	other := func(do func(*nftables.Conn)) (err error) {
		w.in(w.host, func() {
			var c *nftables.Conn
			if c, err = nftables.New(); err == nil {
				do(c)
				err = c.Flush()
			}
		})
		return err
	}
	table := &nftables.Table{Name: "rampart", Family: nftables.TableFamilyINet}
	for what, do := range map[string]func(*nftables.Conn){
		"removed the table": func(c *nftables.Conn) { c.DelTable(table) },
		"emptied the table": func(c *nftables.Conn) { c.FlushTable(table) },
		"emptied a set":     func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: table, Name: "ban4"}) },
	} {
		if other(do) == nil {
			t.Errorf("somebody else %s", what)
		}
	}
	if err := other(func(c *nftables.Conn) { c.FlushRuleset() }); err != nil {
		t.Fatalf("flush ruleset: %v", err)
	}
	b.dropped("10.78.0.5", kernel.Banned)
	b.sync(kernel.State{})
	b.arrives("10.78.0.5")
}

// More strangers than there is room for leave the set at its cap. Those who
// have no room are let through, and nobody who is known is in it.
func TestTableOfSourcesIsCapped(t *testing.T) {
	w := newWire(t)
	b := bench{wire: w, c: w.listen(5060), e: w.table()}
	b.c.SetReadBuffer(1)
	b.sync(kernel.State{Emergency: true, Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5")}}})
	s := w.sender("eth0", "INVITE sip:x SIP/2.0\r\n", kernel.MaxSources+kernel.MaxSources/4)
	defer s.close()
	flood := func() {
		w.in(w.outside, func() {
			for range (kernel.MaxSources + kernel.MaxSources/4) / batch {
				s.send()
			}
		})
	}
	held := func() (n int) {
		var err error
		w.in(w.host, func() {
			var c *nftables.Conn
			if c, err = nftables.New(); err != nil {
				return
			}
			var es []nftables.SetElement
			// Entries run out meanwhile, which may break off the listing.
			if es, err = c.GetSetElements(&nftables.Set{Table: &nftables.Table{Name: "rampart", Family: nftables.TableFamilyINet}, Name: "rate4"}); errors.Is(err, unix.EINTR) {
				err = nil
			}
			n = len(es)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "the set is full", func() bool {
		flood()
		n := held()
		if n > kernel.MaxSources {
			t.Fatalf("%d sources are held", n)
		}
		return n == kernel.MaxSources
	})
	b.c.SetReadBuffer(4 << 20)
	for range 100 { // far over a budget
		b.arrivesAmong("10.78.0.5")
	}
	b.sync(kernel.State{})
	b.arrivesAmong("10.78.200.1")
}

// A ban that is followed by the ban's end, of an address that became a peer's, in
// one step and in the other order: known comes first.
func TestBannedBecomesKnown(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		bans := []kernel.Ban{ban("10.78.0.5/32", time.Hour), ban("fd78:0:0:7::/64", time.Hour)}
		b.sync(kernel.State{Bans: bans})
		b.dropped("10.78.0.5", kernel.Banned)
		b.dropped("fd78:0:0:7::5", kernel.Banned)
		b.sync(kernel.State{Bans: bans, Known: kernel.Known{Addrs: []netip.Addr{netip.MustParseAddr("10.78.0.5"), netip.MustParseAddr("fd78:0:0:7::5")}}})
		b.arrives("10.78.0.5")
		b.arrives("fd78:0:0:7::5")
		b.dropped("fd78:0:0:7::6", kernel.Banned)
	})
}

// The bytecode is what the source gives. The file record says by which
// compiler; with another major version only the record is compared.
func TestBytecode(t *testing.T) {
	sum := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	}
	out, err := exec.Command("clang", "--version").Output()
	if err != nil {
		t.Fatalf("clang compiles the bytecode anew for this test (Debian: clang and llvm): %v", err)
	}
	m := regexp.MustCompile(`version (\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("version of clang: %s", out)
	}
	major := string(m[1])
	if os.Getenv("RAMPART_XDP_RECORD") != "" { // after xdp/build
		text := fmt.Sprintf("clang %s\nsource %s\nobject %s\n", major, sum("xdp/gate.c"), sum("xdp/gate.o"))
		if err := os.WriteFile("xdp/record", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	record, err := os.ReadFile("xdp/record")
	if err != nil {
		t.Fatal(err)
	}
	for what, file := range map[string]string{"source": "xdp/gate.c", "object": "xdp/gate.o"} {
		if !strings.Contains(string(record), what+" "+sum(file)+"\n") {
			t.Errorf("%s is not what was recorded: run xdp/build, then RAMPART_XDP_RECORD=1 go test -run TestBytecode", file)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("xdp/build", dir).CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	if strings.HasPrefix(string(record), "clang "+major+"\n") && sum(filepath.Join(dir, "gate.o")) != sum("xdp/gate.o") {
		t.Error("xdp/gate.o is not what xdp/build makes of xdp/gate.c")
	}
}
