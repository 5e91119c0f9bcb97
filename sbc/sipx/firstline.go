package sipx

import "bytes"

// mayBeSIP is the first look at a datagram, before anybody is asked and
// anything is remembered: whether its first line can be that of SIP, or it is
// a keep-alive. It reads a few dozen octets and knows nothing of methods; what
// passes is judged by Check. What does not pass is no message whose sender
// could be told anything: other protocols, answers of amplifiers, noise.
func mayBeSIP(b []byte) bool {
	if isKeepAlive(b) {
		return true
	}
	if len(b) < len("A b SIP/2.0\r\n\r\n") {
		return false
	}
	if isStatusLine(b) {
		// SIP-Version SP 3DIGIT SP; which version is for Check to say.
		sp := bytes.IndexByte(b[:min(16, len(b))], ' ')
		return sp > 4 && sp+4 < len(b) && isDigit(b[sp+1]) && isDigit(b[sp+2]) && isDigit(b[sp+3])
	}
	sp := 0
	for sp < maxMethod && sp < len(b) && charClass[b[sp]]&classToken != 0 {
		sp++
	}
	if sp == 0 || sp+1 >= len(b) || b[sp] != ' ' || !beginsURI(b[sp+1]) {
		return false
	}
	eol := bytes.IndexByte(b[sp:], '\n')
	return eol > 0 && bytes.Contains(b[sp:sp+eol], []byte(" SIP/"))
}

// maxMethod is longer than any method there is.
const maxMethod = 64

// keepAliveMax: RFC 5626 §4.4.1 has four octets, phones send NULs and CRLFs of
// their own.
const keepAliveMax = 8

// isKeepAlive: nothing but line ends and NULs.
func isKeepAlive(b []byte) bool {
	if len(b) > keepAliveMax {
		return false
	}
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

// beginsURI: a Request-URI begins with its scheme. Angle brackets around it and
// a second space before it are mistakes whose sender may be told (RFC 4475
// §3.1.2.7, §3.1.2.9).
func beginsURI(c byte) bool { return isLetter(c) || c == '<' || c == ' ' }

func isLetter(c byte) bool { c = lower(c); return 'a' <= c && c <= 'z' }
