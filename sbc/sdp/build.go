package sdp

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// builder puts a description of ours together.
type builder struct {
	s Session
}

// decline adds a line with port 0, RFC 3264 §6.
func (b *builder) decline(m Media) {
	m.Port, m.Ports = 0, 1
	m.Conn, m.Attrs, m.Other, m.Bandwidth = nil, nil, nil, nil
	b.s.Media = append(b.s.Media, m)
}

// carry adds an active line with our address. m already has kind, protocol
// and the attributes that cross; from is where formats and bandwidth come
// from. muxed says that rtcp-mux is agreed: then RTCP needs no port.
func (b *builder) carry(m Media, from *mline, local Endpoint, mux, muxed bool, dir Direction) {
	addr := local.RTP.Addr().Unmap()
	m.Port, m.Ports = local.RTP.Port(), 1
	for _, pt := range from.payloads {
		m.Formats = append(m.Formats, strconv.Itoa(int(pt)))
	}
	if from.profile.udptl {
		m.Formats = []string{"t38"}
	}
	m.Bandwidth = from.bw
	if b.s.Conn == nil {
		b.s.Conn = connOf(addr)
	} else if b.s.Conn.Addr != addr.String() {
		m.Conn = connOf(addr)
	}
	if !muxed && local.RTCP.IsValid() && !from.profile.udptl {
		switch rtcp := local.RTCP.Addr().Unmap(); {
		case rtcp != addr:
			m.Attrs = append(m.Attrs, value("rtcp", fmt.Sprintf("%d IN %s %s", local.RTCP.Port(), family(rtcp), rtcp)))
		case local.RTCP.Port() != m.Port+1:
			m.Attrs = append(m.Attrs, value("rtcp", strconv.Itoa(int(local.RTCP.Port()))))
		}
	}
	if mux {
		m.Attrs = append(m.Attrs, flag("rtcp-mux"))
	}
	if !from.profile.udptl || dir != SendRecv {
		m.Attrs = append(m.Attrs, flag(dir.String()))
	}
	b.s.Media = append(b.s.Media, m)
}

// finish signs the description for the leg and writes it. Where every line is
// declined there is no address of ours to name: the unspecified one says so.
func (b *builder) finish(to *Leg, rand io.Reader) ([]byte, error) {
	addr := netip.IPv4Unspecified()
	if b.s.Conn != nil {
		addr = netip.MustParseAddr(b.s.Conn.Addr)
	} else {
		b.s.Conn = connOf(addr)
	}
	if err := to.sign(&b.s, addr, rand); err != nil {
		return nil, err
	}
	return b.s.Marshal(), nil
}

func connOf(a netip.Addr) *Conn { return &Conn{"IN", family(a), a.String()} }

// usable reports whether an endpoint can stand in a description.
func usable(e Endpoint) bool {
	return e.RTP.IsValid() && e.RTP.Port() != 0 && !e.RTP.Addr().IsUnspecified() && !e.RTP.Addr().IsMulticast() && e.RTP.Addr().Zone() == ""
}
