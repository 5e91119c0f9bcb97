package integration_test

import (
	"fmt"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// office is a world with Kamailio behind the gateway and an echo and a tone
// behind Kamailio.
func office(t *testing.T, c peers.PBX) (*world, *peers.Kamailio) {
	w := newWorld(t)
	echo := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_answer", Echo: true})
	hum := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uas_tone", Tone: 600})
	c.Services = map[string]string{"600": echo.URI(), "602": hum.URI()}
	pbx := w.pbx(c)
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), "")
	return w, pbx
}

func TestTelephonesCallEachOther(t *testing.T) {
	t.Parallel()
	w, _ := office(t, peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(seen.Ladder(5060))
		}
	})
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	b := w.registered(peers.Phone{User: "1002", Tone: 800})

	a.Dial("600")
	a.Established(soon)
	a.Hears(440, soon)
	a.Hangup()
	a.Closed(soon)
	a.Dial("602")
	a.Established(soon)
	a.Hears(600, soon)
	a.Hangup()
	a.Closed(soon)

	for _, c := range []struct{ caller, callee, ends *peers.Baresip }{{a, b, a}, {b, a, a}} {
		c.caller.Dial(c.callee.User)
		c.callee.Incoming(soon)
		c.caller.Wait("CALL_RINGING", soon)
		c.callee.Answer()
		c.caller.Established(soon)
		c.callee.Established(soon)
		a.Hears(800, soon)
		b.Hears(440, soon)
		c.ends.Hangup()
		a.Closed(soon)
		b.Closed(soon)
	}
	w.idle()
}
