package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rampart-sbc/rampart/internal/plain"
)

// hostile is what a stranger may write into a header field.
var hostile = "a\r\nb\x00\x1b[2J\u009b31m\u202e\u2028\u2029\x7f\"'\\<&\xff\ufeff\U000e0001é" + strings.Repeat("x", 5000)

// checkPlain fails when output has a character that a terminal does not show.
func checkPlain(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) {
		t.Errorf("invalid UTF-8: %q", out)
	}
	for _, r := range string(out) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%U stands raw in %.300q", r, out)
		}
	}
}

// JSON means the same afterwards.
func TestJSON(t *testing.T) {
	for _, s := range []string{"", "plain", hostile, "\U0001f600 ok", "\u202d"} {
		b, err := json.Marshal(map[string]string{"a": s})
		if err != nil {
			t.Fatal(err)
		}
		got := plain.JSON(b)
		checkPlain(t, got)
		var is, want map[string]string
		if err := json.Unmarshal(got, &is); err != nil {
			t.Fatal(err)
		}
		json.Unmarshal(b, &want)
		if is["a"] != want["a"] {
			t.Errorf("%q became %q", want["a"], is["a"])
		}
	}
}

// Both kinds of log are one line for one record, without raw controls and
// with an end.
func TestHostileLog(t *testing.T) {
	for name, make := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(plain.Writer(b), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(plain.NewHandler(make(&out), plain.Options{}))
			log.Info("m "+hostile, "s", hostile, "err", errors.New(hostile), "any", []string{hostile}, "g", slog.GroupValue(slog.String("x", hostile)))
			log.With("w", hostile).Warn("second")
			checkPlain(t, out.Bytes())
			if n := strings.Count(out.String(), "\n"); n != 2 {
				t.Errorf("%d lines", n)
			}
			if out.Len() > 16<<10 {
				t.Errorf("%d bytes", out.Len())
			}
		})
	}
}

// A flood of one kind of line becomes a burst and a count; other lines are
// not in its way.
func TestRepeats(t *testing.T) {
	var out bytes.Buffer
	var due []func()
	h := plain.NewHandler(slog.NewTextHandler(&out, nil), plain.Options{Burst: 3, After: func(d time.Duration, f func()) {
		if d <= 0 || d > 10*time.Second {
			t.Errorf("told after %v", d)
		}
		due = append(due, f)
	}})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	say := func(text string) {
		at = at.Add(time.Millisecond)
		r := slog.NewRecord(at, slog.LevelInfo, text, 0)
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	lines := func() int { return strings.Count(out.String(), "\n") }
	for range 1000 {
		say("refused")
	}
	say("up")
	if lines() != 4 || len(due) != 1 {
		t.Fatalf("%d lines, %d counts", lines(), len(due))
	}
	due[0]()
	if !strings.Contains(out.String(), "refused … 997 more") || !strings.Contains(out.String(), "count=997") {
		t.Error(out.String())
	}
	due[0]() // there is nothing more to tell
	if lines() != 5 {
		t.Errorf("%d lines", lines())
	}
	// The next window has its own burst.
	at = at.Add(time.Minute)
	for range 5 {
		say("refused")
	}
	if lines() != 8 || len(due) != 2 {
		t.Errorf("%d lines, %d counts", lines(), len(due))
	}
}

// However many kinds there are, the table has its size and what is written
// its bound.
func TestKindsAreBounded(t *testing.T) {
	var out bytes.Buffer
	counts := 0
	h := plain.NewHandler(slog.NewTextHandler(&out, nil), plain.Options{Burst: 2, Kinds: 10, After: func(time.Duration, func()) { counts++ }})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 10_000 {
		h.Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, fmt.Sprint("kind ", i), 0))
	}
	if n := strings.Count(out.String(), "\n"); n != 12 || counts != 1 {
		t.Errorf("%d lines, %d counts", n, counts)
	}
}

// What a command prints is shown as it is, but for what moves a terminal.
func TestTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain é \U0001f600\n\ttable\n": "plain é \U0001f600\n\ttable\n",
		"\x1b[2J\r\x00\x7f":             `\x1b[2J\x0d\x00\x7f`,
		"\u009b31m \u202e\u2028\ufeff":  `\u009b31m \u202e\u2028\ufeff`,
		"\U000e0001":                    `\U000e0001`,
		"\xff\xc3(":                     `\xff\xc3(`,
	} {
		var out bytes.Buffer
		n, err := plain.Terminal(&out).Write([]byte(in))
		if n != len(in) || err != nil || out.String() != want {
			t.Errorf("%q became %q, want %q (%d %v)", in, out.String(), want, n, err)
		}
	}
	var out bytes.Buffer
	fmt.Fprint(plain.Terminal(&out), hostile)
	checkPlain(t, out.Bytes())
}
