package attack

import (
	"context"
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Bounds of the floods.
const (
	floodTime    = 1500 * time.Millisecond // of each kind
	floodMost    = 30_000                  // datagrams of each kind
	floodSources = 64
)

// kinds of datagrams; %d is a number, %s a source.
var kinds = []struct {
	name string
	make func(y *yard, i int, from netip.AddrPort) []byte
}{
	{"garbage", func(_ *yard, i int, _ netip.AddrPort) []byte {
		b := make([]byte, 200+i%800)
		for j := range b {
			b[j] = byte(j*i*31 + i)
		}
		return b
	}},
	{"REGISTER", func(y *yard, i int, from netip.AddrPort) []byte { return y.request("REGISTER", i, from) }},
	{"INVITE", func(y *yard, i int, from netip.AddrPort) []byte { return y.request("INVITE", i, from) }},
	{"OPTIONS", func(y *yard, i int, from netip.AddrPort) []byte { return y.request("OPTIONS", i, from) }},
}

func (y *yard) request(method string, i int, from netip.AddrPort) []byte {
	user := fmt.Sprintf("%d", 1000+i%9000)
	return fmt.Appendf(nil, "%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKf%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=f%d\r\nTo: <sip:%s@%s>\r\n"+
		"Call-ID: f%d\r\nCSeq: 1 %s\r\nContact: <sip:x@%s>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n",
		method, user, y.gw.Domain, from, i, user, y.gw.Domain, i, user, y.gw.Domain, i, method, from)
}

// floodUDP sends each kind from many addresses as fast as it goes.
func (y *yard) floodUDP(ctx context.Context, n *notes) {
	if !y.gw.UDP.IsValid() {
		n.skip("there is no public UDP listener (listen.udp), so datagrams meet a closed port")
		return
	}
	var told []string
	for _, k := range kinds {
		sent := y.barrage(ctx, y.sources(floodSources), k.make)
		told = append(told, fmt.Sprintf("%d %s", sent, k.name))
	}
	n.did = fmt.Sprintf("%s, from %d addresses", strings.Join(told, ", "), floodSources)
	y.tell(ctx, n, netip.Addr{}, "flood", "plaintext-refused", "malformed-message")
}

func (y *yard) sources(n int) (out []netip.Addr) {
	for range n {
		out = append(out, y.attacker())
	}
	return out
}

// barrage sends datagrams from the sources in turns, within the bounds.
func (y *yard) barrage(ctx context.Context, from []netip.Addr, make func(y *yard, i int, from netip.AddrPort) []byte) (sent int) {
	var socks []*net.UDPConn
	defer func() {
		for _, c := range socks {
			c.Close()
		}
	}()
	for _, a := range from {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)), net.UDPAddrFromAddrPort(y.gw.UDP))
		if err != nil {
			continue
		}
		socks = append(socks, c)
	}
	if len(socks) == 0 {
		return 0
	}
	end := time.Now().Add(floodTime)
	for ; sent < floodMost && ctx.Err() == nil; sent++ {
		c := socks[sent%len(socks)]
		c.Write(make(y, sent, c.LocalAddr().(*net.UDPAddr).AddrPort()))
		if sent%64 == 0 && time.Now().After(end) {
			break
		}
	}
	return sent
}

// floodTLS makes connections and requests as fast as it goes, from many
// addresses: the costliest thing that a stranger may do.
func (y *yard) floodTLS(ctx context.Context, n *notes) {
	var conns, handshakes, requests, answers atomic.Int64
	end, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, from := range y.sources(16) {
		wg.Go(func() {
			for i := 0; end.Err() == nil && conns.Load() < 5000; i++ {
				d := net.Dialer{LocalAddr: local("tcp", from), Timeout: time.Second}
				c, err := d.DialContext(end, "tcp", y.gw.TLS.String())
				if err != nil {
					continue
				}
				conns.Add(1)
				y.burst(end, c, from, &handshakes, &requests, &answers)
			}
		})
	}
	wg.Wait()
	n.did = fmt.Sprintf("%d connections from 16 addresses, %d handshakes, %d REGISTER on them", conns.Load(), handshakes.Load(), requests.Load())
	n.saw("%d were answered", answers.Load())
	y.tell(ctx, n, netip.Addr{}, "flood", "source-banned", "enumeration", "registration-bruteforce")
}

// burst sends what a connection will take, and ends it without a word.
func (y *yard) burst(ctx context.Context, c net.Conn, from netip.Addr, handshakes, requests, answers *atomic.Int64) {
	defer c.Close()
	t := cryptotls.Client(c, y.gw.Roots)
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if t.HandshakeContext(ctx) != nil {
		return
	}
	handshakes.Add(1)
	at := netip.AddrPortFrom(from, 5060)
	for i := range 20 {
		b := []byte(strings.Replace(string(y.request("REGISTER", int(requests.Load()), at)), "SIP/2.0/UDP", "SIP/2.0/TLS", 1))
		b = []byte(strings.Replace(string(b), "friendly-scanner", "Desk Phone 1.0", 1))
		if _, err := t.Write(b); err != nil {
			return
		}
		requests.Add(1)
		if i%5 == 4 {
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if k, _ := t.Read(make([]byte, 4096)); k > 0 {
				answers.Add(1)
			}
		}
	}
}

// slowTLS opens connections that never get anywhere. The gateway must end them
// in its own time and take good ones meanwhile.
func (y *yard) slowTLS(ctx context.Context, n *notes) {
	const silent, dripping = 300, 20
	n.did = fmt.Sprintf("%d connections that say nothing from one address, %d that say a byte at a time", silent, dripping)
	at := y.attacker()
	var mute []net.Conn
	defer func() {
		for _, c := range mute {
			c.Close()
		}
	}()
	for range silent {
		d := net.Dialer{LocalAddr: local("tcp", at), Timeout: time.Second}
		if c, err := d.DialContext(ctx, "tcp", y.gw.TLS.String()); err == nil {
			mute = append(mute, c)
		}
	}
	var open atomic.Int64
	var wg sync.WaitGroup
	slow := y.attacker()
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for i := range dripping {
		wg.Go(func() {
			if y.drip(limited, slow, i%2 == 0) {
				open.Add(1)
			}
		})
	}
	// A telephone must get in beside them.
	p, err := y.phone(victim, y.addr(1, 98))
	if err != nil {
		n.wrong("no telephone gets in meanwhile: %v", err)
	} else {
		p.Close()
	}
	closed := 0
	for _, c := range mute {
		c.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
		if limited.Err() != nil {
			break
		}
	}
	if closed < len(mute) {
		n.wrong("%d of %d silent connections were still open after 15 s", len(mute)-closed, len(mute))
	} else {
		n.saw("all silent connections were ended")
	}
	wg.Wait()
	if open.Load() > 0 {
		n.wrong("%d of %d dripping connections were still open after 20 s", open.Load(), dripping)
	} else {
		n.saw("all dripping connections were ended")
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// drip says a byte at a time, in the handshake or after it; true: it still could
// when its time was over.
func (y *yard) drip(ctx context.Context, from netip.Addr, handshaken bool) bool {
	d := net.Dialer{LocalAddr: local("tcp", from), Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", y.gw.TLS.String())
	if err != nil {
		return false
	}
	defer c.Close()
	text := []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	if handshaken {
		t := cryptotls.Client(c, y.gw.Roots)
		if t.HandshakeContext(ctx) != nil {
			return false
		}
		c, text = t, []byte("INVITE sip:600@"+y.gw.Domain+" SIP/2.0\r\nSubject: ")
	}
	for i := 0; ; i++ {
		b := byte('a')
		if i < len(text) {
			b = text[i]
		}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte{b}); err != nil {
			return false
		}
		if !pause(ctx, 200*time.Millisecond) {
			return true
		}
	}
}

// forgedBan attacks in the name of others: of a peer known by its address, and
// of the addresses of the telephones. Neither may suffer for it.
func (y *yard) forgedBan(ctx context.Context, n *notes) {
	if !y.gw.UDP.IsValid() {
		n.skip("there is no public UDP listener (listen.udp), and the sender of a TLS connection cannot be forged")
		return
	}
	victims := []netip.Addr{y.addr(1, 1), y.addr(1, 2)}
	if y.gw.Trunk.IsValid() {
		victims = append(victims, y.gw.Trunk)
	}
	sent := 0
	for _, v := range victims {
		for _, k := range kinds {
			sent += y.barrage(ctx, []netip.Addr{v}, k.make)
		}
	}
	n.did = fmt.Sprintf("%d datagrams of scanners, with the addresses of two telephones and of a peer as their source", sent)
	list, _ := y.alerts()
	for _, a := range list {
		for _, v := range victims {
			if a.Event.Action == "source-banned" && a.Source.IP == v.String() {
				n.wrong("%s was banned for what somebody sent in its name", v)
			}
		}
	}
	p, err := y.phone(victim, victims[0])
	if err != nil {
		n.wrong("a telephone at an address that was forged cannot register: %v", err)
	} else {
		p.Close()
	}
	if y.gw.Trunk.IsValid() {
		y.peerSpeaks(ctx, n)
	}
}

// peerSpeaks: the peer whose address was forged is still answered.
func (y *yard) peerSpeaks(ctx context.Context, n *notes) {
	p, err := siptest.NewPhone(y.life, siptest.PhoneConfig{User: "trunk", Domain: y.gw.Domain, Server: y.gw.UDP, Transport: "udp", Local: y.gw.Trunk, Log: y.o.Log})
	if err != nil {
		n.wrong("%v", err)
		return
	}
	defer p.Close()
	short, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if _, err := p.Options(short); err != nil {
		n.wrong("the peer whose address was forged is not answered any more: %v", err)
		return
	}
	n.saw("the peer is still answered")
}
