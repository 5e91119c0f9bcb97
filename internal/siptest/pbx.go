package siptest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// PBXConfig describes the PBX. Only Domain and Users are needed.
type PBXConfig struct {
	Domain string            // also the realm of its challenges
	Users  map[string]string // name: password
	DIDs   map[string]string // number from outside: user or own extension
	// Trunk is where calls to outside numbers go: the gateway's inside. Where
	// it is not valid they go back to where they came from.
	Trunk netip.AddrPort
	// Outside says which numbers go to the trunk. The default is everything
	// that begins with "+" or "0", and 112.
	Outside func(number string) bool
	Trusts  bool // whoever speaks to it: it asks for no password
	// Direct leaves the PBX out of the path of established calls.
	Direct    bool
	Listen    netip.AddrPort // default 127.0.0.1, any port
	Transport string         // udp (default), tcp or tls
	TLS       *tls.Config
	Log       func(format string, args ...any)
	Trace     func(sent bool, remote netip.AddrPort, b []byte)
}

// The PBX's own extensions.
const (
	ExtTone    = "600" // answers and plays ToneFreq
	ExtEcho    = "601" // answers and sends back what it hears
	ExtBusy    = "602" // 486
	ExtRing    = "603" // rings for ever
	ExtNothing = "604" // never says a word after 100

	ToneFreq = 1000
)

// PBX is a registrar with digest and a stateless proxy (RFC 3261 §16.11)
// between its users, the trunk and its own extensions. As a proxy it keeps
// Call-IDs, and it puts itself into the path by Record-Route.
type PBX struct {
	*Phone // its extensions
	cfg    PBXConfig
	digest digestServer

	mu       sync.Mutex
	bindings map[string]binding // by user: bounded by the configuration
}

type binding struct {
	contact string // URI
	path    *Path
	expires time.Time
}

// NewPBX starts the PBX.
func NewPBX(ctx context.Context, cfg PBXConfig) (*PBX, error) {
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if cfg.Transport == "" {
		cfg.Transport = "udp"
	}
	if cfg.Outside == nil {
		cfg.Outside = func(n string) bool {
			return strings.HasPrefix(n, "+") || strings.HasPrefix(n, "0") || n == "112"
		}
	}
	b := &PBX{cfg: cfg, digest: digestServer{realm: cfg.Domain, key: []byte(token(16))}, bindings: map[string]binding{}}
	ready := make(chan struct{})
	var err error
	b.Phone, err = NewPhone(ctx, PhoneConfig{User: "pbx", Domain: cfg.Domain, Local: cfg.Listen.Addr(), ListenAt: cfg.Listen,
		Listen: cfg.Transport, Transport: cfg.Transport, TLS: cfg.TLS, Tone: ToneFreq, Log: cfg.Log, Trace: cfg.Trace,
		OnInvite: b.extension, hook: func(p *Phone) {
			p.handle = func(m *Message, path *Path) { <-ready; b.request(m, path) }
			p.forward = func(m *Message) { <-ready; b.response(m) }
		}})
	if err != nil {
		return nil, err
	}
	close(ready)
	return b, nil
}

// Bound returns the contact URI of a registered user, "" when there is none.
func (b *PBX) Bound(user string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.bindings[user]; time.Now().Before(at.expires) {
		return at.contact
	}
	return ""
}

// request routes what belongs to none of the PBX's own calls.
func (b *PBX) request(m *Message, path *Path) {
	switch {
	case m.Method == "REGISTER":
		b.register(m, path)
		return
	case Param(m.Get("To"), "tag") != "" && m.Method != "CANCEL":
		b.within(m, path)
		return
	case m.Method == "OPTIONS" && UserOf(m.URI) == "":
		b.Reply(path, m, 200, "OK", Field{"Allow", allow})
		return
	}
	caller := UserOf(URIOf(m.Get("From")))
	_, local := b.cfg.Users[caller]
	if local && m.Method != "CANCEL" && m.Method != "ACK" && !b.authorized(m, path, caller) {
		return
	}
	called := UserOf(m.URI)
	if user, ok := b.cfg.DIDs[called]; ok {
		called = user
	}
	switch _, known := b.cfg.Users[called]; {
	case known:
		b.mu.Lock()
		at := b.bindings[called]
		b.mu.Unlock()
		if !time.Now().Before(at.expires) {
			b.Reply(path, m, 480, "Temporarily Unavailable")
			return
		}
		m.Del("Proxy-Authorization")
		b.proxy(m, path, at.path, at.contact)
	case strings.HasPrefix(called, "60") && len(called) == 3:
		if called != UserOf(m.URI) {
			m.URI = "sip:" + called + "@" + b.cfg.Domain
		}
		b.Phone.request(m, path)
	case local && b.cfg.Outside(called):
		trunk := path
		if b.cfg.Trunk.IsValid() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			var err error
			if trunk, err = b.connect(ctx, b.cfg.Transport, b.cfg.Trunk, b.cfg.TLS); err != nil {
				b.logf("trunk: %v", err)
				b.Reply(path, m, 503, "Service Unavailable")
				return
			}
		}
		m.Del("Proxy-Authorization")
		m.Set("P-Asserted-Identity", "<sip:"+caller+"@"+b.cfg.Domain+">")
		b.proxy(m, path, trunk, "sip:"+called+"@"+trunk.Remote.String())
	default:
		b.Reply(path, m, 404, "Not Found")
	}
}

// authorized challenges a request of one of the users.
func (b *PBX) authorized(m *Message, path *Path, user string) bool {
	if b.cfg.Trusts {
		return true
	}
	stale := false
	if v := m.Get("Proxy-Authorization"); v != "" {
		p := digestParams(v)
		ok, old := b.digest.check(v, m.Method, b.cfg.Users[user], time.Now())
		if ok && p["username"] == user {
			return true
		}
		stale = old
	}
	b.challenge(m, path, 407, "Proxy Authentication Required", "Proxy-Authenticate", stale)
	return false
}

func (b *PBX) challenge(m *Message, path *Path, code int, reason, header string, stale bool) {
	var extra []Field
	for _, c := range b.digest.challenges(time.Now(), stale) {
		extra = append(extra, Field{header, c})
	}
	b.Reply(path, m, code, reason, extra...)
}

func (b *PBX) register(m *Message, path *Path) {
	user := UserOf(URIOf(m.Get("To")))
	password, known := b.cfg.Users[user]
	v := m.Get("Authorization")
	ok, stale := b.cfg.Trusts, false
	if v != "" && !ok {
		ok, stale = b.digest.check(v, "REGISTER", password, time.Now())
	}
	switch {
	case v != "" && !stale && (!known || !ok || digestParams(v)["username"] != user):
		b.Reply(path, m, 403, "Forbidden")
		return
	case !ok:
		b.challenge(m, path, 401, "Unauthorized", "WWW-Authenticate", stale)
		return
	}
	contact := m.Get("Contact")
	seconds := 3600
	for _, s := range []string{m.Get("Expires"), Param(contact, "expires")} {
		if n, err := strconv.Atoi(s); err == nil && s != "" {
			seconds = min(n, 7200)
		}
	}
	b.mu.Lock()
	switch {
	case contact == "":
	case seconds == 0:
		delete(b.bindings, user)
	default:
		b.bindings[user] = binding{URIOf(contact), path, time.Now().Add(time.Duration(seconds) * time.Second)}
	}
	at, bound := b.bindings[user]
	b.mu.Unlock()
	var extra []Field
	if bound {
		left := int(time.Until(at.expires).Seconds() + 0.5)
		extra = append(extra, Field{"Contact", fmt.Sprintf("<%s>;expires=%d", at.contact, left)})
	}
	b.Reply(path, m, 200, "OK", extra...)
}

// extension answers a call to one of the PBX's own numbers.
func (b *PBX) extension(in *Incoming) {
	switch in.To() {
	case ExtTone, ExtEcho:
		in.Ring()
		c, err := in.Answer()
		if err != nil {
			b.logf("extension %s: %v", in.To(), err)
			return
		}
		c.Media.Echo(in.To() == ExtEcho)
	case ExtBusy:
		in.Reject(486, "Busy Here")
	case ExtRing:
		in.Ring()
		select {
		case <-in.Cancelled():
		case <-time.After(3 * time.Minute):
			in.Reject(480, "Temporarily Unavailable")
		}
	case ExtNothing:
		in.Provisional(100, "Trying")
		select {
		case <-in.Cancelled():
		case <-time.After(3 * time.Minute):
			in.Reject(408, "Request Timeout")
		}
	default:
		in.Reject(404, "Not Found")
	}
}

// within forwards a request of an established call: along its routes, ours
// taken off, else to its target.
func (b *PBX) within(m *Message, path *Path) {
	if r := m.Get("Route"); r != "" && HostOf(URIOf(r)) == b.Addr().String() {
		m.Pop("Route")
	}
	next := m.URI
	if r := m.Get("Route"); r != "" {
		next = URIOf(r)
	}
	to, err := hostPort(HostOf(next))
	if err != nil {
		b.Reply(path, m, 404, "Not Found")
		return
	}
	if to == b.Addr() {
		if m.Method != "ACK" {
			b.Reply(path, m, 481, "Call/Transaction Does Not Exist")
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	out, err := b.connect(ctx, b.cfg.Transport, to, b.cfg.TLS)
	if err != nil {
		b.logf("forward %s: %v", m.Method, err)
		return
	}
	b.proxy(m, path, out, m.URI)
}

func hostPort(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 5060), nil
	}
	return netip.ParseAddrPort(s)
}

// proxy forwards a request. The branch follows from the one that came, so
// that CANCEL and ACK take the way and the transaction of their INVITE.
func (b *PBX) proxy(m *Message, from, to *Path, uri string) {
	hops, err := strconv.Atoi(m.Get("Max-Forwards"))
	if err != nil {
		hops = 70
	}
	if hops == 0 {
		b.Reply(from, m, 483, "Too Many Hops")
		return
	}
	out := m.Clone()
	out.URI = uri
	out.Set("Max-Forwards", strconv.Itoa(hops-1))
	top := out.Get("Via")
	if _, ok := FindParam(top, "rport"); ok {
		var kept []string
		for _, p := range strings.Split(top, ";") {
			if k, _, _ := strings.Cut(p, "="); k != "rport" && k != "received" {
				kept = append(kept, p)
			}
		}
		top = strings.Join(kept, ";")
	}
	out.Set("Via", fmt.Sprintf("%s;received=%s;rport=%d", top, from.Remote.Addr(), from.Remote.Port()))
	sum := sha256.Sum256([]byte(top))
	out.Push("Via", to.via("z9hG4bK"+hex.EncodeToString(sum[:8])))
	if m.Method == "INVITE" && Param(m.Get("To"), "tag") == "" && !b.cfg.Direct {
		rr := "<sip:" + b.Addr().String() + ";lr"
		if b.cfg.Transport != "udp" {
			rr += ";transport=" + b.cfg.Transport
		}
		out.Push("Record-Route", rr+">")
	}
	// A proxy without state has no answer to repeat: let it come again.
	b.Agent.mu.Lock()
	delete(b.answered, m.Branch()+" "+m.Method)
	b.Agent.mu.Unlock()
	if err := to.Send(out.Bytes()); err != nil {
		b.logf("forward %s: %v", m.Method, err)
	}
}

// response sends a response back along the Vias.
func (b *PBX) response(m *Message) {
	out := m.Clone()
	out.Pop("Via")
	via := out.Get("Via")
	if via == "" {
		return
	}
	port, _ := strconv.Atoi(Param(via, "rport"))
	addr, err := netip.ParseAddr(strings.Trim(Param(via, "received"), "[]"))
	if err != nil || port == 0 {
		b.logf("response %d: no way back in %q", m.Code, via)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	to, err := b.connect(ctx, b.cfg.Transport, netip.AddrPortFrom(addr, uint16(port)), b.cfg.TLS)
	if err == nil {
		err = to.Send(out.Bytes())
	}
	if err != nil {
		b.logf("response %d: %v", m.Code, err)
	}
}
