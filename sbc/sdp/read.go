package sdp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// MaxStreams is the number of lines of one description that are carried; the
// rest is declined. A description could otherwise open 32 pairs of ports.
const MaxStreams = 4

// What may cross leaves room for our own lines, so that what we write can be
// read within the limits of [Parse] when a call passes a gateway again.
const (
	maxAttrs    = 400
	maxAttrSize = 48 << 10
)

// profile is a transport profile of RTP.
type profile struct {
	secure   bool // SAVP: SRTP
	feedback bool // AVPF, SAVPF: RFC 4585, RFC 5124
	dtls     bool // keys by DTLS, RFC 5764
	udptl    bool // no RTP at all: T.38
}

func parseProfile(proto string) (profile, bool) {
	switch strings.ToUpper(proto) {
	case "RTP/AVP":
		return profile{}, true
	case "RTP/AVPF":
		return profile{feedback: true}, true
	case "RTP/SAVP":
		return profile{secure: true}, true
	case "RTP/SAVPF":
		return profile{secure: true, feedback: true}, true
	case "UDPTL":
		return profile{udptl: true}, true
	case "UDP/TLS/RTP/SAVP":
		return profile{secure: true, dtls: true}, true
	case "UDP/TLS/RTP/SAVPF":
		return profile{secure: true, feedback: true, dtls: true}, true
	}
	return profile{}, false
}

func (p profile) String() string {
	if p.udptl {
		return "udptl"
	}
	s := "RTP/AVP"
	if p.secure {
		s = "RTP/SAVP"
	}
	if p.feedback {
		s += "F"
	}
	return s
}

// mline is what a description says about one m-line, checked but not yet
// held against a policy.
type mline struct {
	media    *Media // as it came; only ever shown to the leg it came from
	kind     string // lower case
	profile  profile
	carried  bool // active audio, video or T.38 that we relay
	rtp      netip.AddrPort
	rtcp     netip.AddrPort // without rtcp-mux
	mux      bool
	dir      Direction
	cryptos  cryptos
	payloads Payloads
	codecs   map[uint8]string // by rtpmap, lower case
	attrs    []kept           // fit to be shown to the other leg
	bw       []string
}

// control is where RTCP goes, with rtcp-mux agreed or not.
func (l *mline) control(mux bool) netip.AddrPort {
	if mux {
		return l.rtp
	}
	return l.rtcp
}

// read parses a description and checks each m-line for itself.
func read(body []byte) ([]mline, *Refusal) {
	s, err := Parse(body)
	if err != nil {
		r := malformed("%v", err)
		r.Err = err
		var pe *ParseError
		if errors.As(err, &pe) && pe.Big {
			r.Status, r.WarningText = 413, "Session description too large"
		}
		return nil, r
	}
	lines := make([]mline, len(s.Media))
	carried, attrs, size := 0, 0, 0
	for i := range s.Media {
		if r := lines[i].read(s, &s.Media[i]); r != nil {
			return nil, onLine(i, r)
		}
		if lines[i].carried {
			if carried++; carried > MaxStreams {
				lines[i] = mline{media: lines[i].media, kind: lines[i].kind}
			}
			attrs += len(lines[i].attrs)
			for _, k := range lines[i].attrs {
				size += len(k.attr.Name) + len(k.attr.Value)
			}
		}
	}
	if attrs > maxAttrs || size > maxAttrSize {
		r := malformed("%d attributes, %d bytes, would cross, at most %d, %d", attrs, size, maxAttrs, maxAttrSize)
		r.Status, r.WarningText = 413, "Session description too large"
		return nil, r
	}
	return lines, nil
}

func (l *mline) read(s *Session, m *Media) *Refusal {
	l.media, l.kind = m, strings.ToLower(m.Kind)
	prof, ok := parseProfile(m.Proto)
	// Not carried: declined lines, everything but RTP audio and video and
	// T.38, and hierarchical encodings on several ports.
	if m.Port == 0 || !ok || !relayed(l.kind, prof) || m.Ports != 1 || prof.udptl && !l.readFax(m) {
		return nil
	}
	if prof.dtls {
		r := insecure("DTLS-SRTP not supported", "keys by DTLS (%s) are not supported", m.Proto)
		r.WarningCode = warnTransport
		return r
	}
	l.profile, l.carried = prof, true
	if r := l.readAddress(s, m); r != nil {
		return r
	}
	if prof.udptl {
		l.rtcp, l.mux = netip.AddrPort{}, false
		return nil
	}
	if r := l.readFormats(m); r != nil {
		return r
	}
	cs, err := readCryptos(m.Attrs)
	if err != nil {
		return insecure("Ambiguous SRTP keys", "%v", err)
	}
	l.cryptos = cs
	l.bw = bandwidth(m.Bandwidth)
	if len(l.bw) == 0 && len(s.Media) == 1 {
		l.bw = bandwidth(s.Bandwidth)
	}
	return nil
}

func (l *mline) readAddress(s *Session, m *Media) *Refusal {
	c := m.Conn
	if c == nil {
		c = s.Conn
	}
	if c == nil {
		return malformed("no c= line")
	}
	addr, r := address(c.Net, c.Type, c.Addr)
	if r != nil {
		return r
	}
	l.dir = readDirection(m.Attrs, readDirection(s.Attrs, SendRecv))
	_, l.mux = find(m.Attrs, "rtcp-mux")
	if addr.IsUnspecified() {
		// Old-style hold, RFC 2543 §B.5 and RFC 3264 §8.4: the sender wants
		// nothing, whatever its direction attribute says.
		l.dir = direction(l.dir.sends(), false)
		return nil
	}
	l.rtp = netip.AddrPortFrom(addr, m.Port)
	if m.Port < 65535 {
		l.rtcp = netip.AddrPortFrom(addr, m.Port+1)
	}
	if v, ok := find(m.Attrs, "rtcp"); ok {
		return l.readRTCP(v, addr)
	}
	return nil
}

// readRTCP reads a=rtcp, RFC 3605: a port, and an address where it differs.
func (l *mline) readRTCP(v string, addr netip.Addr) *Refusal {
	f := strings.Fields(v)
	if len(f) != 1 && len(f) != 4 {
		return malformed("a=rtcp has %d fields", len(f))
	}
	port, ok := number(f[0], 65535)
	if !ok {
		return malformed("a=rtcp port %s", quote(f[0]))
	}
	if port == 0 {
		l.rtcp = netip.AddrPort{} // it wants no RTCP
		return nil
	}
	if len(f) == 4 {
		a, r := address(f[1], f[2], f[3])
		if r != nil {
			return r
		}
		if a.Is6() != addr.Is6() {
			return unacceptable(warnAddress, "Incompatible address family", "RTCP at %s, RTP at %s", a, addr)
		}
		if !a.IsUnspecified() {
			addr = a
		}
	}
	l.rtcp = netip.AddrPortFrom(addr, uint16(port))
	return nil
}

// address reads the address of c= or a=rtcp: a literal unicast address. Host
// names are refused, because looking them up would let a description choose
// what we ask the resolver, and could give another answer each time.
func address(net, typ, lit string) (netip.Addr, *Refusal) {
	if !strings.EqualFold(net, "IN") {
		return netip.Addr{}, unacceptable(warnAddress, "Network type not supported", "network type %s", quote(net))
	}
	bare, _, scoped := strings.Cut(lit, "/") // "/ttl" is for multicast
	a, err := netip.ParseAddr(bare)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, unacceptable(warnAddress, "Address must be an IP literal", "address %s is no IP literal", quote(lit))
	}
	if want := strings.ToUpper(typ); want != family(a) {
		return netip.Addr{}, malformed("address %s is not of type %s", a, quote(typ))
	}
	a = a.Unmap()
	switch {
	case a.IsMulticast():
		return netip.Addr{}, unacceptable(warnMulticast, "Multicast not available", "multicast address %s", a)
	case scoped:
		return netip.Addr{}, malformed("unicast address %s with a suffix", quote(lit))
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}), a.IsLinkLocalUnicast():
		return netip.Addr{}, unacceptable(warnAddress, "Address not reachable", "address %s cannot receive a stream", a)
	}
	return a, nil
}

func readDirection(as []Attr, d Direction) Direction {
	for _, a := range as {
		if i := slices.Index(directions[:], a.Name); i >= 0 && !a.Set {
			return Direction(i)
		}
	}
	return d
}

// readFormats reads payload types, codec names and what else may cross.
func (l *mline) readFormats(m *Media) *Refusal {
	for _, f := range m.Formats {
		n, ok := number(f, 127)
		if !ok {
			return malformed("payload type %s", quote(f))
		}
		if !slices.Contains(l.payloads, uint8(n)) {
			l.payloads = append(l.payloads, uint8(n))
		}
	}
	l.codecs = map[uint8]string{}
	for _, a := range m.Attrs {
		k, ok := keep(a, l.kind)
		if !ok || k.pt != anyPT && !slices.Contains(l.payloads, uint8(k.pt)) {
			continue
		}
		if a.Name == "rtpmap" {
			if l.codecs[uint8(k.pt)] != "" {
				return malformed("two rtpmap for payload type %d", k.pt)
			}
			l.codecs[uint8(k.pt)] = k.codec
		}
		l.attrs = append(l.attrs, k)
	}
	return nil
}

// restrict drops the formats of an answer that were not offered. RFC 3264
// §6.1 lets an answer name more, but nobody may use them, and the one who
// offered must not see what it did not ask for. A codec may have another
// number in the answer than in the offer.
func (l *mline) restrict(offer *mline) {
	names := map[string]bool{}
	for _, c := range offer.codecs {
		names[c] = true
	}
	l.payloads = slices.DeleteFunc(l.payloads, func(pt uint8) bool {
		mine, theirs := l.codecs[pt], offer.codecs[pt]
		if mine == "" || theirs == "" {
			// A static type needs no name; a nameless dynamic one means
			// what the offer said.
			return !slices.Contains(offer.payloads, pt) && !names[mine]
		}
		return !names[mine]
	})
	l.attrs = slices.DeleteFunc(l.attrs, func(k kept) bool {
		return k.pt != anyPT && !slices.Contains(l.payloads, uint8(k.pt))
	})
}
