package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

func (w *world) linphone(c peers.SoftPhone) *peers.Linphone {
	w.tb.Helper()
	c.Server, c.CAFile = w.tls(), filepath.Join(w.dir, "state", "ca.pem")
	p := peers.StartLinphone(w.tb, c)
	p.WaitRegistered(soon)
	return p
}

// A telephone of another make: it checks our certificate, insists on SRTP,
// offers a dozen codecs, and holds and refuses in its own way.
func TestLinphone(t *testing.T) {
	t.Parallel()
	w, pbx := office(t, peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	a := w.linphone(peers.SoftPhone{User: "1001", Tone: 440})
	b := w.registered(peers.Phone{User: "1002", Tone: 800})

	echo := a.Dial("600")
	a.Established(soon)
	a.Hears(440, soon)
	a.Hangup(echo)
	a.Closed(soon)

	out := a.Dial("1002")
	b.Incoming(soon)
	a.Wait("OutgoingRinging", soon)
	b.Answer()
	a.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	a.Command("call-pause " + out)
	a.Wait("Paused", soon)
	b.HearsNothing(soon / 10)
	a.Command("call-resume " + out)
	a.Established(soon)
	a.Hears(800, soon)
	b.Hangup()
	a.Closed(soon)
	b.Closed(soon)

	b.Dial("1001")
	in := a.Incoming(soon)
	b.Wait("CALL_RINGING", soon)
	a.Answer(in)
	b.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	b.Hold()
	a.Wait("PausedByRemote", soon)
	b.Resume()
	a.Established(soon)
	a.Hears(800, soon)
	a.Hangup(in)
	b.Closed(soon)
	a.Closed(soon)

	b.Dial("1001")
	in = a.Incoming(soon)
	a.Hangup(in) // it declines with 603
	if got := b.Closed(soon); !strings.HasPrefix(got, "603") {
		t.Errorf("a call that linphone declines ends with %q, want 603", got)
	}
	a.Closed(soon)
	w.idle()
	w.waitLine("cdr.jsonl", "code", "603", "ended_by", "callee")
	// What it says of where it is and of its way here is not the PBX's business.
	w.hides(seen, pbx, "127.0.0.1", "192.0.2.2")
}
