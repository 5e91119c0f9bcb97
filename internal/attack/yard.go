package attack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// yard is the sandbox: a PBX and telephones that go on with their work while
// attackers come from addresses of their own.
type yard struct {
	o       Options
	life    context.Context
	base    [2]byte // of the loopback network that this run has
	gw      *Gateway
	pbx     *siptest.PBX
	inside  *inside
	users   []string
	phones  []*siptest.Phone
	long    *siptest.Call  // up all the time
	far     *siptest.Media // its other end
	quietly pulse          // calls without an attack
	next    int            // attackers' addresses given out
	spares  int            // users given out
	told    int            // octets of alerts before the attack
	closed  bool
}

const (
	goodPhones = 4
	// victim is the user that attacks are about; its telephone is registered
	// and makes calls of its own.
	victim = "1009"
)

// Users that are there for one registration each.
const spareUsers = 100

func spareUser(i int) string { return fmt.Sprintf("13%02d", i) }

// spare is a user that nothing has been done with lately.
func (y *yard) spare() string {
	y.spares++
	return spareUser(y.spares % spareUsers)
}

// password of a telephone of the sandbox.
func password(user string) string { return "yard-" + user + "-7Qx" }

// open builds the sandbox and starts the gateway in it.
func open(ctx context.Context, o Options) (y *yard, err error) {
	y = &yard{o: o, life: ctx, inside: &inside{}}
	defer func() {
		if err != nil {
			y.close()
		}
	}()
	var b [2]byte
	rand.Read(b[:])
	y.base = [2]byte{64 + b[0]%60, b[1]}
	users := map[string]string{victim: password(victim)}
	for i := range goodPhones {
		u := fmt.Sprintf("100%d", i+1)
		y.users = append(y.users, u)
		users[u] = password(u)
	}
	for i := range spareUsers {
		u := spareUser(i)
		users[u] = password(u)
	}
	pbxAt := netip.AddrPortFrom(y.addr(0, 2), 0)
	// The realm is told to telephones: it must say nothing of the inside.
	if y.pbx, err = siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "pbx.sandbox.invalid", Users: users, Listen: pbxAt,
		Outside: func(string) bool { return false }, Log: o.Log, Trace: y.inside.trace}); err != nil {
		return y, fmt.Errorf("the sandbox's PBX: %w", err)
	}
	if y.gw, err = o.Start(Place{PBX: y.pbx.Addr(), Users: users, Self: y.addr(0, 1), Trunk: y.addr(2, 1)}); err != nil {
		return y, err
	}
	for i, u := range y.users {
		p, err := y.phone(u, y.addr(1, byte(i+1)))
		if err != nil {
			return y, err
		}
		y.phones = append(y.phones, p)
	}
	return y, nil
}

func (y *yard) close() {
	if y.closed {
		return
	}
	y.closed = true
	for _, p := range y.phones {
		p.Close()
	}
	if y.gw != nil {
		y.gw.Close()
	}
	if y.pbx != nil {
		y.pbx.Close()
	}
}

// addr is an address of the run's loopback network: net 0 is the gateway's and
// the PBX's, 1 that of telephones, 2 of peers, from 100 on of attackers.
func (y *yard) addr(net, host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, y.base[0], net ^ y.base[1]&0x1f, host})
}

// attacker is a new address that nothing is known of.
func (y *yard) attacker() netip.Addr {
	y.next++
	return y.addr(100+byte(y.next/250), byte(y.next%250+1))
}

// phone makes a telephone and registers it.
func (y *yard) phone(user string, at netip.Addr) (*siptest.Phone, error) {
	p, err := y.stranger(user, password(user), at, "Desk Phone 1.0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(y.life, stepTime)
	defer cancel()
	if err := p.Register(ctx, 10*time.Minute); err != nil {
		p.Close()
		return nil, fmt.Errorf("telephone %s cannot register through the gateway: %w", user, err)
	}
	return p, nil
}

// stranger has a TLS connection and no registration.
func (y *yard) stranger(user, pass string, at netip.Addr, agent string) (*siptest.Phone, error) {
	p, err := siptest.NewPhone(y.life, siptest.PhoneConfig{User: user, Password: pass, Domain: y.gw.Domain, Server: y.gw.TLS, Transport: "tls",
		TLS: y.gw.Roots, Local: at, SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80}, Tone: callerTone, UserAgent: agent, Log: y.o.Log})
	if err != nil {
		return nil, fmt.Errorf("connect from %s: %w", at, err)
	}
	return p, nil
}

const (
	callerTone = 440
	stepTime   = 8 * time.Second // for one thing that must happen
)

// marker is a text that is nowhere else.
func marker() string {
	var b [6]byte
	rand.Read(b[:])
	return "zq" + hex.EncodeToString(b[:])
}

// inside is what the PBX got. It keeps a bounded tail.
type inside struct {
	mu       sync.Mutex
	tail     [][]byte
	requests map[string]int // by method
}

const maxTail = 4096

func (in *inside) trace(sent bool, _ netip.AddrPort, b []byte) {
	if sent {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.requests == nil {
		in.requests = map[string]int{}
	}
	if method, _, ok := bytes.Cut(b, []byte(" ")); ok && len(method) < 16 && !bytes.HasPrefix(b, []byte("SIP/")) {
		in.requests[string(method)]++
	}
	if len(in.tail) == maxTail {
		in.tail = append(in.tail[:0], in.tail[maxTail/2:]...)
	}
	in.tail = append(in.tail, bytes.Clone(b))
}

// got returns a message with that text, whatever its case.
func (in *inside) got(text string) []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, b := range in.tail {
		if bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(text))) {
			return b
		}
	}
	return nil
}

func (in *inside) count(method string) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.requests[method]
}

// alert is what is read of a line.
type alert struct {
	Event struct {
		Action, Reason string
	}
	Source  struct{ IP string }
	Rule    struct{ ID string }
	Rampart struct{ Verdict string }
	raw     []byte
}

// alerts reads what there is since the attack began; half a line at the end is
// not there yet.
func (y *yard) alerts() (out []alert, err error) {
	b, err := os.ReadFile(y.gw.Alerts)
	if err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	b = b[min(y.told, len(b)) : bytes.LastIndexByte(b, '\n')+1]
	for line := range bytes.Lines(b) {
		a := alert{raw: line}
		if e := json.Unmarshal(line, &a); e != nil {
			err = errors.Join(err, fmt.Errorf("alert %.80q: %w", line, e))
			continue
		}
		out = append(out, a)
	}
	return out, err
}

// begin makes the alerts so far those of the past: one attack must not pass for
// what another brought about.
func (y *yard) begin() {
	b, _ := os.ReadFile(y.gw.Alerts)
	y.told = bytes.LastIndexByte(b, '\n') + 1
}

// alerted waits for an alert of one of these actions that has the source; an
// invalid source is any. A ban of an address is an answer to every attack.
func (y *yard) alerted(ctx context.Context, source netip.Addr, actions ...string) (alert, bool) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		list, _ := y.alerts()
		for _, a := range list {
			for _, want := range actions {
				if a.Event.Action == want && (!source.IsValid() || a.Source.IP == source.String()) {
					return a, true
				}
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return alert{}, false
		}
	}
}

// tell notes an alert, or that there is none.
func (y *yard) tell(ctx context.Context, n *notes, source netip.Addr, actions ...string) (told bool) {
	if a, ok := y.alerted(ctx, source, actions...); ok {
		n.saw("alert %s, rule %s", a.Event.Action, a.Rule.ID)
		return true
	}
	n.wrong("no alert tells of it (%s)", strings.Join(actions, " or "))
	return false
}

// written is the size of everything that the gateway writes.
func (y *yard) written() (n int64) {
	for _, file := range y.gw.Files {
		if st, err := os.Stat(file); err == nil {
			n += st.Size()
		}
	}
	return n
}

// memory is what the gateway's process holds, in bytes; 0 where it cannot be
// told.
func (y *yard) memory() uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", y.gw.Process))
	if err != nil {
		return 0
	}
	var size, resident uint64
	fmt.Sscan(string(b), &size, &resident)
	return resident * uint64(os.Getpagesize())
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
