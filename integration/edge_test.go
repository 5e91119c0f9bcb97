package integration_test

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// addUsers makes a file of users with passwords of the program's own.
func (w *world) addUsers(users ...string) map[string]string {
	w.tb.Helper()
	passwords := map[string]string{}
	for _, user := range users {
		out, err := exec.CommandContext(w.tb.Context(), peers.Program(w.tb), "users", "add", filepath.Join(w.dir, "users.digest"), user, "--domain", peers.Domain, "--generate").Output()
		if err != nil {
			w.tb.Fatalf("users add: %v", err)
		}
		passwords[user] = strings.TrimSpace(string(out))
	}
	return passwords
}

// The gateway asks for passwords itself, with a PBX behind it that trusts it and
// with PBXs that ask all the same. Telephones of different make register and call
// each other; a stranger never reaches the PBX.
func TestPasswordsAtTheEdge(t *testing.T) {
	for name, pbx := range map[string]peers.PBX{
		"trusts":  {Trusts: true},
		"MD5":     {},
		"SHA-256": {Algorithm: "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			passwords := w.addUsers("1001", "1002")
			pbx.Users = map[string]string{"1001": passwords["1001"], "1002": passwords["1002"], "1003": "pw1003"}
			k := w.pbx(pbx)
			seen := peers.StartCapture(t, w.net)
			w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, k.Addr), "authentication: {file: users.digest, algorithms: [MD5]}\n")
			w.phone(peers.Phone{User: "1003"}) // the PBX knows it, the gateway does not
			w.waitLine("events.jsonl", "event", "register", "user", "1003", "code", "401")
			a := w.registered(peers.Phone{User: "1001", Password: passwords["1001"], Tone: 440})
			b := w.linphone(peers.SoftPhone{User: "1002", Password: passwords["1002"], Tone: 800})

			a.Dial("1002")
			in := b.Incoming(soon)
			b.Answer(in)
			a.Established(soon)
			a.Hears(800, soon)
			b.Hears(440, soon)
			a.Hangup()
			b.Closed(soon)
			a.Closed(soon)
			out := b.Dial("1001")
			a.Incoming(soon)
			a.Answer()
			b.Established(soon)
			b.Hears(440, soon)
			b.Hangup(out)
			a.Closed(soon)
			b.Closed(soon)
			got := seen.Ladder(5060)
			if strings.Contains(got, "1003@") {
				t.Error("a stranger reached the PBX")
			}
			if strings.Contains(got, `nonce="rp`) {
				t.Error("the PBX got credentials that were for the gateway")
			}
			if shown := strings.Contains(got, "Authorization: Digest"); shown == pbx.Trusts {
				t.Errorf("credentials reached the PBX: %v", shown)
			}
			w.idle()
		})
	}
}

// Linphone answers with SHA-256 where nothing else is offered.
func TestSHA256AtTheEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	passwords := w.addUsers("1001")
	k := w.pbx(peers.PBX{Users: map[string]string{"1001": passwords["1001"]}, Trusts: true})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, k.Addr), "authentication: {file: users.digest, algorithms: [SHA-256]}\n")
	w.linphone(peers.SoftPhone{User: "1001", Password: passwords["1001"]})
	w.waitLine("events.jsonl", "event", "register", "user", "1001", "code", "200")
}

// Where the PBX knows the passwords, a telephone answers the gateway and then
// the PBX; who answers nothing never reaches it.
func TestChallengedBeforeThePBX(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.pbx(peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, k.Addr), "authentication: {pbx: true}\n")
	c, err := tls.Dial("tcp", w.tls().String(), w.trust())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: <sip:1009@%[1]s>;tag=x\r\nTo: <sip:1009@%[1]s>\r\n"+
		"Call-ID: scan\r\nCSeq: 1 REGISTER\r\nContact: <sip:1009@192.0.2.1>\r\nContent-Length: 0\r\n\r\n", peers.Domain)
	b := make([]byte, 2048)
	if n, err := c.Read(b); err != nil || !strings.Contains(string(b[:n]), "SIP/2.0 401 ") {
		t.Fatalf("%v %q", err, b[:n])
	}
	w.registered(peers.Phone{User: "1001"})
	if got := seen.Ladder(5060); strings.Contains(got, "1009@") || !strings.Contains(got, "1001@") {
		t.Error("a stranger reached the PBX, or nobody did")
	}
}
