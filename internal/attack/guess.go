package attack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// guesses is how many passwords are tried: many times what a person mistypes.
const guesses = 60

// bruteForce guesses one user's password from one address, then from many. It
// must be stopped and told of, and must not lock the user out.
func (y *yard) bruteForce(ctx context.Context, n *notes) {
	own, err := y.phone(victim, y.addr(1, 99))
	if err != nil {
		n.wrong("%v", err)
		return
	}
	defer own.Close()
	at := y.attacker()
	tried, asked, through := y.guess(ctx, func(i int) (*siptest.Phone, error) {
		return y.stranger(victim, fmt.Sprintf("guess-%d", i), at, "Desk Phone 1.0")
	})
	n.did = fmt.Sprintf("%d passwords for one user from one address, then the right one, then 20 from 20 addresses", guesses)
	n.saw("%d guesses got a connection, %d reached the PBX", tried, asked)
	if y.enters(ctx, at) {
		n.wrong("after %d wrong passwords from an address the right one is still accepted from there", tried)
	}
	if through {
		n.wrong("a wrong password was accepted")
	}
	y.tell(ctx, n, at, "registration-bruteforce", "source-banned", "registration-rejected", "call-rejected", "user-banned", "banned")
	_, _, through = y.guess(ctx, func(i int) (*siptest.Phone, error) {
		if i >= 20 {
			return nil, errEnough
		}
		return y.stranger(victim, fmt.Sprintf("guess-%d", 1000+i), y.attacker(), "Desk Phone 1.0")
	})
	if through {
		n.wrong("a wrong password was accepted")
	}
	short, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	if err := own.Register(short, 10*time.Minute); err != nil {
		n.wrong("the user whose password was guessed at is locked out: %s", why(err))
	}
	if _, err := y.goodCall(ctx, own); err != nil {
		n.wrong("the user whose password was guessed at cannot call: %s", why(err))
	}
}

var errEnough = errors.New("enough")

// enters: the victim's password is accepted from an address.
func (y *yard) enters(ctx context.Context, at netip.Addr) bool {
	p, err := y.stranger(victim, password(victim), at, "Desk Phone 1.0")
	if err != nil {
		return false
	}
	defer p.Close()
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return p.Register(short, time.Minute) == nil
}

// guess tries passwords until it gets no connection or no answer any more;
// asked is how many of them the PBX was asked about.
func (y *yard) guess(ctx context.Context, next func(i int) (*siptest.Phone, error)) (tried, asked int, through bool) {
	before := y.inside.count("REGISTER")
	for i := range guesses {
		p, err := next(i)
		if err != nil {
			break // no connection any more
		}
		tried++
		short, cancel := context.WithTimeout(ctx, time.Second)
		_, err = p.RegisterMessage(short, time.Minute)
		cancel()
		p.Close()
		if err == nil {
			through = true
		}
		var r *siptest.Refused
		if ctx.Err() != nil || !errors.As(err, &r) && i > 3 {
			break // silence
		}
	}
	// Each guess is two requests; the telephones of the sandbox refresh none
	// meanwhile.
	return tried, (y.inside.count("REGISTER") - before + 1) / 2, through
}

// enumeration asks for users that exist and users that do not, and compares
// what comes back.
func (y *yard) enumeration(ctx context.Context, n *notes) {
	n.did = "REGISTER, without and with credentials, for users that exist and users that do not; then a row of 40 extensions"
	shape := func(user, pass string) (string, bool) {
		p, err := y.stranger(user, pass, y.attacker(), "Desk Phone 1.0")
		if err != nil {
			return "", false
		}
		defer p.Close()
		short, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		m := p.NewRequest("REGISTER", "sip:"+y.gw.Domain)
		m.Set("To", "<"+p.AOR()+">")
		first, err := p.Do(short, p.Path(), m)
		if err != nil {
			return "silence", true
		}
		_, err = p.RegisterMessage(short, time.Minute)
		var r *siptest.Refused
		second := "silence"
		if errors.As(err, &r) {
			second = shapeOf(r.Response)
		} else if err == nil {
			second = "accepted"
		}
		return shapeOf(first) + " then " + second, true
	}
	known, ok1 := shape(y.users[1], "wrong")
	for range 3 {
		unknown, ok2 := shape("7"+marker()[2:8], "wrong")
		if !ok1 || !ok2 {
			break
		}
		if known != unknown {
			n.wrong("answers tell who exists: %s for a user, %s for nobody", known, unknown)
			break
		}
	}
	if len(n.bad) == 0 {
		n.saw("both are answered %s", known)
	}
	at, asked := y.attacker(), 0
	for i := range 40 {
		p, err := y.stranger(fmt.Sprintf("%d", 2000+i), "x", at, "Desk Phone 1.0")
		if err != nil {
			break
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err = p.RegisterMessage(short, time.Minute)
		cancel()
		p.Close()
		var r *siptest.Refused
		if !errors.As(err, &r) && i > 3 || ctx.Err() != nil {
			break
		}
		asked++
	}
	if asked == 40 {
		n.wrong("40 extensions in a row were asked about from one address and all were answered")
	} else {
		n.saw("a row of extensions was answered %d times", asked)
	}
	y.tell(ctx, n, at, "enumeration", "registration-bruteforce", "source-banned", "call-rejected")
}

// shapeOf is everything of an answer that may differ for another reason than
// the question: the code, the reason, the names of headers in order, and the
// shape of the challenge.
func shapeOf(m *siptest.Message) string {
	var names []string
	for _, f := range m.Headers {
		name := strings.ToLower(f.Name)
		if name == "www-authenticate" || name == "proxy-authenticate" {
			var params []string
			for _, p := range strings.Split(f.Value, ",") {
				k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
				if k == "nonce" || k == "opaque" {
					v = fmt.Sprintf("%d characters", len(v))
				}
				params = append(params, k+"="+v)
			}
			slices.Sort(params)
			name += "(" + strings.Join(params, " ") + ")"
		}
		names = append(names, name)
	}
	return fmt.Sprintf("%d %s [%s]", m.Code, m.Reason, strings.Join(names, " "))
}
