package sipx

import (
	"bytes"
	"hash/fnv"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// maxReplyVias bounds what a reply to a malformed request repeats.
const maxReplyVias = 16

// StatelessReply answers a request that no parser may see, by copying the
// lines that a response must repeat (RFC 3261 §8.2.6). The top Via gets
// received and rport from src (RFC 3581); To gets a tag that is the same for
// every retransmission. extra are whole header lines without CRLF. It returns
// nil when a reply would be unsafe or go nowhere: no request, an ACK, a Via,
// Call-ID or CSeq that does not check, From or To missing or twice, or octets
// that do not belong in a header section. The reply is at most a few hundred
// octets longer than the request's own lines.
func StatelessReply(msg []byte, status int, reason string, src netip.AddrPort, extra ...string) []byte {
	end := bytes.Index(msg, crlfcrlf)
	if end < 0 || end > 65535 || isStatusLine(msg) || bytes.HasPrefix(msg, []byte("ACK ")) {
		return nil
	}
	top := msg[:end+2]
	if !utf8.Valid(top) || hasControl(top) {
		return nil
	}
	var vias [maxReplyVias][]byte
	var one [fieldCount][]byte
	n := 0
	for pos := bytes.IndexByte(top, '\n') + 1; pos < len(top); {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return nil
		}
		pos = next
		switch f := fieldOf(name); f {
		case fieldVia:
			for at := 0; at <= len(value); {
				stop, why := viaValue(value, at)
				if why != "" || n == maxReplyVias {
					return nil
				}
				vias[n] = trimLWS(value[at:stop])
				n++
				at = stop + 1
			}
		case fieldFrom, fieldTo, fieldCallID, fieldCSeq:
			if one[f] != nil {
				return nil
			}
			one[f] = value
		}
	}
	if n == 0 || len(one[fieldFrom]) == 0 || len(one[fieldTo]) == 0 || callID(one[fieldCallID]) != "" {
		return nil
	}
	if _, _, why := cseq(one[fieldCSeq]); why != "" {
		return nil
	}

	b := make([]byte, 0, 512)
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(append(b, ' '), reason...), "\r\n"...)
	for i, v := range vias[:n] {
		b = append(b, "Via: "...)
		if i == 0 {
			b = appendTopVia(b, v, src)
		} else {
			b = appendUnfolded(b, v)
		}
		b = append(b, "\r\n"...)
	}
	for _, f := range [...]field{fieldFrom, fieldTo, fieldCallID, fieldCSeq} {
		b = append(append(b, fieldNames[f]...), ": "...)
		b = appendUnfolded(b, one[f])
		if a, stop, why := address(one[f], 0, false); f == fieldTo && why == "" && stop == len(one[f]) && !a.tag {
			h := fnv.New64a()
			h.Write(vias[0])
			h.Write(one[fieldCallID])
			h.Write(one[fieldCSeq])
			b = strconv.AppendUint(append(b, ";tag="...), h.Sum64(), 36)
		}
		b = append(b, "\r\n"...)
	}
	for _, line := range extra {
		b = append(append(b, line...), "\r\n"...)
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

// appendTopVia copies a checked Via value, its received and rport replaced.
func appendTopVia(b, v []byte, src netip.AddrPort) []byte {
	stop := bytes.IndexByte(v, ';')
	if stop < 0 {
		stop = len(v)
	}
	b = appendUnfolded(b, trimLWS(v[:stop]))
	rport := false
	for p := range bytes.SplitSeq(v[stop:], []byte(";")) {
		p = trimLWS(p)
		name, _, _ := bytes.Cut(p, []byte("="))
		switch name = trimLWS(name); {
		case len(p) == 0, equalFold(name, "received"):
		case equalFold(name, "rport"):
			rport = true
		default:
			b = appendUnfolded(append(b, ';'), p)
		}
	}
	b = append(b, ";received="...)
	b = src.Addr().Unmap().WithZone("").AppendTo(b)
	if rport {
		b = append(b, ";rport="...)
		b = strconv.AppendUint(b, uint64(src.Port()), 10)
	}
	return b
}

// appendUnfolded copies a value on one line.
func appendUnfolded(b, v []byte) []byte {
	for i := 0; i < len(v); i++ {
		if isLWS(v[i]) {
			b = append(b, ' ')
			for i+1 < len(v) && isLWS(v[i+1]) {
				i++
			}
			continue
		}
		b = append(b, v[i])
	}
	return b
}
