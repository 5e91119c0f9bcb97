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
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), fmt.Sprintf("registrations: {rate: %d/s, queue: 800}\nlimits: {handshake_timeout: 1m, message_timeout: 1m, idle_timeout: 5m}\n", rate))
	var ps []*siptest.Phone
	var mu sync.Mutex
	all := func(what string, at int, each func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		room := make(chan struct{}, at)
		for i := range phones {
			wg.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
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
	all("first", 8, func(i int) error {
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
	all("after the restart", phones, func(i int) error { return ps[i].Register(limited(t, time.Minute), time.Hour) })

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

// A phone refreshes often, Kamailio sees it once; and again after it was away,
// as it has forgotten everybody then.
func TestRefreshesInPlaceOfThePBX(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{})
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s;transport=udp", health: 1s}`, pbx.Addr), "registrations: {phone_interval: 30s, pbx_interval: 30m}\n")
	seen := peers.StartCapture(t, w.net)
	asked := func() int {
		ids := map[string]bool{}
		for _, p := range seen.Packets(func(p peers.Packet) bool {
			return p.To == pbx.Addr && strings.HasPrefix(string(p.Payload), "REGISTER ")
		}) {
			via, _, _ := strings.Cut(string(p.Payload), "\r\nMax-Forwards")
			ids[via] = true
		}
		return len(ids)
	}
	a, b := w.telephone("1001", nil), w.telephone("1002", nil)
	refresh := func(p *siptest.Phone) string {
		t.Helper()
		m, err := p.RegisterMessage(limited(t, soon), time.Minute)
		if err != nil {
			t.Fatalf("refresh: %v", err)
		}
		return siptest.Param(m.Get("Contact"), "expires")
	}
	first := asked()
	for range 5 {
		if got := refresh(b); got != "30" {
			t.Errorf("the phone is told %s", got)
		}
	}
	// Ten more would be all of them; on a machine so busy that an OPTIONS got no
	// answer the PBX is asked once.
	if n := asked(); first < 4 || n > first+2 {
		t.Errorf("Kamailio was asked %d times, and %d times more for refreshes", first, n-first)
	}
	call := func() error {
		c, err := a.Invite(limited(t, soon), "1002")
		if err == nil {
			err = c.Bye(limited(t, soon))
		}
		return err
	}
	if err := call(); err != nil {
		t.Errorf("a call to the phone: %v", err)
	}
	state := func(s string) func() bool {
		return func() bool { return strings.Contains(w.get("/metrics"), `rampart_sbc_pbx_active{state="`+s+`"} 1`) }
	}
	pbx.Stop()
	peers.Eventually(t, soon, "the PBX counts as down", state("down"))
	w.pbx(peers.PBX{Addr: pbx.Addr.Addr(), Port: pbx.Addr.Port()})
	peers.Eventually(t, soon, "the PBX counts as up", state("up"))
	refresh(a)
	refresh(b)
	if n := asked(); n < first+4 {
		t.Errorf("after it was away Kamailio was asked %d times", n-first)
	}
	if err := call(); err != nil {
		t.Errorf("a call to the phone after the restart: %v", err)
	}
	w.idle()
}
