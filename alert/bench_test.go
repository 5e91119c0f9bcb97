package alert

import (
	"io"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

func BenchmarkPublishRepeat(b *testing.B) {
	bus := NewBus(Options{}, Writer("discard", io.Discard))
	defer bus.Close(b.Context())
	a := attempt()
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: "countries/denied", Action: call.CallRejected, Reason: "JM is not allowed"}
	b.ReportAllocs()
	for b.Loop() {
		bus.Publish(FromDecision(a, d, meta))
	}
}

func BenchmarkAlertLine(b *testing.B) {
	e := samples()[0].e
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Line(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCDRWrite(b *testing.B) {
	c := NewCDR(CDROptions{}, Writer("discard", io.Discard))
	defer c.Close(b.Context())
	r := answered()
	b.ReportAllocs()
	for b.Loop() {
		c.Write(r)
	}
}

func BenchmarkStreamWrite(b *testing.B) {
	s := NewStream(StreamOptions{}, Writer("discard", io.Discard))
	defer s.Close(b.Context())
	e := day()[3]
	b.ReportAllocs()
	for b.Loop() {
		s.Write(e)
	}
}
