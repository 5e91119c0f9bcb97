package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// Telephones of different make answer the gateway's challenge and then that of
// the PBX, and call each other, challenged again for each call.
func TestChallengeBeforeThePBX(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{})
	w.write("policy/ask.yaml", `version: 1
rules:
  - {id: site/ask, on: invite, then: challenge}
  # Linphone takes a second challenge of a REGISTER for a refusal, and comes
  # again after a minute.
  - {id: site/ask-who, on: register, match: {user_agent: "^baresip"}, then: challenge}
`)
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), "policy: {files: [\"policy/*.yaml\"]}\n")
	seen := peers.StartCapture(t, w.net)
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	b := w.linphone(peers.SoftPhone{User: "1002", Tone: 800})

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
	if got := seen.Ladder(5060); strings.Contains(got, `nonce="rp`) || !strings.Contains(got, "Authorization: Digest") {
		t.Error("the PBX got credentials that were for the gateway")
	}
	w.idle()
}
