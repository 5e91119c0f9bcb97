package integration_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// The PBX is started again and has forgotten everybody; two hundred phones
// register at once. It gets them at the configured rate, and all of them.
func TestRegistrationStorm(t *testing.T) {
	t.Parallel()
	const phones, rate = 200, 60
	users := map[string]string{}
	for i := range phones {
		users[fmt.Sprint(2000+i)] = fmt.Sprintf("pw%d", 2000+i)
	}
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Users: users})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), fmt.Sprintf("registrations: {rate: %d/s, queue: 1000}\n", rate))
	var ps []*siptest.Phone
	var mu sync.Mutex
	all := func(what string, each func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range phones {
			wg.Go(func() {
				if err := each(i); err != nil {
					t.Errorf("%s: %d: %v", what, 2000+i, err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	all("first", func(i int) error {
		user := fmt.Sprint(2000 + i)
		c := siptest.PhoneConfig{User: user, Password: "pw" + user, Domain: peers.Domain, Server: w.tls(), Transport: "tls", TLS: w.trust(), UserAgent: "siptest"}
		mu.Lock()
		c.Local = w.net.Addr(t)
		mu.Unlock()
		p, err := siptest.NewPhone(t.Context(), c)
		if err != nil {
			return err
		}
		t.Cleanup(p.Close)
		mu.Lock()
		ps = append(ps, p)
		mu.Unlock()
		return p.Register(limited(t, time.Minute), time.Hour)
	})
	if got := w.get("/api/v1/registrations"); strings.Count(got, `"user"`) != phones {
		t.Errorf("%d registrations, want %d", strings.Count(got, `"user"`), phones)
	}
	pbx.Stop()
	again := w.pbx(peers.PBX{Users: users, Addr: pbx.Addr.Addr(), Port: pbx.Addr.Port()})
	seen := peers.StartCapture(t, w.net)
	all("after the restart", func(i int) error { return ps[i].Register(limited(t, time.Minute), time.Hour) })

	// No second had more than the rate and what was saved up before.
	var at []time.Time
	ids := map[string]bool{}
	for _, p := range seen.Packets(func(p peers.Packet) bool {
		return p.To == again.Addr && strings.HasPrefix(string(p.Payload), "REGISTER ")
	}) {
		via, _, _ := strings.Cut(string(p.Payload), "\r\nMax-Forwards")
		if !ids[via] { // UDP repeats what has no answer yet
			ids[via] = true
			at = append(at, p.At)
		}
	}
	if len(at) < 2*phones { // each was challenged
		t.Errorf("the PBX got %d REGISTERs, want %d", len(at), 2*phones)
	}
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) > time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	t.Logf("%d REGISTERs in %v, at most %d in a second", len(at), at[len(at)-1].Sub(at[0]).Round(time.Millisecond), most)
	if most > 2*rate+rate/10 {
		t.Errorf("%d REGISTERs in one second at a rate of %d", most, rate)
	}
}
