package integration_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// Telephones transfer their calls themselves; the PBX is a proxy that passes
// REFER and Replaces on. The new call goes through the gateway as every other.
func TestTransferBlind(t *testing.T) {
	t.Parallel()
	w, _ := office(t, peers.PBX{})
	boss := w.linphone(peers.SoftPhone{User: "1001", Tone: 440})
	desk := w.registered(peers.Phone{User: "1002", Tone: 800})
	sofa := w.registered(peers.Phone{User: "1003", Tone: 1200})

	// The caller transfers the callee, linphone as baresip.
	call := boss.Dial("1002")
	desk.Incoming(soon)
	desk.Answer()
	boss.Established(soon)
	desk.Hears(440, soon)
	boss.Command("call-transfer " + call + " sip:1003@" + peers.Domain)
	sofa.Incoming(soon)
	sofa.Answer()
	sofa.Established(soon)
	sofa.Hears(800, soon)
	desk.Hears(1200, soon)
	sofa.Hangup()
	sofa.Closed(soon)
	desk.Closed(soon)
	boss.Closed(soon)
	w.idle()

	// The callee transfers the caller.
	boss.Dial("1002")
	desk.Incoming(soon)
	desk.Answer()
	boss.Established(soon)
	desk.Transfer("sip:1003@" + peers.Domain)
	sofa.Incoming(soon)
	sofa.Answer()
	sofa.Established(soon)
	desk.Closed(soon)
	sofa.Hears(440, soon)
	sofa.Hangup()
	sofa.Closed(soon)
	boss.Closed(soon)
	w.idle()
}

// The transferor asks first, with the callee on hold, and then joins the two.
func TestTransferAttended(t *testing.T) {
	t.Parallel()
	w, pbx := office(t, peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	boss := w.linphone(peers.SoftPhone{User: "1001", Tone: 440})
	desk := w.linphone(peers.SoftPhone{User: "1002", Tone: 800})
	sofa := w.linphone(peers.SoftPhone{User: "1003", Tone: 1200})
	first := boss.Dial("1002")
	desk.Answer(desk.Incoming(soon))
	boss.Established(soon)
	desk.Hears(440, soon)
	boss.Command("call-pause " + first)
	boss.Wait("Paused", soon)
	second := boss.Dial("1003")
	sofa.Answer(sofa.Incoming(soon))
	sofa.Established(soon)
	boss.Established(soon)
	boss.Command("call-transfer " + first + " " + second)
	boss.Closed(soon)
	boss.Closed(soon)
	sofa.Hears(800, soon)
	desk.Hears(1200, soon)
	desk.Command("terminate")
	desk.Closed(soon)
	sofa.Closed(soon)
	w.idle()
	w.hides(seen, pbx, "127.0.0.1", "192.0.2.2")
	for _, phone := range []*peers.Linphone{boss, desk, sofa} {
		if text := phone.Trace(); strings.Contains(text, w.inside.String()) || strings.Contains(text, pbx.Addr.Addr().String()) {
			t.Errorf("%s learns where the inside is", phone.Process.Name)
		}
	}
}

// hides checks that the PBX learns neither our public address nor any of
// these.
func (w *world) hides(seen *peers.Capture, pbx *peers.Kamailio, more ...string) {
	w.tb.Helper()
	inside := seen.Bytes(func(p peers.Packet) bool { return p.To.Addr() == pbx.Addr.Addr() })
	if len(inside) == 0 {
		w.tb.Error("nothing went to the PBX")
	}
	for _, secret := range append(more, w.public.String()) {
		if i := bytes.Index(inside, []byte(secret)); i >= 0 {
			w.tb.Errorf("the PBX learns %q: %s", secret, inside[max(0, i-300):min(len(inside), i+100)])
		}
	}
}
