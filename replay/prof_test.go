package replay_test

import (
	"os"
	"testing"

	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/replay"
	"github.com/rampart-sbc/rampart/rules"
)

func BenchmarkFile(b *testing.B) {
	f, err := os.Open(os.Getenv("REPLAY_FILE"))
	if err != nil {
		b.Skip()
	}
	_ = fraud.Defaults
	_ = rules.Names
	t := &testing.T{}
	s := side(t, "", "base", "countries", "scanners", "toll-fraud", "ping-call", "messages", "callers")
	b.ResetTimer()
	for b.Loop() {
		f.Seek(0, 0)
		rep, err := replay.Run(f, replay.Options{New: s})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(rep.Took.Nanoseconds())/float64(rep.Events), "ns/event")
	}
}
