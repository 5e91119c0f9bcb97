package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rampart-sbc/rampart/call"
)

// marks stand before steps, so that the eye finds what mattered.
var marks = map[call.Outcome]string{
	call.Noted: " ", call.Passed: "·", call.Missed: "-", call.Skipped: " ", call.Matched: ">", call.Flagged: "!", call.Shadowed: "~", call.Opened: "+",
}

var titles = []struct {
	stage call.Stage
	title string
}{
	{call.StageSender, "Sender"}, {call.StageCaller, "Caller"}, {call.StageCallee, "Callee"}, {call.StageEmergency, "Emergency"},
	{call.StageLimit, "Limits"}, {call.StageCountries, "Countries"}, {call.StageRule, "Rules"}, {call.StageException, "Exceptions"},
	{call.StageGuard, "Gateway"}, {call.StageFallback, "Otherwise"}, {call.StageVerdict, "Verdict"},
}

func title(s call.Stage) string {
	for _, t := range titles {
		if t.stage == s {
			return t.title
		}
	}
	return string(s)
}

// Text writes a trace for people: the answer first, then the way to it in the
// order of asking. Text from the network is escaped.
func (t Trace) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.headline())
	fmt.Fprintf(&b, "%s, policy %s, numbering data %s\n", t.At.Format("Mon 2006-01-02 15:04:05 -07:00"), t.Policy, t.Data)
	if t.ID != "" || t.SIPCallID != "" {
		fmt.Fprintf(&b, "call %s, pass %d, Call-ID %s\n", Printable(t.ID), t.Pass, Printable(t.SIPCallID))
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "Note: %s\n", Printable(n))
	}
	b.WriteString("\n")
	var last call.Stage
	for _, st := range t.Steps {
		head := ""
		if st.Stage != last {
			head, last = title(st.Stage), st.Stage
		}
		line := fmt.Sprintf("%-10s %s ", head, marks[st.Outcome])
		if st.Rule != "" && st.Stage != call.StageEmergency {
			line += st.Rule + ": "
		}
		line += st.Text
		if st.Outcome == call.Matched || st.Outcome == call.Flagged || st.Outcome == call.Shadowed {
			if st.At != "" {
				line += " [" + st.At + "]"
			}
		}
		b.WriteString(strings.TrimRight(Printable(line), " ") + "\n")
	}
	b.WriteString("\n> decided  ! flagged  ~ shadow  + opened by an exception  - did not match  · asked, nothing against it\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// headline is the decision in one line.
func (t Trace) headline() string {
	line := strings.ToUpper(t.Verdict.String())
	if t.Status != 0 {
		line += " " + strconv.Itoa(t.Status)
	}
	if t.Rule != "" {
		line += " by " + t.Rule
	}
	line += ": " + t.Method
	if t.From.Given != "" {
		line += " from " + t.From.Given
	}
	if t.To.Given != "" && t.Method != "REGISTER" {
		line += " to " + t.To.Given
		if t.To.Number != "" && t.To.Number != t.To.Given {
			line += " = " + t.To.Number
		}
		if t.To.Country != "" {
			line += " (" + t.To.Country + ")"
		}
	}
	return Printable(line + ", " + t.Direction)
}

// Printable escapes what would move a terminal.
func Printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for i, size := 0, 0; i < len(s); i += size {
		r := rune(0)
		switch r, size = utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
