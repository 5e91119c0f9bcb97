package sbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/trial"
)

// What a policy test judges is what the gateway judges: the facts of a
// described request are those of the message, and so is the decision.
const trialPolicy = `version: 1
countries: {default: deny, allow: [GB], classes: {premium_rate: deny}}
rules:
  - {id: site/own, on: invite, match: {from: {own: true}}, then: reject 403}
  - {id: site/scanner, on: any, match: {user_agent: sipvicious}, then: drop}
  - {id: site/gb, on: invite, match: {to: {country: [GB]}}, then: flag}
  - {id: site/all, on: invite, then: reject 480}
limits:
  - {id: site/invites, on: invite, key: [source.ip], rate: 1/h, burst: 6, then: reject 486}
`

func TestTrialsSeeWhatTheGatewaySees(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	set, ps := policy.Compile([]policy.Source{{Name: "site.yaml", Data: []byte(trialPolicy)}}, policy.Options{Plan: plan})
	if set == nil {
		t.Fatal(ps)
	}
	own := []string{"+33199001"}
	guard := func(c *worldConfig) {
		c.deps.Guards, c.sbc.OwnNumbers = guards(t, set), own
	}
	// The bench lives through the same requests as the gateway.
	compare := func(w *world, send []func(), describe []trial.Request) {
		t.Helper()
		bench, err := trial.New(trial.Options{Set: set, Own: own, Domain: domain})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range describe {
			send[i]()
			var live decided
			eventually(t, fmt.Sprintf("decision about %s to %s", r.Method, r.To), func() bool {
				w.rep.mu.Lock()
				defer w.rep.mu.Unlock()
				if len(w.rep.decisions) == 0 {
					return false
				}
				live = w.rep.decisions[len(w.rep.decisions)-1]
				w.rep.decisions = nil
				return true
			})
			r.Source, r.Port, r.Transport = live.a.Source.Addr.Addr(), live.a.Source.Addr.Port(), live.a.Source.Transport
			a, d, err := bench.Judge(live.a.At, r)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := facts(a, d.Decision), facts(&live.a, live.d); got != want {
				t.Errorf("%s from %q to %q\n on trial: %s\nlive:      %s", r.Method, r.From, r.To, got, want)
			}
		}
	}

	t.Run("phone", func(t *testing.T) {
		w := newWorld(t, guard)
		p := w.registered("1001")
		w.rep.mu.Lock()
		register := w.rep.decisions[0]
		w.rep.decisions = nil
		w.rep.mu.Unlock()
		bench, err := trial.New(trial.Options{Set: set, Domain: domain})
		if err != nil {
			t.Fatal(err)
		}
		a, d, err := bench.Judge(register.a.At, trial.Request{Method: "REGISTER", To: "1001", Source: register.a.Source.Addr.Addr(), Port: register.a.Source.Addr.Port(), UserAgent: "siptest"})
		if err != nil || facts(a, d.Decision) != facts(&register.a, register.d) {
			t.Errorf("REGISTER on trial: %s\nlive:              %s", facts(a, d.Decision), facts(&register.a, register.d))
		}
		var send []func()
		var describe []trial.Request
		for _, to := range []string{"0123456789", "00442079460000", "000442079460000", "+18765550100", "0899123456", "1002", "*97", "1003"} {
			send = append(send, func() {
				if _, err := p.Invite(w.ctx, to); err == nil {
					t.Error("a call to ", to, " came about")
				}
			})
			describe = append(describe, trial.Request{Method: "INVITE", From: "1001", To: to, UserAgent: "siptest"})
		}
		send = append(send, func() {
			if _, err := w.phone("1002").Invite(w.ctx, "1001"); err == nil {
				t.Error("a stranger's call came about")
			}
		})
		describe = append(describe, trial.Request{Method: "INVITE", Stranger: true, From: "1002", To: "1001", UserAgent: "siptest"})
		compare(w, send, describe)
	})
	t.Run("peers", func(t *testing.T) {
		w := newRawWorld(t, guard)
		var send []func()
		var describe []trial.Request
		add := func(r *raw, request trial.Request) {
			request.Method = "INVITE"
			send = append(send, func() {
				m := r.invite(request.To, func(m *siptest.Message) {
					m.Set("From", "<sip:"+request.From+"@"+r.host()+">;tag="+unique("f"))
					if request.UserAgent != "" {
						m.Add("User-Agent", request.UserAgent)
					}
				})
				if request.UserAgent == "" { // silence else
					r.ackFailure(m, r.expect("refusal", func(m *siptest.Message) bool { return m.Code >= 300 }))
				}
			})
			describe = append(describe, request)
		}
		carrier := trial.Request{Peer: "raw", From: "+442079460000", To: "+33123456789"}
		add(w.a, carrier)
		carrier.From = "+33199001122"
		add(w.a, carrier)
		carrier.From = "0044207946001"
		add(w.a, carrier)
		carrier.From, carrier.To = "anonymous", "33123456789"
		add(w.a, carrier)
		carrier.UserAgent = "sipvicious"
		add(w.a, carrier)
		pbx := trial.Request{PBX: "main", From: "+33199001001", To: "+442079460000"}
		add(w.b, pbx)
		pbx.To = "+18765550100"
		add(w.b, pbx)
		pbx.From, pbx.To = "1001", "0123456789"
		add(w.b, pbx)
		compare(w.world, send, describe)
	})
}

// facts are what rules can tell apart, and what came of them.
func facts(a *call.Attempt, d call.Decision) string {
	party := func(p call.Party) string {
		return fmt.Sprintf("%s %s/%s/%s/%s/%s own=%v withheld=%v", p.User, p.Number, p.Kind, p.Country, p.Region, p.Class, p.Own, p.Withheld)
	}
	var also []string
	for _, x := range d.Also {
		also = append(also, x.Rule)
	}
	return fmt.Sprintf("%s %s %s peer=%q user=%q registered=%v %s from[%s] to[%s] register=%s ua=%s: %s %d %s %s trace=%s also=%s", a.Method, a.Side, a.PeerKind, a.Peer, a.User,
		a.Source.Registered, a.Direction, party(a.From), party(a.To), a.RegisterUser, a.UserAgent, d.Verdict, d.Status, d.Rule, d.Action, strings.Join(d.Trace, ","), strings.Join(also, ","))
}
