package sbc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// silentCarrier stands before the carrier of the raw world in the route.
func silentCarrier(t *testing.T, opts ...option) (*rawWorld, *raw) {
	const port = 16097
	w := newRawWorld(t, append([]option{udpCarrier("silent", carrierIP, port), func(c *worldConfig) {
		c.sbc.FailoverAfter = 400 * time.Millisecond
		c.sbc.Routes[0].Peers = []string{"silent", "raw"}
	}}, opts...)...)
	s := newRaw(t, carrierIP+":16097")
	s.gw = w.a.gw
	return w, s
}

// TestSilentTarget: a carrier that says nothing costs a call failover_after,
// not Timer B, and gets no CANCEL, as nothing came back from it.
func TestSilentTarget(t *testing.T) {
	w, silent := silentCarrier(t)
	inv := w.ring("sip:+442079460000@x")
	first := silent.request("INVITE")
	in := w.a.request("INVITE")
	if id := func(m *siptest.Message) string { return m.Get("Call-ID") + m.Get("CSeq") + m.Get("From") }; id(first) == id(in) {
		t.Error("both got one request: they would be merged where the two meet (RFC 3261 §8.2.2.2)")
	}
	for silent.take(is("INVITE")) != nil { // repeated until it was given up
	}
	silent.never("INVITE or CANCEL after it was given up", func(m *siptest.Message) bool { return m.Method != "" })
	w.a.reply(in, 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Passes[0].RoutedTo != "raw" || strings.Join(r.Passes[0].FailedOver, " ") != "silent" {
		t.Errorf("record %+v", r.Passes[0])
	}
	// On probation it is asked last.
	inv = w.ring("sip:+442079460001@x")
	w.a.reply(w.a.expect("the second call", func(m *siptest.Message) bool {
		return m.Method == "INVITE" && strings.Contains(m.URI, "0001@")
	}), 486, "t", nil)
	w.b.ackFailure(inv, w.b.expect("486 to the second call", func(m *siptest.Message) bool {
		return m.Code == 486 && m.Get("Call-ID") == inv.Get("Call-ID")
	}))
	silent.never("INVITE while on probation", is("INVITE"))
	w.quiet()
}

// TestLateAnswerOfTarget: what a target answers after it was given up is ended, both
// while the call goes on elsewhere and when it is over.
func TestLateAnswerOfTarget(t *testing.T) {
	w, silent := silentCarrier(t, func(c *worldConfig) { c.sbc.Stack.T1 = 500 * time.Millisecond })
	inv := w.ring("sip:+442079460000@x")
	first := silent.request("INVITE")
	in := w.a.request("INVITE")
	silent.reply(first, 180, "late", nil)
	cancel := silent.request("CANCEL")
	if cancel.Get("Via") != first.Get("Via") {
		t.Error("the CANCEL does not fit the INVITE")
	}
	silent.reply(first, 200, "late", silent.sdp())
	if ack := silent.request("ACK"); !strings.Contains(ack.Get("To"), "late") {
		t.Errorf("ACK to %s", ack.Get("To"))
	}
	bye := silent.request("BYE")
	silent.reply(bye, 200, "", nil)
	w.b.never("an answer to the caller", func(m *siptest.Message) bool { return m.Code >= 180 })
	w.a.reply(in, 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	silent.reply(first, 200, "other", silent.sdp())
	silent.request("ACK")
	silent.reply(silent.request("BYE"), 200, "", nil)
	for _, side := range []string{silent.saw(), w.a.saw()} {
		if strings.Contains(side, insideNet) {
			t.Errorf("the inside is seen:\n%s", side)
		}
	}
}

// TestSilentLastTarget: with nobody else to ask, the last one has its time.
func TestSilentLastTarget(t *testing.T) {
	w, silent := silentCarrier(t)
	inv := w.ring("sip:+442079460000@x")
	silent.request("INVITE")
	w.a.request("INVITE")
	w.b.never("a final answer", func(m *siptest.Message) bool { return m.Code >= 200 })
	w.b.ackFailure(inv, w.b.code(408)) // 64·T1
	w.quiet()
}
