package integration_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

type torture struct {
	name, class string
	message     []byte
}

// corpus reads the messages of RFC 4475 and RFC 5118, which the project does
// not carry, from the directory that RAMPART_CORPORA names.
func corpus(t *testing.T) (out []torture) {
	dir := os.Getenv("RAMPART_CORPORA")
	if dir == "" {
		return nil
	}
	dir = filepath.Join(dir, "sip-torture")
	f, err := os.Open(filepath.Join(dir, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		b, err := os.ReadFile(filepath.Join(dir, "rfc4475", row[0]+".dat"))
		if err != nil {
			if b, err = os.ReadFile(filepath.Join(dir, "rfc5118", row[0]+".dat")); err != nil {
				t.Fatal(err)
			}
		}
		// Some share a Call-ID and tag, which would make one call of them.
		b = bytes.ReplaceAll(b, []byte("SSG9559905523997077@"), []byte(row[0]+"@"))
		out = append(out, torture{row[0], row[2], b})
	}
	if len(out) != 61 {
		t.Fatalf("%d messages, want 61", len(out))
	}
	return out
}

// reaction is the first final answer to a message from an address: its code
// and the whole of it; 0 for silence.
func reaction(seen *peers.Capture, from, to netip.Addr) (int, string) {
	for _, p := range seen.Packets(func(p peers.Packet) bool { return !p.TCP && p.From.Addr() == from && p.To.Addr() == to }) {
		if f := strings.Fields(string(p.Payload)); len(f) > 1 && f[0] == "SIP/2.0" {
			if code, _ := strconv.Atoi(f[1]); code >= 200 {
				return code, string(p.Payload)
			}
		}
	}
	return 0, ""
}

// reactions is what the gateway answers to each message over UDP, when it comes
// from the address of a peer. What is not here gets no answer: responses that
// belong to nothing, and what cannot be answered because the lines that an
// answer repeats (Via, From, To, Call-ID, CSeq) are broken themselves.
//
// Calls in the messages carry a To tag or media that the gateway does not take,
// or end at a PBX that knows nobody (404); REGISTER is not for carriers (403).
var reactions = map[string]int{
	"wsinv": 481, "intmeth": 501, "esc01": 404, "escnull": 403, "esc02": 501, "lwsdisp": 200, "longreq": 404, "dblreq": 403, "semiuri": 200,
	"transports": 200, "mpart01": 415,
	"clerr": 400, "ncl": 400, "quotbal": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": 400,
	"regbadct": 400, "badaspec": 400, "mismatch01": 400, "mismatch02": 400,
	"unkscm": 416, "novelsc": 416, "unksm2": 400, "bext01": 420, "invut": 415, "regaut01": 403, "mcl01": 400, "zeromf": 483, "cparam01": 403,
	"cparam02": 403, "regescrt": 403, "sdp01": 406, "inv2543": 400,
	"ipv6-good": 403, "ipv6-bad": 400, "port-ambiguous": 403, "port-unambiguous": 403, "via-received-param-with-delim": 481,
	"via-received-param-no-delim": 200, "ipv6-in-sdp": 488, "mult-ip-in-header": 481, "mult-ip-in-sdp": 404, "ipv4-mapped-ipv6": 404,
	"ipv6-bug-abnf-3-colons": 400, "ipv6-correct-abnf-2-colons": 200,
}

// unanswerable are the requests among the others.
var unanswerable = []string{"badinv01", "scalar02", "baddn", "badvers", "badbranch", "insuf", "multi01"}

// says is what an answer must carry besides its code.
var says = map[string]string{
	"bext01": "Unsupported: nothingsupportsthis, nothingsupportsthiseither", "invut": "Accept: application/sdp",
	"mpart01": "Accept: ", "ipv4-mapped-ipv6": "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19;received=",
}

// overTLS is what a telephone that is not registered gets for the messages with
// REGISTER: they go to the PBX, which challenges, or refuses credentials that
// it does not understand. (dblreq is two messages there.)
var overTLS = map[string]int{"escnull": 404, "regaut01": 401, "cparam01": 401, "cparam02": 401, "regescrt": 401, "regbadct": 400}

func TestTorture(t *testing.T) {
	t.Parallel()
	messages := corpus(t)
	if messages == nil {
		t.Log("NOTICE: RAMPART_CORPORA is not set: the messages of RFC 4475 and RFC 5118 were not tried")
		return
	}
	w := &trunks{world: newWorld(t)}
	w.domain = "[" + peers.Domain + ", example.com]"
	w.pbxAddr = w.net.Addr(t)
	w.carriers = []netip.Addr{w.net.Addr(t)}
	strangers := peers.NewNet(t)
	pbx, err := siptest.NewPBX(t.Context(), siptest.PBXConfig{Domain: "example.com", Users: map[string]string{"1001": "pw1001"},
		Outside: func(string) bool { return false }, Listen: netip.AddrPortFrom(w.pbxAddr, 5060)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pbx.Close)
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr), fmt.Sprintf(`
listen: {tls: [%q], udp: [%q], tcp: [%[2]q]}
peers: [{name: carrier, identify: {ip: [%[3]q]}, uri: "sip:%[4]s:5060;transport=udp", allow_plaintext: true}]
policy: {use: [base, scanners]}
limits: {message_timeout: 2s}
`, w.tls(), w.publicUDP(), w.net.Prefix(), w.carriers[0]))
	seen := peers.StartCapture(t, w.net)
	other := peers.StartCapture(t, strangers)
	throw := func(from netip.Addr, b []byte) {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 5060)), net.UDPAddrFromAddrPort(w.publicUDP()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write(b); err != nil {
			t.Fatalf("%d octets: %v", len(b), err)
		}
	}
	known, unknown := map[string]netip.Addr{}, map[string]netip.Addr{}
	for _, m := range messages {
		known[m.name], unknown[m.name] = w.net.Addr(t), strangers.Addr(t)
		throw(known[m.name], m.message)
		throw(unknown[m.name], m.message)
	}
	for _, m := range messages {
		want, from := reactions[m.name], known[m.name]
		var code int
		var text string
		if want != 0 {
			peers.Eventually(t, soon, "an answer to "+m.name, func() bool { code, text = reaction(seen, w.public, from); return code != 0 })
		}
		if code != want {
			t.Errorf("%s (%s): %d, want %d\n%s", m.name, m.class, code, want, text)
		}
		if !strings.Contains(text, says[m.name]) {
			t.Errorf("%s: the answer lacks %q:\n%s", m.name, says[m.name], text)
		}
	}

	// Over TLS, from a stranger: registrations reach the PBX whatever they carry.
	for name, want := range overTLS {
		c, err := tls.Dial("tcp", w.tls().String(), w.trust())
		if err != nil {
			t.Fatal(err)
		}
		if code := ask(c, message(messages, name)); code != want {
			t.Errorf("%s over TLS: %d, want %d", name, code, want)
		}
		c.Close()
	}
	// On a stream a wrong length is the end of it: 400, then closed; one that
	// is too large is waited for, and not for ever.
	for _, name := range []string{"ncl", "mcl01", "clerr"} {
		c, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.carriers[0], 0))}).Dial("tcp", w.publicUDP().String())
		if err != nil {
			t.Fatal(err)
		}
		code := ask(c, message(messages, name))
		if name != "clerr" && code != 400 {
			t.Errorf("%s over TCP: %d, want 400", name, code)
		}
		_ = c.SetReadDeadline(time.Now().Add(soon))
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s over TCP: the connection stays: %v", name, err)
		}
		c.Close()
	}

	// Silence is judged at the end: what was to come has come by now.
	for _, m := range messages {
		code, text := reaction(other, w.public, unknown[m.name])
		if code != 0 { // whoever is nobody learns nothing by a datagram
			t.Errorf("%s from a stranger: %d\n%s", m.name, code, text)
		}
	}
	for _, name := range append(unanswerable, "unreason", "noreason", "scalarlg", "bigcode", "bcast") {
		if code, text := reaction(seen, w.public, known[name]); code != 0 {
			t.Errorf("%s: answered %d\n%s", name, code, text)
		}
	}
	if len(reactions)+len(unanswerable)+5 != len(messages) {
		t.Errorf("%d reactions, %d unanswerable and 5 responses are not %d messages", len(reactions), len(unanswerable), len(messages))
	}

	// After all that a call works.
	carrier := w.carrier(0, siptest.CarrierConfig{})
	call, err := carrier.Invite(limited(t, soon), siptest.ExtTone)
	if err != nil {
		t.Fatalf("a call afterwards: %v", err)
	}
	if err := call.Media.WaitTone(limited(t, soon), siptest.ToneFreq); err != nil {
		t.Error(err)
	}
	if err := call.Bye(limited(t, soon)); err != nil {
		t.Error(err)
	}
	if w.status("/healthz") != 200 {
		t.Error("not healthy")
	}
	if strings.Contains(w.gw.Log(), "panic") {
		t.Error("something panicked")
	}
	w.idleIn(40 * time.Second)
}

func message(all []torture, name string) []byte {
	for _, m := range all {
		if m.name == name {
			return m.message
		}
	}
	return nil
}

// ask sends a message on a connection and gives the code of the first final
// answer, 0 for none within some seconds.
func ask(c net.Conn, b []byte) int {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(b); err != nil {
		return 0
	}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0
		}
		if f := strings.Fields(line); len(f) > 1 && f[0] == "SIP/2.0" {
			if code, _ := strconv.Atoi(f[1]); code >= 200 {
				return code
			}
		}
	}
}
