package sbc

import (
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/notice"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Requests inside a call that are not about the call itself: REFER and the
// subscription that comes with it, a message to the other end. What crosses
// of them is written anew.

// relayed is a request as the other leg gets it, beside what always crosses.
type relayed struct {
	headers []sipx.HeaderField
	body    []byte
	sent    func(seq uint32) // its CSeq there, before it goes
	// answered adds to what crosses of the answer.
	answer func(*sipx.Response) []sipx.HeaderField
}

func (m *relayed) answered(res *sipx.Response) []sipx.HeaderField {
	if m.answer == nil {
		return nil
	}
	return m.answer(res)
}

// referID says what CSeq a REFER had on either leg: NOTIFYs name it (RFC 3515
// §2.4.6).
type referID struct{ Here, There uint32 }

// maxRefers bounds the REFERs of one leg whose NOTIFYs find back.
const maxRefers = 8

// rewritten builds the request at hand for the other leg.
func (s *session) rewritten(to b2bua.Leg, in input) *sipx.Out {
	x := &s.legs[to]
	hs := withoutContent(tidyReasons(in.req.Carry(x.side)))
	o := x.dialog.Request(in.req.Method(), 0, append(hs, in.out.headers...), in.out.body)
	o.MaxForwards = in.req.MaxForwards() - 1
	if in.out.sent != nil {
		in.out.sent(x.dialog.LocalSeq)
	}
	return o
}

// beyondCalls looks at such a request; false: it was refused, and answered.
func (s *session) beyondCalls(x *leg, in *input) bool {
	to := &s.legs[in.Leg.Other()]
	if !mayForward(in.req) {
		in.tx.Respond(483, "", "", nil, nil)
		return false
	}
	switch in.req.Method() {
	case "REFER":
		if !s.refer(x, in) {
			return false
		}
		contact, here := x.dialog.Contact, in.req.CSeq()
		in.out.sent = func(there uint32) {
			if len(to.refers) == maxRefers {
				to.refers = to.refers[1:]
			}
			to.refers = append(to.refers, referID{here, there})
		}
		in.out.answer = func(res *sipx.Response) (hs []sipx.HeaderField) {
			if res.Code() < 300 {
				hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + contact + ">"})
			}
			if v := referSub(res.Header("Refer-Sub")); v != "" {
				hs = append(hs, sipx.HeaderField{Name: "Refer-Sub", Value: v})
			}
			return hs
		}
		return true
	case "NOTIFY":
		return s.referNotify(x, in)
	case "SUBSCRIBE":
		return s.referSubscribe(x, to, in)
	}
	return s.messageInside(x, to, in)
}

// referNotify carries how a transfer goes on: the state of the subscription
// and a status line, nothing of the messages it came from.
func (s *session) referNotify(x *leg, in *input) bool {
	r := in.req
	refuse := func(code int, hs ...sipx.HeaderField) bool { in.tx.Respond(code, "", "", hs, nil); return false }
	e, ok := readEvent(r.Header("Event"))
	if !ok {
		return refuse(400)
	}
	if e.pack == "talk" || e.pack == "hold" { // a key on the desk that works the phone
		if x.kind != call.PBX || len(r.Body()) > 0 {
			return refuse(403)
		}
		in.out = &relayed{headers: []sipx.HeaderField{{Name: "Event", Value: e.pack}}}
		if v := subscriptionState(r.Header("Subscription-State")); v != "" {
			in.out.headers = append(in.out.headers, sipx.HeaderField{Name: "Subscription-State", Value: v})
		}
		return true
	}
	if e.pack != "refer" {
		return refuse(489, allowEvents)
	}
	state := subscriptionState(r.Header("Subscription-State"))
	if state == "" {
		return refuse(400)
	}
	if len(x.refers) == 0 {
		return refuse(481)
	}
	event := "refer"
	if e.id != "" {
		n, err := strconv.ParseUint(e.id, 10, 32)
		here, ok := referHere(x.refers, uint32(n))
		if err != nil || !ok {
			return refuse(481)
		}
		event += ";id=" + strconv.FormatUint(uint64(here), 10)
	}
	in.out = &relayed{headers: []sipx.HeaderField{{Name: "Event", Value: event}, {Name: "Subscription-State", Value: state}}}
	if len(r.Body()) > 0 {
		if r.ContentType() != notice.Sipfrag {
			return refuse(415, sipx.HeaderField{Name: "Accept", Value: notice.Sipfrag})
		}
		line, ok := notice.StatusLine(r.Body())
		if !ok {
			return refuse(400)
		}
		in.out.body = line
		in.out.headers = append(in.out.headers, sipx.HeaderField{Name: "Content-Type", Value: notice.Sipfrag + ";version=2.0"})
	}
	return true
}

func referHere(ids []referID, there uint32) (here uint32, ok bool) {
	for _, id := range ids {
		if id.There == there {
			return id.Here, true
		}
	}
	return 0, false
}

// referSubscribe carries the refresh or the end of the subscription that a
// REFER made (RFC 3515 §2.4.4).
func (s *session) referSubscribe(x, to *leg, in *input) bool {
	refuse := func(code int, hs ...sipx.HeaderField) bool { in.tx.Respond(code, "", "", hs, nil); return false }
	e, ok := readEvent(in.req.Header("Event"))
	switch {
	case !ok:
		return refuse(400)
	case e.pack != "refer":
		return refuse(489, allowEvents)
	case len(to.refers) == 0:
		return refuse(481)
	}
	event := "refer"
	if e.id != "" {
		there := ""
		for _, id := range to.refers {
			if strconv.FormatUint(uint64(id.Here), 10) == e.id {
				there = strconv.FormatUint(uint64(id.There), 10)
			}
		}
		if there == "" {
			return refuse(481)
		}
		event += ";id=" + there
	}
	contact := x.dialog.Contact
	in.out = &relayed{headers: []sipx.HeaderField{{Name: "Event", Value: event}},
		answer: func(res *sipx.Response) []sipx.HeaderField {
			if res.Code() >= 300 {
				return nil
			}
			return []sipx.HeaderField{{Name: "Contact", Value: "<" + contact + ">"}}
		}}
	return true
}

// messageInside carries text inside a call.
func (s *session) messageInside(x, to *leg, in *input) bool {
	r := in.req
	a := s.referAttempt(x, to, r, nil)
	a.To, a.Direction = s.a.To, s.a.Direction
	if in.Leg == b2bua.B { // the other way round
		a.From, a.To, a.Direction = s.a.To, s.a.From, call.Internal
		switch {
		case x.kind == call.Carrier:
			a.Direction = call.Inbound
		case to.kind == call.Carrier:
			a.Direction = call.Outbound
		}
	}
	d := s.g.decide(a)
	if !d.Permits() {
		s.refuseInside(x, in, a, d)
		s.g.messageEvent(a, d, d.Status)
		return false
	}
	b, ct, code := s.g.text(r, to.flow)
	if code != 0 {
		d = call.Decision{Verdict: call.Reject, Status: code, Rule: ruleMessageBody, Reason: "body of type " + r.ContentType(), Severity: call.Low,
			Action: call.RequestRejected, Subject: call.Subject{Kind: "user", Value: a.User}, Trace: d.Trace, Also: d.Also, Counts: d.Counts}
		s.g.report(a, d)
		s.g.messageEvent(a, d, code)
		in.tx.Respond(code, "", "", bodyRefusal(code, messageTypes), nil)
		return false
	}
	s.g.report(a, d)
	in.out = &relayed{body: b, headers: []sipx.HeaderField{{Name: "Content-Type", Value: ct}},
		answer: func(res *sipx.Response) []sipx.HeaderField { s.g.messageEvent(a, d, res.Code()); return nil }}
	return true
}

// beside is what an INVITE carries of other calls: the one it replaces, and
// who transferred.
func (s *session) beside(r *sipx.Request) (hs []sipx.HeaderField) {
	if s.replaces != "" {
		hs = append(hs, sipx.HeaderField{Name: "Replaces", Value: s.replaces})
	}
	// A phone says who transferred it, it is not he: the name is kept.
	from := s.legs[b2bua.A]
	if from.kind == call.Phone {
		from.kind = call.Stranger
	}
	if v := s.g.referredBy(r, &from, &s.legs[b2bua.B]); v != "" {
		hs = append(hs, sipx.HeaderField{Name: "Referred-By", Value: v})
	}
	return hs
}

// event is an Event header (RFC 6665 §8.2.1) of which only the package and
// its id, and what some packages add, is kept.
type event struct {
	pack, id string
	extra    string // ";reboot=true" of check-sync and the like
}

func (e event) String() string {
	v := e.pack
	if e.id != "" {
		v += ";id=" + e.id
	}
	return v + e.extra
}

func readEvent(v string) (e event, ok bool) {
	parts := strings.Split(v, ";")
	e.pack = strings.ToLower(strings.TrimSpace(parts[0]))
	if !isToken(e.pack) {
		return e, false
	}
	for _, p := range parts[1:] {
		name, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		name, val = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(val)
		switch {
		case name == "id":
			if !isToken(val) || strings.ContainsRune(val, '.') {
				return e, false
			}
			e.id = val
		case name == "reboot" && (val == "true" || val == "false"):
			e.extra = ";reboot=" + val
		}
	}
	return e, true
}

// isToken: RFC 3261 §25.1, of a length that is meant.
func isToken(v string) bool {
	if v == "" || len(v) > 64 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-.!%*_+`'~", c) < 0 {
			return false
		}
	}
	return true
}

// subscriptionState rewrites a Subscription-State header (RFC 6665 §8.2.3);
// "" when there is none to speak of.
func subscriptionState(v string) string {
	parts := strings.Split(v, ";")
	out := strings.ToLower(strings.TrimSpace(parts[0]))
	if out != "active" && out != "pending" && out != "terminated" {
		return ""
	}
	for _, p := range parts[1:] {
		name, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		name, val = strings.ToLower(strings.TrimSpace(name)), strings.ToLower(strings.TrimSpace(val))
		switch name {
		case "expires", "retry-after":
			if val != "" && len(val) <= 10 && strings.Trim(val, "0123456789") == "" {
				out += ";" + name + "=" + val
			}
		case "reason":
			switch val {
			case "deactivated", "probation", "rejected", "timeout", "giveup", "noresource", "invariant":
				out += ";reason=" + val
			}
		}
	}
	return out
}
