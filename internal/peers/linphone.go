package peers

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SoftPhone configures a telephone of another make than baresip: linphone. It
// registers over TLS, checks the certificate of the server and the name in it,
// and takes nothing but SRTP with keys in the description.
type SoftPhone struct {
	User     string
	Password string         // "pw" and User when empty
	Server   netip.AddrPort // the gateway, which is asked for as Domain
	CAFile   string         // PEM, of who has issued the gateway's certificate
	Tone     float64        // what it says, in Hz; 550 when 0
	Expires  int            // registration interval, 60
	Suites   string         // of SRTP, in order; linphone's own when empty
	Config   string         // more of its configuration, "[section]\nkey=value\n"
}

// Linphone is a running telephone. Its microphone and its loudspeaker are RTP
// sockets of ours (linphone's rtp_io), so that no sound card is asked for.
type Linphone struct {
	*Process
	SoftPhone

	ctrl  string
	conn  net.Conn
	audio *net.UDPConn
	said  chan struct{}
	heard lastSamples
}

// StartLinphone starts a telephone, which registers at once, and waits until it
// can be driven.
func StartLinphone(tb testing.TB, c SoftPhone) *Linphone {
	tb.Helper()
	if c.Password == "" {
		c.Password = "pw" + c.User
	}
	if c.Tone == 0 {
		c.Tone = 550
	}
	if c.Expires == 0 {
		c.Expires = 60
	}
	lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	audio, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lo, 0)))
	if err != nil {
		tb.Fatalf("peers: linphone's audio: %v", err)
	}
	here := audio.LocalAddr().(*net.UDPAddr).AddrPort()
	there := netip.AddrPortFrom(lo, FreePort(tb, lo))
	dir := tb.TempDir()
	// It makes its socket in /tmp and nowhere else.
	pipe := fmt.Sprintf("rampart-linphone-%d-%d", os.Getpid(), here.Port())
	rtp := FreePort(tb, lo)
	conf := fmt.Sprintf(`[sip]
sip_port=0
sip_tcp_port=0
sip_tls_port=%d
use_ipv6=0
register_only_when_network_is_up=0
root_ca=%s
verify_server_certs=1
verify_server_cn=1
media_encryption=srtp
media_encryption_mandatory=1
srtp_crypto_suites=%s
default_proxy=0
inc_timeout=60
lime=0
[net]
dns_srv_enabled=0
dns_search_enabled=0
firewall_policy=0
nat_policy_ref=none
[rtp]
audio_rtp_port=%d
audio_jitt_comp=40
[sound]
rtp_io=1
rtp_local_addr=127.0.0.1
rtp_local_port=%d
rtp_remote_addr=127.0.0.1
rtp_remote_port=%d
rtp_map=pcmu/8000/1
rtp_ptnum=0
echocancellation=0
hold_music=/nonexistent
remote_ring=/nonexistent
local_ring=/nonexistent
[video]
enabled=0
display=0
capture=0
[misc]
uuid=%s
[proxy_0]
reg_proxy=<sip:%s:%d;transport=tls>
reg_route=<sip:%[8]s:%[9]d;transport=tls;lr>
reg_identity=<sip:%[10]s@%[8]s>
reg_expires=%[11]d
reg_sendregister=1
publish=0
quality_reporting_enabled=0
[auth_info_0]
username=%[10]s
passwd=%[12]s
realm=%[8]s
%[13]s`, FreePort(tb, lo), c.CAFile, c.Suites, rtp, there.Port(), here.Port(), "00000000-0000-4000-8000-00000000"+c.User, Domain, c.Server.Port(), c.User, c.Expires, c.Password, c.Config)
	file := write(tb, filepath.Join(dir, "linphonerc"), conf)
	if err := os.MkdirAll(filepath.Join(dir, ".local", "share", "linphone"), 0o700); err != nil {
		tb.Fatalf("peers: linphone's directory: %v", err)
	}
	p := &Linphone{SoftPhone: c, ctrl: filepath.Join("/tmp", pipe), audio: audio, said: make(chan struct{})}
	p.Process = Start(tb, Command{Name: "linphone-" + c.User, Path: "linphone-daemon", Dir: dir,
		Args:  []string{"--config", file, "--pipe", pipe, "--log", filepath.Join(dir, "linphone.log"), "--disable-stats-events"},
		Hosts: map[string]netip.Addr{Domain: c.Server.Addr()}, Env: []string{"HOME=" + dir}})
	tb.Cleanup(func() {
		audio.Close()
		<-p.said
		os.Remove(p.ctrl)
		if tb.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "linphone.log"))
			tb.Logf("linphone's own log (last lines):\n%s", tail(string(b), 120))
		}
	})
	go p.speak(there)
	go p.listen()
	p.until(15*time.Second, "its control socket", func() bool {
		_, err := p.ask("version")
		return err == nil
	})
	return p
}

// ask gives a command and reads its answer: a line "Status: Ok" and what follows.
func (p *Linphone) ask(command string) (string, error) {
	if p.conn == nil {
		c, err := net.DialTimeout("unix", p.ctrl, time.Second)
		if err != nil {
			return "", err
		}
		p.conn = c
	}
	if _, err := fmt.Fprintln(p.conn, command); err != nil {
		return "", err
	}
	var text []byte
	b := make([]byte, 1<<16)
	end := time.Now().Add(5 * time.Second)
	for {
		// Nothing marks the end of an answer, but it is written at once.
		_ = p.conn.SetReadDeadline(end)
		if bytes.Contains(text, []byte("Status: ")) {
			_ = p.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		}
		n, err := p.conn.Read(b)
		text = append(text, b[:n]...)
		if err != nil {
			if bytes.Contains(text, []byte("Status: ")) {
				return string(text), nil
			}
			return string(text), err
		}
	}
}

// Command gives a command ("call-pause", "dtmf 5", …) and its answer without
// the status, which must be Ok.
func (p *Linphone) Command(command string) string {
	p.tb.Helper()
	text, err := p.ask(command)
	_, rest, ok := strings.Cut(text, "Status: Ok")
	if err != nil || !ok {
		p.tb.Fatalf("peers: %s: %s: %v %s", p.Name, command, err, text)
	}
	return strings.TrimSpace(rest)
}

// Trace is the telephone's own log, with every SIP message in it.
func (p *Linphone) Trace() string {
	p.tb.Helper()
	b, err := os.ReadFile(filepath.Join(p.Dir, "linphone.log"))
	if err != nil || !bytes.Contains(b, []byte("INVITE sip:")) {
		p.tb.Fatalf("peers: %s has kept no messages: %v", p.Name, err)
	}
	return string(b)
}

// SoftEvent is what the telephone reports of a call: "LinphoneCallIncomingReceived",
// "LinphoneCallStreamsRunning", "LinphoneCallPausedByRemote", …
type SoftEvent struct{ State, From, ID string }

// Wait waits for the next report of a state, without the "LinphoneCall" before
// it, and passes over those before.
func (p *Linphone) Wait(state string, limit time.Duration) SoftEvent {
	p.tb.Helper()
	var e SoftEvent
	p.until(limit, "the state "+state, func() bool {
		for {
			text := p.Command("pop-event")
			if !strings.Contains(text, "Event: ") {
				return false
			}
			e = SoftEvent{}
			for line := range strings.Lines(text) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				switch name {
				case "Event":
					e.State = strings.TrimPrefix(value, "LinphoneCall")
				case "From":
					e.From = value
				case "Id":
					e.ID = value
				}
			}
			if e.State == state {
				return true
			}
		}
	})
	return e
}

// WaitRegistered waits until the telephone is registered.
func (p *Linphone) WaitRegistered(limit time.Duration) {
	p.tb.Helper()
	p.until(limit, "its registration", func() bool {
		return strings.Contains(p.Command("register-status ALL"), "LinphoneRegistrationOk")
	})
}

// Dial calls an extension or a number and gives the telephone's id of the call.
func (p *Linphone) Dial(to string) (id string) {
	p.tb.Helper()
	return strings.TrimPrefix(p.Command("call sip:"+to+"@"+Domain), "Id: ")
}

// Incoming waits for a ringing call and gives its id.
func (p *Linphone) Incoming(limit time.Duration) (id string) {
	p.tb.Helper()
	return p.Wait("IncomingReceived", limit).ID
}

// Answer accepts the incoming call.
func (p *Linphone) Answer(id string) { p.tb.Helper(); p.Command("answer " + id) }

// Established waits until a call has audio.
func (p *Linphone) Established(limit time.Duration) { p.tb.Helper(); p.Wait("StreamsRunning", limit) }

// Hangup ends a call or refuses it.
func (p *Linphone) Hangup(id string) { p.tb.Helper(); p.Command("terminate " + id) }

// Closed waits for the end of a call.
func (p *Linphone) Closed(limit time.Duration) { p.tb.Helper(); p.Wait("Released", limit) }
