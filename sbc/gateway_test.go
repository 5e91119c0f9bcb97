package sbc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

func as(err error, to any) bool { return errors.As(err, to) }

func TestSecureCall(t *testing.T) {
	w := newWorld(t)
	p := w.registered("1001")
	c := w.call(p, "600") // plays a tone
	if err := c.Media.WaitTone(w.ctx, siptest.ToneFreq); err != nil {
		t.Fatal(err)
	}
	if err := c.Bye(w.ctx); err != nil {
		t.Fatal(err)
	}
	r := w.rep.lastRecord(t, 1)
	if r.Code != 200 || r.EndedBy != call.ByCaller || r.User != "1001" || r.Direction != call.Internal || len(r.Passes) != 1 {
		t.Errorf("record %+v", r)
	}
	m := r.Passes[0].MediaLegs
	if len(m) != 2 || m[0].Suite != siptest.SuiteGCM || m[1].Suite != "" || m[0].PacketsOut == 0 || m[1].PacketsOut == 0 {
		t.Errorf("media %+v", m)
	}
	w.quiet()
	if s := w.pub.String(); strings.Contains(s, insideNet) {
		t.Errorf("the public side saw the inside:\n%s", around(s, insideNet))
	}
	if s := w.in.String(); strings.Contains(s, publicNet) {
		t.Errorf("the inside saw the public side:\n%s", around(s, publicNet))
	}
}

func around(s, what string) string {
	i := strings.Index(s, what)
	return s[max(0, i-600):min(len(s), i+200)]
}

func TestPhoneToPhone(t *testing.T) {
	w := newWorld(t)
	a := w.registered("1001", tone(440))
	b := w.registered("1002", tone(620))
	c := w.call(a, "1002")
	if err := c.Media.WaitTone(w.ctx, 620); err != nil {
		t.Fatal("caller hears nothing: ", err)
	}
	d := b.Answered()[0]
	if err := d.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal("callee hears nothing: ", err)
	}
	if err := d.Bye(w.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitEnd(w.ctx); err != nil {
		t.Fatal(err)
	}
	r := w.rep.lastRecord(t, 1)
	if len(r.Passes) != 2 || r.EndedBy != call.ByCallee || r.Passes[1].RoutedTo != "phone" {
		t.Errorf("record %+v", r)
	}
	w.quiet()
	if s := w.pub.String(); strings.Contains(s, insideNet) {
		t.Errorf("the public side saw the inside:\n%s", around(s, insideNet))
	}
	if s := w.in.String(); strings.Contains(s, publicNet) {
		t.Errorf("the inside saw the public side:\n%s", around(s, publicNet))
	}
	for _, secret := range []string{"inline:"} {
		if strings.Contains(w.in.String(), secret) {
			t.Error("keys on the inside, which speaks plain RTP")
		}
	}
}

func TestHoldResumeInfo(t *testing.T) {
	w := newWorld(t)
	a := w.registered("1001", tone(440))
	b := w.registered("1002", tone(620))
	c := w.call(a, "1002")
	d := b.Answered()[0]
	if err := d.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := c.Hold(w.ctx); err != nil {
		t.Fatal(err)
	}
	if !d.Held() {
		t.Error("the other end was not told")
	}
	if err := c.Resume(w.ctx); err != nil {
		t.Fatal(err)
	}
	if d.Held() {
		t.Error("still held")
	}
	c.Media.Forget()
	d.Media.Forget()
	if err := c.Media.WaitTone(w.ctx, 620); err != nil {
		t.Fatal("after resume: ", err)
	}
	if err := d.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal("after resume: ", err)
	}
	if err := d.Hold(w.ctx); err != nil { // from the other side
		t.Fatal(err)
	}
	if err := d.Resume(w.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Rekey(w.ctx); err != nil {
		t.Fatal(err)
	}
	d.Media.Forget()
	if err := d.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal("after a new key: ", err)
	}
	m, err := c.Info(w.ctx, "application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n"))
	if err != nil || m.Code != 200 {
		t.Fatal(m, err)
	}
	select {
	case got := <-d.Infos:
		if !strings.Contains(string(got.Body), "Signal=5") {
			t.Errorf("INFO %q", got.Body)
		}
	case <-w.ctx.Done():
		t.Fatal("INFO did not arrive")
	}
	for method, code := range map[string]int{"UPDATE": 200, "REFER": 400, "OPTIONS": 200, "XYZ": 501} {
		m, err := c.Do(w.ctx, c.NewRequest(method))
		if err != nil && m == nil {
			var r *siptest.Refused
			if !as(err, &r) {
				t.Fatal(method, err)
			}
			m = r.Response
		}
		if m.Code != code {
			t.Errorf("%s: %d, want %d", method, m.Code, code)
		}
	}
	if err := c.Bye(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.quiet()
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.registered("1001")
	w.refused(p, "602", 486) // busy
	w.refused(p, "699", 404)
	m := w.refused(p, "600", 488, siptest.Suites()) // RTP only
	if !strings.HasPrefix(m.Get("Warning"), "3") {
		t.Errorf("Warning %q", m.Get("Warning"))
	}
	w.refused(p, "600", 403, siptest.From("sip:1002@"+domain)) // not who it registered as
	for _, rule := range []string{"base/srtp-required", "base/identity"} {
		if !has(w.rep.rules(), rule) {
			t.Errorf("no decision %s among %v", rule, w.rep.rules())
		}
	}
	stranger := w.phone("1003")
	w.refused(stranger, "600", 403)
	if !has(w.rep.rules(), "base/stranger") {
		t.Errorf("no decision base/stranger among %v", w.rep.rules())
	}
	w.quiet()
	w.rep.lastRecord(t, 5) // one for each attempt
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.registered("1001")
	for _, to := range []string{"603", "604"} { // rings for ever; never says a word
		ctx, cancel := context.WithTimeout(w.ctx, 400*time.Millisecond)
		_, err := p.Invite(ctx, to)
		cancel()
		if err == nil {
			t.Fatal("answered?")
		}
		w.quiet()
	}
	r := w.rep.lastRecord(t, 2)
	if r.Code != 487 || r.EndedBy != call.ByCaller {
		t.Errorf("record %+v", r)
	}
}

func TestPlaintextRefused(t *testing.T) {
	w := newWorld(t)
	p := w.phone("1001", func(c *siptest.PhoneConfig) {
		c.Transport, c.TLS, c.Server, c.SRTP = "udp", nil, w.gw.Addrs(call.Public, "udp")[0], nil
	})
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	if err := p.Register(ctx, time.Hour); err == nil {
		t.Fatal("registered over UDP")
	}
	if _, err := p.Invite(ctx, "600"); err == nil {
		t.Fatal("called over UDP")
	}
	eventually(t, "a decision base/plaintext", func() bool { return has(w.rep.rules(), "base/plaintext") })
	if strings.Contains(w.pub.String(), "SIP/2.0 ") {
		t.Errorf("a datagram of a stranger was answered: %s", w.pub.String())
	}
	if strings.Contains(w.in.String(), "1001") {
		t.Error("something of it reached the PBX")
	}
}
