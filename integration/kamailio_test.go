package integration_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

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

// Hold, resume; then who does what before the answer: the caller gives up, the
// callee is busy, nobody is there.
func TestTelephonesHoldAndRefuse(t *testing.T) {
	t.Parallel()
	w, _ := office(t, peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	b := w.registered(peers.Phone{User: "1002", Tone: 800})

	a.Dial("1002")
	b.Incoming(soon)
	b.Answer()
	a.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	// The call passes twice, so the PBX's side shows its audio in clear, from
	// the gateway's inside address to itself.
	inside := func(p peers.Packet) bool { return p.To.Addr() == w.inside && p.From.Addr() == w.inside }
	seen.HearsRTP(inside, 440, soon)
	seen.HearsRTP(inside, 800, soon)
	a.Hold()
	peers.Eventually(t, soon, "one direction only on hold", func() bool { return directions(seen, inside) < 2 })
	a.Resume()
	peers.Eventually(t, soon, "audio both ways after the hold", func() bool { return directions(seen, inside) == 2 })
	b.Hangup()
	a.Closed(soon)
	b.Closed(soon)
	if tx, rx := a.Packets(soon); tx < 5 || rx < 5 {
		t.Errorf("1001 counted %d packets sent and %d received", tx, rx)
	}

	a.Dial("1002")
	b.Incoming(soon)
	a.Wait("CALL_RINGING", soon)
	a.Hangup()
	b.Closed(soon)
	a.Closed(soon)

	a.Dial("1002")
	b.Incoming(soon)
	b.Hangup()
	if got := a.Closed(soon); !strings.HasPrefix(got, "486") {
		t.Errorf("a call that the callee refuses ends with %q, want 486", got)
	}
	b.Closed(soon)
	for number, code := range map[string]string{"1009": "480", "4999": "404"} {
		a.Dial(number)
		if got := a.Closed(soon); !strings.HasPrefix(got, code) {
			t.Errorf("a call to %s ends with %q, want %s", number, got, code)
		}
	}
	w.idle()
	for _, want := range [][]string{
		{"code", "200", "ended_by", "callee"},
		{"code", "487", "ended_by", "caller"},
		{"code", "486"}, {"code", "480"}, {"code", "404"},
	} {
		w.waitLine("cdr.jsonl", want...)
	}
}

// directions counts the streams of the last 200 ms.
func directions(c *peers.Capture, keep func(peers.Packet) bool) int {
	since := time.Now().Add(-200 * time.Millisecond)
	streams := map[[2]netip.AddrPort]bool{}
	for _, p := range c.Packets(func(p peers.Packet) bool {
		return p.At.After(since) && !p.TCP && len(p.Payload) == 172 && keep(p)
	}) {
		streams[[2]netip.AddrPort{p.From, p.To}] = true
	}
	return len(streams)
}

// Two telephones of one user: Kamailio forks, both ring, one answers.
func TestTelephonesOfOneUser(t *testing.T) {
	t.Parallel()
	w, _ := office(t, peers.PBX{})
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	desk := w.registered(peers.Phone{User: "1002", Tone: 800})
	sofa := w.registered(peers.Phone{User: "1002", Tone: 1000})
	a.Dial("1002")
	desk.Incoming(soon)
	sofa.Incoming(soon)
	sofa.Answer()
	a.Established(soon)
	desk.Closed(soon)
	a.Hears(1000, soon)
	sofa.Hears(440, soon)
	a.Hangup()
	sofa.Closed(soon)
	a.Closed(soon)
	w.idle()
}

// What becomes of registrations: renewed, given up, refused.
func TestTelephonesRegister(t *testing.T) {
	t.Parallel()
	w, pbx := office(t, peers.PBX{NonceSeconds: 1})
	a := w.registered(peers.Phone{User: "1001"})
	short := w.registered(peers.Phone{User: "1002", Expires: 4})
	wrong := w.phone(peers.Phone{User: "1003", Password: "guess"})
	// It asks again and again with the same password: the PBX refuses, and after
	// some failures the gateway does.
	wrong.WaitRegisterStatus("403", soon)
	w.waitLine("alerts.jsonl", "rule.ruleset", "base", "user.name", "1003")

	// An identity comes with a registration only: the one without is a stranger.
	wrong.Dial("600")
	if got := wrong.Closed(soon); !strings.HasPrefix(got, "403") {
		t.Errorf("a telephone that is not registered calls: %q, want 403", got)
	}
	if n := len(w.registrations()); n != 2 {
		t.Errorf("%d registrations, want 2: %v", n, w.registrations())
	}
	// The short one renews; its nonce is stale by then.
	renewed := func() int { return strings.Count(pbx.Log(), "registered 1002 contact") }
	peers.Eventually(t, soon, "a renewed registration", func() bool { return renewed() >= 3 })
	a.Dial("1002")
	short.Incoming(soon)
	short.Answer()
	a.Established(soon)
	a.Hangup()
	short.Closed(soon)
	a.Closed(soon)

	// The same contact each time, so that the PBX has one binding.
	contacts := map[string]bool{}
	for line := range strings.Lines(pbx.Log()) {
		if _, after, ok := strings.Cut(line, "registered 1002 contact <"); ok {
			uri, _, _ := strings.Cut(after, ">")
			contacts[uri] = true
		}
	}
	if len(contacts) != 1 {
		t.Errorf("1002 was registered under %d contacts, want 1: %v", len(contacts), contacts)
	}

	short.Stop() // it unregisters
	peers.Eventually(t, soon, "one registration", func() bool { return len(w.registrations()) == 1 })
	a.Dial("1002")
	if got := a.Closed(soon); !strings.HasPrefix(got, "480") {
		t.Errorf("a call to who has gone ends with %q, want 480", got)
	}
	a.Kill() // it does not: its connection is gone
	peers.Eventually(t, soon, "a gateway that has noticed", func() bool {
		for _, r := range w.registrations() {
			if r.str("connected") == "true" {
				return false
			}
		}
		return true
	})
}

func (w *world) registrations() []record {
	w.tb.Helper()
	var list struct{ Items []record }
	if err := json.Unmarshal([]byte(w.get("/api/v1/registrations")), &list); err != nil {
		w.tb.Fatalf("/api/v1/registrations: %v", err)
	}
	return list.Items
}
