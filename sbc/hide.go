package sbc

import (
	"strings"

	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Free text that may cross and could name a host of the other side.

// reason keeps of a Reason value (RFC 3326 §2) what machines read: protocol
// and cause, and a text of plain words. "" when there is no such value.
func reason(v string) string {
	parts := strings.Split(v, ";")
	proto := strings.TrimSpace(parts[0])
	if proto == "" || strings.Trim(proto, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return ""
	}
	out := proto
	for _, p := range parts[1:] {
		name, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch val = strings.Trim(strings.TrimSpace(val), `"`); strings.ToLower(strings.TrimSpace(name)) {
		case "cause":
			if val != "" && len(val) < 6 && strings.Trim(val, "0123456789") == "" {
				out += ";cause=" + val
			}
		case "text":
			if words(val) {
				out += `;text="` + val + `"`
			}
		}
	}
	return out
}

// words: a phrase, not an address or a name of a host.
func words(v string) bool {
	if v == "" || len(v) > 80 {
		return false
	}
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != ' ' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// tidyReasons does that to header fields that are to cross.
func tidyReasons(hs []sipx.HeaderField) (out []sipx.HeaderField) {
	for _, h := range hs {
		if h.Name != "Reason" {
			out = append(out, h)
			continue
		}
		// Several may stand in one line; a quoted comma makes no plain words.
		for part := range strings.SplitSeq(h.Value, ",") {
			if t := reason(part); t != "" {
				out = append(out, sipx.HeaderField{Name: "Reason", Value: t})
			}
		}
	}
	return out
}

// reasons are the Reason fields of a request, tidied.
func reasons(r *sipx.Request) (out []sipx.HeaderField) {
	for _, v := range r.Headers("Reason") {
		out = append(out, sipx.HeaderField{Name: "Reason", Value: v})
	}
	return tidyReasons(out)
}

// withoutHosts takes those parameters of a user part away that name a host of
// the sender's side: trunk-context (RFC 4904), phone-context.
func withoutHosts(user string) string {
	user, params, _ := strings.Cut(user, ";")
	for p := range strings.SplitSeq(params, ";") {
		if p != "" && (!strings.ContainsAny(p, ".:[%") || globalContext(p)) {
			user += ";" + p
		}
	}
	return user
}

// globalContext: a phone-context that is the beginning of a number, in whatever
// spelling. Without it the digits would be another number.
func globalContext(param string) bool {
	_, v, _ := strings.Cut(param, "=")
	v = unescape(v)
	return strings.HasPrefix(v, "+") && strings.Trim(v, "+0123456789-.()") == ""
}

// maxDisplay bounds the bytes of a display name: no display shows more.
const maxDisplay = 128

// shortened cuts a name at the end of a character, and not behind a lone
// escape.
func shortened(v string) string {
	if len(v) <= maxDisplay {
		return v
	}
	v = strings.ToValidUTF8(v[:maxDisplay], "")
	if n := len(v) - len(strings.TrimRight(v, `\`)); n%2 == 1 {
		v = v[:len(v)-1]
	}
	return v
}

// display makes a display name that can stand between quotes, whatever it
// was: no quote without its escape, no escape without its character.
func display(v string) string {
	v = shortened(v)
	escaped := false
	for i := range len(v) {
		switch {
		case escaped:
			escaped = false
		case v[i] == '\\':
			escaped = true
		case v[i] == '"':
			return ""
		}
	}
	if escaped {
		return ""
	}
	return v
}
