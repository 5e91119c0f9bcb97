package sbc_test

import (
	cryptotls "crypto/tls"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// families makes a world whose sides speak the IP versions given.
func families(t *testing.T, pub, in netip.Addr) option {
	return func(c *worldConfig) {
		plane, err := media.New(media.Config{Public: []media.Address{{Bind: pub}}, Inside: []media.Address{{Bind: in}}, PortMin: 20000, PortMax: 39999})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { plane.Close() })
		c.deps.Media = plane
		c.pbx.Listen = netip.AddrPortFrom(in, 0)
		if in.Is4() {
			c.pbx.Listen = netip.MustParseAddrPort(insideNet + "9:0")
		}
		c.sbc.Stack.Listeners = []sipx.Listener{
			{Side: call.Public, Transport: "tls", Bind: netip.AddrPortFrom(pub, 0)},
			{Side: call.Public, Transport: "udp", Bind: netip.AddrPortFrom(pub, 0)},
			{Side: call.Inside, Transport: "udp", Bind: netip.AddrPortFrom(in, 0)},
		}
	}
}

// TestFamilies: the secure call over IPv6, and from one family to the other.
func TestFamilies(t *testing.T) {
	six := netip.IPv6Loopback()
	pub4, in4 := netip.MustParseAddr(publicNet+"1"), netip.MustParseAddr(insideNet+"1")
	for _, c := range []struct {
		name    string
		pub, in netip.Addr
	}{{"IPv6 both", six, six}, {"IPv6 outside", six, in4}, {"IPv6 inside", pub4, six}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, families(t, c.pub, c.in))
			local := func(pc *siptest.PhoneConfig) {
				if c.pub.Is6() {
					pc.Local = c.pub
				}
				pc.TLS = &cryptotls.Config{RootCAs: w.roots, ServerName: domain}
			}
			a := w.registered("1001", local, tone(440))
			b := w.registered("1002", local, tone(620))
			call1 := w.call(a, "1002")
			if err := call1.Media.WaitTone(w.ctx, 620); err != nil {
				t.Fatal(err)
			}
			d := b.Answered()[0]
			if err := d.Media.WaitTone(w.ctx, 440); err != nil {
				t.Fatal(err)
			}
			if err := call1.Hold(w.ctx); err != nil {
				t.Fatal(err)
			}
			if err := call1.Resume(w.ctx); err != nil {
				t.Fatal(err)
			}
			d.Bye(w.ctx)
			if err := call1.WaitEnd(w.ctx); err != nil {
				t.Fatal(err)
			}
			r := w.rep.lastRecord(t, 1)
			if len(r.Passes) != 2 || r.Code != 200 {
				t.Errorf("record %+v", r)
			}
			w.quiet()
			if c.pub != c.in {
				if s := w.pub.String(); strings.Contains(s, c.in.String()) {
					t.Errorf("the public side saw the inside:\n%s", around(s, c.in.String()))
				}
				if s := w.in.String(); strings.Contains(s, c.pub.String()) {
					t.Errorf("the inside saw the public side:\n%s", around(s, c.pub.String()))
				}
			}
		})
	}
}

// TestNothingCrosses: every place in a message where one side may name itself.
func TestNothingCrosses(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	leak := func(r *raw) []siptest.Field {
		h := r.addr().String()
		var fs []siptest.Field
		for _, n := range []string{"Record-Route", "Path", "Service-Route", "P-Associated-URI", "Call-Info", "Alert-Info", "Error-Info", "Reply-To",
			"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Diversion", "History-Info", "Referred-By", "P-Charging-Vector", "Geolocation"} {
			fs = append(fs, siptest.Field{Name: n, Value: "<sip:x@" + h + ";lr>"})
		}
		for _, n := range []string{"User-Agent", "Server", "Organization", "X-Host", "Session-ID", "In-Reply-To", "P-Access-Network-Info", "Retry-After", "Allow-Events"} {
			fs = append(fs, siptest.Field{Name: n, Value: "5 (" + h + ")"})
		}
		return append(fs, siptest.Field{Name: "Warning", Value: `399 ` + h + ` "` + h + `"`},
			siptest.Field{Name: "Reason", Value: `SIP;cause=480;text="at ` + h + `", Q.850;cause=16;text="NORMAL_CLEARING"`})
	}
	add := func(r *raw) func(*siptest.Message) {
		return func(m *siptest.Message) {
			for _, f := range leak(r) {
				if f.Name != "Record-Route" && f.Name != "Path" {
					m.Headers = append(m.Headers, f)
				}
			}
		}
	}
	plain := func(fs []siptest.Field) (out []siptest.Field) {
		for _, f := range fs {
			if f.Name != "Record-Route" {
				out = append(out, f)
			}
		}
		return out
	}
	sdpExtra := []string{"i=" + w.a.addr().String(), "a=x:" + w.a.addr().String(), "a=candidate:1 1 UDP 1 " + w.a.host() + " 9 typ host"}
	// A refused call.
	for _, code := range []int{302, 401, 404, 486, 500, 503, 603} {
		inv := w.a.invite("+33123456789", add(w.a))
		in := w.b.request("INVITE")
		w.b.reply(in, 183, "t", nil, leak(w.b)...)
		w.a.code(183)
		w.b.reply(in, code, "t", nil, leak(w.b)...)
		res := w.a.expect("a refusal", func(m *siptest.Message) bool { return m.Code >= 300 })
		w.a.ackFailure(inv, res)
		w.b.request("ACK")
		want := map[int]int{302: 480, 401: 403}[code]
		if want == 0 {
			want = code
		}
		if res.Code != want || res.Get("Contact") != "" {
			t.Errorf("%d became\n%s", code, res.Bytes())
		}
	}
	// An answered one, with everything that may be said in it.
	c := rawCall{tag: "t9"}
	c.inv = w.a.invite("+33123456789", add(w.a), func(m *siptest.Message) { m.Body = w.a.sdp(sdpExtra...) })
	c.in = w.b.request("INVITE")
	w.b.reply(c.in, 200, c.tag, w.b.sdp("a=x:"+w.b.addr().String()), plain(leak(w.b))...)
	c.ok = w.a.code(200)
	w.b.request("ACK")
	ack := w.a.within("ACK", 1, c.inv, c.ok)
	add(w.a)(ack)
	w.a.send(ack)
	info := w.a.within("INFO", 2, c.inv, c.ok)
	add(w.a)(info)
	w.a.send(info)
	w.b.reply(w.b.request("INFO"), 488, "", nil, plain(leak(w.b))...)
	w.a.answer("INFO", 488)
	re := withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.sdp())
	add(w.b)(re)
	w.b.send(re)
	w.a.reply(w.a.request("INVITE"), 200, "", w.a.sdp(), plain(leak(w.a))...)
	w.b.send(hop("ACK", re, w.b.code(200).Get("To")))
	opt := w.a.within("OPTIONS", 3, c.inv, c.ok)
	w.a.send(opt)
	w.a.answer("OPTIONS", 200)
	bye := w.b.back("BYE", 2, c.in, c.tag)
	add(w.b)(bye)
	w.b.send(bye)
	got := w.a.request("BYE")
	if rs := got.All("Reason"); len(rs) != 2 || rs[0] != "SIP;cause=480" || rs[1] != `Q.850;cause=16;text="NORMAL_CLEARING"` {
		t.Errorf("Reason %q", rs)
	}
	w.a.reply(got, 200, "", nil, plain(leak(w.a))...)
	w.quiet()
	w.hidden()
}

func TestReasonText(t *testing.T) {
	for in, want := range map[string]string{
		`Q.850;cause=16;text="Normal call clearing"`:    `Q.850;cause=16;text="Normal call clearing"`,
		`SIP ; cause=200 ; text="Completed elsewhere"`:  `SIP;cause=200;text="Completed elsewhere"`,
		`SIP;cause=480;text="pbx.inside.example"`:       `SIP;cause=480`,
		`SIP;cause=480;text="10.0.0.5"`:                 `SIP;cause=480`,
		`Q.850;cause="16;x=y";host=10.0.0.5`:            `Q.850;cause=16`,
		`<sip:10.0.0.5>;cause=1`:                        ``,
		``:                                              ``,
		`SIP;cause=480;text="a\"b"`:                     `SIP;cause=480`,
		`FreeSWITCH;cause=487;text="ORIGINATOR_CANCEL"`: `FreeSWITCH;cause=487;text="ORIGINATOR_CANCEL"`,
	} {
		if got := sbc.Reason(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestDisplayName(t *testing.T) {
	for in, want := range map[string]string{`Alice`: `Alice`, `a \"b\" c`: `a \"b\" c`, `a\`: ``, `a \\`: `a \\`, `a\\\`: ``, `a"b`: ``, `Jürgen`: `Jürgen`} {
		if got := sbc.Display(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestAssertedIdentity(t *testing.T) {
	for want, lines := range map[string][]string{
		"1001":   {"<sip:1001@" + domain + ">"},
		"1002":   {`"Doe, J" <sip:1002@` + domain + ">, <tel:+3311>"},
		"+3312":  {"<tel:+3312;phone-context=x>", "<sip:1003@" + domain + ">"},
		"a,b":    {"<sip:a%2Cb@" + domain + ">"},
		"":       {"<sip:" + domain + ">"},
		"+33199": {"<sip:anonymous.invalid>, <sip:+33199@" + domain + ">"},
	} {
		if got := sbc.Asserted(lines...); got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
}

// TestQuotedDisplay: a display name that ends in an escaped quote leaves the
// header whole.
func TestQuotedDisplay(t *testing.T) {
	w := newRawWorld(t)
	w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Set("From", `"x\"" `+m.Get("From"))
	})
	in := w.b.request("INVITE")
	if from := in.Get("From"); strings.Count(strings.ReplaceAll(from, `\"`, ""), `"`)%2 != 0 {
		t.Errorf("From %q", from)
	}
	w.b.reply(in, 486, "t", nil)
	w.a.code(486)
	w.quiet()
}

// TestEvents: the stream tells of every call in order, with who and where.
func TestEvents(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	w.bye(c, 2)
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	eventually(t, "6 events", func() bool { w.rep.mu.Lock(); defer w.rep.mu.Unlock(); return len(w.rep.events) == 6 })
	want := []string{"invite", "ringing", "answer", "end", "invite", "end"}
	var id string
	for i, e := range w.rep.events {
		if string(e.Kind) != want[i] {
			t.Fatalf("event %d is %s, want %s", i, e.Kind, want[i])
		}
		if e.Kind == call.EventInvite {
			id = e.ID
			if e.Direction != "inbound" || e.Account != "main" || e.Peer != "raw" || e.From != "+33199001234" || e.To != "+33123456789" || e.Verdict != "allow" {
				t.Errorf("%+v", e)
			}
		}
		if e.ID != id || e.Source != w.a.host() || i > 0 && e.At.Before(w.rep.events[i-1].At.Time) {
			t.Errorf("%+v", e)
		}
	}
	if e := w.rep.events[3]; e.Code != 200 || e.EndedBy != call.ByCaller || e.Seconds == nil || e.RingSeconds == nil {
		t.Errorf("%+v", e)
	}
	if e := w.rep.events[5]; e.Code != 486 || e.EndedBy != call.ByCallee {
		t.Errorf("%+v", e)
	}
	for _, r := range w.rep.records {
		if r.Account != "main" {
			t.Errorf("record of account %q", r.Account)
		}
	}
}

// TestDirections of what the PBX sends, without a pass before it.
func TestDirections(t *testing.T) {
	w := newRawWorld(t)
	p := w.phone("1002")
	contact := siptest.URIOf(w.in(p).Get("Contact"))
	for i, c := range []struct {
		uri, from string
		want      call.Direction
		code      int
	}{
		{contact, "sip:1001@" + domain, call.Internal, 200},
		{"sip:1002@" + domain, "sip:1001@" + domain, call.Internal, 200},
		{contact, "sip:+442079460000@" + domain, call.Inbound, 200},
		{"sip:+442079460000@x", "sip:1001@" + domain, call.Outbound, 486},
		{"sip:112@x", "sip:1001@" + domain, call.Outbound, 486},
		{"sip:*72@x", "sip:1001@" + domain, call.Internal, 404},
	} {
		inv := w.ring(c.uri, set("From", "<"+c.from+">;tag="+unique("f")))
		switch c.code {
		case 200:
			w.b.cancelOrBye(inv)
		case 486:
			in := w.a.request("INVITE")
			w.a.reply(in, 486, "t", nil)
			w.b.ackFailure(inv, w.b.code(486))
		default:
			w.b.ackFailure(inv, w.b.code(c.code))
		}
		w.quiet()
		r := w.rep.lastRecord(t, i+1)
		if r.Direction != c.want || r.Code != c.code {
			t.Errorf("%s from %s: %v %d, want %v %d", c.uri, c.from, r.Direction, r.Code, c.want, c.code)
		}
	}
}

// TestEmergencyWays: every spelling of an emergency call finds a way, even
// where no route was written for it.
func TestEmergencyWays(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.Routes = []sbc.Route{{Countries: []string{"GB"}, Peers: []string{"raw"}}}
		c.deps.Guards = []sbc.Guard{closed{}}
	})
	p := w.phone("1001")
	w.in(p)
	for _, uri := range []string{"sip:112@" + domain, "urn:service:sos", "urn:service:sos.fire", "tel:112"} {
		t.Run(uri, func(t *testing.T) {
			got := make(chan error, 1)
			go func() {
				_, err := p.Invite(w.ctx, uri, siptest.Suites())
				got <- err
			}()
			in := w.b.request("INVITE")
			if u := siptest.UserOf(in.URI); u != "112" {
				t.Errorf("the PBX is asked for %q", in.URI)
			}
			out := w.ring("sip:112@x", set("Call-ID", in.Get("Call-ID")), set("From", in.Get("From")))
			carrier := w.a.request("INVITE")
			if siptest.UserOf(carrier.URI) != "112" {
				t.Errorf("the carrier is asked for %q", carrier.URI)
			}
			w.a.reply(carrier, 486, "t", nil)
			w.b.ackFailure(out, w.b.code(486))
			w.b.reply(in, 486, "t", nil)
			if err := <-got; err == nil {
				t.Error("answered?")
			}
			w.quiet()
		})
	}
}

// TestURIs that an INVITE may have.
func TestURIs(t *testing.T) {
	w := newRawWorld(t)
	p := w.phone("1001")
	w.in(p)
	for uri, want := range map[string]any{
		"sips:600@" + domain:               480,
		"tel:*72":                          "*72",
		"tel:+33123456789":                 "+33123456789",
		"tel:600;phone-context=" + domain:  "600",
		"sip:600@" + w.tlsAddr.String():    "600",
		"sip:600@192.0.2.1;maddr=10.0.0.1": "600",
		"http://" + domain:                 416,
		"mailto:600@" + domain:             416,
	} {
		got := make(chan error, 1)
		go func() {
			_, err := p.Invite(w.ctx, uri)
			got <- err
		}()
		if user, ok := want.(string); ok {
			in := w.b.request("INVITE")
			if in.URI != "sip:"+user+"@"+domain {
				t.Errorf("%s became %s", uri, in.URI)
			}
			w.b.reply(in, 486, "t", nil)
			want = 486
		}
		var r *siptest.Refused
		if err := <-got; !as(err, &r) || r.Response.Code != want {
			t.Errorf("%s: %v, want %v", uri, err, want)
		} else if want == 480 && !strings.HasPrefix(r.Response.Get("Warning"), "380 ") {
			t.Errorf("%s: Warning %q", uri, r.Response.Get("Warning"))
		}
	}
	w.quiet()
	w.hidden()
}

// TestStrangers get no more than the guards allow, whatever they send.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	for i, method := range []string{"INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "BYE", "INFO", "UPDATE", "PRACK", "XYZ"} {
		p := w.phone("1001")
		m := p.NewRequest(method, "sip:600@"+domain)
		m.Set("Content-Type", "text/plain") // and nothing else of it is looked at
		m.Body = []byte("x")
		if method == "REFER" {
			m.Add("Refer-To", "<sip:600@"+domain+">")
		}
		if method == "SUBSCRIBE" || method == "NOTIFY" || method == "PUBLISH" {
			m.Add("Event", "reg")
		}
		res := <-w.ask(p, m)
		if res == nil || res.Code != 403 || res.Get("Warning") != "" {
			t.Errorf("%s: %v, want 403", method, res)
		}
		p.Close()
		w.rep.mu.Lock()
		if len(w.rep.decisions) != i+1 || w.rep.decisions[i].d.Rule != "base/stranger" {
			t.Errorf("%s: %d decisions, want one more each", method, len(w.rep.decisions))
		}
		w.rep.mu.Unlock()
	}
	// A tag in To is no way past the guards.
	before := len(w.rep.rules())
	for _, method := range []string{"INVITE", "BYE", "OPTIONS", "XYZ"} {
		m := w.phone("1001").NewRequest(method, "sip:600@"+domain)
		m.Set("To", m.Get("To")+";tag=guessed")
		m.Add("Via", "SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK"+unique("b"))
		c, err := cryptotls.Dial("tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		c.Write(m.Bytes())
		answer, err := io.ReadAll(c) // the connection ends with it
		if err != nil || !strings.HasPrefix(string(answer), "SIP/2.0 403 ") || strings.Contains(string(answer), "Warning:") {
			t.Errorf("%s with a tag: %v %q, want 403 and the end", method, err, answer)
		}
		c.Close()
	}
	if rules := w.rep.rules()[before:]; len(rules) != 4 || slices.Compact(rules)[0] != "base/stranger" {
		t.Errorf("with a tag: decisions %v", rules)
	}
	if n := w.gw.Tables(); n["transactions"] > 0 || n["sessions"] > 0 {
		t.Errorf("strangers left %v", n)
	}
}

// TestKnownRefusals: the code and the rule for those we know.
func TestKnownRefusals(t *testing.T) {
	w := newRawWorld(t)
	p := w.phone("1001")
	w.in(p)
	for method, code := range map[string]int{"MESSAGE": 415, "SUBSCRIBE": 489, "BYE": 481, "INFO": 481, "XYZ": 501, "OPTIONS": 200} {
		m := p.NewRequest(method, "sip:600@"+domain)
		if method == "SUBSCRIBE" {
			m.Add("Event", "reg")
		}
		res := <-w.ask(p, m)
		if res == nil || res.Code != code || code == 501 && res.Get("Allow") == "" || code == 489 && res.Get("Allow-Events") == "" {
			t.Errorf("%s: %v, want %d", method, res, code)
		}
	}
	w.rep.mu.Lock()
	kinds := map[call.EventKind]call.Event{}
	for _, e := range w.rep.events {
		kinds[e.Kind] = e
	}
	w.rep.mu.Unlock()
	if e := kinds[call.EventMessage]; e.Code != 415 || e.User != "1001" {
		t.Errorf("message event %+v", e)
	}
	if e := kinds[call.EventOptions]; e.Code != 200 || e.User != "1001" {
		t.Errorf("options event %+v", e)
	}
}

// TestCapIsRecorded: an attempt that found no place has its record, its alert
// and its event like any other.
func TestCapIsRecorded(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.MaxCalls = 1 })
	c := w.up()
	inv := w.a.invite("+33123456789")
	res := w.a.code(503)
	w.a.ackFailure(inv, res)
	if res.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r := w.rep.lastRecord(t, 1)
	if r.Code != 503 || r.Rule != "base/overload" || !has(w.rep.rules(), "base/overload") {
		t.Errorf("record %+v", r)
	}
	w.bye(c, 2)
}

// TestSameTagsAgain: after the call has its answer the same Call-ID and From
// tag may begin another.
func TestSameTagsAgain(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t", nil)
	w.a.code(180)
	w.a.cancel(inv)
	w.a.ackFailure(inv, w.a.code(487))
	w.b.request("CANCEL") // B says nothing yet: the first call winds up
	next := inv.Clone()
	next.Set("Via", w.a.via())
	next.Set("CSeq", "2 INVITE")
	w.a.send(next)
	in2 := w.b.request("INVITE")
	w.b.reply(in2, 486, "t2", nil)
	w.a.ackFailure(next, w.a.code(486))
	w.b.reply(in, 487, "t", nil)
	w.quiet()
	w.rep.lastRecord(t, 2)
}

// TestAnotherPhoneOfTheUser: when a phone's connection fails in a call, its
// BYE does not go to another phone of the same user.
func TestAnotherPhoneOfTheUser(t *testing.T) {
	w := newRawWorld(t)
	at := func(n string) func(*siptest.PhoneConfig) {
		return func(c *siptest.PhoneConfig) { c.Local = netip.MustParseAddr(publicNet + n) }
	}
	var others wire
	p, q := w.phone("1001", at("151")), w.phone("1001", at("152"), func(c *siptest.PhoneConfig) { c.Trace = others.trace })
	w.in(p)
	w.in(q)
	got := make(chan *siptest.Call, 1)
	go func() { c, _ := p.Invite(w.ctx, "600"); got <- c }()
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "t", w.b.sdp())
	<-got
	w.b.request("ACK")
	eventually(t, "the call is up", func() bool { cs := w.gw.Calls(); return len(cs) == 1 && cs[0].State == "up" })
	p.Close()
	eventually(t, "the connection is gone", func() bool {
		n := 0
		for _, r := range w.gw.Registrations() {
			if r.Connected {
				n++
			}
		}
		return n == 1
	})
	w.b.send(w.b.back("BYE", 1, in, "t"))
	w.b.answer("BYE", 200)
	w.quiet()
	if strings.Contains(others.String(), "BYE sip:") {
		t.Error("the other phone got the BYE")
	}
}

// TestEmergencyTriesEverybody: when the trunk of the route fails, the others.
func TestEmergencyTriesEverybody(t *testing.T) {
	w := newRawWorld(t, udpCarrier("broken", carrierIP, 16098), func(c *worldConfig) {
		c.sbc.Routes = []sbc.Route{{Peers: []string{"broken"}}}
	})
	broken := newRaw(t, carrierIP+":16098")
	broken.gw = w.a.gw
	inv := w.ring("sip:112@x")
	in := broken.request("INVITE")
	broken.reply(in, 503, "t", nil)
	in = w.a.request("INVITE")
	w.a.reply(in, 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); len(r.Passes[0].FailedOver) != 1 || r.Passes[0].RoutedTo != "raw" {
		t.Errorf("record %+v", r)
	}
	// Any other call has the route it has.
	inv = w.ring("sip:+442079460000@x")
	broken.reply(broken.request("INVITE"), 503, "t", nil)
	w.b.ackFailure(inv, w.b.code(503))
	w.quiet()
}

// TestSIPSNeedsTLS on the hop it comes by, too.
func TestSIPSNeedsTLS(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.PBXs[0].Transport = "tls" })
	inv := w.a.invite("x", func(m *siptest.Message) { m.URI = "sips:+33123456789@" + domain })
	res := w.a.code(480)
	w.a.ackFailure(inv, res)
	if !strings.HasPrefix(res.Get("Warning"), "380 ") {
		t.Errorf("Warning %q", res.Get("Warning"))
	}
	w.quiet()
}
