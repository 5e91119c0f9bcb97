package peers

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const soon = 10 * time.Second

// Two telephones at the PBX without the gateway: what the helpers claim about
// registration, calls and audio must hold here first.
func TestPhonesCallEachOther(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	seen := StartCapture(t, n)
	pbx := StartPBX(t, n, PBX{})
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.Addr, Tone: 440})
	b := StartPhone(t, n, Phone{User: "1002", Server: pbx.Addr, Tone: 800})
	wrong := StartPhone(t, n, Phone{User: "1003", Password: "guess", Server: pbx.Addr})
	a.WaitRegistered(soon)
	b.WaitRegistered(soon)
	wrong.WaitRegisterStatus("401", soon)

	a.Dial("1002")
	if in := b.Incoming(soon); !strings.HasPrefix(in.Peer, "sip:1001@") {
		t.Errorf("1002 is called by %s", in.Peer)
	}
	a.Wait("CALL_RINGING", soon)
	b.Answer()
	a.Established(soon)
	b.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	seen.HearsRTP(Received(a.Addr), 800, soon)
	seen.HearsRTP(Received(b.Addr), 440, soon)

	// On hold nobody sends to the holder; after it the capture hears again what
	// this telephone no longer records.
	a.Hold()
	Eventually(t, soon, "a silent line", func() bool { return quiet(seen, Received(a.Addr)) })
	a.Resume()
	Eventually(t, soon, "audio after the hold", func() bool { return !quiet(seen, Received(a.Addr)) })
	b.Hangup()
	a.Closed(soon)
	tx, rx := a.Packets(soon)
	if tx < 20 || rx < 20 {
		t.Errorf("1001 counted %d packets sent and %d received", tx, rx)
	}

	sip := seen.Bytes(Sent(pbx.Addr.Addr()))
	_, invite, found := bytes.Cut(sip, []byte("INVITE sip:1002-"))
	invite, _, _ = bytes.Cut(invite, []byte("\r\n\r\n"))
	if !found || bytes.Contains(invite, []byte("Proxy-Authorization")) {
		t.Errorf("the capture lacks the PBX's INVITE, or the PBX passes credentials on:\n%s", invite)
	}
}

// quiet says that no RTP came for the last 300 ms.
func quiet(c *Capture, keep func(Packet) bool) bool {
	since := time.Now().Add(-300 * time.Millisecond)
	return len(c.Packets(func(p Packet) bool {
		return p.At.After(since) && !p.TCP && len(p.Payload) == 172 && keep(p)
	})) == 0
}

func TestPhoneIsRefused(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	busy := StartSIPp(t, n, Scenario{Name: "uas_busy"})
	pbx := StartPBX(t, n, PBX{Services: map[string]string{"601": busy.URI()}})
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.Addr})
	a.WaitRegistered(soon)
	for number, want := range map[string]string{"601": "486", "4999": "404", "1009": "480", "+33123456789": "404"} {
		a.Dial(number)
		if got := a.Closed(soon); !strings.HasPrefix(got, want) {
			t.Errorf("call to %s ends with %q, want %s", number, got, want)
		}
	}
	// The caller gives up while it rings; the other side hears of it.
	b := StartPhone(t, n, Phone{User: "1002", Server: pbx.Addr})
	b.WaitRegistered(soon)
	a.Dial("1002")
	b.Incoming(soon)
	a.Hangup()
	b.Closed(soon)
	a.Closed(soon)
	// The called side refuses.
	a.Dial("1002")
	b.Incoming(soon)
	b.Hangup()
	if got := a.Closed(soon); !strings.HasPrefix(got, "486") {
		t.Errorf("a refused call ends with %q", got)
	}
}

// All extensions behind the PBX: echo, tone; a trunk both ways.
func TestServicesAndTrunk(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	seen := StartCapture(t, n)
	echo := StartSIPp(t, n, Scenario{Name: "uas_answer", Echo: true})
	hum := StartSIPp(t, n, Scenario{Name: "uas_tone", Tone: 600})
	early := StartSIPp(t, n, Scenario{Name: "uas_early", Tone: 700})
	carrier := StartSIPp(t, n, Scenario{Name: "uas_tone", Tone: 900})
	pbx := StartPBX(t, n, PBX{
		Services: map[string]string{"600": echo.URI(), "602": hum.URI(), "603": early.URI()},
		DIDs:     map[string]string{"+33199001001": "1001"},
		Trunk:    carrier.URI(), Gateway: n.Addr(t),
	})
	// One telephone on 127.0.0.1: baresip sends RTP from there, wherever it
	// listens, so only then do source and SDP agree and the echo comes back.
	lo := netip.MustParseAddr("127.0.0.1")
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.Addr, Addr: lo, Port: FreePort(t, lo), Tone: 500})
	a.WaitRegistered(soon)
	for _, c := range []struct {
		number string
		hz     float64
	}{{"600", 500}, {"602", 600}, {"603", 700}, {"+33123456789", 900}} {
		a.Dial(c.number)
		a.Established(soon)
		a.Hears(c.hz, soon)
		a.Hangup()
		a.Closed(soon)
	}
	seen.HearsRTP(Sent(hum.Addr), 600, soon)

	// A carrier's call, as the gateway brings it: no challenge, to a DID.
	in := StartSIPp(t, n, Scenario{Name: "uac_tone", Addr: netip.AddrFrom4([4]byte{127, n.a, n.b, 5}), To: pbx.Addr, Service: "+33199001001", Tone: 1200, Hold: 2 * time.Second})
	a.Incoming(soon)
	a.Answer()
	a.Hears(1200, soon)
	in.Success()
	a.Closed(soon)

	// The same from elsewhere is refused, and so is transit.
	other := StartSIPp(t, n, Scenario{Name: "uac_any", To: pbx.Addr, Service: "+33199001001"})
	if got := other.Success().Final; got[403] != 1 {
		t.Errorf("a call from nobody's trunk: %v, want 403", got)
	}
	transit := StartSIPp(t, n, Scenario{Name: "uac_any", Addr: in.Addr, To: pbx.Addr, Service: "+18765550100"})
	if got := transit.Success().Final; got[403] != 1 {
		t.Errorf("transit: %v, want 403", got)
	}
	// A user of the PBX is challenged wherever the call comes from.
	own := StartSIPp(t, n, Scenario{Name: "uac_auth", Addr: in.Addr, To: pbx.Addr, From: "1002", Service: "600"})
	own.Success()
}

// One user with two telephones and one that registers over TCP: all ring, the
// first to answer has the call, the others stop.
func TestForking(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	pbx := StartPBX(t, n, PBX{})
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.Addr, Tone: 440})
	b := StartPhone(t, n, Phone{User: "1002", Server: pbx.Addr, Tone: 800})
	c := StartPhone(t, n, Phone{User: "1002", Server: pbx.Addr, Transport: "tcp", Tone: 950})
	for _, p := range []*Baresip{a, b, c} {
		p.WaitRegistered(soon)
	}
	a.Dial("1002")
	b.Incoming(soon)
	c.Incoming(soon)
	c.Answer()
	a.Established(soon)
	b.Closed(soon)
	a.Hears(950, soon)
	c.Hears(440, soon)
	a.Hangup()
	c.Closed(soon)
}
