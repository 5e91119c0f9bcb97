package sipx

import (
	"strconv"
	"strings"
)

// SessionTimer is what Session-Expires says (RFC 4028 §4). The refresher is
// named by its role in the transaction, and transactions cross the gateway one
// for one, so the word means the same end on both legs.
type SessionTimer struct {
	Seconds   int
	Refresher string // uac, uas or ""
}

// SessionTimer of a request; false when it has none that can be read.
func (r *Request) SessionTimer() (SessionTimer, bool) {
	return sessionTimer(r.Header("Session-Expires"))
}

// SessionTimer of a response.
func (r *Response) SessionTimer() (SessionTimer, bool) {
	return sessionTimer(r.Header("Session-Expires"))
}

// Supports reports whether the sender of the request knows an extension.
func (r *Request) Supports(tag string) bool {
	for _, name := range []string{"Supported", "Require"} {
		for _, t := range r.OptionTags(name) {
			if strings.EqualFold(t, tag) {
				return true
			}
		}
	}
	return false
}

func (t SessionTimer) String() string {
	s := strconv.Itoa(t.Seconds)
	if t.Refresher != "" {
		s += ";refresher=" + t.Refresher
	}
	return s
}

func sessionTimer(v string) (t SessionTimer, ok bool) {
	n, params, _ := strings.Cut(v, ";")
	if t.Seconds, ok = deltaSeconds(n); !ok {
		return SessionTimer{}, false
	}
	for p := range strings.SplitSeq(params, ";") {
		name, val, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "refresher") {
			continue
		}
		if val = strings.ToLower(strings.TrimSpace(val)); val == "uac" || val == "uas" {
			t.Refresher = val
		}
	}
	return t, true
}

// deltaSeconds reads a whole number of seconds, at most what 31 bits hold.
func deltaSeconds(v string) (int, bool) {
	v = strings.TrimSpace(v)
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		n = 1<<31 - 1
	}
	return int(n), true
}

// cleanSessionExpires keeps the interval and the refresher; other parameters
// are free text.
func cleanSessionExpires(v string) string {
	if t, ok := sessionTimer(v); ok {
		return t.String()
	}
	return ""
}

func cleanMinSE(v string) string {
	n, _, _ := strings.Cut(v, ";")
	if s, ok := deltaSeconds(n); ok {
		return strconv.Itoa(s)
	}
	return ""
}
