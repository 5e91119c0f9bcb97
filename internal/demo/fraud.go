package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// abroad are numbers in countries that the demonstration has opened.
var abroad = []string{"0033123456789", "004930123456", "0012125550100", "0034912345678", "00390612345678", "0031201234567"}

// spendCap lets calls run that share a budget, until it is used up.
func (w *world) spendCap(ctx context.Context) {
	w.title("1001 calls Italy twice at once, at USD 20 a minute; USD 1 a day is what one user may cost here")
	if w.alice == nil {
		w.skip("1001 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	began := time.Now()
	var calls []*siptest.Call
	for range 2 {
		call, err := w.alice.Invite(ctx, "00390612345678")
		if err != nil {
			w.expect(err, "the calls are answered")
			return
		}
		calls = append(calls, call)
	}
	var still error
	for _, call := range calls {
		select {
		case <-call.Done():
		case <-ctx.Done():
			still = errors.New("a call goes on")
		}
	}
	w.expect(still, "BYE  after %s the two have cost a dollar together, and are ended", time.Since(began).Round(100*time.Millisecond))
	_, err := w.alice.Invite(ctx, "00390612345678")
	w.expect(refusal(err, 403), "403  there is no money for a third")
	call, err := w.alice.Invite(ctx, "02079460000")
	if err == nil {
		err = call.Bye(ctx)
	}
	w.expect(err, "200  calls at home go on")
}

// tollFraud is what somebody does who has a telephone's password.
func (w *world) tollFraud(ctx context.Context) {
	w.title("1002 calls country after country, as who has stolen its password would")
	if w.bob == nil {
		w.skip("1002 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	for _, number := range abroad {
		call, err := w.bob.Invite(ctx, number)
		if err == nil {
			err = call.Bye(ctx)
		}
		if err != nil {
			w.expect(err, "%s", number)
			return
		}
	}
	w.expect(nil, "%d countries are open to it, and answer", len(abroad))
	_, err := w.bob.Invite(ctx, "003222345678")
	w.expect(refusal(err, 403), "403  one country more within the hour")
	_, err = w.bob.Invite(ctx, abroad[0])
	w.expect(refusal(err, 403), "403  now all that costs is shut for 1002, for an hour")
	call, err := w.bob.Invite(ctx, "02079460000")
	if err == nil {
		err = call.Bye(ctx)
	}
	w.expect(err, "200  calls at home go on")
}

// pingCalls ring one number after the other and want to be called back.
func (w *world) pingCalls(ctx context.Context) {
	w.title("A number in Tunisia rings one of our numbers after the other")
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	machine, err := siptest.NewCarrier(context.WithoutCancel(ctx), siptest.CarrierConfig{Domain: carrierName, Gateway: w.ports.tls, Transport: "tls",
		TLS: w.keys.client(w.roots.RootCAs, domain), SRTP: []string{siptest.SuiteCM80}, Log: w.onVerbose, Trace: w.wire.trace})
	if err != nil {
		w.expect(err, "the carrier connects")
		return
	}
	defer machine.Close()
	var other error
	for _, number := range rung {
		rings, hangUp := context.WithCancel(ctx)
		_, err := machine.Invite(rings, "sip:"+number+"@"+domain, siptest.From("sip:+21671123456@"+carrierName),
			siptest.Progress(func(m *siptest.Message) {
				if m.Code == 180 {
					hangUp()
				}
			}))
		hangUp()
		var refused *siptest.Refused
		if !errors.As(err, &refused) || refused.Response.Code != 487 {
			other = errors.Join(other, fmt.Errorf("%s did not ring until the caller hung up: %w", number, err))
		}
	}
	w.expect(other, "487  %d times: it hangs up as soon as it rings; that is told as ping calls (below)", len(rung))
}

// rung are numbers that ping calls ring.
var rung = []string{"+442079460200", "+442079460201", "+442079460202", "+442079460203", "+442079460204", "+442079460205"}

// why asks the gateway what an administrator would ask it.
func (w *world) why(context.Context) {
	w.title("Why was it refused? rampart calls explain says so")
	if w.respelt == "" {
		w.skip("there was no refusal to ask about")
		return
	}
	text, err := w.gateway.Explain(w.respelt)
	if err == nil && !strings.Contains(text, "countries/denied") {
		err = fmt.Errorf("it does not name the rule:\n%s", text)
	}
	if !w.expect(err, "the call to a number in Jamaica that was spelt with %%31 and brackets") {
		return
	}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		w.sayf("           %s", strings.TrimRight(line, "\n"))
	}
}
