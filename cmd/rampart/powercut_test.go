package main

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// office is many phones behind one address of a site.
type office struct {
	s     *site
	roots *x509.CertPool
	net   int
	host  int // of the address
}

func (s *site) office(host int) *office {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "state", "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	o := &office{s: s, roots: x509.NewCertPool(), net: s.net, host: host}
	o.roots.AppendCertsFromPEM(pem)
	return o
}

// phone connects from the office.
func (o *office) phone(ctx context.Context, user, password string) (*siptest.Phone, error) {
	return siptest.NewPhone(ctx, siptest.PhoneConfig{User: user, Password: password, Domain: "sip.example.com", Transport: "tls", UserAgent: "Desk phone 7",
		Server: netip.MustParseAddrPort(fmt.Sprintf("127.91.%d.1:5061", o.net)), Local: netip.MustParseAddr(fmt.Sprintf("127.91.%d.%d", o.net, o.host)),
		TLS: &cryptotls.Config{RootCAs: o.roots, ServerName: "sip.example.com"}, SRTP: []string{"AEAD_AES_256_GCM"}})
}

// After a power cut two hundred phones behind one address come back in the same
// second, twenty of them with a password that somebody has changed, who try
// again and again. With the defaults of both profiles, and whether or not
// anybody was known before: all others are in, at the first attempt, and nobody is
// banned.
func TestPowerCut(t *testing.T) {
	const phones, wrong, tries = 200, 20, 4
	for i, profile := range []string{"office", "call-centre"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			s := newSite(t, 70+i, "profile: "+profile+"\nlimits: {handshake_timeout: 1m}\n") // for machines that have other things to do
			users := map[string]string{}
			for i := range phones {
				u := fmt.Sprint(2000 + i)
				users[u] = "good-" + u
			}
			pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: users,
				Listen: netip.MustParseAddrPort(fmt.Sprintf("127.91.%d.3:5060", s.net)), Trunk: netip.MustParseAddrPort(fmt.Sprintf("127.91.%d.2:5060", s.net))})
			if err != nil {
				t.Fatal(err)
			}
			defer pbx.Close()
			o := s.office(50)
			back := func(when string) (all []*siptest.Phone, took time.Duration) {
				var mu sync.Mutex
				var wg sync.WaitGroup
				var refused []string
				began := time.Now()
				for i := range phones {
					wg.Go(func() {
						u := fmt.Sprint(2000 + i)
						password, n := users[u], 1
						if i < wrong {
							password, n = "old-"+u, tries
						}
						p, err := o.phone(ctx, u, password)
						for ; n > 0 && err == nil; n-- {
							err = p.Register(ctx, time.Hour)
							if no := (*siptest.Refused)(nil); i < wrong && errors.As(err, &no) {
								err = nil // as it should be; it tries again
							} else if i < wrong && err == nil {
								err = errors.New("was let in")
							}
						}
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							refused = append(refused, fmt.Sprintf("%s: %v", u, err))
						} else {
							all = append(all, p)
						}
					})
				}
				wg.Wait()
				took = time.Since(began)
				if len(refused) > 0 {
					t.Errorf("%s: %d of %d phones have another answer than they should, such as %s; alerts %q", when, len(refused), phones, refused[0], s.alerts())
				}
				return all, took
			}
			first, took := back("nobody is known")
			t.Logf("%d phones in %s when nobody was known", len(first), took.Round(time.Millisecond))
			for _, p := range first {
				p.Close() // the power is gone
			}
			again, took := back("after the cut")
			t.Logf("%d phones in %s after the cut", len(again), took.Round(time.Millisecond))
			defer func() {
				for _, p := range again {
					p.Close()
				}
			}()
			if n := len(s.g.sbc.Registrations()); n != phones-wrong {
				t.Errorf("%d are registered, want %d", n, phones-wrong)
			}
			if got := s.g.bans.Remembered(); len(got) != 0 {
				t.Errorf("%d bans, such as %+v", len(got), got[0])
			}
			for _, reason := range []string{"rate", "banned", "connect", "malformed"} {
				if n := s.g.rep.counters.RefusedFor(reason); n != 0 {
					t.Errorf("%d messages or connections were refused: %s", n, reason)
				}
			}
			b, err := os.ReadFile(filepath.Join(s.dir, "state", "alerts.jsonl"))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, action := range []string{`"flood"`, `"source-banned"`} {
				if strings.Contains(string(b), `"action":`+action) {
					t.Errorf("an honest office was told of as %s", action)
				}
			}
		})
	}
}
