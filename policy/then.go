package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// thenYAML is what a rule does.
type thenYAML struct {
	verdict call.Verdict
	status  int
	flag    bool
	text    string // as it is written
}

func (t *thenYAML) UnmarshalScalar(text string, _ bool) error {
	t.text = text
	word, arg, _ := strings.Cut(strings.TrimSpace(text), " ")
	arg = strings.TrimSpace(arg)
	switch word {
	case "reject":
		t.verdict, t.status = call.Reject, 403
		if arg == "" {
			return nil
		}
		code, err := strconv.Atoi(arg)
		if err != nil || len(arg) != 3 || code < 400 || code > 699 {
			return fmt.Errorf("reject %s: a SIP refusal is 400 to 699", arg)
		}
		if code == 401 || code == 407 {
			return fmt.Errorf("reject %s: a challenge is not a refusal", arg)
		}
		t.status = code
		return nil
	case "challenge", "ban", "hangup", "hold":
		return fmt.Errorf("%s is not available in this version; use reject or drop", word)
	}
	if arg != "" {
		return fmt.Errorf("%s takes no value", word)
	}
	switch word {
	case "allow":
		t.verdict = call.Allow
	case "drop":
		t.verdict = call.Drop
	case "flag":
		t.flag = true
	default:
		return fmt.Errorf("%q is not one of allow, reject CODE, drop, flag", text)
	}
	return nil
}
