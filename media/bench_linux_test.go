package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
	"github.com/rampart-sbc/rampart/media/srtp"
)

const (
	benchPairs = 200 // sessions; two streams each
	benchPace  = 20000
	benchFor   = 3 * time.Second
	relayRole  = "RAMPART_TEST_RELAY"
)

// benchKeys are known to both processes.
func benchKeys(s Suite) *Keys {
	return &Keys{Suite: s, Key: make([]byte, s.KeyLen()), Salt: make([]byte, s.SaltLen())}
}

// TestRelayProcess is no test of its own: BenchmarkSockets starts it in
// another process, so that the relay's processor time can be told from the
// phones'.
func TestRelayProcess(t *testing.T) {
	role := strings.Fields(os.Getenv(relayRole))
	if len(role) == 0 {
		return
	}
	if role[0] == "bare" {
		bare(t, role[2:])
		return
	}
	suite, _ := ParseSuite(role[1])
	p := testPlane(t, func(c *Config) {
		c.Engine, c.Shards, c.PortMin, c.PortMax = engines[role[0]], 1, 20000, 29999
	})
	for range benchPairs {
		s, err := p.Open(Spec{ID: "bench", Streams: 1, Legs: [2]LegSpec{{Side: call.Public}, {Side: call.Inside}}})
		if err != nil {
			t.Fatal(err)
		}
		for leg, port := range role[2:] {
			r := Remote{RTP: netip.MustParseAddrPort("127.0.0.1:" + port)}
			if leg == 0 && suite != 0 {
				r.Recv, r.Send = benchKeys(suite), benchKeys(suite)
				r.Send.Key[0]++
			}
			if err := s.Set(Leg(leg), 0, r); err != nil {
				t.Fatal(err)
			}
			rtp, _ := s.Local(Leg(leg), 0)
			fmt.Println(rtp.Port())
		}
	}
	bufio.NewReader(os.Stdin).ReadByte() // until the parent closes it
}

// bare relays through the engine alone.
func bare(t *testing.T, phones []string) {
	e, err := bind.New(bind.Options{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	port := uint16(20000)
	for range benchPairs {
		var pair [2]*forward
		for i := range pair {
			pair[i] = &forward{to: netip.MustParseAddrPort("127.0.0.1:" + phones[i])}
			port++
			if pair[i].sock, err = e.Listen(netip.AddrPortFrom(loop4, port), pair[i]); err != nil {
				t.Fatal(err)
			}
		}
		pair[0].peer, pair[1].peer = pair[1], pair[0]
		fmt.Printf("%d\n%d\n", port-1, port)
	}
	bufio.NewReader(os.Stdin).ReadByte()
}

// forward is a Sink that looks at nothing.
type forward struct {
	sock bind.Socket
	peer *forward
	to   netip.AddrPort
}

func (f *forward) Receive(_ time.Time, data []byte, _ netip.AddrPort) {
	f.peer.sock.Send(data, f.peer.to)
}

// BenchmarkSockets measures processor time per relayed packet: 400 streams of
// 172 bytes, 20,000 packets per second, one shard, in a process of its own
// while this one plays the phones. One floor is a relay in C that looks at
// nothing, the other one the engine without the plane. Run it with -benchtime 1x.
func BenchmarkSockets(b *testing.B) {
	floor := 0.0
	for _, c := range []struct {
		name, engine string
		suite        Suite
	}{
		{"floor-C", "", 0},
		{"floor-engine", "bare", 0},
		{"epoll", "default", 0},
		{"net", "net", 0},
		{"epoll-GCM128", "default", AEAD_AES_128_GCM},
		{"epoll-CM80", "default", AES_CM_128_HMAC_SHA1_80},
	} {
		b.Run(c.name, func(b *testing.B) {
			ph := [2]*net.UDPConn{listen(b, loop4), listen(b, loop4)}
			var cmd *exec.Cmd
			if c.engine == "" {
				bin := b.TempDir() + "/relay"
				if out, err := exec.Command("cc", "-O2", "-o", bin, "testdata/relay.c").CombinedOutput(); err != nil {
					b.Fatalf("no floor without a C compiler: %v %s", err, out)
				}
				cmd = exec.Command(bin, strconv.Itoa(benchPairs), portOf(ph[0]), portOf(ph[1]))
			} else {
				cmd = exec.Command(os.Args[0], "-test.run=^TestRelayProcess$")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s", relayRole, c.engine, c.suite, portOf(ph[0]), portOf(ph[1])))
			}
			us, arrived := 0.0, 0.0
			for b.Loop() {
				us, arrived = measure(b, cmd, ph, c.suite)
			}
			b.ReportMetric(us, "us/packet")
			if c.engine == "" {
				floor = us
			} else if floor > 0 {
				b.ReportMetric(us/floor, "x-floor")
			}
			b.ReportMetric(100*arrived, "%arrived")
		})
	}
}

func portOf(c *net.UDPConn) string { return strconv.Itoa(int(addrOf(c).Port())) }

// measure plays both sides against a relay and returns its processor time per
// packet, and how many of the packets arrived.
func measure(b *testing.B, cmd *exec.Cmd, ph [2]*net.UDPConn, suite Suite) (us, arrived float64) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	defer stdin.Close()
	ports := bufio.NewScanner(stdout)
	var to []netip.AddrPort
	for len(to) < 2*benchPairs {
		if !ports.Scan() {
			b.Fatal("the relay ended")
		}
		if port, err := strconv.Atoi(ports.Text()); err == nil {
			to = append(to, netip.AddrPortFrom(loop4, uint16(port)))
		}
	}
	counts := make(chan int, 2)
	for _, c := range ph {
		c.SetReadBuffer(4 << 20)
		go count(c, counts)
	}
	before := processorTime(b, cmd.Process.Pid)
	sent := play(b, ph, to, suite)
	eventuallyQuiet := time.Now().Add(100 * time.Millisecond)
	for _, c := range ph {
		c.SetReadDeadline(eventuallyQuiet)
	}
	got := <-counts + <-counts
	spent := processorTime(b, cmd.Process.Pid) - before
	if got == 0 {
		b.Fatal("nothing was relayed")
	}
	return float64(spent.Microseconds()) / float64(got), float64(got) / float64(sent)
}

// count reads until the deadline that ends the run.
func count(c *net.UDPConn, result chan<- int) {
	buf, n := make([]byte, 2048), 0
	for {
		_, _, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			result <- n
			return
		}
		if err == nil {
			n++
		}
	}
}

// play sends from both phones at the pace, and spreads it over the time as
// well as a timer can.
func play(b *testing.B, ph [2]*net.UDPConn, to []netip.AddrPort, suite Suite) (sent int) {
	var cipher *srtp.Cipher
	if suite != 0 {
		s, err := newSecure(benchKeys(suite))
		if err != nil {
			b.Fatal(err)
		}
		cipher = &s.cipher
	}
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	start := time.Now()
	packet := rtpPacket(1, 0, string(make([]byte, 160)))
	buf := make([]byte, 0, 400)
	for now := start; now.Sub(start) < benchFor; now = <-tick.C {
		for due := int(now.Sub(start).Seconds() * benchPace); sent < due; sent++ {
			i, seq := sent%len(to), sent/len(to)
			packet[2], packet[3] = byte(seq>>8), byte(seq)
			out := append(buf[:0], packet...)
			if cipher != nil && i&1 == 0 {
				out = cipher.SealRTP(out, 12, 1, uint64(seq))
			}
			if _, err := ph[i&1].WriteToUDPAddrPort(out, to[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	return sent
}

// processorTime is what a process has used, user and system.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ
}
