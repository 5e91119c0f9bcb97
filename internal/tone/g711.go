package tone

import "math/bits"

// MuLaw decodes one G.711 µ-law octet.
func MuLaw(b byte) int16 {
	b = ^b
	seg := b >> 4 & 7
	v := (int16(b&15)<<3+132)<<seg - 132
	if b&0x80 != 0 {
		return -v
	}
	return v
}

// ToMuLaw encodes one sample as G.711 µ-law.
func ToMuLaw(s int16) byte {
	v, sign := int32(s), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, 32635) + 132
	seg := bits.Len32(uint32(v)) - 8
	return ^(sign | byte(seg)<<4 | byte(v>>(seg+3))&15)
}

// ALaw decodes one G.711 A-law octet.
func ALaw(b byte) int16 {
	b ^= 0x55
	seg := b >> 4 & 7
	v := int16(b&15)<<4 + 8
	if seg > 0 {
		v = (v + 256) << (seg - 1)
	}
	if b&0x80 == 0 {
		return -v
	}
	return v
}

// ToALaw encodes one sample as G.711 A-law.
func ToALaw(s int16) byte {
	v, sign := int32(s), byte(0x80)
	if v < 0 {
		v, sign = -v-1, 0
	}
	seg := 0
	if v > 255 {
		seg = bits.Len32(uint32(v)) - 8
	}
	m := v >> 4
	if seg > 0 {
		m = v >> (seg + 3)
	}
	return (sign | byte(seg)<<4 | byte(m)&15) ^ 0x55
}

// DecodeG711 decodes the payload of one RTP packet of static payload type pt
// (0 µ-law, 8 A-law; RFC 3551 §6). Other types give nil.
func DecodeG711(pt uint8, p []byte) []int16 {
	var dec func(byte) int16
	switch pt {
	case 0:
		dec = MuLaw
	case 8:
		dec = ALaw
	default:
		return nil
	}
	x := make([]int16, len(p))
	for i, b := range p {
		x[i] = dec(b)
	}
	return x
}

// EncodeG711 is the reverse of DecodeG711.
func EncodeG711(pt uint8, x []int16) []byte {
	var enc func(int16) byte
	switch pt {
	case 0:
		enc = ToMuLaw
	case 8:
		enc = ToALaw
	default:
		return nil
	}
	p := make([]byte, len(x))
	for i, s := range x {
		p[i] = enc(s)
	}
	return p
}
