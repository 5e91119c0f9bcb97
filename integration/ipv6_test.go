package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// A telephone over IPv6 and one over IPv4, an IPv4 PBX: the gateway is between
// the families. Then everything over IPv6. There is only ::1, so the ports are
// the test's own.
func TestIPv6(t *testing.T) {
	t.Parallel()
	lo := netip.IPv6Loopback()
	at := func() netip.AddrPort { return netip.AddrPortFrom(lo, peers.FreePort(t, lo)) }
	for _, all := range []bool{false, true} {
		t.Run(map[bool]string{false: "telephone", true: "everything"}[all], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			public := at()
			listen := fmt.Sprintf("listen: {tls: [%q, %q]}\n", public, w.tls())
			media := fmt.Sprintf("media: {public: [%s, \"::1\"], inside: [%s], ports: %%d-%%d, inactivity: 20s}\n", quote(w.public), quote(w.inside))
			inside, pbx := w.udp(), peers.PBX{}
			if all {
				inside = at()
				kamailio := at()
				pbx.Addr, pbx.Port = lo, kamailio.Port()
				media = "media: {public: [\"::1\"], inside: [\"::1\"], ports: %d-%d, inactivity: 20s}\n"
				listen = fmt.Sprintf("listen: {tls: [%q]}\n", public)
			}
			first := 45000 + 2*int(w.public.As4()[2]) // where no other test looks for a port
			media = fmt.Sprintf(media, first, first+1001)
			pbx.Gateway, pbx.Trunk = inside.Addr(), "sip:"+inside.String()
			k := peers.StartPBX(t, w.net, pbx)
			w.media = media
			w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, k.Addr), listen+fmt.Sprintf("inside: {udp: [%q]}\n", inside))
			a := w.registered(peers.Phone{User: "1001", Tone: 440, Server: public, Addr: lo, Port: peers.FreePort(t, lo)})
			second := peers.Phone{User: "1002", Tone: 800}
			if all {
				second.Server, second.Addr, second.Port = public, lo, peers.FreePort(t, lo)
			}
			b := w.registered(second)
			for _, end := range []*peers.Baresip{a, b} {
				a.Dial("1002")
				b.Incoming(soon)
				b.Answer()
				a.Established(soon)
				a.Hears(800, soon)
				b.Hears(440, soon)
				end.Hangup()
				a.Closed(soon)
				b.Closed(soon)
			}
			source := w.waitLine("cdr.jsonl", "code", "200").str("source")
			if !strings.HasPrefix(source, "[::1]:") {
				t.Errorf("the CDR's source is %s", source)
			}
			w.idle()
		})
	}
}
