package peers

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// The least that the gateway's helper must carry: telephones register with the
// PBX through the gateway and talk to each other and to an echo.
func TestCallThroughTheGateway(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	public, inside := n.Addr(t), n.Addr(t)
	seen := StartCapture(t, n)
	echo := StartSIPp(t, n, Scenario{Name: "uas_answer", Echo: true})
	pbx := StartPBX(t, n, PBX{Gateway: inside, Services: map[string]string{"600": echo.URI()}})
	gw := StartGateway(t, t.TempDir(), fmt.Sprintf(`
domain: %s
listen: {tls: ["%s:5061"]}
inside: {udp: ["%s:5060"]}
media: {public: ["%[2]s"], inside: ["%[3]s"], ports: 20000-20999}
pbx: [{name: main, uri: "sip:%[4]s;transport=udp"}]
home: {country: FR}
policy: {use: [base]}
admin: {listen: "%[3]s:8080"}
alerts: [{file: alerts.jsonl}]
cdr: [{file: cdr.jsonl}]
store: {path: state}
`, Domain, public, inside, pbx.Addr), nil)
	server := netip.AddrPortFrom(public, 5061)
	a := StartPhone(t, n, Phone{User: "1001", Server: server, Transport: "tls", MediaEnc: "srtp-mand", Tone: 440})
	b := StartPhone(t, n, Phone{User: "1002", Server: server, Transport: "tls", MediaEnc: "srtp-mand", Tone: 800})
	a.WaitRegistered(soon)
	b.WaitRegistered(soon)

	a.Dial("600")
	a.Established(soon)
	a.Hears(440, soon)
	a.Hangup()
	a.Closed(soon)

	a.Dial("1002")
	b.Incoming(soon)
	b.Answer()
	a.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)
	seen.HearsRTP(Received(echo.Addr), 440, soon)
	b.Hangup()
	b.Closed(soon)
	a.Closed(soon)
	if strings.Contains(a.Log(), pbx.Addr.Addr().String()) {
		t.Error("the telephone has seen the PBX's address")
	}
	t.Logf("the gateway holds %+v", gw.Usage(n))
}
