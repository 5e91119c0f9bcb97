package sbc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

func trusted(c *worldConfig) { c.sbc.Peers[0].Identity.Trust = true }

// diverted adds the header fields of a call that was passed on at host.
func diverted(host string) func(*siptest.Message) {
	return func(m *siptest.Message) {
		m.Add("Diversion", `"Front desk" <sip:+33199001001@`+host+`;user=phone>;reason=no-answer;counter=2;privacy=off;screen=yes;x="`+host+`", <tel:+33199001002;phone-context=`+host+`>;reason="user-busy"`)
		m.Add("Diversion", `<sip:`+host+`>;reason=unconditional`)
		m.Add("History-Info", `<sip:+33199001002@`+host+`>;index=1,<sip:+33199001001@`+host+`;cause=408?Reason=SIP%3Bcause%3D302%3Btext%3D%22at%20`+host+`%22&Privacy=history&X=`+host+`>;index=1.1;rc=1`)
		m.Add("History-Info", `<sip:+33123456789@`+host+`;cause=302>;index=1.1.1;mp=1.1;y=`+host)
	}
}

func TestDiversionCrosses(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, trusted)
	inv := w.a.invite("+33123456789", diverted(w.a.host()), func(m *siptest.Message) { m.Add("Supported", "histinfo") })
	in := w.b.request("INVITE")
	want := []string{`"Front desk" <sip:+33199001001@` + domain + `>;reason=no-answer;counter=2;privacy=off;screen=yes`, `<tel:+33199001002>;reason=user-busy`}
	if got := in.All("Diversion"); !slices.Equal(got, want) {
		t.Errorf("Diversion %q\nwant %q", got, want)
	}
	want = []string{`<sip:+33199001002@` + domain + `>;index=1`,
		`<sip:+33199001001@` + domain + `;cause=408?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1.1;rc=1`,
		`<sip:+33123456789@` + domain + `;cause=302>;index=1.1.1;mp=1.1`}
	if got := in.All("History-Info"); !slices.Equal(got, want) {
		t.Errorf("History-Info %q\nwant %q", got, want)
	}
	if !strings.Contains(in.Get("Supported"), "histinfo") {
		t.Errorf("Supported %q", in.Get("Supported"))
	}
	w.b.reply(in, 486, "t1", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Diversion != "+33199001001" {
		t.Errorf("record says %q diverted", r.Diversion)
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	if !slices.ContainsFunc(w.rep.events, func(e call.Event) bool { return e.Kind == call.EventInvite && e.Diversion == "+33199001001" }) {
		t.Errorf("events %+v", w.rep.events)
	}
	w.hidden()
}

// TestDiversionOfStrangersToTrust: who is not trusted has nothing believed, and
// is told nothing.
func TestDiversionOfStrangersToTrust(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", diverted(w.a.host()))
	in := w.b.request("INVITE")
	if d, h := in.All("Diversion"), in.All("History-Info"); len(d)+len(h) > 0 {
		t.Errorf("B got Diversion %q, History-Info %q", d, h)
	}
	w.b.reply(in, 486, "t1", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	if r := w.rep.lastRecord(t, 1); r.Diversion != "" {
		t.Errorf("record says %q diverted", r.Diversion)
	}
	out := w.b.invite("+33199007777", diverted(w.b.host()))
	in = w.a.request("INVITE")
	if d, h := in.All("Diversion"), in.All("History-Info"); len(d)+len(h) > 0 {
		t.Errorf("A got Diversion %q, History-Info %q", d, h)
	}
	w.a.reply(in, 486, "t1", nil)
	w.a.request("ACK")
	w.b.ackFailure(out, w.b.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 2); r.Diversion != "+33199001001" { // the PBX is believed
		t.Errorf("record says %q diverted", r.Diversion)
	}
	w.hidden()
}

func TestDiversionsAreCapped(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, trusted)
	inv := w.a.invite("+33123456789", func(m *siptest.Message) {
		for i := range 15 {
			m.Add("Diversion", fmt.Sprintf("<sip:+331990010%02d@x.example>;reason=unknown", i))
			m.Add("History-Info", fmt.Sprintf("<sip:+331990010%02d@x.example>;index=1.%d", i, i))
		}
	})
	in := w.b.request("INVITE")
	if d, h := len(in.All("Diversion")), len(in.All("History-Info")); d != 10 || h != 10 {
		t.Errorf("%d Diversions, %d entries of history crossed", d, h)
	}
	w.b.reply(in, 486, "t1", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
}
