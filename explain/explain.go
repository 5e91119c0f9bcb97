// Package explain answers: why was this request let through, or refused?
//
// [Of] rebuilds the way to a decision, step by step, from the facts of the
// request: how its numbers were read, what the limits compared, which entry of
// `countries:` decided, which rules were asked and which key of each did not
// hold. It is made on demand; nothing of it exists while a request is judged.
// [Recent] keeps the facts of the latest decisions of a running gateway within
// fixed bounds.
//
// It decides nothing: the verdict is the one that was recorded, and the rules
// are asked by package policy itself, so that an explanation cannot differ from
// the judgement. What the limits compared is recorded, as counters move on.
// It does not keep policies; whoever asks brings the one that was in force, or
// says that it is another. It holds no credentials: see [Secret].
//
// A Recent owns its memory. There is no clock. Facts that are damaged are left
// out, and a policy that no longer agrees with what was decided is told, not
// hidden.
//
// Start reading at [Of].
package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Input is what [Of] explains.
type Input struct {
	Fact Fact
	// Set is the policy that is asked again: the one of then, else another.
	Set *policy.Set
	// Then reports that Set is the policy that judged the request.
	Then bool
	// Tech are the prefixes that stand before the numbers of each peer.
	Tech map[string][]string
	// Most is how many entries that did not match are told; 0 for all.
	Most int
}

// Trace is the way to one decision.
type Trace struct {
	At        time.Time    `json:"at"`
	Method    string       `json:"method"`
	ID        string       `json:"call_id,omitempty"` // ours
	Pass      int          `json:"pass,omitempty"`
	SIPCallID string       `json:"sip_call_id,omitempty"`
	Direction string       `json:"direction"`
	From      Party        `json:"from"`
	To        Party        `json:"to"`
	Verdict   call.Verdict `json:"verdict"`
	Status    int          `json:"status,omitempty"`
	Rule      string       `json:"rule,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	// Policy judged the request; Asked is the one that was asked again to
	// explain, where it is another.
	Policy string      `json:"policy_revision"`
	Asked  string      `json:"explained_with,omitempty"`
	Data   string      `json:"number_data"`
	Notes  []string    `json:"notes,omitempty"` // why the explanation may not be all
	Steps  []call.Step `json:"steps"`
}

// Party is one end of it.
type Party struct {
	Given   string `json:"given"` // as it came
	Number  string `json:"number,omitempty"`
	Kind    string `json:"kind"`
	Country string `json:"country,omitempty"`
	Class   string `json:"class,omitempty"`
}

// Of explains a decision.
func Of(in Input) Trace {
	a, d := &in.Fact.Attempt, &in.Fact.Decision
	a.From.User, a.To.User, a.RequestURI = hideUser(a.From.User), hideUser(a.To.User), hideURI(a.RequestURI)
	b := builder{in: in, a: a, d: d}
	b.t = Trace{At: a.At, Method: a.Method, ID: a.ID, Pass: a.Pass, SIPCallID: a.SIPCallID, Direction: a.Direction.String(),
		From: party(&a.From), To: party(&a.To), Verdict: d.Verdict, Rule: d.Rule, Reason: d.Reason,
		Policy: a.Policy, Data: in.Set.Plan().Data().Version()}
	if d.Verdict == call.Reject {
		b.t.Status = d.Status
	}
	if b.t.Policy == "" {
		b.t.Policy = in.Set.Revision()
	}
	if !in.Then {
		b.t.Asked = in.Set.Revision()
		b.note("The policy of then (%s) is no longer at hand: rules are explained with %s, and may say something else.", a.Policy, in.Set.Revision())
	}
	if in.Fact.Cut {
		b.note("Texts or lists of the request were longer than what is kept: what follows may differ from what was judged.")
	}
	b.sender()
	b.numbers()
	b.judged()
	b.verdict()
	return b.t
}

func party(p *call.Party) Party {
	given := hideUser(p.User)
	if p.Scheme != "" {
		given = p.Scheme + ":" + given
	}
	return Party{Given: given, Number: p.Number, Kind: p.Kind.String(), Country: p.Country, Class: p.Class}
}

type builder struct {
	in Input
	a  *call.Attempt
	d  *call.Decision
	t  Trace
}

func (b *builder) note(format string, args ...any) {
	b.t.Notes = append(b.t.Notes, fmt.Sprintf(format, args...))
}

func (b *builder) add(stage call.Stage, out call.Outcome, rule, format string, args ...any) *call.Step {
	b.t.Steps = append(b.t.Steps, call.Step{Stage: stage, Outcome: out, Rule: rule, Text: fmt.Sprintf(format, args...)})
	return &b.t.Steps[len(b.t.Steps)-1]
}

// sender says who sent it and how we know.
func (b *builder) sender() {
	a := b.a
	var who string
	switch a.PeerKind {
	case call.Phone:
		who = "a registered phone"
		if a.User != "" {
			who += " of user " + a.User
		}
	case call.Carrier:
		who = "carrier " + a.Peer
	case call.PBX:
		who = "PBX " + a.Peer
		if a.User != "" {
			who += ", for user " + a.User
		}
	default:
		who = "a stranger"
		if a.Source.Registered {
			who = "nobody known, at an address from which somebody is registered"
		}
	}
	switch a.On {
	case call.Progress:
		who += fmt.Sprintf("; judged while the call was up, after %s", a.Elapsed.Round(time.Second))
	case call.Connection:
		who += "; judged as it connected"
	}
	b.add(call.StageSender, call.Noted, "", "%s", who)
	s := a.Source
	where := fmt.Sprintf("%s from %s", s.Transport, s.Addr)
	if s.TLSVersion != "" {
		where += ", TLS " + s.TLSVersion
	}
	if s.TLSSubject != "" {
		where += ", certificate of " + s.TLSSubject
	}
	if s.Country != "" {
		where += ", in " + s.Country
	}
	if s.ASN != 0 {
		where += fmt.Sprintf(", AS%d", s.ASN)
	}
	b.add(call.StageSender, call.Noted, "", "%s", where)
	if a.UserAgent != "" {
		b.add(call.StageSender, call.Noted, "", "User-Agent %q", clip(a.UserAgent))
	}
	for _, h := range a.Headers {
		value := h.Value
		if Secret(h.Name) {
			value = hidden
		}
		b.add(call.StageSender, call.Noted, "", "%s: %q", h.Name, clip(value))
	}
	if a.Diversion != "" {
		b.add(call.StageSender, call.Noted, "", "passed on by %s", a.Diversion)
	}
	if a.Forwarded {
		b.add(call.StageSender, call.Noted, "", "it came in from outside and goes out again")
	}
	if a.Transferred {
		b.add(call.StageSender, call.Noted, "", "a transfer led to it")
	}
}

// numbers reads both numbers again, aloud.
func (b *builder) numbers() {
	if b.a.Method == "REGISTER" {
		return
	}
	b.number(call.StageCaller, &b.a.From)
	b.number(call.StageCallee, &b.a.To)
}

// number reads one number in the way in which it was read, which follows from
// its sender: phones dial, the PBX and carriers pass on. A number that the
// gateway put together from another place (the To of a call to a phone, who is
// asserted) may have been read in the other way: what gives the recorded number
// is told.
func (b *builder) number(stage call.Stage, p *call.Party) {
	text := hideUser(p.User)
	if p.Scheme != "" {
		text = p.Scheme + ":" + text
	}
	n := b.read(text, p)
	b.add(stage, call.Noted, "", "given as %q", clip(text))
	for _, step := range n.Steps {
		b.add(stage, call.Noted, "", "%s", clip(step))
	}
	if !same(&n, p) {
		b.add(stage, call.Noted, "", "it was judged as %s", kindText(p))
	}
	if p.Other != nil {
		b.add(stage, call.Noted, "", "others may read it as %s", kindText(p.Other))
	}
	if p.Own {
		b.add(stage, call.Noted, "", "one of our own numbers, claimed by somebody outside")
	}
	if p.Withheld {
		b.add(stage, call.Noted, "", "the caller withholds the number")
	}
}

func (b *builder) read(text string, p *call.Party) number.Number {
	plan, in, other := b.in.Set.Plan(), number.Dialled, number.Trunk
	if b.a.PeerKind == call.PBX || b.a.PeerKind == call.Carrier {
		in, other = other, in
	}
	if tech := b.in.Tech[b.a.Peer]; len(tech) > 0 {
		if own, err := plan.With(tech); err == nil {
			plan = own
		}
	}
	first := plan.Explain(text, in)
	if same(&first, p) {
		return first
	}
	if second := plan.Explain(text, other); same(&second, p) {
		return second
	}
	return first
}

func same(n *number.Number, p *call.Party) bool {
	return n.Canonical == p.Number && n.Kind == p.Kind && n.Country == p.Country && n.Class == p.Class
}

func kindText(p *call.Party) string {
	text := p.Number
	if text == "" {
		return p.Kind.String()
	}
	for _, s := range []string{p.Kind.String(), p.Country, p.Class} {
		if s != "" {
			text += ", " + s
		}
	}
	return text
}

// judged tells what the guards said.
func (b *builder) judged() {
	a, d := b.a, b.d
	if a.Method == "INVITE" {
		switch {
		case a.Emergency():
			b.add(call.StageEmergency, call.Matched, admission.RuleEmergency, "an emergency call of an identified sender: permitted before anything is asked")
			return
		case a.To.Kind == call.Emergency:
			b.add(call.StageEmergency, call.Missed, admission.RuleEmergency, "an emergency number, but nobody knows the sender")
		default:
			b.add(call.StageEmergency, call.Missed, admission.RuleEmergency, "%s is no emergency number", shown(&a.To))
		}
	}
	if d.Counts == nil && b.early() {
		b.add(call.StageGuard, call.Matched, d.Rule, "refused before limits and rules were asked: %s", clip(d.Reason)).Values = d.Evidence
		return
	}
	steps := b.in.Set.Explain(a, policy.Explaining{Counts: d.Counts, Most: b.in.Most})
	b.t.Steps = append(b.t.Steps, steps...)
	b.others()
}

// early: the gateway refused by itself, without asking anybody.
func (b *builder) early() bool {
	return b.d.Verdict > call.Allow && len(b.d.Trace) == 0 && !b.told(b.d.Rule)
}

// told reports whether a step says that a rule matched.
func (b *builder) told(rule string) bool {
	for _, st := range b.t.Steps {
		if st.Rule == rule && (st.Outcome == call.Matched || st.Outcome == call.Flagged || st.Outcome == call.Shadowed) {
			return true
		}
	}
	return false
}

// others are those whose opinion no step tells yet: engines beside the policy,
// the gateway itself, or rules that a newer policy has no longer.
func (b *builder) others() {
	d := b.d
	for _, x := range d.Also {
		if b.told(x.Rule) {
			continue
		}
		out := call.Flagged
		if x.Shadow {
			out = call.Shadowed
		}
		b.add(call.StageGuard, out, x.Rule, "%s", clip(x.Reason)).Values = x.Evidence
	}
	switch {
	case d.Rule == "" && d.Verdict == call.Allow:
		b.add(call.StageFallback, call.Noted, "", "nobody was against it, and the sender may do so")
	case d.Rule == admission.RuleStranger:
		b.add(call.StageFallback, call.Matched, d.Rule, "nobody had an opinion, and strangers may only register")
	case !b.told(d.Rule):
		b.add(call.StageGuard, call.Matched, d.Rule, "%s", clip(d.Reason)).Values = d.Evidence
	}
	for _, rule := range d.Trace {
		if id, ok := strings.CutPrefix(rule, policy.TraceException); ok && param.Find(id) != nil {
			b.add(call.StageException, call.Opened, id, "it would stand against the call; an exception opens it")
		}
		if b.in.Then && !strings.HasPrefix(rule, policy.TraceException) && !b.told(rule) {
			b.note("%s matched when the request was judged; by what is known now it does not, as counters have moved on.", rule)
		}
	}
}

// verdict is the end, and a look at whether the rules say so.
func (b *builder) verdict() {
	d := b.d
	text := d.Verdict.String()
	if d.Verdict == call.Reject {
		text = fmt.Sprintf("reject %d", d.Status)
	}
	if d.Rule != "" {
		text += " by " + d.Rule
	}
	if d.Reason != "" {
		text += ": " + clip(d.Reason)
	}
	b.add(call.StageVerdict, call.Noted, "", "%s", text)
	for _, e := range d.Effects {
		text := e.Act.String()
		if e.For > 0 {
			text += " for " + e.For.String()
		}
		if key := e.Key.String(); key != "" {
			text += " of " + key
		}
		b.add(call.StageVerdict, call.Noted, e.Rule, "also %s: %s", text, clip(e.Reason))
	}
	if b.a.Emergency() || d.Counts == nil && b.early() {
		return
	}
	if now := b.in.Set.Judge(b.a); now.Verdict > d.Verdict && now.Verdict > call.Allow {
		b.note("By the rules of policy %s it would be %s by %s.", b.in.Set.Revision(), now.Verdict, now.Rule)
	}
}

func shown(p *call.Party) string {
	if p.Number != "" {
		return p.Number
	}
	return fmt.Sprintf("%q", clip(hideUser(p.User)))
}

// clip bounds what was written by others.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
