package plain

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"
)

// Options of a Handler. Zero fields take the defaults.
type Options struct {
	Burst  int           // lines of one kind in a window: 20
	Window time.Duration // 10 s
	Kinds  int           // kinds that are told apart; the rest is one: 512
	Text   int           // bytes of one value: 1024; stacks have 16 times as much
	// After tells f when a window is over, so that the count of what was left
	// out is written even if nothing follows: time.AfterFunc.
	After func(d time.Duration, f func())
}

// Handler passes records on to another one, few of each kind: a kind is a
// level and a message, which is text of ours and not of the network. What is
// too much within a window is counted, and one line says how many there were
// and when the first and last. Debug lines are counted like others: who reads
// them reads few at a time.
type Handler struct {
	next slog.Handler
	*quota
}

// quota is what all handlers made of one share.
type quota struct {
	o  Options
	mu sync.Mutex
	of map[kind]*kept
}

type kind struct {
	level slog.Level
	text  string
}

// kept is the window of one kind.
type kept struct {
	began, first, last time.Time
	passed, left       int
}

// others is the kind of those that have no room of their own.
const others = "lines of other kinds"

// NewHandler makes one over next.
func NewHandler(next slog.Handler, o Options) *Handler {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Burst, 20)
	def(&o.Kinds, 512)
	def(&o.Text, 1024)
	if o.Window <= 0 {
		o.Window = 10 * time.Second
	}
	if o.After == nil {
		o.After = func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	}
	return &Handler{next, &quota{o: o, of: map[kind]*kept{}}}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(as []slog.Attr) slog.Handler {
	return &Handler{h.next.WithAttrs(h.capped(as)), h.quota}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.quota}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.pass(r) {
		return nil
	}
	out := slog.NewRecord(r.Time, r.Level, cut(r.Message, h.o.Text), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.cap(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

// pass counts a record and says whether it is written. The first one that is
// not makes sure that the count is.
func (h *Handler) pass(r slog.Record) bool {
	now := r.Time
	h.mu.Lock()
	defer h.mu.Unlock()
	k := kind{r.Level, cut(r.Message, h.o.Text)}
	w := h.of[k]
	if w == nil && len(h.of) >= h.o.Kinds {
		h.sweep(now)
		if len(h.of) >= h.o.Kinds {
			k.text = others
			w = h.of[k]
		}
	}
	if w == nil {
		w = &kept{began: now}
		h.of[k] = w
	}
	// While a count waits to be written its window is not over, whatever the clock says.
	if w.left == 0 && (now.Sub(w.began) >= h.o.Window || now.Before(w.began)) {
		*w = kept{began: now}
	}
	if w.passed < h.o.Burst {
		w.passed++
		return true
	}
	if w.left++; w.left == 1 {
		w.first = now
		h.o.After(h.o.Window-now.Sub(w.began), func() { h.tell(k) })
	}
	w.last = now
	return false
}

// sweep forgets windows that are over and have nothing to tell.
func (q *quota) sweep(now time.Time) {
	for k, w := range q.of {
		if w.left == 0 && now.Sub(w.began) >= q.o.Window {
			delete(q.of, k)
		}
	}
}

// tell writes how many lines of a kind were left out.
func (h *Handler) tell(k kind) {
	h.mu.Lock()
	w := h.of[k]
	if w == nil || w.left == 0 {
		h.mu.Unlock()
		return
	}
	was := *w
	delete(h.of, k)
	h.mu.Unlock()
	r := slog.NewRecord(was.last, k.level, fmt.Sprintf("%s … %d more", k.text, was.left), 0)
	r.AddAttrs(slog.Int("count", was.left), slog.Time("first", was.first), slog.Time("last", was.last))
	h.next.Handle(context.Background(), r)
}

func (h *Handler) capped(as []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(as))
	for i, a := range as {
		out[i] = h.cap(a)
	}
	return out
}

// cap bounds the value of an attribute.
func (h *Handler) cap(a slog.Attr) slog.Attr {
	most := h.o.Text
	if a.Key == "stack" {
		most *= 16
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cut(v.String(), most))
	case slog.KindGroup:
		a.Value = slog.GroupValue(h.capped(v.Group())...)
	case slog.KindAny:
		switch x := v.Any().(type) {
		case nil:
		case error:
			a.Value = slog.StringValue(cut(x.Error(), most))
		default:
			a.Value = slog.StringValue(cut(fmt.Sprint(x), most))
		}
	default:
		a.Value = v
	}
	return a
}

// cut is at most n bytes of a text, and never half a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
