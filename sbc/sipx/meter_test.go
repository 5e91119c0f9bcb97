package sipx

import (
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// purse is a handler whose strangers have so many units, of a KiB as at the gate.
type purse struct {
	*recorder
	has  int64
	used atomic.Int64
}

func (p *purse) AdmitStream(_ call.Side, _ netip.Addr, n int) bool {
	return p.used.Add(int64(1+max(0, n-1)/1024)) <= p.has
}

// streamed dials a stack over TCP or TLS.
func streamed(t *testing.T, transport string, cfg Config, h Handler) (*Stack, net.Conn) {
	t.Helper()
	if transport == "tls" {
		s, addr := tlsStack(t, cfg, h)
		c, err := cryptotls.Dial("tcp", addr, clientTLS(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return s, c
	}
	s := startStack(t, cfg, h)
	c, _ := dialTCP(t, s, "127.0.0.1:0")
	return s, c
}

// TestStrangersPayForOctets: whatever a stranger sends without end, his budget
// ends it, and no deadline has to.
func TestStrangersPayForOctets(t *testing.T) {
	head := tcp(msg("INVITE", "127.0.0.1:9", "po", "po", "", 1))
	head = head[:strings.Index(head, "Content-Length")]
	for name, c := range map[string]struct {
		begin, more string // more is repeated without end

	}{
		"keep-alives":                       {"", strings.Repeat("\r\n\r\n", 100)},
		"single ends of lines":              {"", strings.Repeat("\r\n", 100)},
		"a body that does not end":          {head + "Content-Type: text/plain\r\nContent-Length: 60000\r\n\r\n", strings.Repeat("b", 400)},
		"a body in crumbs":                  {head + "Content-Type: text/plain\r\nContent-Length: 60000\r\n\r\n", "b"},
		"a head in crumbs":                  {head, "X: y\r\n"},
		"messages that are whole, and many": {"", head + "Content-Length: 0\r\n\r\n"},
	} {
		for _, transport := range []string{"tcp", "tls"} {
			t.Run(name+" over "+transport, func(t *testing.T) {
				t.Parallel()
				h := &purse{recorder: newRecorder(), has: 20}
				h.on = func(*Request) {}
				_, conn := streamed(t, transport, Config{MessageTimeout: time.Hour, IdleTimeout: time.Hour, Limits: Limits{Headers: 30_000}}, h)
				fmt.Fprint(conn, c.begin)
				sent := make(chan int, 1)
				go func() {
					n := 0
					for n < 2_000_000 {
						k, err := conn.Write([]byte(c.more))
						if n += k; err != nil {
							break
						}
					}
					sent <- n
				}()
				select {
				case f := <-h.closed:
					if n := f.meter.owed; n > meterSlack || h.used.Load() <= h.has {
						t.Errorf("ended for another reason: %d units used, %d octets owed", h.used.Load(), n)
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("still open, %d units used", h.used.Load())
				}
				conn.Close()
				<-sent
			})
		}
	}
}

// TestMessagesCostWhatTheyDid: who sends what phones send pays for his messages
// and for nothing else, however they are cut; the known pay nothing.
func TestMessagesCostWhatTheyDid(t *testing.T) {
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			h := &purse{recorder: newRecorder(), has: 1000}
			_, conn := streamed(t, transport, Config{}, h)
			var f *Flow
			send := func(id string, pieces, body int) {
				m := tcp(msg("REGISTER", "127.0.0.1:9", id, id, "", 1))
				if body > 0 {
					m = strings.Replace(m, "Content-Length: 0\r\n\r\n", fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", body, strings.Repeat("b", body)), 1)
				}
				for i := range pieces {
					fmt.Fprint(conn, m[i*len(m)/pieces:(i+1)*len(m)/pieces])
				}
				f = (<-h.requests).Flow
			}
			send("a", 1, 0)
			send("b", 3, 0)
			fmt.Fprint(conn, "\r\n\r\n")
			send("c", 2, 0)
			if n := h.used.Load(); n != 3 {
				t.Errorf("three messages cost %d units", n)
			}
			send("d", 8, 20_000) // 21 units for its octets, one more may be owed by what came before
			if n := h.used.Load(); n < 3+20 || n > 3+32 {
				t.Errorf("a message of 20 KiB cost %d units", n-3)
			}
			f.MarkKnown(true)
			was := h.used.Load()
			for i := range 10 {
				send(fmt.Sprint("k", i), 1, 20_000)
			}
			f.MarkKnown(false)
			send("s", 1, 0)
			if n := h.used.Load() - was; n < 1 || n > 6 { // it owes up to meterSlack from before
				t.Errorf("the known paid %d units", n)
			}
		})
	}
}

// TestHandshakeSize: a handshake that sends more than a handshake is ends long
// before its time. This one lacks its last octets, so crypto/tls waits for them.
func TestHandshakeSize(t *testing.T) {
	h := newRecorder()
	s, addr := tlsStack(t, Config{HandshakeTimeout: time.Hour}, h)
	hello := "\x01\x00\xff\xff\x03\x03" + strings.Repeat("x", 65_530)
	var records strings.Builder
	for len(hello) > 0 {
		n := min(len(hello), 16_384)
		records.WriteString("\x16\x03\x01" + string([]byte{byte(n >> 8), byte(n)}) + hello[:n])
		hello = hello[n:]
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, records.String()[:mostHandshake])
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 1 })
	fmt.Fprint(c, records.String()[mostHandshake:records.Len()-3])
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 0 })
}
