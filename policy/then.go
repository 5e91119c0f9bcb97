package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// thenYAML is what a rule does.
type thenYAML struct {
	verdict call.Verdict // of ban, hold and hangup: see rule.verdictOn
	status  int
	flag    bool
	act     call.Act
	last    time.Duration // of a ban or hold; 0: a ban that doubles with each repetition
	text    string        // as it is written
}

// maxLast bounds how long one ban or hold lasts.
const maxLast = 30 * 24 * time.Hour

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
	case "ban":
		t.act = call.ActBan
		if arg == "" {
			return nil
		}
		return t.lasts(word, arg)
	case "hold":
		t.act = call.ActHold
		if arg == "" {
			return fmt.Errorf("hold needs a time, such as hold 1h")
		}
		return t.lasts(word, arg)
	}
	if arg != "" && slices.Contains(thenWords(), word) {
		return fmt.Errorf("%s takes no value", word)
	}
	switch word {
	case "allow":
		t.verdict = call.Allow
	case "drop":
		t.verdict = call.Drop
	case "challenge":
		t.verdict = call.Challenge
	case "hangup":
		t.act = call.ActHangup
	case "flag":
		t.flag = true
	default:
		hint := "one of " + strings.Join(thenNames, ", ")
		if best := strictyaml.Nearest(word, thenWords()); best != "" {
			hint = "did you mean " + best + "?"
		}
		return fmt.Errorf("%q is no action: %s", text, hint)
	}
	return nil
}

// thens are the actions as they are written, and what each does. The reference
// page is made of it.
var thens = []struct{ form, doc string }{
	{"allow", "Lets the request pass what follows in this file. Other files and `countries:` keep their opinion: the strictest wins."},
	{"reject CODE", "Answers with a SIP code from 400 to 699, 403 when none is written. 401 and 407 are challenges and not refusals."},
	{"drop", "Stays silent. On TCP and TLS the connection is closed."},
	{"challenge", "Asks for credentials, 401 or 407. Who has some is let through to the PBX, which judges them: the gateway knows no passwords. It proves that the address is real."},
	{"ban [DURATION]", "Refuses whoever the `key:` of the rule or limit names, for that time; without one for 5 minutes, doubling with each repetition up to 12 hours. An address is banned only on a transport that proves it, and never while a phone with a good registration is behind it: then the request alone is dropped."},
	{"hangup", "Ends a call that is up on both sides; for rules `on: progress` only."},
	{"hold DURATION", "Holds the costly calls of an account (the user, else the peer, else the PBX) for that time: calls abroad and to premium rate, shared cost, satellite, personal, pager and unallocated numbers get 403. The rest goes on, and so does this request, unless it is costly itself."},
	{"flag", "Tells, and lets the search go on."},
}

var thenNames = func() (out []string) {
	for _, t := range thens {
		out = append(out, t.form)
	}
	return out
}()

func thenWords() (out []string) {
	for _, n := range thenNames {
		word, _, _ := strings.Cut(n, " ")
		out = append(out, word)
	}
	return out
}

func (t *thenYAML) lasts(word, arg string) (err error) {
	t.last, err = strictyaml.ParseDuration(arg)
	if err != nil {
		return fmt.Errorf("%s %s: write a time such as 10m, 1h or 1d", word, arg)
	}
	if t.last < time.Second || t.last > maxLast {
		return fmt.Errorf("%s %s: 1s to 30d", word, arg)
	}
	return nil
}
