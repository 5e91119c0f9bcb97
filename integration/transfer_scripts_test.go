package integration_test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// newTrusted is a world with one carrier that is believed and may transfer.
func newTrusted(t *testing.T) *trunks {
	w := &trunks{world: newWorld(t)}
	w.pbxAddr, w.carriers = w.net.Addr(t), []netip.Addr{w.net.Addr(t)}
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 0s}`, w.pbxAddr),
		fmt.Sprintf("listen: {tls: [%q], udp: [%q]}\npeers:\n  - {name: carrier-0, identify: {ip: [%s/32]}, uri: \"sip:%s:5060;transport=udp\", allow_plaintext: true, allow_refer: true, identity: {trust: true}}\nroutes: [{peers: [carrier-0]}]\n",
			w.tls(), w.publicUDP(), w.carriers[0], w.carriers[0]))
	return w
}

var processes = regexp.MustCompile(`tag=(\d+)sipp\d`)

// apart checks what a script got: nothing of the other side is in it.
func (w *trunks) apart(s *peers.SIPp) {
	w.tb.Helper()
	text := s.Received()
	if text == "" {
		w.tb.Errorf("%s got nothing", s.Name())
	}
	secrets := []netip.Addr{w.public, w.carriers[0]}
	if s.Addr == w.carriers[0] {
		secrets = []netip.Addr{w.inside, w.pbxAddr}
	}
	for _, a := range secrets {
		if m := regexp.MustCompile(`.*` + regexp.QuoteMeta(a.String()) + `\b.*`).FindString(text); m != "" {
			w.tb.Errorf("%s is told an address of the other side: %s", s.Name(), m)
		}
	}
	if strings.Contains(text, "Trunk Exchange") {
		w.tb.Errorf("%s is told of a User-Agent:\n%s", s.Name(), text)
	}
	own := map[string]bool{}
	for _, m := range processes.FindAllStringSubmatch(text, -1) {
		own[m[1]] = true
	}
	if len(own) > 1 {
		w.tb.Errorf("%s is told a tag of the other side: %v", s.Name(), own)
	}
}

// both has calls of one script answered by another, in or out, each to the
// last step, and gives what ran.
func (w *trunks) both(in bool, caller, callee peers.Scenario) (call, called *peers.SIPp) {
	w.tb.Helper()
	if in {
		called = w.pbxAnswers(callee)
		call = w.in(caller)
	} else {
		called = w.carrierAnswers(0, callee)
		call = w.out(caller)
	}
	call.Success()
	w.ended(called)
	w.apart(call)
	w.apart(called)
	return call, called
}

// ended stops a script that waits for calls, when none is left.
func (w *trunks) ended(called *peers.SIPp) {
	w.tb.Helper()
	w.idle()
	called.Stop()
	if st := called.Stats(); st.Failed+st.Unexpected > 0 || st.Successful == 0 {
		w.tb.Errorf("%s: %+v", called.Name(), st)
	}
}

// has checks that a script got each of these lines, or parts of lines.
func (w *trunks) has(s *peers.SIPp, want ...string) {
	w.tb.Helper()
	for _, x := range want {
		if !strings.Contains(s.Received(), x) {
			w.tb.Errorf("%s did not get %q:\n%s", s.Name(), x, s.Received())
		}
	}
}

// beside has a script take media ports other than those of another one at the
// same address.
var beside = []string{"-mp", "17000"}

func target(v string) []string { return []string{"-key", "target", v} }

// names are the Call-ID and the tags of a call, as its caller knows them.
func (w *trunks) names(call *peers.SIPp) (id, from, to string) {
	w.tb.Helper()
	ok := regexp.MustCompile(`SIP/2\.0 200 [^\n]*\n(?:[^\n]+\n)+`)
	peers.Eventually(w.tb, soon, "a call that is answered", func() bool {
		res := ok.FindString(call.Received())
		field := func(re string) string {
			if m := regexp.MustCompile(re).FindStringSubmatch(res); m != nil {
				return m[1]
			}
			return ""
		}
		id, from, to = field(`Call-ID: *([^\s]+)`), field(`From: [^\n]*;tag=([^\s;]+)`), field(`To: [^\n]*;tag=([^\s;]+)`)
		return id != "" && from != "" && to != ""
	})
	return id, from, to
}

// Scripts transfer calls, with and without a second one.
func TestTransfersOfScripts(t *testing.T) {
	t.Parallel()
	w := newTrusted(t)
	_, pbx := w.both(true, peers.Scenario{Name: "uac_refer", Args: target("1003@" + w.public.String() + ";transport=udp")}, peers.Scenario{Name: "uas_refer"})
	w.has(pbx, "Refer-To: <sip:1003@"+peers.Domain+">", "Referred-By: <sip:+33123456789@"+peers.Domain+">")
	_, carrier := w.both(false, peers.Scenario{Name: "uac_refer", Args: target("+33199002001@" + w.inside.String())}, peers.Scenario{Name: "uas_refer"})
	w.has(carrier, "Refer-To: <sip:+33199002001@", "Referred-By: <sip:1001@")
	peers.Eventually(t, soon, "a record of each call", func() bool { return len(w.lines("cdr.jsonl", "code", "200", "ended_by", "caller")) == 2 })

	// With a second call, which the PBX must find by its own names of it; then
	// by INVITE, and both when there is no such call.
	pbx = w.pbxAnswers(peers.Scenario{Name: "uas_refer"})
	second := peers.StartSIPp(t, w.net, peers.Scenario{Name: "uac_call", Addr: w.carriers[0], Port: 5071, To: w.publicUDP(), Service: "+33199001002", Hold: 6 * time.Second, Args: beside})
	id, from, to := w.names(second)
	named := fmt.Sprintf("%s;to-tag=%s;from-tag=%s", id, to, from)
	inside := regexp.MustCompile(`Call-ID: *([^\s]+)`).FindStringSubmatch(pbx.Received())[1]
	got := func(pattern string) (rep string) {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(pbx.Received())
		if m == nil {
			t.Errorf("the PBX did not get %q:\n%s", pattern, pbx.Received())
			return ""
		}
		return m[1]
	}
	first := w.in(peers.Scenario{Name: "uac_refer", Args: target("1002@" + peers.Domain + "?Replaces=" + url.QueryEscape(named))})
	first.Success()
	rep, err := url.QueryUnescape(got(`Refer-To: <sip:1002@` + regexp.QuoteMeta(peers.Domain) + `\?Replaces=([^>\s]+)>`))
	mine := regexp.MustCompile(`^` + regexp.QuoteMeta(inside) + `;to-tag=\d+sipp1;from-tag=[^;]+$`)
	if err != nil || !mine.MatchString(rep) || strings.Contains(rep, from) {
		t.Errorf("Replaces %q (%v) of the call %q", rep, err, inside)
	}
	header := func(v string) string {
		return w.script("uac_any", "User-Agent: Trunk Exchange", "Require: replaces\n      Replaces: "+v)
	}
	if st := w.in(peers.Scenario{Name: header(named)}).Success(); st.Final[200] != 1 {
		t.Errorf("INVITE with Replaces: %v", st.Final)
	}
	if v := got(`\nReplaces: *([^\s]+)`); v != rep {
		t.Errorf("INVITE with Replaces %q, want %q", v, rep)
	}
	foreign := w.in(peers.Scenario{Name: header("nobody-knows;to-tag=a;from-tag=b")})
	if st := foreign.Success(); st.Final[481] != 1 {
		t.Errorf("Replaces of a call that is not there: %v", st.Final)
	}
	second.Success()
	w.ended(pbx)
	for _, s := range []*peers.SIPp{first, second, pbx} {
		w.apart(s)
	}
	peers.Eventually(t, soon, "a record of each call", func() bool {
		return len(w.lines("cdr.jsonl", "code", "200")) == 5 && len(w.lines("cdr.jsonl", "code", "481")) == 1
	})
}

// INFO and MESSAGE in calls, re-INVITEs that meet, two telephones that answer,
// and who diverted a call.
func TestInsideCallsOfScripts(t *testing.T) {
	t.Parallel()
	w := newTrusted(t)
	diverted := w.script("uac_call", "User-Agent: Trunk Exchange", "Diversion: <sip:+33199001009@[local_ip]>;reason=no-answer;counter=1\n"+
		"      History-Info: <sip:+33199001009@[local_ip]>;index=1, <sip:[service]@[local_ip]>;index=1.1")
	for _, in := range []bool{true, false} {
		run := func(caller, callee string) (call, called *peers.SIPp) {
			return w.both(in, peers.Scenario{Name: caller, Hold: 200 * time.Millisecond}, peers.Scenario{Name: callee})
		}
		run("uac_info", "uas_info")
		call, _ := run("uac_glare", "uas_glare")
		w.has(call, "SIP/2.0 491 ")
		call, called := run("uac_call", "uas_fork")
		for method, want := range map[string]int{"ACK": 2, "BYE": 2} {
			tags := map[string]bool{}
			for _, m := range regexp.MustCompile(method+` sip:[^\n]*\n(?:[^\n]+\n)*?To: [^\n]*;tag=([^\s;]+)`).FindAllStringSubmatch(called.Received(), -1) {
				tags[m[1]] = true
			}
			if len(tags) != want {
				t.Errorf("%s in %d dialogs of two answers: %v", method, len(tags), tags)
			}
		}
		if n := len(regexp.MustCompile(`SIP/2\.0 200 [^\n]*\n(?:[^\n]+\n)*?CSeq: *1 INVITE`).FindAllString(call.Received(), -1)); n != 1 {
			t.Errorf("the caller got %d answers", n)
		}
		_, called = run(diverted, "uas_answer")
		w.has(called, "Diversion: <sip:+33199001009@", ";reason=no-answer", "History-Info: ")
	}
	peers.Eventually(t, soon, "a record of each call", func() bool {
		return len(w.lines("cdr.jsonl", "code", "200", "direction", "inbound")) == 4 && len(w.lines("cdr.jsonl", "code", "200", "direction", "outbound")) == 4
	})
	w.waitLine("cdr.jsonl", "diversion", "+33199001009")
	if n := len(w.lines("cdr.jsonl")); n != 8 {
		t.Errorf("%d records of 8 calls", n)
	}
}

// A telephone subscribes at a scripted PBX, publishes and texts; the PBX tells
// it of messages unasked; PBX and carrier text each other.
func TestBesideCallsOfScripts(t *testing.T) {
	t.Parallel()
	w := newTrusted(t)
	pbx := w.pbxAnswers(peers.Scenario{Name: "uas_beside"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	d := w.desk(ctx, "1001")
	waiting := func(n int) string {
		return fmt.Sprintf("Messages-Waiting: yes\r\nMessage-Account: sip:1001@%s\r\nVoice-Message: %d/0 (0/0)\r\n", peers.Domain, n)
	}
	var sub *siptest.Message
	ok := d.ask(ctx, t, 200, "SUBSCRIBE", "sip:1001@"+peers.Domain, func(m *siptest.Message) {
		m.Add("Event", "message-summary")
		m.Add("Expires", "600")
		sub = m
	})
	d.told(t, "message-summary", "the first", holds(waiting(1)))
	again := func(seq int, expires string) {
		t.Helper()
		m := &siptest.Message{Method: "SUBSCRIBE", URI: siptest.URIOf(ok.Get("Contact"))}
		for _, f := range []siptest.Field{{Name: "Max-Forwards", Value: "70"}, {Name: "From", Value: sub.Get("From")}, {Name: "To", Value: ok.Get("To")},
			{Name: "Call-ID", Value: sub.Get("Call-ID")}, {Name: "CSeq", Value: fmt.Sprintf("%d SUBSCRIBE", seq)}, {Name: "Contact", Value: sub.Get("Contact")},
			{Name: "Event", Value: "message-summary"}, {Name: "Expires", Value: expires}} {
			m.Add(f.Name, f.Value)
		}
		if res, err := d.Do(ctx, d.Path(), m); err != nil || res.Code != 200 {
			t.Fatalf("SUBSCRIBE %d: %v %v", seq, res, err)
		}
	}
	again(5, "500")
	d.told(t, "message-summary", "a refresh", holds(waiting(2)))
	again(6, "0")
	d.told(t, "message-summary", "the end", func(m *siptest.Message) bool { return m.Get("Subscription-State") == "terminated;reason=timeout" })

	res := d.ask(ctx, t, 200, "PUBLISH", "sip:1001@"+peers.Domain, func(m *siptest.Message) {
		m.Add("Event", "presence")
		m.Add("Expires", "600")
		m.Add("Content-Type", "application/pidf+xml")
		m.Body = []byte(`<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:1001@` + d.Addr().Addr().String() + `"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>`)
	})
	if !strings.HasPrefix(res.Get("SIP-ETag"), "e") {
		t.Errorf("answer to PUBLISH:\n%s", res.Bytes())
	}
	w.has(pbx, "PUBLISH sip:1001@", `entity="sip:1001@`+peers.Domain+`"`, "<basic>open</basic>")
	d.ask(ctx, t, 202, "MESSAGE", "sip:1002@"+peers.Domain, func(m *siptest.Message) {
		m.Add("Content-Type", "text/plain")
		m.Body = []byte("hello over there")
	})

	// What the PBX knows of the telephone is enough to tell it something.
	at := regexp.MustCompile(`Contact: <sip:(rp[^@]+)@([^;>]+)`).FindStringSubmatch(pbx.Received())
	if at == nil {
		t.Fatalf("no contact in\n%s", pbx.Received())
	}
	tell := w.out(peers.Scenario{Name: "uac_notify", From: "voicemail", Service: at[1], Domain: at[2], Args: beside})
	tell.Success()
	d.told(t, "message-summary", "unasked", holds("Voice-Message: 3/0 (0/0)"))
	text := w.out(peers.Scenario{Name: w.script("uac_message", `response="202"`, `response="200"`), From: "1002", Service: at[1], Domain: at[2], Args: beside})
	text.Success()

	in := w.in(peers.Scenario{Name: "uac_message", Args: beside})
	in.Success()
	carrier := w.carrierAnswers(0, peers.Scenario{Name: "uas_beside"})
	out := w.out(peers.Scenario{Name: "uac_message", Args: beside})
	out.Success()
	for _, s := range []*peers.SIPp{pbx, carrier} {
		w.ended(s)
	}
	for _, s := range []*peers.SIPp{pbx, tell, text, in, carrier, out} {
		w.apart(s)
	}
	for _, direction := range []string{"inbound", "outbound"} {
		w.waitLine("events.jsonl", "event", "message", "code", "202", "direction", direction)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.seen.String(); strings.Contains(s, w.pbxAddr.String()) || strings.Contains(s, w.inside.String()) {
		t.Errorf("the telephone saw the inside:\n%s", s)
	}
}

// The same where datagrams get lost, come twice and overtake each other: a
// script may lose its way, in the gateway all ends. All run side by side, as
// what they wait for is time.
func TestBadLinesOfTransfers(t *testing.T) {
	t.Parallel()
	const calls = 3 // in, and as many out at the same time
	type pair struct {
		*badLines
		caller, callee string
		records        int // of one call
		callers        []*peers.SIPp
	}
	pairs := []*pair{
		{caller: "uac_refer", callee: "uas_refer", records: 1},
		{caller: "uac_info", callee: "uas_info", records: 1},
		{caller: "uac_glare", callee: "uas_glare", records: 1},
		{caller: "uac_call", callee: "uas_fork", records: 1},
		{caller: "uac_message", callee: "uas_beside"},
	}
	var all []*peers.BadLine
	for i, p := range pairs {
		p.badLines = &badLines{trunks: newTrusted(t), bad: peers.Trouble{Seed: uint64(60 + i), Lost: 0.05, Twice: 0.1, Late: 0.1}}
		for _, in := range []bool{true, false} {
			call, lines := p.run(in, peers.Scenario{Name: p.caller, Calls: calls, Rate: 4, Limit: time.Minute, Args: target("+33199001003@" + peers.Domain)}, peers.Scenario{Name: p.callee})
			all, p.callers = append(all, lines...), append(p.callers, call)
		}
	}
	for _, p := range pairs {
		done := 0
		for _, call := range p.callers {
			call.Wait(call.Limit + 5*time.Second)
			done += call.Stats().Successful
		}
		if done == 0 {
			t.Errorf("%s: not one call went as the script says", p.caller)
		}
		p.idleIn(100 * time.Second)
		peers.Eventually(t, soon, "a record of each call", func() bool { return len(p.lines("cdr.jsonl")) >= 2*calls*p.records })
		for _, direction := range []string{"inbound", "outbound"} {
			if n := len(p.lines("cdr.jsonl", "direction", direction)); n != calls*p.records {
				t.Errorf("%s: %d records %s, want %d", p.caller, n, direction, calls*p.records)
			}
		}
	}
	did := map[string]int{}
	for _, l := range all {
		for what, n := range l.Did() {
			did[what] += n
		}
	}
	if did["lost"] < 5 || did["twice"] < 10 || did["late"] < 10 {
		t.Errorf("the lines were not bad: %v", did)
	}
	t.Logf("what the lines did: %v", did)
}
