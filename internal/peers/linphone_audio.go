package peers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/internal/tone"
)

// lastSamples is what was heard in the last ten seconds.
type lastSamples struct {
	mu    sync.Mutex
	audio tone.Audio
	total int
}

func (l *lastSamples) add(x []int16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += len(x)
	l.audio.Samples = append(l.audio.Samples, x...)
	if n := len(l.audio.Samples); n > 160000 {
		l.audio.Samples = append([]int16(nil), l.audio.Samples[n-80000:]...)
	}
}

// speak sends the tone into the microphone, a packet of 20 ms each time.
func (p *Linphone) speak(to netip.AddrPort) {
	defer close(p.said)
	b := make([]byte, 12, 172)
	b[0] = 0x80
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for sent := 0; ; <-tick.C {
		for ; sent < int(time.Since(start)/(20*time.Millisecond)); sent++ {
			binary.BigEndian.PutUint16(b[2:], uint16(sent))
			binary.BigEndian.PutUint32(b[4:], uint32(sent*160))
			if _, err := p.audio.WriteToUDPAddrPort(append(b[:12], tone.EncodeG711(0, tone.Sine(p.Tone, 0.4, 8000, sent*160, 160))...), to); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}

// listen takes what comes out of the loudspeaker.
func (p *Linphone) listen() {
	b := make([]byte, 2048)
	for {
		n, err := p.audio.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && n > 12 && b[0] == 0x80 && b[1]&0x7F == 0 {
			p.heard.add(tone.DecodeG711(0, b[12:n]))
		}
	}
}

// Heard reports on the last seconds that came out of the loudspeaker.
func (p *Linphone) Heard(seconds float64) tone.Report {
	p.heard.mu.Lock()
	defer p.heard.mu.Unlock()
	a := p.heard.audio
	a.Rate = 8000
	return a.Last(seconds).Report()
}

// Hears waits until the telephone plays half a second of a tone that is new.
func (p *Linphone) Hears(hz float64, limit time.Duration) {
	p.tb.Helper()
	p.heard.mu.Lock()
	since := p.heard.total
	p.heard.mu.Unlock()
	p.until(limit, fmt.Sprintf("%.0f Hz", hz), func() bool {
		p.heard.mu.Lock()
		fresh := p.heard.total-since > 4000
		p.heard.mu.Unlock()
		return fresh && p.Heard(0.5).Is(hz)
	})
}
