package number

import "fmt"

// carrierSelection is what people in a country dial to choose a carrier for one
// call, before the number itself: x is any digit. Choices of an international
// carrier that are part of the international prefix (00 15 in Brazil, 990 in
// Finland) stand among the international prefixes instead.
var carrierSelection = map[string][]string{
	"AT": {"10xx"},
	"AU": {"14xx"},
	"BE": {"15xx", "16xx"},
	"BR": {"0xx"},
	"CA": {"101xxxx"},
	"CH": {"107xx", "108xx"},
	"CO": {"0x", "04xx"},
	"DE": {"0100xx", "010xx"},
	"ES": {"10xx"},
	"FI": {"10xxx"},
	"FR": {"16xx"},
	"GB": {"1xxx", "18xxx"},
	"HU": {"15xx"},
	"IT": {"10xx", "10xxx"},
	"KR": {"08x", "08xxx"},
	"NL": {"16xx"},
	"PL": {"10xx"},
	"PT": {"10xx"},
	"SE": {"95xx"},
	"US": {"101xxxx"},
}

// CarrierSelection lists the carrier selection prefixes that are known of a
// country.
func CarrierSelection(country string) []string {
	return append([]string(nil), carrierSelection[country]...)
}

// maxPrefixes caps each list of prefixes of a Home, maxPrefix each of them.
const (
	maxPrefixes = 64
	maxPrefix   = 10
)

// pattern is digits, of which x is any.
type pattern string

func (p pattern) matches(d []byte) bool {
	if len(d) < len(p) {
		return false
	}
	for i := range len(p) {
		if p[i] != 'x' && p[i] != d[i] || d[i] < '0' || d[i] > '9' {
			return false
		}
	}
	return true
}

func compilePattern(text string) (pattern, error) {
	if len(text) < 2 || len(text) > maxPrefix || text[0] == 'x' {
		return "", fmt.Errorf("%q is not a prefix of 2 to %d digits, in which x is any digit", text, maxPrefix)
	}
	for i := range len(text) {
		if text[i] != 'x' && (text[i] < '0' || text[i] > '9') {
			return "", fmt.Errorf("%q is not a prefix of digits, in which x is any digit", text)
		}
	}
	return pattern(text), nil
}

// techPrefix checks a tech prefix: digits, "*" and "#".
func techPrefix(text string) error {
	if text == "" || len(text) > maxPrefix {
		return fmt.Errorf("%q is not a prefix of 1 to %d characters", text, maxPrefix)
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && c != '*' && c != '#' {
			return fmt.Errorf("%q is not a prefix of digits, * and #", text)
		}
	}
	return nil
}
