package sbc_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// secondPBX is one more PBX on the inside, with a wire of its own.
func (w *world) secondPBX(at string, of string) (*siptest.PBX, *wire) {
	w.t.Helper()
	seen := &wire{}
	p, err := siptest.NewPBX(w.ctx, siptest.PBXConfig{Domain: of, Users: map[string]string{"1001": "one", "1002": "two", "1003": "three"},
		Listen: netip.MustParseAddrPort(at), Trace: seen.trace, Log: w.t.Logf})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p, seen
}

// TestTwoTenants: two domains with a PBX each; users of one name in both are
// two users, and neither PBX hears of the other's.
func TestTwoTenants(t *testing.T) {
	const two = "two.example.test"
	w := newWorld(t, func(c *worldConfig) {
		c.pbx.Listen = netip.MustParseAddrPort(insideNet + "9:15064")
		c.sbc.Domains = []string{domain, two}
		c.sbc.PBXs = []sbc.PBX{
			{Name: "main", Host: insideNet + "9", Port: 15064, Transport: "udp", SRTP: sdp.SRTPOff, Domains: []string{domain}},
			{Name: "second", Host: insideNet + "8", Port: 15064, Transport: "udp", SRTP: sdp.SRTPOff, Domains: []string{two}}}
	})
	_, seen := w.secondPBX(insideNet+"8:15064", two)
	at2 := func(c *siptest.PhoneConfig) { c.Domain, c.Local = two, netip.MustParseAddr(publicNet+"88") }
	a, b := w.registered("1001"), w.registered("1001", at2)
	for _, r := range w.gw.Registrations() {
		if want := map[string]string{domain: "main", two: "second"}[r.Domain]; r.Account != want {
			t.Errorf("%+v", r)
		}
	}
	for _, p := range []*siptest.Phone{a, b} {
		c := w.call(p, "600")
		c.Bye(w.ctx)
	}
	w.quiet()
	w.rep.lastRecord(t, 2)
	w.rep.mu.Lock()
	for i, want := range []string{"main", "second"} {
		if r := w.rep.records[i]; r.Account != want {
			t.Errorf("call %d: account %s, want %s", i, r.Account, want)
		}
	}
	w.rep.mu.Unlock()
	if s := w.in.String(); strings.Contains(s, two) {
		t.Errorf("the first PBX heard of the second domain:\n%s", around(s, two))
	}
	if s := seen.String(); strings.Contains(s, domain+";") || strings.Contains(s, "@"+domain) || !strings.Contains(s, "INVITE sip:600@"+two) {
		t.Errorf("the second PBX saw\n%s", s)
	}
}

// TestSpread: with weights, users are spread; challenge, answer, refresh and
// calls of each are at one PBX.
func TestSpread(t *testing.T) {
	w := newWorld(t, func(c *worldConfig) {
		c.pbx.Listen = netip.MustParseAddrPort(insideNet + "9:15065")
		c.sbc.PBXs = []sbc.PBX{
			{Name: "main", Host: insideNet + "9", Port: 15065, Transport: "udp", SRTP: sdp.SRTPOff, Weight: 5},
			{Name: "second", Host: insideNet + "8", Port: 15065, Transport: "udp", SRTP: sdp.SRTPOff, Weight: 5}}
	})
	w.secondPBX(insideNet+"8:15065", domain)
	for i, user := range []string{"1001", "1002", "1003"} {
		p := w.registered(user)
		if err := p.Register(w.ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		at := ""
		for _, r := range w.gw.Registrations() {
			if r.User == user {
				at = r.Account
			}
		}
		c := w.call(p, "600")
		c.Bye(w.ctx)
		w.quiet()
		if r := w.rep.lastRecord(t, i+1); at == "" || r.Account != at || r.Passes[0].RoutedTo != at {
			t.Errorf("%s is registered at %q and called by %q %q", user, at, r.Account, r.Passes[0].RoutedTo)
		}
	}
}

// tenants has two PBXs, raw ends both, of a domain each.
func tenants(t *testing.T, opts ...option) (w *rawWorld, other *raw, two string) {
	t.Helper()
	two = "two.example.test"
	w = newRawWorld(t, append([]option{func(c *worldConfig) {
		c.sbc.Domains = []string{domain, two}
		main, second := c.sbc.PBXs[0], c.sbc.PBXs[0]
		main.Domains = []string{domain}
		second.Name, second.Host, second.Domains = "second", insideNet+"67", []string{two}
		c.sbc.PBXs = []sbc.PBX{main, second}
	}}, opts...)...)
	other = newRaw(t, fmt.Sprintf(insideNet+"67:%d", w.b.addr().Port()))
	other.gw = w.b.gw
	return w, other, two
}

// TestForeignTenant: a PBX reaches the phones of its own domains and no others,
// whatever it sends.
func TestForeignTenant(t *testing.T) {
	t.Parallel()
	w, other, _ := tenants(t)
	p := w.desk("1001")
	for _, x := range []struct{ method, uri, event string }{{"NOTIFY", p.contact, "check-sync"}, {"SUBSCRIBE", "sip:1001@" + domain, "dialog"}} {
		other.invite("x", func(m *siptest.Message) {
			m.Method, m.URI, m.Body = x.method, x.uri, nil
			m.Set("CSeq", "1 "+x.method)
			m.Set("Event", x.event)
			m.Set("Subscription-State", "active")
		})
		other.answer(x.method, 404)
		p.never(x.method, is(x.method))
	}
	eventually(t, "the decisions", func() bool {
		n := 0
		for _, r := range w.rep.rules() {
			if r == "base/domain" {
				n++
			}
		}
		return n == 2
	})
	w.secret(p)
}

// TestRedirectToForeignTenant: a phone that forwards its calls does not ring
// those of another domain past their PBX; and a caller is shown with the
// domain of the phone, where it can call back.
func TestRedirectToForeignTenant(t *testing.T) {
	t.Parallel()
	w, other, two := tenants(t, func(c *worldConfig) { c.sbc.Phones.Redirects = sbc.FollowRedirects })
	p, q := w.desk("1001"), w.plug("1002")
	in2 := func(m *siptest.Message) {
		m.Set("From", "<sip:1002@"+two+">;tag="+unique("f"))
		m.Set("To", "<sip:1002@"+two+">")
		m.Add("Expires", "600")
	}
	q.send(q.outside("REGISTER", "sip:"+two, in2))
	reg := other.request("REGISTER")
	q.contact = siptest.URIOf(reg.Get("Contact"))
	other.reply(reg, 200, "t", nil, siptest.Field{Name: "Contact", Value: reg.Get("Contact") + ";expires=600"})
	q.answer("REGISTER", 200)
	for i, to := range []string{"1001@" + domain, "1001@" + q.gw.String()} {
		inv := other.invite("x", func(m *siptest.Message) {
			m.URI = q.contact
			m.Set("From", "<sip:1009@"+other.host()+">;tag="+unique("f"))
		})
		in := q.request("INVITE")
		if got := siptest.URIOf(in.Get("From")); got != "sip:1009@"+two {
			t.Errorf("the phone of %s sees %s", two, got)
		}
		q.reply(in, 302, "t", nil, contacts("<sip:"+to+">")...)
		other.ackFailure(inv, other.code(480))
		q.request("ACK")
		p.never("INVITE", is("INVITE"))
		w.quiet()
		if r := w.rep.lastRecord(t, i+1); r.Code != 480 {
			t.Errorf("record %+v", r)
		}
	}
	if !has(w.rep.rules(), "base/redirect") {
		t.Errorf("rules %v", w.rep.rules())
	}
}

// TestSubscriptionsOfTenants: a user of one domain takes no place of the user
// of that name in another.
func TestSubscriptionsOfTenants(t *testing.T) {
	t.Parallel()
	w, other, two := tenants(t, func(c *worldConfig) { c.sbc.MaxSubscriptionsPerUser = 1 })
	p, q := w.desk("1001"), w.plug("1001")
	as2 := func(m *siptest.Message) { m.Set("From", "<sip:1001@"+two+">;tag="+unique("f")) }
	q.send(q.outside("REGISTER", "sip:"+two, as2, with("To", "<sip:1001@"+two+">"), with("Expires", "600")))
	reg := other.request("REGISTER")
	other.reply(reg, 200, "t", nil, siptest.Field{Name: "Contact", Value: reg.Get("Contact") + ";expires=600"})
	q.answer("REGISTER", 200)
	w.subscribe(p, "1002", "dialog")
	q.send(q.outside("SUBSCRIBE", "sip:1002@"+two, as2, event("dialog"), with("Expires", "600")))
	other.accept(other.request("SUBSCRIBE"), "t", "600")
	q.answer("SUBSCRIBE", 200)
	p.send(p.outside("SUBSCRIBE", "sip:1003@"+domain, event("dialog"), with("Expires", "600")))
	p.answer("SUBSCRIBE", 480)
}

// TestDivertedToTenant: who passed a call on is named with the domain of the
// PBX that it is for.
func TestDivertedToTenant(t *testing.T) {
	t.Parallel()
	w, other, two := tenants(t, identity(sbc.Identity{Trust: true}))
	inv := w.a.invite("x", diverted(w.a.host()), func(m *siptest.Message) {
		m.URI = "sip:+33123456789@" + two
		m.Set("To", "<"+m.URI+">")
	})
	in := other.request("INVITE")
	if len(in.All("Diversion")) != 2 || len(in.All("History-Info")) != 3 || strings.Contains(string(in.Bytes()), domain) {
		t.Errorf("the PBX of %s got\n%s", two, in.Bytes())
	}
	other.reply(in, 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	w.hidden()
}

// TestGuessesOfTenants: who guesses the password of a user is shut out of that
// user, not of the one of the same name in another domain.
func TestGuessesOfTenants(t *testing.T) {
	const two = "two.example.test"
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `limits:
  - {id: x/failures, on: register, key: [source.ip, register.user], failures: 2, over: 5m, then: ban}
`, func(c *worldConfig) {
		c.pbx.Listen = netip.MustParseAddrPort(insideNet + "9:15064")
		c.sbc.Domains = []string{domain, two}
		c.sbc.PBXs = []sbc.PBX{
			{Name: "main", Host: insideNet + "9", Port: 15064, Transport: "udp", SRTP: sdp.SRTPOff, Domains: []string{domain}},
			{Name: "second", Host: insideNet + "8", Port: 15064, Transport: "udp", SRTP: sdp.SRTPOff, Domains: []string{two}}}
	})
	w.secondPBX(insideNet+"8:15064", two)
	in := func(domain, password string) func(*siptest.PhoneConfig) {
		return func(c *siptest.PhoneConfig) { c.Domain, c.Password = domain, password }
	}
	for range 3 {
		w.tries("1001", in(two, "wrong"), at("88"))
	}
	if l := bans.List(time.Now()); len(l) != 1 || l[0].Key.Domain != two || l[0].Key.RegisterUser != "1001" {
		t.Fatalf("bans: %+v", l)
	}
	if err := w.tries("1001", in(two, "one"), at("88")); err == nil {
		t.Error("the guessed user is let in from there")
	}
	if err := w.tries("1001", in(domain, "one"), at("88")); err != nil {
		t.Error("the other domain's user: ", err)
	}
}
