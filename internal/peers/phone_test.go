package peers

import (
	"testing"
	"time"
)

const soon = 10 * time.Second

// Two telephones at the PBX without the gateway: what the helpers claim about
// registration, calls and audio must hold here first.
func TestPhonesCallEachOther(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	pbx := StartPBX(t, n, PBX{})
	a := StartPhone(t, n, Phone{User: "1001", Server: pbx.Addr, Tone: 440})
	b := StartPhone(t, n, Phone{User: "1002", Server: pbx.Addr, Tone: 800})
	a.WaitRegistered(soon)
	b.WaitRegistered(soon)

	a.Dial("1002")
	in := b.Incoming(soon)
	t.Log(in)
	t.Log(a.Wait("CALL_RINGING", soon))
	b.Answer()
	a.Established(soon)
	b.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	t.Log(a.Recordings(), a.Heard(10), b.Heard(10))
	a.Hold()
	<-time.After(2 * time.Second)
	t.Log(a.Recordings(), a.Heard(10), b.Heard(10))
	a.Resume()
	<-time.After(2 * time.Second)
	t.Log(a.Recordings(), a.Heard(10), b.Heard(10))
	b.Hangup()
	t.Log("reason:", a.Closed(soon))
	t.Log(tail(a.Log(), 40))
	t.Log(a.Events())
}
