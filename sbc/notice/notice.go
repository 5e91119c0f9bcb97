// Package notice rewrites what the bodies of event notifications, published
// state and short messages say, so that nothing of one side of the gateway
// reaches the other in them. It answers "how does this read on the other
// side".
//
// A body is read completely and written anew from what is listed here: an
// element, an attribute or a line that nobody thought of does not cross. It
// knows no message, no dialog and no host: what a URI, a dialog or an
// identifier is called on the other side is for the [Mapper] to say. Session
// descriptions are not its business (sbc/sdp), nor is what people write to
// each other. It keeps no state and reads no clock. A body that cannot be
// read is an error, never passed on as it is.
//
// Start reading at [Rewrite].
package notice

import (
	"errors"
	"fmt"
	"strings"
)

// A Mapper knows what things are called on the other side.
type Mapper interface {
	// URI is the address as the other side knows it; false leaves it out.
	URI(string) (string, bool)
	// Dialog is a dialog's Call-ID and tags; any of them may be "".
	Dialog(callID, local, remote string) (string, string, string)
	// ID stands for an identifier that may tell something.
	ID(string) string
}

// The media types that are known here.
const (
	Sipfrag        = "message/sipfrag"
	MessageSummary = "application/simple-message-summary"
	DialogInfo     = "application/dialog-info+xml"
	PIDF           = "application/pidf+xml"
	ConferenceInfo = "application/conference-info+xml"
	FeatureEvent   = "application/x-as-feature-event+xml"
	IsComposing    = "application/im-iscomposing+xml"
)

// Caps on one body: beyond them it is no notification.
const (
	MaxSize     = 64 << 10
	maxDepth    = 12
	maxElements = 2000
	maxText     = 256
)

// ErrType is a media type that is not known here.
var ErrType = errors.New("body of a type that is not rewritten")

// Rewrite writes a body for the other side. The media type is in lower case,
// without parameters.
func Rewrite(mediaType string, b []byte, m Mapper) ([]byte, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("body of %d bytes", len(b))
	}
	if mediaType == MessageSummary {
		return summary(b, m)
	}
	s, ok := schemas[mediaType]
	if !ok {
		return nil, ErrType
	}
	out, err := s.rewrite(b, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mediaType, err)
	}
	return out, nil
}

// StatusLine keeps of a message/sipfrag (RFC 3420) the status line: how a
// transfer goes on, not who said so.
func StatusLine(b []byte) ([]byte, bool) {
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimRight(line, "\r ")
	rest, ok := strings.CutPrefix(line, "SIP/2.0 ")
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return nil, false
	}
	code, phrase := rest[:3], strings.TrimSpace(rest[3:])
	if strings.Trim(code, "0123456789") != "" || code[0] < '1' || code[0] > '6' {
		return nil, false
	}
	if !plainWords(phrase) {
		phrase = map[byte]string{'1': "Trying", '2': "OK"}[code[0]]
		if phrase == "" {
			phrase = "Failure"
		}
	}
	return []byte("SIP/2.0 " + code + " " + phrase + "\r\n"), true
}

// plainWords: a phrase that cannot be an address.
func plainWords(v string) bool {
	for _, c := range v {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != ' ' && c != '-' && c != '/' {
			return false
		}
	}
	return v != "" && len(v) <= 60
}

// summary rewrites an application/simple-message-summary (RFC 3842 §5.2).
// Headers of the messages themselves, behind an empty line, do not cross.
func summary(b []byte, m Mapper) ([]byte, error) {
	var out strings.Builder
	waiting := false
	for line := range strings.SplitSeq(string(b), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" {
			break
		}
		name, v, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errors.New("message summary: a line without a name")
		}
		name, v = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(v)
		switch name {
		case "messages-waiting":
			if v = strings.ToLower(v); v != "yes" && v != "no" || waiting {
				return nil, errors.New("message summary: Messages-Waiting is yes or no")
			}
			waiting = true
			out.WriteString("Messages-Waiting: " + v + "\r\n")
		case "message-account":
			if u, ok := m.URI(v); ok {
				out.WriteString("Message-Account: " + u + "\r\n")
			}
		case "voice-message", "fax-message", "pager-message", "multimedia-message", "text-message", "none":
			if counts(v) {
				out.WriteString(strings.ToUpper(name[:1]) + strings.Replace(name[1:], "-m", "-M", 1) + ": " + v + "\r\n")
			}
		}
	}
	if !waiting {
		return nil, errors.New("message summary without Messages-Waiting")
	}
	return []byte(out.String()), nil
}

// counts: "2/8" or "2/8 (0/2)".
func counts(v string) bool {
	return len(v) <= 64 && v != "" && strings.Trim(v, "0123456789/() ") == ""
}
