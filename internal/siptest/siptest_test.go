package siptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net/netip"
	"testing"
	"time"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// world is a PBX with two registered phones.
func world(t *testing.T, transport string, srtp ...string) (*PBX, *Phone, *Phone) {
	t.Helper()
	ctx := testContext(t)
	var conf *tls.Config
	if transport == "tls" {
		conf = certificate(t)
	}
	pbx, err := NewPBX(ctx, PBXConfig{Domain: "pbx.example", Users: map[string]string{"1001": "one", "1002": "two"},
		Transport: transport, TLS: conf, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	phone := func(user, password string, tone float64) *Phone {
		p, err := NewPhone(ctx, PhoneConfig{User: user, Password: password, Domain: "pbx.example", Server: pbx.Addr(),
			Transport: transport, TLS: conf, Tone: tone, SRTP: srtp, Log: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Register(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	a, b := phone("1001", "one", 440), phone("1002", "two", 1209)
	t.Cleanup(pbx.Close)
	return pbx, a, b
}

func certificate(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"pbx.example"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ServerName: "pbx.example"}
}

func TestToneBothWays(t *testing.T) {
	for _, c := range []struct {
		name, transport string
		srtp            []string
	}{
		{"udp", "udp", nil}, {"tcp", "tcp", nil}, {"tls", "tls", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			_, a, b := world(t, c.transport, c.srtp...)
			call, err := a.Invite(ctx, "600")
			if err != nil {
				t.Fatal(err)
			}
			if err := call.Media.WaitTone(ctx, ToneFreq); err != nil {
				t.Fatal(err)
			}
			if err := call.Bye(ctx); err != nil {
				t.Fatal(err)
			}
			if call, err = a.Invite(ctx, "601"); err != nil {
				t.Fatal(err)
			}
			if err := call.Media.WaitTone(ctx, 440); err != nil {
				t.Fatal(err)
			}
			if err := call.Bye(ctx); err != nil {
				t.Fatal(err)
			}
			talk(t, a, b)
		})
	}
}

// talk calls from a to b: audio, INFO, hold, resume, and the end by b.
func talk(t *testing.T, a, b *Phone) {
	t.Helper()
	ctx := testContext(t)
	call, err := a.Invite(ctx, "1002")
	if err != nil {
		t.Fatal(err)
	}
	other := b.Answered()[len(b.Answered())-1]
	if err := other.WaitAck(ctx); err != nil {
		t.Fatal(err)
	}
	both := func() {
		t.Helper()
		if err := call.Media.WaitTone(ctx, 1209); err != nil {
			t.Fatal(err)
		}
		if err := other.Media.WaitTone(ctx, 440); err != nil {
			t.Fatal(err)
		}
	}
	both()
	if res, err := call.Info(ctx, "application/dtmf-relay", []byte("Signal=5\r\n")); err != nil || res.Code != 200 {
		t.Fatal(res, err)
	}
	if m := <-other.Infos; string(m.Body) != "Signal=5\r\n" {
		t.Fatalf("INFO with %q", m.Body)
	}
	if err := call.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	if !other.Held() {
		t.Fatal("not on hold")
	}
	call.Media.Forget()
	if err := call.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if other.Held() {
		t.Fatal("still on hold")
	}
	both()
	if err := other.Bye(ctx); err != nil {
		t.Fatal(err)
	}
	if err := call.WaitEnd(ctx); err != nil {
		t.Fatal(err)
	}
	if call.Ended() != "remote bye" || other.Ended() != "bye" {
		t.Errorf("ended by %q and %q", call.Ended(), other.Ended())
	}
}

func TestSRTPBetweenPhones(t *testing.T) {
	for _, suite := range []string{SuiteCM80, SuiteGCM, SuiteGCM16} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			_, a, b := world(t, "udp", suite)
			talk(t, a, b)
			ctx := testContext(t)
			call, err := a.Invite(ctx, "1002")
			if err != nil {
				t.Fatal(err)
			}
			if err := call.Rekey(ctx); err != nil {
				t.Fatal(err)
			}
			call.Media.Forget()
			if err := call.Media.WaitTone(ctx, 1209); err != nil {
				t.Fatal(err)
			}
			// A phone that wants SRTP takes no RTP.
			var refused *Refused
			if _, err := a.Invite(ctx, "1002", Suites()); !errors.As(err, &refused) || refused.Response.Code != 488 {
				t.Errorf("RTP offered: %v, want 488", err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	ctx := testContext(t)
	pbx, a, _ := world(t, "udp")
	for number, code := range map[string]int{"602": 486, "699": 404, "nobody": 404} {
		var refused *Refused
		if _, err := a.Invite(ctx, number); !errors.As(err, &refused) || refused.Response.Code != code {
			t.Errorf("%s: %v, want %d", number, err, code)
		}
	}
	wrong, err := NewPhone(ctx, PhoneConfig{User: "1002", Password: "wrong", Domain: "pbx.example", Server: pbx.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	var refused *Refused
	if err := wrong.Register(ctx, time.Minute); !errors.As(err, &refused) || refused.Response.Code != 403 {
		t.Errorf("wrong password: %v", err)
	}
	if err := a.Register(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if pbx.Bound("1001") != "" {
		t.Error("still registered")
	}
}

func TestCancel(t *testing.T) {
	for _, number := range []string{ExtRing, ExtNothing} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			_, a, _ := world(t, "udp")
			ctx, cancel := context.WithCancel(testContext(t))
			seen := false
			_, err := a.Invite(ctx, number, Progress(func(m *Message) {
				if m.Code == 180 || number == ExtNothing {
					seen = true
					cancel()
				}
			}))
			var refused *Refused
			if !errors.As(err, &refused) || refused.Response.Code != 487 || !seen {
				t.Errorf("cancelled: %v, want 487", err)
			}
		})
	}
}

func TestTrunk(t *testing.T) {
	ctx := testContext(t)
	carrier, err := NewCarrier(ctx, CarrierConfig{Domain: "carrier.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer carrier.Close()
	pbx, err := NewPBX(ctx, PBXConfig{Domain: "pbx.example", Users: map[string]string{"1001": "one"},
		DIDs: map[string]string{"+33123456789": "1001"}, Trunk: carrier.Addr(), Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	p, err := NewPhone(ctx, PhoneConfig{User: "1001", Password: "one", Domain: "pbx.example", Server: pbx.Addr(), Tone: 440})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Register(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	call, err := p.Invite(ctx, "+442079460000")
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Media.WaitTone(ctx, CarrierTone); err != nil {
		t.Fatal(err)
	}
	in := carrier.Answered()[0]
	if in.Request.Get("P-Asserted-Identity") != "<sip:1001@pbx.example>" || in.ID() != call.ID() {
		t.Errorf("the trunk saw %v", in.Request.Headers)
	}
	if err := call.Bye(ctx); err != nil {
		t.Fatal(err)
	}

	inbound, err := NewCarrier(ctx, CarrierConfig{Domain: "carrier.example", Gateway: pbx.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer inbound.Close()
	if call, err = inbound.Invite(ctx, "+33123456789", From("sip:+442079460000@carrier.example")); err != nil {
		t.Fatal(err)
	}
	if err := call.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := call.Bye(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestPing(t *testing.T) {
	_, a, _ := world(t, "tcp")
	if err := a.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if res, err := a.Options(testContext(t)); err != nil || res.Code != 200 {
		t.Fatal(res, err)
	}
}

func TestIPv6(t *testing.T) {
	ctx := testContext(t)
	pbx, err := NewPBX(ctx, PBXConfig{Domain: "pbx.example", Users: map[string]string{"1001": "one"},
		Listen: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	p, err := NewPhone(ctx, PhoneConfig{User: "1001", Password: "one", Domain: "pbx.example", Server: pbx.Addr(), Tone: 440})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Register(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	call, err := p.Invite(ctx, ExtEcho)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Media.WaitTone(ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := call.Bye(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDigest takes the examples of RFC 7616 §3.9.1.
func TestDigest(t *testing.T) {
	for alg, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		got := digestResponse(digestHash(alg), "Mufasa", "http-auth@example.org", "Circle of Life", "GET", "/dir/index.html",
			"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "auth")
		if got != want {
			t.Errorf("%s: %s, want %s", alg, got, want)
		}
	}
	d := digestServer{realm: "r", key: []byte("k")}
	now := time.Unix(1_800_000_000, 0)
	v := Answer(d.challenges(now, false), "REGISTER", "sip:r", "u", "p")
	for _, c := range []struct {
		password, method string
		at               time.Duration
		ok, stale        bool
	}{
		{"p", "REGISTER", time.Second, true, false}, {"q", "REGISTER", 0, false, false}, {"p", "INVITE", 0, false, false},
		{"p", "REGISTER", 2 * nonceLife, false, true},
	} {
		if ok, stale := d.check(v, c.method, c.password, now.Add(c.at)); ok != c.ok || stale != c.stale {
			t.Errorf("%+v: %v %v", c, ok, stale)
		}
	}
}
