package integration_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// A whole day through the gateway, and then every octet that each party has
// seen: nothing of the others' addresses, identifiers or software is in it.
// The realm of the PBX's challenges is the one thing that must cross.
func TestTopologyIsHidden(t *testing.T) {
	t.Parallel()
	w := newSuburb(t, "", nil, &peers.PBX{})
	seen := peers.StartCapture(t, w.net)
	handset := w.telephone("1001")
	soft := w.registered(peers.Phone{User: "1002", Tone: 800}) // baresip: a program with other habits

	out := w.dial(handset, "+33123456789")
	w.hears(out, siptest.CarrierTone)
	w.must("hold", out.Hold)
	w.must("resume", out.Resume)
	if res, err := out.Info(limited(t, soon), "application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n")); err != nil || res.Code != 200 {
		t.Errorf("INFO: %v, %v", res, err)
	}
	w.must("BYE", out.Bye)
	in := w.dial(w.carrier, "+33199001001")
	w.must("hold of the carrier", in.Hold)
	w.must("BYE of the carrier", in.Bye)
	if got := w.code(handset, "0018765550100"); got != 403 {
		t.Errorf("a call to a country that is shut: %d", got)
	}
	if got := w.code(handset, "1009"); got != 480 {
		t.Errorf("a call to who is away: %d", got)
	}
	if got := w.code(handset, "4999"); got != 404 {
		t.Errorf("a call to nobody: %d", got)
	}
	if res, err := handset.Options(limited(t, soon)); err != nil || res.Code != 200 {
		t.Errorf("OPTIONS: %v, %v", res, err)
	}
	if res, err := w.carrier.Options(limited(t, soon)); err != nil || res.Code != 200 {
		t.Errorf("OPTIONS of the carrier: %v, %v", res, err)
	}
	soft.Dial("1001")
	soft.Established(soon)
	soft.Hears(400, soon)
	soft.Hangup()
	soft.Closed(soon)
	// Headers that tell of the sender's place.
	tells := w.dial(handset, "+33123456789", siptest.Header("Organization", "Handset Works"), siptest.Header("X-Location", "Room 7 Handset Works"),
		siptest.Header("Call-Info", "<http://handset.works/pic>;purpose=icon"), siptest.Header("Server", "Handset Works"))
	w.must("BYE", tells.Bye)
	back := w.dial(w.carrier, "+33199001001", siptest.Header("X-Carrier-Switch", "switch-17.carrier.example"), siptest.Header("P-Charging-Vector", "icid-value=77switch17"))
	w.must("BYE", back.Bye)
	w.must("unregister", func(ctx context.Context) error { return handset.Register(ctx, 0) })
	soft.Stop()
	w.idle()

	hSent, hReceived := w.heard["1001"].text()
	cSent, cReceived := w.heard["carrier"].text()
	sSent, sReceived := sides(soft.Log(), w.tls().String())
	// The PBX: as the network saw it, RTP and RTCP of its side too.
	inside := func(p peers.Packet) bool { return !p.TCP && p.From.Addr() == w.inside && p.To.Addr() == w.pbxAddr }
	pReceived := string(seen.Bytes(inside))
	pSent := string(seen.Bytes(func(p peers.Packet) bool { return !p.TCP && p.From.Addr() == w.pbxAddr }))
	cReceived += string(seen.Bytes(func(p peers.Packet) bool { return p.From.Addr() == w.public && p.To.Addr() == w.carriers[0] }))
	parties := []struct {
		name, sent, received string
		own                  []string // what of it the others must not see
	}{
		{"handset", hSent, hReceived, []string{"127.0.0.1", handset.Addr().String(), "Hallway Handset", "Handset Works", "handset.works"}},
		{"softphone", sSent, sReceived, []string{"127.0.0.1", soft.Addr.String(), "baresip"}},
		{"carrier", cSent, cReceived, []string{w.carriers[0].String(), "carrier.example", "switch-17", "switch17"}},
		{"PBX", pSent, pReceived, []string{w.pbxAddr.String(), w.inside.String(), "Office PBX"}},
	}
	for _, of := range parties {
		n := len(marks(of.sent + of.received))
		t.Logf("the %s sent %d octets and received %d, with %d identifiers", of.name, len(of.sent), len(of.received), n)
		if len(of.sent) < 3000 || len(of.received) < 3000 || n < 10 || !strings.Contains(of.sent, "INVITE sip:") || !strings.Contains(of.sent+of.received, "BYE sip:") {
			t.Errorf("the test sees too little of the %s", of.name)
		}
		for _, at := range parties {
			if of.name == at.name {
				continue
			}
			for _, secret := range append(marks(of.sent+of.received), of.own...) {
				if i := strings.Index(at.received, secret); i >= 0 && !(secret == "127.0.0.1" && (at.name == "handset" || at.name == "softphone")) {
					t.Errorf("the %s sees %q of the %s: …%s…", at.name, secret, of.name, at.received[max(0, i-200):min(len(at.received), i+len(secret)+60)])
				}
			}
		}
	}
	// The public address is for the public side only.
	if strings.Contains(pReceived, w.public.String()) {
		t.Error("the PBX sees the public address")
	}
}

// sides splits a telephone's log into what it sent to and received from the
// gateway.
func sides(log, gateway string) (sent, received string) {
	for block := range strings.SplitSeq(log, "\n#\n") {
		first, message, _ := strings.Cut(block, "\n")
		switch {
		case strings.HasSuffix(first, "-> "+gateway):
			sent += message
		case strings.HasPrefix(first, "TLS "+gateway):
			received += message
		}
	}
	return sent, received
}

var (
	callID = regexp.MustCompile(`(?mi)^(?:Call-ID|i):[ \t]*(\S+)`)
	tagged = regexp.MustCompile(`(?i);tag=([^;\s>,]+)`)
	branch = regexp.MustCompile(`(?i);branch=(z9hG4bK[^;\s,]+)`)
	origin = regexp.MustCompile(`(?m)^o=\S+ (\d{6,})`)
	key    = regexp.MustCompile(`inline:([A-Za-z0-9+/=]+)`)
)

// marks are the identifiers in a party's messages.
func marks(text string) (out []string) {
	known := map[string]bool{}
	for _, re := range []*regexp.Regexp{callID, tagged, branch, origin, key} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				known[m[1]] = true
				out = append(out, m[1])
			}
		}
	}
	return out
}
