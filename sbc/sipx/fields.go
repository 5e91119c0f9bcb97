package sipx

import (
	"net/textproto"

	"github.com/rampart-sbc/rampart/call"
)

// maxFieldValue bounds what of one value is handed on. It is more than any
// condition reads (512 bytes), so that whoever reads it sees a value that is
// too long and not a shorter one.
const maxFieldValue = 520

// Fields are the header fields of these names (lower case, no compact forms),
// in the order of the names; nil when nobody asks for any. How many there can
// be is bounded by the parser.
func (r *Request) Fields(names []string) (out []call.Header) {
	for _, name := range names {
		for _, v := range r.Headers(textproto.CanonicalMIMEHeaderKey(name)) {
			if len(v) > maxFieldValue {
				v = v[:maxFieldValue]
			}
			out = append(out, call.Header{Name: name, Value: v})
		}
	}
	return out
}
