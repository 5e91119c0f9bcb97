package peers

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/tone"
)

// Phone configures a telephone (baresip). Whatever its address, its TCP and TLS
// connections and its RTP come from 127.0.0.1, because it leaves the choice to
// the kernel: a PassThrough gives the former an address of their own, and who
// must get plain RTP from where the SDP says takes 127.0.0.1 and a FreePort.
type Phone struct {
	User     string // 1001
	Password string // "pw" and User when empty
	Domain   string // Domain when empty
	Addr     netip.Addr
	Port     uint16 // of its own SIP, 6060; RTP is from Port+1000 on

	Server    netip.AddrPort // where it sends everything: the gateway or the PBX
	Transport string         // udp (default), tcp or tls
	CAFile    string         // PEM, for tls; this version of baresip reads it and checks nothing
	CertFile  string         // PEM with certificate and key, for mutual TLS

	MediaEnc string  // "", srtp-mand (SDES) or srtp (optional SDES)
	Codecs   string  // pcmu/8000/1,pcma/8000/1
	Tone     float64 // what it says, in Hz; 550 when 0
	Answer   string  // manual (default), auto or early

	NoRegister bool
	Expires    int    // registration interval, 60
	Account    string // extra account parameters, ";name=value"
	Config     string // extra configuration lines
}

// Baresip is a running telephone.
type Baresip struct {
	*Process
	Phone

	ctrl   net.Conn
	mu     sync.Mutex
	events []Event
	taken  int // events before this one were consumed by Wait
	resp   map[string]chan response
	serial int
}

// Event is what the telephone reports, as its ctrl_tcp interface names it.
type Event struct {
	Type      string `json:"type"` // CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED, …
	Class     string `json:"class"`
	Direction string `json:"direction"`
	Peer      string `json:"peeruri"`
	ID        string `json:"id"`
	Param     string `json:"param"` // of CALL_CLOSED the reason, "486 Busy Here"
}

type response struct {
	Response bool   `json:"response"`
	OK       bool   `json:"ok"`
	Data     string `json:"data"`
	Token    string `json:"token"`
}

// StartPhone starts a telephone and waits until it can be driven. It registers
// at once, unless told not to; WaitRegistered waits for that.
func StartPhone(tb testing.TB, n *Net, c Phone) *Baresip {
	tb.Helper()
	if !c.Addr.IsValid() {
		c.Addr = n.Addr(tb)
	}
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&c.Password, "pw"+c.User)
	or(&c.Domain, Domain)
	or(&c.Transport, "udp")
	or(&c.Codecs, "pcmu/8000/1,pcma/8000/1")
	or(&c.Answer, "manual")
	if c.Port == 0 {
		c.Port = 6060
	}
	if c.Tone == 0 {
		c.Tone = 550
	}
	if c.Expires == 0 {
		c.Expires = 60
	}
	if c.NoRegister {
		c.Expires = 0
	}
	dir := tb.TempDir()
	// Outside the block, so that a capture does not see what the test says.
	lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	ctrl := netip.AddrPortFrom(lo, FreePort(tb, lo))
	conf := fmt.Sprintf(`poll_method epoll
sip_listen %s
audio_source ausine,%.0f
ausrc_srate 48000
ausrc_channels 2
audio_buffer 20-160
rtp_ports %d-%d
net_interface %s
dns_server 127.0.0.1:53
module_path %s
ringback_disabled yes
menu_bell no
statmode_default off
ctrl_tcp_listen %s
snd_path %s
call_local_timeout 120
call_max_calls 8
rtp_stats yes
`, netip.AddrPortFrom(c.Addr, c.Port), c.Tone, c.Port+1000, c.Port+1099, c.Addr, modules(), ctrl, dir)
	if c.CAFile != "" {
		conf += "sip_cafile " + c.CAFile + "\n"
	}
	if c.CertFile != "" {
		conf += "sip_certificate " + c.CertFile + "\n"
	}
	// stdio takes keys from the standard input, the only way to send DTMF.
	for _, m := range strings.Fields("g711 ausine aufile srtp sndfile stdio") {
		conf += "module " + m + ".so\n"
	}
	conf += "module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nmodule_app debug_cmd.so\n" + c.Config + "\n"
	write(tb, filepath.Join(dir, "config"), conf)
	account := fmt.Sprintf("<sip:%s@%s;transport=%s>;regint=%d;audio_codecs=%s;answermode=%s;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\"",
		c.User, c.Domain, c.Transport, c.Expires, c.Codecs, c.Answer, c.User, c.Password, c.Server, c.Transport)
	if c.MediaEnc != "" {
		account += ";mediaenc=" + c.MediaEnc
	}
	write(tb, filepath.Join(dir, "accounts"), account+c.Account+"\n")
	write(tb, filepath.Join(dir, "contacts"), "")

	p := &Baresip{Phone: c, resp: map[string]chan response{}}
	p.Process = Start(tb, Command{Name: "phone-" + c.User, Path: "baresip", Dir: dir, Args: []string{"-f", dir, "-s"}, Stdin: true})
	p.until(10*time.Second, "its control port", func() bool {
		conn, err := net.DialTimeout("tcp", ctrl.String(), time.Second)
		if err != nil {
			return false
		}
		p.ctrl = conn
		return true
	})
	tb.Cleanup(func() { p.ctrl.Close() })
	go p.read()
	return p
}

func modules() string {
	for _, d := range []string{"/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"} {
		if _, err := os.Stat(d); err == nil {
			return d
		}
	}
	return "/usr/lib/baresip/modules"
}

// read takes netstrings ("LENGTH:JSON,") off the control connection.
func (p *Baresip) read() {
	s := newNetstrings(p.ctrl)
	for {
		b, err := s.next()
		if err != nil {
			return
		}
		b = clean(b)
		var r response
		if json.Unmarshal(b, &r) == nil && r.Response {
			p.mu.Lock()
			if ch := p.resp[r.Token]; ch != nil {
				ch <- r
				delete(p.resp, r.Token)
			}
			p.mu.Unlock()
			continue
		}
		var e Event
		if json.Unmarshal(b, &e) != nil || e.Type == "" || e.Class == "module" {
			continue
		}
		p.mu.Lock()
		if len(p.events) < 10000 {
			p.events = append(p.events, e)
		}
		p.mu.Unlock()
	}
}

// clean drops control characters, which the telephone puts raw into its JSON.
func clean(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		if c >= ' ' {
			out = append(out, c)
		}
	}
	return out
}

// Command gives a command of the telephone's menu ("dial", "callstat", …) and
// its answer.
func (p *Baresip) Command(name, params string) string {
	p.tb.Helper()
	p.mu.Lock()
	p.serial++
	token := fmt.Sprint(p.serial)
	ch := make(chan response, 1)
	p.resp[token] = ch
	p.mu.Unlock()
	j, err := json.Marshal(map[string]string{"command": name, "params": params, "token": token})
	if err != nil {
		p.tb.Fatalf("peers: %s: %v", p.Name, err)
	}
	_ = p.ctrl.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(p.ctrl, "%d:%s,", len(j), j); err != nil {
		p.tb.Fatalf("peers: %s: command %s: %v", p.Name, name, err)
	}
	select {
	case r := <-ch:
		return r.Data
	case <-time.After(5 * time.Second):
		p.tb.Fatalf("peers: %s: no answer to command %s\n%s", p.Name, name, tail(p.Log(), 40))
	}
	return ""
}

// Dial calls an extension or a number of the telephone's own domain, or a whole
// SIP URI.
func (p *Baresip) Dial(to string) {
	p.tb.Helper()
	if !strings.HasPrefix(to, "sip:") && !strings.HasPrefix(to, "sips:") {
		to = "sip:" + to + "@" + p.Domain
	}
	p.Command("dial", to)
}

// Answer accepts the incoming call.
func (p *Baresip) Answer() { p.tb.Helper(); p.Command("accept", "") }

// Hangup ends the call: BYE, CANCEL or a refusal, as its state asks for.
func (p *Baresip) Hangup() { p.tb.Helper(); p.Command("hangup", "") }

// Hold sends a re-INVITE that puts the other side on hold.
func (p *Baresip) Hold() { p.tb.Helper(); p.Command("hold", "") }

// Resume takes the call off hold.
func (p *Baresip) Resume() { p.tb.Helper(); p.Command("resume", "") }

// Transfer sends a REFER for the call.
func (p *Baresip) Transfer(to string) { p.tb.Helper(); p.Command("transfer", to) }

// Press sends DTMF digits (RFC 4733 events) by the telephone's keyboard.
func (p *Baresip) Press(digits string) {
	p.tb.Helper()
	if _, err := p.stdin.Write([]byte(digits)); err != nil {
		p.tb.Fatalf("peers: %s: keys: %v", p.Name, err)
	}
}

// Wait waits for the next event of a type. Events before it are passed over.
func (p *Baresip) Wait(typ string, limit time.Duration) Event {
	p.tb.Helper()
	var e Event
	p.until(limit, "the event "+typ, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := p.taken; i < len(p.events); i++ {
			if p.events[i].Type == typ {
				e, p.taken = p.events[i], i+1
				return true
			}
		}
		return false
	})
	return e
}

// Events are all events so far.
func (p *Baresip) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Event(nil), p.events...)
}

// Incoming waits for a ringing call.
func (p *Baresip) Incoming(limit time.Duration) Event {
	p.tb.Helper()
	return p.Wait("CALL_INCOMING", limit)
}

// Established waits until the call is answered.
func (p *Baresip) Established(limit time.Duration) Event {
	p.tb.Helper()
	return p.Wait("CALL_ESTABLISHED", limit)
}

// Closed waits for the end of the call and gives the reason the telephone shows.
func (p *Baresip) Closed(limit time.Duration) string {
	p.tb.Helper()
	return p.Wait("CALL_CLOSED", limit).Param
}

// Lines of baresip's log: "{0/UDP/v4} 200 OK () [1 binding]" and
// "reg: sip:1003@sip.example.test: 401 Unauthorized ()".
var registration = regexp.MustCompile(`(?m)(?:\{\d+/\w+/v[46]\}|^reg: \S+:) (\d{3}) `)

// RegisterStatus is the last answer to a REGISTER, "" before the first.
func (p *Baresip) RegisterStatus() string {
	m := registration.FindAllStringSubmatch(p.Log(), -1)
	if m == nil {
		return ""
	}
	return m[len(m)-1][1]
}

// WaitRegistered waits until the telephone is registered. It reads the log,
// because the event may come before the control connection is up.
func (p *Baresip) WaitRegistered(limit time.Duration) {
	p.tb.Helper()
	p.until(limit, "its registration", func() bool { return p.RegisterStatus() == "200" })
}

// WaitRegisterStatus waits for a certain answer to a REGISTER.
func (p *Baresip) WaitRegisterStatus(status string, limit time.Duration) {
	p.tb.Helper()
	p.until(limit, "the answer "+status+" to REGISTER", func() bool { return p.RegisterStatus() == status })
}

var recording = regexp.MustCompile(`dump-.*-(dec|enc)\.wav$`)

// Recordings are the files of the audio that the telephone has received, oldest
// first. A new one begins with each call, and after hold and resume (then,
// however, this version of baresip records nothing: use Stats).
func (p *Baresip) Recordings() []string {
	all, _ := filepath.Glob(filepath.Join(p.Dir, "dump-*-dec.wav"))
	sort.Slice(all, func(i, j int) bool { return recordedAt(all[i]) < recordedAt(all[j]) })
	return all
}

// recordedAt cuts the time out of a recording's name, which begins with the
// call's own id.
func recordedAt(path string) string {
	name := recording.FindString(filepath.Base(path))
	if m := regexp.MustCompile(`\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d.*`).FindString(name); m != "" {
		return m
	}
	return name
}

// Heard reports on the last seconds of the newest recording, also while the
// call is up.
func (p *Baresip) Heard(seconds float64) tone.Report {
	r := p.Recordings()
	if len(r) == 0 {
		return tone.Report{}
	}
	a, err := tone.ReadFile(r[len(r)-1])
	if err != nil {
		return tone.Report{}
	}
	return a.Last(seconds).Report()
}

// Hears waits until the telephone hears a tone for half a second.
func (p *Baresip) Hears(hz float64, limit time.Duration) {
	p.tb.Helper()
	var r tone.Report
	end := time.Now().Add(limit)
	for {
		if r = p.Heard(0.5); r.Seconds > 0.45 && r.Is(hz) {
			return
		}
		if time.Now().After(end) {
			p.tb.Fatalf("peers: %s does not hear %.0f Hz after %v, but %v\n%s", p.Name, hz, limit, r, tail(p.Log(), 60))
		}
		select {
		case <-p.done:
			p.tb.Fatalf("peers: %s ended: %v", p.Name, p.err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// HearsNothing checks that nothing new is recorded, or only silence, for a while.
func (p *Baresip) HearsNothing(during time.Duration) {
	p.tb.Helper()
	var before int
	if r := p.Recordings(); len(r) > 0 {
		if a, err := tone.ReadFile(r[len(r)-1]); err == nil {
			before = len(a.Samples)
		}
	}
	<-time.After(during)
	r := p.Recordings()
	if len(r) == 0 {
		return
	}
	a, err := tone.ReadFile(r[len(r)-1])
	if err != nil || len(a.Samples) <= before {
		return
	}
	a.Samples = a.Samples[before:]
	if got := a.Report(); !got.Silent() {
		p.tb.Fatalf("peers: %s should hear nothing, but hears %v", p.Name, got)
	}
}

// What baresip prints at the end of each call:
//
//	audio           Transmit:     Receive:
//	packets:            139          136
var packetCount = regexp.MustCompile(`(?m)^packets:\s+(\d+)\s+(\d+)`)

// Packets waits for the telephone's own count of RTP packets of the last call
// with audio, which it prints after the end.
func (p *Baresip) Packets(limit time.Duration) (sent, received int) {
	p.tb.Helper()
	var m [][]string
	p.until(limit, "its packet counts", func() bool {
		m = packetCount.FindAllStringSubmatch(p.Log(), -1)
		return len(m) > 0
	})
	last := m[len(m)-1]
	sent, _ = strconv.Atoi(last[1])
	received, _ = strconv.Atoi(last[2])
	return sent, received
}
