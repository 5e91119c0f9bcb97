package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// item is an event, and what a CDR knows of the request beyond it.
type item struct {
	call.Event
	facts     *call.Facts
	transport string
}

// line is one line of a file: an event, or a CDR.
type line struct {
	item
	cdr *call.Record
}

var kinds = map[call.EventKind]bool{call.EventInvite: true, call.EventRinging: true, call.EventAnswer: true, call.EventEnd: true,
	call.EventRegister: true, call.EventOptions: true, call.EventMessage: true, call.EventFinding: true}

// decode reads a line. A CDR has no "event".
func (l *line) decode(text []byte) error {
	if err := json.Unmarshal(text, &l.Event); err != nil {
		return unreadable(err)
	}
	ev := &l.Event
	if ev.Kind == "" {
		var r call.Record
		if err := json.Unmarshal(text, &r); err != nil {
			return unreadable(err)
		}
		if r.Start == nil || r.End == nil || r.CallID == "" {
			return errors.New("neither an event (event is missing) nor a CDR (start, end and call_id)")
		}
		l.cdr = &r
		return nil
	}
	switch {
	case !kinds[ev.Kind]:
		return fmt.Errorf("event %q is none that there is", short(string(ev.Kind)))
	case ev.At.IsZero():
		return errors.New("no time: at is missing")
	case ev.ID == "" && (ev.Kind == call.EventInvite || ev.Kind == call.EventRinging || ev.Kind == call.EventAnswer || ev.Kind == call.EventEnd):
		return errors.New("no id")
	}
	return nil
}

func short(s string) string { return s[:min(len(s), 40)] }

// unreadable says what is wrong with a line in terms of the line.
func unreadable(err error) error {
	if bad := (*json.UnmarshalTypeError)(nil); errors.As(err, &bad) {
		return fmt.Errorf("neither an event nor a CDR: %s cannot be %s %s", bad.Field, article(bad.Value), short(bad.Value))
	}
	return err
}

func article(what string) string {
	if strings.HasPrefix(what, "o") || strings.HasPrefix(what, "a") { // object, array
		return "an"
	}
	return "a"
}
