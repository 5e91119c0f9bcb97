package media

import "encoding/binary"

// RTCP packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2).
const (
	rtcpSR   = 200
	rtcpRR   = 201
	rtcpSDES = 202
	rtcpBYE  = 203
	rtcpFB   = 205
	rtcpPSFB = 206
	rtcpXR   = 207
)

// rewriteRTCP appends to dst what of a compound packet may cross, and returns
// nil and the cause when nothing does. src is in the clear and not changed.
//
// What crosses, and in which form: the two ends must be able to report to
// each other, and must not learn who and where the other end is.
//
//	SR, RR   report blocks; profile-specific extensions are cut off
//	SDES     one CNAME per chunk, ours; every other item (NAME, EMAIL, TOOL …) goes
//	BYE      of the sources those that this end has sent sound with: nobody
//	         ends the stream of another; the reason, which is free text, goes
//	RTPFB    whole (NACK, transport-wide feedback): numbers only
//	PSFB     whole, but of application-layer feedback only REMB
//	XR       blocks 1 to 7 (RFC 3611), which hold numbers only
//	APP, others   nothing: their content is anybody's
//
// Padding goes too. A packet whose lengths do not add up is refused whole,
// also when a reader more lenient than this one could use its beginning.
func rewriteRTCP(dst, src []byte, cname string, heard *voices) ([]byte, Cause) {
	for len(src) > 0 {
		if len(src) < 4 || src[0]>>6 != 2 {
			return nil, Malformed
		}
		size := 4 * (int(binary.BigEndian.Uint16(src[2:])) + 1)
		if size > len(src) {
			return nil, Malformed
		}
		p := src[:size]
		src = src[size:]
		if p[0]&0x20 != 0 {
			// Only the last packet of a compound is padded (RFC 3550 §6.4.1).
			n := int(p[size-1])
			if len(src) > 0 || n == 0 || n%4 != 0 || n > size-4 {
				return nil, Malformed
			}
			p = p[:size-n]
		}
		var ok bool
		if dst, ok = rewriteOne(dst, p, cname, heard); !ok {
			return nil, Malformed
		}
		if len(dst) > maxPacket {
			return nil, Malformed
		}
	}
	if len(dst) < rtcpHeader {
		return nil, Filtered
	}
	return dst, 0
}

// rewriteOne appends one packet of a compound; p has its exact length.
func rewriteOne(dst, p []byte, cname string, heard *voices) ([]byte, bool) {
	count := int(p[0] & 0x1f)
	switch p[1] {
	case rtcpSR, rtcpRR:
		n := 8 + 24*count
		if p[1] == rtcpSR {
			n += 20
		}
		if n > len(p) {
			return nil, false
		}
		return appendRTCP(dst, p[0], p[1], p[4:n]), true

	case rtcpSDES:
		return rewriteSDES(dst, p[4:], count, cname)

	case rtcpBYE:
		n := 4 + 4*count
		if n > len(p) {
			return nil, false
		}
		return rewriteBYE(dst, p[4:n], heard), true

	case rtcpFB, rtcpPSFB:
		if len(p) < 12 {
			return nil, false
		}
		if p[1] == rtcpPSFB && count == 15 && (len(p) < 20 || string(p[12:16]) != "REMB") {
			return dst, true
		}
		return appendRTCP(dst, p[0], p[1], p[4:]), true

	case rtcpXR:
		return rewriteXR(dst, p)
	}
	return dst, true
}

// appendRTCP appends a packet without padding. first gives the count bits.
func appendRTCP(dst []byte, first, kind byte, body []byte) []byte {
	words := len(body) / 4
	dst = append(dst, 0x80|first&0x1f, kind, byte(words>>8), byte(words))
	return append(dst, body...)
}

// rewriteBYE keeps the sources that are the sender's own.
func rewriteBYE(dst, sources []byte, heard *voices) []byte {
	start, count := len(dst), byte(0)
	dst = append(dst, 0x80, rtcpBYE, 0, 0)
	for ; len(sources) >= 4; sources = sources[4:] {
		if heard.knows(binary.BigEndian.Uint32(sources)) {
			dst = append(dst, sources[:4]...)
			count++
		}
	}
	if count == 0 {
		return dst[:start] // none: legal and says nothing
	}
	dst[start] |= count
	dst[start+3] = count
	return dst
}

// rewriteSDES replaces the items of every chunk by one CNAME (RFC 3550 §6.5).
func rewriteSDES(dst, body []byte, count int, cname string) ([]byte, bool) {
	if count == 0 {
		return dst, true
	}
	start := len(dst)
	dst = append(dst, 0x80|byte(count), rtcpSDES, 0, 0)
	for range count {
		if len(body) < 8 { // SSRC and at least a word of items or their end
			return nil, false
		}
		dst = append(dst, body[:4]...)
		n := 4
		for n < len(body) && body[n] != 0 {
			if n+1 >= len(body) {
				return nil, false
			}
			n += 2 + int(body[n+1])
		}
		if n = n&^3 + 4; n > len(body) { // one to four zero bytes end a chunk
			return nil, false
		}
		body = body[n:]
		dst = append(dst, 1, byte(len(cname)))
		dst = append(dst, cname...)
		for dst = append(dst, 0); (len(dst)-start)%4 != 0; {
			dst = append(dst, 0)
		}
		if len(dst) > maxPacket {
			return nil, false
		}
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst, true
}

// rewriteXR keeps the report blocks that are known to hold numbers only.
func rewriteXR(dst, p []byte) ([]byte, bool) {
	if len(p) < 8 {
		return nil, false
	}
	start := len(dst)
	dst = append(dst, 0x80, rtcpXR, 0, 0)
	dst = append(dst, p[4:8]...)
	for p = p[8:]; len(p) > 0; {
		n := 4 * (int(binary.BigEndian.Uint16(p[2:])) + 1)
		if n > len(p) {
			return nil, false
		}
		if p[0] >= 1 && p[0] <= 7 {
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
	}
	if len(dst)-start == 8 {
		return dst[:start], true
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst, true
}
