package media

// rrPacket is an empty receiver report.
func rrPacket(ssrc byte) []byte { return []byte{0x80, 201, 0, 1, 0, 0, 0, ssrc} }
