package media

import (
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TestConcurrent commands sessions from several goroutines while packets flow
// and the plane is read; the race detector is the judge.
func TestConcurrent(t *testing.T) { onEngines(t, testConcurrent) }

func testConcurrent(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	got := make(events, 1000)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		a, b := newPhone(t, loop4), newPhone(t, loop4)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				s, err := p.Open(Spec{ID: "x", Streams: 1, Legs: [2]LegSpec{{}, {Side: call.Inside}},
					Inactivity: time.Nanosecond, Notify: func(e Event) {
						select {
						case got <- e:
						default:
						}
					}})
				if err != nil {
					t.Error(err)
					return
				}
				in, rtcp := s.Local(A, 0)
				for j := range uint16(20) {
					a.rtp.WriteToUDPAddrPort(rtpPacket(1, j, "x"), in)
					a.rtcp.WriteToUDPAddrPort(rrPacket(1), rtcp)
					b.rtp.WriteToUDPAddrPort(rtpPacket(1, j, "x"), in)
					switch j {
					case 3:
						s.Set(A, 0, a.remote())
					case 6:
						s.Set(B, 0, b.remote())
					case 9:
						s.Grow(2)
					case 12:
						s.Stats()
						s.Snapshot()
					case 15:
						go s.Close()
					}
				}
				if i%2 == 0 {
					s.Close()
				}
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				p.Stats()
				p.sweep(time.Now())
			}
		}
	}()
	eventually(t, "events", func() bool { return len(got) > 10 })
	close(stop)
	wg.Wait()
}
