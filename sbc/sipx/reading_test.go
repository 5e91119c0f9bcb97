package sipx

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLimitsWhileReading: a message that can only become too large is refused
// while it is still coming, not when it is whole or its time is over: an
// attacker decides neither how much is kept for him nor for how long.
func TestLimitsWhileReading(t *testing.T) {
	head := tcp(msg("INVITE", "127.0.0.1:9", "lw", "lw", "", 1))
	head = head[:strings.Index(head, "Content-Length")]
	for name, c := range map[string]struct {
		begin, more string // more is repeated without end
		most        int    // octets after which the connection must be gone
	}{
		"start line":    {"INVITE sip:", "x", 2000},
		"method":        {"", "A", 2000},
		"header field":  {head + "Subject: ", "x", 3000},
		"field's name":  {head, "x", 3000},
		"folded field":  {head + "Subject: x", "\r\n y", 6000},
		"many fields":   {head, "X: y\r\n", 2500},
		"whole message": {head, "Subject" + strings.Repeat("x", 90) + ": y\r\n", 9000},
		"body":          {head + "Content-Length: 5000\r\n\r\n", "b", 2000},
		"endless body":  {head + "Content-Length: 99999999999999999999\r\n\r\n", "b", 2000},
		"noise":         {"\x00\x01\x02", "\xff", 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newRecorder()
			s := startStack(t, Config{MessageTimeout: time.Hour, IdleTimeout: time.Hour,
				Limits: Limits{Message: 8000, Line: 1000, HeaderValue: 1500, Headers: 60, Body: 4000}}, h)
			conn, _ := dialTCP(t, s, "127.0.0.1:0")
			text := c.begin + strings.Repeat(c.more, (c.most-len(c.begin))/len(c.more)+1)
			if _, err := conn.Write([]byte(text)); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			select { // nothing more is sent: the refusal must not wait for it
			case <-h.closed:
			case <-time.After(20 * time.Second):
				t.Fatalf("still open after %d octets", len(text))
			}
			if len(h.requests) > 0 || s.Stats.Malformed.Load() != 1 {
				t.Errorf("%d requests, %d malformed", len(h.requests), s.Stats.Malformed.Load())
			}
		})
	}
}
