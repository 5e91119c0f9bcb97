package siptest

import (
	"context"
	"crypto/tls"
	"net/netip"
)

// CarrierTone is what a carrier plays.
const CarrierTone = 700

// CarrierConfig describes a carrier: a peer that is called by number and
// calls by number, and registers nowhere.
type CarrierConfig struct {
	Domain    string         // in its From
	Gateway   netip.AddrPort // where its calls go; none: it is only called
	Transport string         // udp (default), tcp or tls, for both directions
	TLS       *tls.Config    // with a certificate: it is client and server
	Listen    netip.AddrPort // default 127.0.0.1, any port
	SRTP      []string
	OnInvite  func(*Incoming)
	Log       func(format string, args ...any)
	Trace     func(sent bool, remote netip.AddrPort, b []byte)
}

// NewCarrier starts a carrier. It answers every call unless OnInvite says
// otherwise, and calls with Invite and the options From and Tone.
func NewCarrier(ctx context.Context, cfg CarrierConfig) (*Phone, error) {
	if cfg.Transport == "" {
		cfg.Transport = "udp"
	}
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	}
	return NewPhone(ctx, PhoneConfig{User: "carrier", Domain: cfg.Domain, Server: cfg.Gateway, Transport: cfg.Transport, TLS: cfg.TLS,
		Local: cfg.Listen.Addr(), Listen: cfg.Transport, ListenAt: cfg.Listen, SRTP: cfg.SRTP, Tone: CarrierTone,
		OnInvite: cfg.OnInvite, Log: cfg.Log, Trace: cfg.Trace, UserAgent: "siptest carrier"})
}
