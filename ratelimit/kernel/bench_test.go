package kernel_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// BenchmarkDrop is what it costs to get rid of an unwanted datagram, by who drops
// it: processor time, so what else the machine does matters little. The sender is
// one thread, and with veth it carries its packet through the other end itself, up
// to the socket; the gateway's own time comes on top. The first line is sending
// alone, to nowhere: take it off. The sender keeps to a pace that a reader can keep
// up with, in bursts as a flood has them.
//
// bench/kernel runs this and makes a table. The gateway is RAMPART_BENCH_PROGRAM.
func BenchmarkDrop(b *testing.B) {
	banned := kernel.State{Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour)}}
	emergency := kernel.State{Emergency: true}
	const register, junk = "REGISTER sip:10.77.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.78.0.5\r\n", "\x00 is how no message of SIP begins...\r\n"
	for _, c := range []struct {
		name    string
		engine  string
		state   kernel.State
		sources uint32
		text    string
		gateway string // its limits
		siege   bool   // after it has begun
	}{
		{name: "sending alone", text: register},
		{name: "the cable alone", text: register}, // for another card: dropped before anything is looked up
		{name: "XDP native, banned", engine: "xdp native", state: banned, text: register},
		{name: "XDP native, no SIP", engine: "xdp native", text: junk},
		{name: "XDP native, over its budget", engine: "xdp native", state: emergency, text: register},
		{name: "XDP generic, banned", engine: "xdp generic", state: banned, text: register},
		{name: "XDP generic, over its budget", engine: "xdp generic", state: emergency, text: register},
		{name: "nftables, banned", engine: "nftables", state: banned, text: register},
		{name: "nftables, over its budget", engine: "nftables", state: emergency, text: register},
		{name: "socket filter, no SIP", text: junk, gateway: "{socket_filter: true}"},
		{name: "socket filter, in a siege", text: register, gateway: "{socket_filter: true}", siege: true, sources: 1 << 20},
		{name: "gate of the gateway, one source", text: register, gateway: "{socket_filter: false}"},
		{name: "gate of the gateway, 2^20 sources", text: register, gateway: "{socket_filter: false}", sources: 1 << 20},
		{name: "no gateway, a full socket", text: register},
		{name: "no gateway, a closed port", text: register},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWire(b)
			to := "eth0"
			var cost func() time.Duration
			switch {
			case c.gateway != "":
				cost = w.gateway(c.gateway)
			case c.name == "sending alone":
				to = "nowhere"
				if exec.Command("ip", "-n", w.outside, "link", "add", "nowhere", "type", "dummy").Run() != nil {
					w.ip("-n " + w.outside + " link add nowhere type ifb") // it drops at once what nobody sent to it
				}
				w.ip("-n " + w.outside + " link set nowhere up")
			case c.name == "no gateway, a full socket":
				w.listen(5060).SetReadBuffer(1) // it is full at once
			}
			var e kernel.Engine
			if open := engines[c.engine]; open != nil {
				var err error
				w.in(w.host, func() {
					if e, err = open(); err == nil {
						b.Cleanup(func() { e.Close() })
						err = e.Sync(c.state, time.Now())
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			s := w.sender(to, c.text, c.sources)
			defer s.close()
			if c.name == "the cable alone" {
				for _, f := range s.frames {
					f[5] = 9
				}
			}
			if c.siege {
				w.besieged(s)
			}
			was := w.drops(e)
			var spent time.Duration
			begun := time.Duration(0)
			if cost != nil {
				begun = cost()
			}
			w.in(w.outside, func() {
				pin()
				b.ResetTimer()
				spent = s.paced(b.N)
				b.StopTimer()
			})
			if cost != nil {
				eventually(b, "the gateway has read it", func() bool { return w.drops(nil) >= was+uint64(b.N)*9/10 })
				spent += cost() - begun
			}
			if got := w.drops(e) - was; e != nil && got < uint64(b.N)*9/10 {
				b.Fatalf("%d of %d were dropped", got, b.N)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/packet")
		})
	}
}

// drops counts what an engine dropped, or what came to the gateway and was dropped
// there or at its sockets.
func (w *wire) drops(e kernel.Engine) (n uint64) {
	w.t.Helper()
	if e != nil {
		var counts []kernel.Count
		var err error
		w.in(w.host, func() { counts, err = e.Stats() })
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range counts {
			n += c.Packets
		}
		return n
	}
	for name, v := range w.metrics() {
		for _, is := range []string{"rampart_ratelimit_gate_dropped_total", "rampart_ratelimit_gate_passed_total", "rampart_sipx_junk_datagrams_total", publicDrops} {
			if strings.HasPrefix(name, is) {
				n += uint64(v)
			}
		}
	}
	return n
}

// metrics asks the gateway, if there is one.
func (w *wire) metrics() map[string]float64 {
	out := map[string]float64{}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (c net.Conn, err error) {
		w.in(w.host, func() { c, err = net.Dial("tcp", "127.0.0.1:8088") })
		return c, err
	}}}
	r, err := client.Get("http://127.0.0.1:8088/metrics")
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	for in := bufio.NewScanner(r.Body); in.Scan(); {
		if name, v, ok := strings.Cut(in.Text(), "} "); ok {
			out[name+"}"], _ = strconv.ParseFloat(v, 64)
		} else if name, v, ok := strings.Cut(in.Text(), " "); ok {
			out[name], _ = strconv.ParseFloat(v, 64)
		}
	}
	return out
}

// gateway runs the program on the first processor, and tells what processor time
// it has used.
func (w *wire) gateway(limits string) (cost func() time.Duration) {
	w.t.Helper()
	program := os.Getenv("RAMPART_BENCH_PROGRAM")
	if program == "" {
		w.t.Fatal("RAMPART_BENCH_PROGRAM has to name the gateway: bench/kernel builds it")
	}
	dir := w.t.TempDir()
	file := filepath.Join(dir, "rampart.yaml")
	if err := os.WriteFile(file, []byte(`domain: sip.example.com
pbx: {name: main, uri: "sip:127.0.0.3:5060", health: 0s}
home: {country: FR}
state: state
listen: {tls: ["10.77.0.1:5061"], udp: ["10.77.0.1:5060"]}
inside: {udp: ["127.0.0.2:5060"]}
media: {public: ["10.77.0.1"], inside: ["127.0.0.2"], ports: 21000-21199}
peers:
  - {name: plain, identify: {ip: [10.80.9.0/24]}, allow_plaintext: true, uri: "sip:10.80.9.9:5060;transport=udp"}
admin: {listen: 127.0.0.1:8088}
limits: `+limits+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", w.host, "taskset", "-c", "0", program, "run", "-c", file)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	eventually(w.t, "the gateway answers", func() bool { return len(w.metrics()) > 0 })
	return func() (sum time.Duration) {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", cmd.Process.Pid))
		if err != nil || len(files) == 0 {
			w.t.Fatal("the gateway has ended")
		}
		for _, f := range files {
			var ns int64
			if text, err := os.ReadFile(f); err == nil {
				fmt.Sscan(string(text), &ns)
			}
			sum += time.Duration(ns)
		}
		return sum
	}
}

// besieged sends until the gateway shuts strangers out.
func (w *wire) besieged(s *sender) {
	w.t.Helper()
	const many = 20_000
	eventually(w.t, "a siege", func() bool {
		was := w.metrics()[publicDrops]
		w.in(w.outside, func() { s.paced(many) })
		return w.metrics()[publicDrops]-was > many*9/10 // one in some is let in
	})
}

const publicDrops = `rampart_sipx_kernel_dropped_datagrams_total{side="public"}`

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

const batch = 64

// sender writes frames as they are to the outer end of the cable, past the
// queues: any source address, at little cost.
type sender struct {
	fd      int
	frames  [batch][]byte
	hdrs    [batch]mmsghdr
	iovs    [batch]unix.Iovec
	sources uint32
	next    uint32
}

func (w *wire) sender(to, text string, sources uint32) *sender {
	w.t.Helper()
	s := &sender{sources: sources}
	var err error
	w.in(w.outside, func() {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		var i *net.Interface
		if i, err = net.InterfaceByName(to); err != nil {
			return
		}
		if err = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return
		}
		err = unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: 0x0008})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range s.frames {
		s.frames[i] = udpFrame(text)
		s.iovs[i] = unix.Iovec{Base: &s.frames[i][0], Len: uint64(len(s.frames[i]))}
		s.hdrs[i].hdr = unix.Msghdr{Iov: &s.iovs[i], Iovlen: 1}
	}
	return s
}

func (s *sender) close() { unix.Close(s.fd) }

func (s *sender) send() {
	if s.sources > 1 {
		for i := range s.frames {
			s.next++
			// within 10.78.0.0/16 and beyond: what is forged need not be routed back
			source(s.frames[i], 10<<24|(78<<16+s.next%s.sources))
		}
	}
	unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.hdrs[0])), batch, 0, 0, 0)
}

// paced sends n datagrams, a hundred thousand a second, and tells how much
// processor time it took.
func (s *sender) paced(n int) time.Duration {
	const every = batch * time.Second / 100_000
	begun, next := threadTime(), time.Now()
	for ; n > 0; n -= batch {
		s.send()
		next = next.Add(every)
		if wait := time.Until(next); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&ts, nil)
		} else {
			next = time.Now() // what was missed is not made up for
		}
	}
	return threadTime() - begun
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(fmt.Sprint("processor time: ", err))
	}
	return time.Duration(ts.Nano())
}

func udpFrame(text string) []byte {
	b := make([]byte, 42, 42+len(text))
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45})
	binary.BigEndian.PutUint16(b[16:], uint16(28+len(text)))
	b[22], b[23] = 64, unix.IPPROTO_UDP
	copy(b[30:], netip.MustParseAddr(here4).AsSlice())
	binary.BigEndian.PutUint16(b[34:], 40000)
	binary.BigEndian.PutUint16(b[36:], 5060)
	binary.BigEndian.PutUint16(b[38:], uint16(8+len(text)))
	source(b, 10<<24|78<<16|5)
	return append(b, text...)
}

// source writes the sender's address and the checksum of the header.
func source(b []byte, addr uint32) {
	binary.BigEndian.PutUint32(b[26:], addr)
	b[24], b[25] = 0, 0
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum))
}

// pin keeps the thread on the first processor.
func pin() {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(0)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		panic(fmt.Sprint("processor: ", err))
	}
}
