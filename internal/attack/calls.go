package attack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// agents are scanners that say who they are.
var agents = []string{"friendly-scanner", "sipvicious", "sipcli/v1.8", "pplsip"}

// scanner comes as the known ones do.
func (y *yard) scanner(ctx context.Context, n *notes) {
	n.did = fmt.Sprintf("OPTIONS, REGISTER and INVITE as %s", strings.Join(agents, ", "))
	mark := marker()
	for _, agent := range agents {
		at := y.attacker()
		for _, method := range []string{"OPTIONS", "REGISTER", "INVITE"} {
			p, err := y.stranger(mark, "x", at, agent)
			if err != nil {
				n.saw("%s: the address gets no connection any more", agent)
				break
			}
			short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			uri := "sip:" + mark + "@" + y.gw.Domain
			if method == "REGISTER" {
				uri = "sip:" + y.gw.Domain
			}
			m := p.NewRequest(method, uri)
			res, err := p.Do(short, p.Path(), m)
			cancel()
			p.Close()
			if err == nil && res.Code < 400 {
				n.wrong("%s of %s: answered %d", method, agent, res.Code)
			}
		}
		if !y.tell(ctx, n, at, "source-banned", "call-rejected", "enumeration") {
			break
		}
	}
	if y.inside.got(mark) != nil {
		n.wrong("a request of a scanner reached the PBX")
	}
}

// identity lets a registered telephone claim to be others.
func (y *yard) identity(ctx context.Context, n *notes) {
	n.did = "a registered telephone calls as another user, registers another user, and asserts an identity"
	p, err := y.phone(victim, y.attacker())
	if err != nil {
		n.wrong("%v", err)
		return
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	other, mark := y.users[0], marker()
	call, err := p.Invite(ctx, siptest.ExtTone, siptest.From("sip:"+other+"@"+y.gw.Domain))
	if err == nil {
		n.wrong("a call in the name of %s was put through", other)
		call.Bye(ctx)
	} else {
		n.saw("as another user: %s", why(err))
	}
	m := p.NewRequest("REGISTER", "sip:"+y.gw.Domain)
	m.Set("To", "<sip:"+other+"@"+y.gw.Domain+">")
	m.Set("Contact", "<sip:"+mark+"@192.0.2.1>")
	if res, err := p.Do(ctx, p.Path(), m); err == nil && res.Code < 300 {
		n.wrong("another user was registered")
	} else if err == nil {
		n.saw("registering another user: %d", res.Code)
	}
	call, err = p.Invite(ctx, siptest.ExtTone, siptest.Header("P-Asserted-Identity", "<sip:"+mark+"@"+y.gw.Domain+">"),
		siptest.Header("X-"+mark, "1"), siptest.Header("Remote-Party-ID", "<sip:"+mark+"@"+y.gw.Domain+">"))
	if err != nil {
		n.saw("with an asserted identity: %s", why(err))
	} else {
		call.Bye(ctx)
	}
	if b := y.inside.got(mark); b != nil {
		n.wrong("what a telephone asserted of itself reached the PBX: %.60q", line(b, mark))
	}
}

// line is the one of a message that has a text.
func line(b []byte, text string) string {
	for l := range strings.Lines(string(b)) {
		if strings.Contains(strings.ToLower(l), text) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

// why is a refusal in a few words.
func why(err error) string {
	var r *siptest.Refused
	if errors.As(err, &r) {
		return fmt.Sprintf("%d %s", r.Response.Code, r.Response.Reason)
	}
	return err.Error()
}

// strangerCalls: whoever has not registered may do nothing else.
func (y *yard) strangerCalls(ctx context.Context, n *notes) {
	n.did = "INVITE, MESSAGE, SUBSCRIBE, REFER, OPTIONS and BYE of an unknown connection"
	mark := marker()
	for _, method := range []string{"INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "OPTIONS", "BYE", "PUBLISH", "NOTIFY", "INFO"} {
		p, err := y.stranger(mark, "x", y.attacker(), "Desk Phone 1.0")
		if err != nil {
			n.wrong("%v", err)
			return
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		res, err := p.Do(short, p.Path(), p.NewRequest(method, "sip:"+siptest.ExtTone+"@"+y.gw.Domain))
		cancel()
		p.Close()
		if err == nil && res.Code < 300 {
			n.wrong("%s: answered %d", method, res.Code)
		}
	}
	if y.inside.got(mark) != nil {
		n.wrong("a request of a stranger reached the PBX")
	}
}

// deniedNumbers dials what costs, spelt as attackers do: a satellite telephone
// and an international premium number.
func (y *yard) deniedNumbers(ctx context.Context, n *notes) {
	n.did = "a registered telephone dials an Inmarsat number and an international premium number in ten spellings"
	p, err := y.phone(victim, y.attacker())
	if err != nil {
		n.wrong("%v", err)
		return
	}
	defer p.Close()
	through := map[string]bool{}
	for _, number := range []string{"870773123456", "979312345678"} {
		for _, s := range []string{"+" + number, "00" + number, "%2B" + number, "+" + number[:3] + "-" + number[3:], "+" + number[:3] + "." + number[3:],
			"(+" + number[:3] + ")" + number[3:], "+%" + fmt.Sprintf("%x", number[0]) + number[1:], "+" + number + ";ext=1", "+" + number + ",,1", "000" + number} {
			short, cancel := context.WithTimeout(ctx, stepTime)
			before := y.inside.got(number[1:]) != nil
			call, err := p.Invite(short, "sip:"+s+"@"+y.gw.Domain)
			cancel()
			if err == nil {
				call.Bye(ctx)
			}
			if !before && y.inside.got(number[1:]) != nil {
				through[s] = true
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
	for s := range through {
		n.wrong("%s reached the PBX", s)
	}
	if len(through) == 0 {
		n.saw("none of them reached the PBX")
	}
}
