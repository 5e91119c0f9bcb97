package media

import "encoding/binary"

const (
	rtpHeader  = 12 // RFC 3550 §5.1
	rtcpHeader = 8  // common header and the sender's SSRC
	// maxPacket is the largest UDP payload that is relayed: an Ethernet
	// frame's worth. Nothing that talks RTP sends more.
	maxPacket = 1500
)

// isRTP tells RTP and RTCP from what else shares a port (RFC 7983 §7). It
// implies version 2.
func isRTP(b []byte) bool { return b[0] >= 128 && b[0] <= 191 }

// isRTCP tells RTCP from RTP by its packet type (RFC 5761 §4).
func isRTCP(b []byte) bool { return b[1] >= 192 && b[1] <= 223 }

// rtpHeaderLen is the length of header, CSRC list and extension, or 0 when
// they do not fit. They are in the clear in SRTP too.
func rtpHeaderLen(b []byte) int {
	if len(b) < rtpHeader {
		return 0
	}
	n := rtpHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return 0
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if n > len(b) {
		return 0
	}
	return n
}

// paddingFits checks the padding of a packet in the clear: its last byte
// counts itself and stays behind the header (RFC 3550 §5.1).
func paddingFits(b []byte, header int) bool {
	if b[0]&0x20 == 0 {
		return true
	}
	n := int(b[len(b)-1])
	return len(b) > header && n > 0 && n <= len(b)-header
}

func sequence(b []byte) uint16  { return binary.BigEndian.Uint16(b[2:]) }
func timestamp(b []byte) uint32 { return binary.BigEndian.Uint32(b[4:]) }
func rtpSSRC(b []byte) uint32   { return binary.BigEndian.Uint32(b[8:]) }
func rtcpSSRC(b []byte) uint32  { return binary.BigEndian.Uint32(b[4:]) }
