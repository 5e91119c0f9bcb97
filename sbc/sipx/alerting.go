package sipx

import (
	"slices"
	"strings"
)

// maxAlerting bounds the values of one kind.
const maxAlerting = 4

// Alerting returns how the called telephone is to ring or answer: Alert-Info
// (RFC 3261 §20.4, RFC 7462), the answer-after of Call-Info that telephones of
// many makes know, and Answer-Mode (RFC 5373). A URI becomes one of our
// domain, as telephones look at the parameters; tones are never fetched. It is
// for what a PBX asks of its own telephones and for nobody else: who may say
// "answer by yourself" may listen into the room.
func (r *Request) Alerting(domain string) (out []HeaderField) {
	for _, f := range []struct {
		name  string
		clean func(v, domain string) string
	}{{"Alert-Info", alertInfo}, {"Call-Info", callInfo}, {"Answer-Mode", answerMode}, {"Priv-Answer-Mode", answerMode}} {
		n := 0
		for _, v := range splitRoutes(r.Headers(f.name)) {
			if v = f.clean(strings.TrimSpace(v), domain); v != "" && n < maxAlerting {
				out = append(out, HeaderField{f.name, v})
				n++
			}
		}
	}
	return out
}

// ringWord: letters, digits, hyphens, underscores; no stop, so no address.
func ringWord(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}

// ringParams keeps the parameters that are a word, or a name and a word.
func ringParams(s string, names ...string) (out string) {
	for p := range strings.SplitSeq(s, ";") {
		name, val, has := strings.Cut(strings.TrimSpace(p), "=")
		name, val = strings.TrimSpace(name), strings.TrimSpace(val)
		quoted := len(val) >= 2 && val[0] == '"' && val[len(val)-1] == '"'
		if quoted {
			val = val[1 : len(val)-1]
		}
		if !ringWord(name) || has && !ringWord(val) || len(names) > 0 && !slices.Contains(names, strings.ToLower(name)) {
			continue
		}
		if out += ";" + name; has {
			out += "=" + val
		}
	}
	return out
}

func alertInfo(v, domain string) string {
	if !strings.HasPrefix(v, "<") {
		// "Bellcore-dr2", "Ring Answer": words that telephones have learnt.
		word, rest, _ := strings.Cut(v, ";")
		if word = strings.TrimSpace(word); word == "" || len(word) > 64 || strings.ContainsAny(word, "./") || !plainWords(word) {
			return ""
		}
		return word + ringParams(rest)
	}
	uri, rest, ok := strings.Cut(v[1:], ">")
	if !ok {
		return ""
	}
	params := ringParams(rest)
	switch scheme, name, found := strings.Cut(uri, ":"); {
	case strings.EqualFold(scheme, "urn") && strings.HasPrefix(strings.ToLower(name), "alert:"): // RFC 7462 §9
		for label := range strings.SplitSeq(name[len("alert:"):], ":") {
			if !ringWord(label) {
				return ""
			}
		}
		return "<" + uri + ">" + params
	case !found && ringWord(uri): // <Bellcore-dr2>
		return "<" + uri + ">" + params
	}
	if params == "" {
		return "" // a tone at an address of the other side
	}
	return "<http://" + domain + ">" + params
}

func callInfo(v, domain string) string {
	_, rest, ok := strings.Cut(v, ">")
	params := ringParams(rest, "answer-after")
	if !ok || params == "" {
		return ""
	}
	return "<sip:" + domain + ">" + params
}

// answerMode is Manual or Auto, and perhaps require (RFC 5373 §4.3).
func answerMode(v, _ string) string {
	mode, rest, _ := strings.Cut(v, ";")
	for _, m := range []string{"Manual", "Auto"} {
		if strings.EqualFold(strings.TrimSpace(mode), m) {
			return m + ringParams(rest, "require")
		}
	}
	return ""
}
