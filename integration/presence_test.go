package integration_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// desk is a telephone with lamps: it keeps what it is notified of, and all it
// sees.
type desk struct {
	*siptest.Phone
	mu       sync.Mutex
	notified []*siptest.Message
	invited  []*siptest.Message
	seen     strings.Builder
}

// desk registers a telephone; its calls ring until they are cancelled, or are
// answered when they replace another.
func (w *world) desk(ctx context.Context, user string) *desk {
	w.tb.Helper()
	d := &desk{}
	p, err := siptest.NewPhone(ctx, siptest.PhoneConfig{User: user, Password: "pw" + user, Domain: peers.Domain, Server: w.tls(), Transport: "tls",
		TLS: w.trust(), Local: w.net.Addr(w.tb), SRTP: []string{siptest.SuiteGCM}, Log: w.tb.Logf,
		Trace: func(sent bool, _ netip.AddrPort, b []byte) {
			if !sent {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.seen.Write(b)
			}
		},
		OnRequest: func(m *siptest.Message) (int, string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.notified = append(d.notified, m)
			return 200, "OK"
		},
		OnInvite: func(in *siptest.Incoming) {
			d.mu.Lock()
			d.invited = append(d.invited, in.Request)
			d.mu.Unlock()
			in.Ring()
			if in.Request.Get("Replaces") != "" {
				in.Answer()
				return
			}
			<-in.Cancelled()
		}})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(p.Close)
	d.Phone = p
	if err := p.Register(ctx, time.Hour); err != nil {
		w.tb.Fatal(err)
	}
	return d
}

// ask sends a request with a Call-ID and From of its own until it is answered.
func (d *desk) ask(ctx context.Context, tb testing.TB, want int, method, uri string, change func(*siptest.Message)) *siptest.Message {
	tb.Helper()
	first := d.NewRequest(method, uri)
	res, err := d.Ask(ctx, func(try int) *siptest.Message {
		m := d.NewRequest(method, uri)
		for _, name := range []string{"Call-ID", "From"} {
			m.Set(name, first.Get(name))
		}
		m.Set("CSeq", fmt.Sprintf("%d %s", try, method))
		change(m)
		return m
	})
	if err != nil || res.Code != want {
		tb.Fatalf("%s %s: %v %v, want %d", method, uri, res, err, want)
	}
	return res
}

// told waits for a NOTIFY of a package that fits.
func (d *desk) told(tb testing.TB, pack, what string, fits func(*siptest.Message) bool) (n *siptest.Message) {
	tb.Helper()
	peers.Eventually(tb, soon, "NOTIFY: "+what, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		i := slices.IndexFunc(d.notified, func(m *siptest.Message) bool { return m.Get("Event") == pack && fits(m) })
		if i >= 0 {
			n = d.notified[i]
			d.notified = slices.Delete(d.notified, i, i+1)
		}
		return i >= 0
	})
	return n
}

func holds(text string) func(*siptest.Message) bool {
	return func(m *siptest.Message) bool { return strings.Contains(string(m.Body), text) }
}

// Kamailio as a presence server: message waiting, lamps with pickup, presence,
// each subscribed to through the gateway with a challenge.
func TestLampsOfARealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Presence: true})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), "")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	a, b, c := w.desk(ctx, "1001"), w.desk(ctx, "1002"), w.desk(ctx, "1003")
	subscribe := func(d *desk, user, pack string) (*siptest.Message, *siptest.Message) {
		var sent *siptest.Message
		res := d.ask(ctx, t, 200, "SUBSCRIBE", pbx.URI(user), func(m *siptest.Message) { m.Add("Event", pack); m.Add("Expires", "600"); sent = m })
		d.told(t, pack, "the first one", func(*siptest.Message) bool { return true })
		return sent, res
	}

	subscribe(a, "1001", "message-summary")
	voicemail(t, w, pbx, "Messages-Waiting: yes\r\nMessage-Account: sip:1001@"+pbx.Addr.String()+"\r\nVoice-Message: 1/0 (0/0)\r\n")
	n := a.told(t, "message-summary", "a message waits", holds("yes"))
	if want := "Messages-Waiting: yes\r\nMessage-Account: sip:1001@" + peers.Domain + "\r\nVoice-Message: 1/0 (0/0)\r\n"; string(n.Body) != want {
		t.Errorf("summary %q", n.Body)
	}

	const pidf = `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="%s"><tuple id="t1"><status><basic>%s</basic></status><contact>%s</contact></tuple></presence>`
	subscribe(a, "1002", "presence")
	publish := func(etag, state string) string {
		res := b.ask(ctx, t, 200, "PUBLISH", pbx.URI("1002"), func(m *siptest.Message) {
			m.Add("Event", "presence")
			m.Add("Expires", "600")
			if etag != "" {
				m.Add("SIP-If-Match", etag)
			}
			m.Add("Content-Type", "application/pidf+xml")
			m.Body = []byte(fmt.Sprintf(pidf, pbx.URI("1002"), state, "sip:1002@"+b.Addr().String()))
		})
		return res.Get("SIP-ETag")
	}
	tag := publish("", "open")
	n = a.told(t, "presence", "open", holds("<basic>open</basic>"))
	if !strings.Contains(string(n.Body), "<contact>sip:1002@"+peers.Domain+"</contact>") {
		t.Errorf("presence %s", n.Body)
	}
	publish(tag, "closed")
	a.told(t, "presence", "closed", holds("<basic>closed</basic>"))

	sub, ok := subscribe(a, "1002", "dialog")
	calling, hangup := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { _, err := c.Invite(calling, "1002"); ended <- err }()
	n = a.told(t, "dialog", "it rings", holds(">early<"))
	attr := func(name string) string {
		m := regexp.MustCompile(name + `="([^"]+)"`).FindSubmatch(n.Body)
		if m == nil {
			t.Fatalf("no %s in %s", name, n.Body)
		}
		return string(m[1])
	}
	// The key beside the lamp: the phone names what it was told of, the ringing
	// phone gets its own names for it.
	replaced, err := a.Invite(ctx, "1002", siptest.Header("Require", "replaces"),
		siptest.Header("Replaces", attr("call-id")+";to-tag="+attr("local-tag")+";from-tag="+attr("remote-tag")))
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	ring, pick := b.invited[0], b.invited[1]
	b.mu.Unlock()
	if got := pick.Get("Replaces"); !strings.HasPrefix(got, ring.Get("Call-ID")+";to-tag=") || !strings.Contains(got, ";from-tag="+siptest.Param(ring.Get("From"), "tag")) {
		t.Errorf("Replaces %q of the call\n%s", got, ring.Bytes())
	}
	if err := replaced.Bye(ctx); err != nil {
		t.Error(err)
	}
	hangup()
	<-ended
	a.told(t, "dialog", "it rings no more", holds(">terminated<"))

	end := &siptest.Message{Method: "SUBSCRIBE", URI: siptest.URIOf(ok.Get("Contact"))}
	for _, f := range []siptest.Field{{Name: "Max-Forwards", Value: "70"}, {Name: "From", Value: sub.Get("From")}, {Name: "To", Value: ok.Get("To")},
		{Name: "Call-ID", Value: sub.Get("Call-ID")}, {Name: "CSeq", Value: "9 SUBSCRIBE"}, {Name: "Contact", Value: sub.Get("Contact")},
		{Name: "Event", Value: "dialog"}, {Name: "Expires", Value: "0"}} {
		end.Add(f.Name, f.Value)
	}
	if res, err := a.Do(ctx, a.Path(), end); err != nil || res.Code != 200 {
		t.Fatalf("end of the subscription: %v %v", res, err)
	}
	a.told(t, "dialog", "the last one", func(m *siptest.Message) bool { return strings.HasPrefix(m.Get("Subscription-State"), "terminated") })
	for _, d := range []*desk{a, b, c} {
		d.mu.Lock()
		if s := d.seen.String(); strings.Contains(s, pbx.Addr.Addr().String()) || strings.Contains(s, w.inside.String()) || strings.Contains(s, "Office PBX") {
			t.Errorf("%s saw the inside:\n%s", d.Name, s)
		}
		d.mu.Unlock()
	}
	w.idle()
}

// voicemail publishes to the PBX from beside it that messages wait for 1001.
func voicemail(t *testing.T, w *world, pbx *peers.Kamailio, summary string) {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.net.Addr(t), 0)), net.UDPAddrFromAddrPort(pbx.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := &siptest.Message{Method: "PUBLISH", URI: pbx.URI("1001"), Body: []byte(summary)}
	for _, f := range []siptest.Field{{Name: "Via", Value: "SIP/2.0/UDP " + c.LocalAddr().String() + ";branch=z9hG4bKmwi;rport"}, {Name: "Max-Forwards", Value: "70"},
		{Name: "From", Value: "<sip:voicemail@" + c.LocalAddr().String() + ">;tag=v"}, {Name: "To", Value: "<" + pbx.URI("1001") + ">"}, {Name: "Call-ID", Value: "mwi"},
		{Name: "CSeq", Value: "1 PUBLISH"}, {Name: "Event", Value: "message-summary"}, {Name: "Expires", Value: "600"}, {Name: "Content-Type", Value: "application/simple-message-summary"}} {
		m.Add(f.Name, f.Value)
	}
	peers.Eventually(t, soon, "the voice mail's PUBLISH is taken", func() bool {
		if _, err := c.Write(m.Bytes()); err != nil {
			return false
		}
		buf := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(buf)
		return err == nil && strings.HasPrefix(string(buf[:n]), "SIP/2.0 200")
	})
}
