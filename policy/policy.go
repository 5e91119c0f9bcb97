// Package policy answers: do the written rules let this request through?
//
// [Compile] turns YAML files, the shipped packs among them, into a [Set] or
// into a list of all problems; nothing in between. [Set.Judge] is a guard: it
// gives its one opinion on an attempt. Rules match by plain keys that are
// compiled at load; nothing is parsed, looked up or allocated while nothing
// matches. A condition (`when:`, package policy/when) is asked only where the
// keys matched. Limits (`limits:`) are compiled here, because they are written
// here, and counted by package ratelimit, which gets them as plain values from
// [Set.Limits].
//
// It does not count, does not ban, does not normalise numbers (policy/number
// did, before the attempt came here) and carries nothing out. Emergency calls
// of identified senders never get here; should one, there is no opinion.
//
// A Set is immutable: whoever holds one may share it, and a reload swaps it
// whole. Time is the attempt's own. A file with a problem yields no Set, so
// the one before stays in force.
//
// How rules combine: flags and shadow rules are noted and never end the search;
// the first other rule of a file that matches decides for that file; of the
// files, and of `countries:`, the strictest verdict wins. A rule in a file with
// the id of a pack's rule takes its place. An exception takes one rule, limit
// or part of `countries:` out of this for some requests, and nothing else.
//
// Rules are found by an index over their most telling keys, which finds what a
// scan would find. Lists belong to the Set, not to the rules, so that
// [Set.WithLists] can take newer ones without compiling anything.
//
// Start reading at [Set.Judge].
package policy

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Set is a compiled policy.
type Set struct {
	revision  string
	base      string // digest of the files, without the lists they name
	plan      *number.Plan
	places    places
	files     []ruleFile
	counted   []counted
	limits    []Limit // of counted, bound to this Set
	flat      []*rule // of all files, in their order
	index     *index  // of flat
	rules     []RuleInfo
	detectors []param.Entry
	pardons   []pardon
	needs     []Need
	sections  []RuleInfo // of `countries:`
	tests     []Test
	lists     []*List // by name
	excepted  []*exception
	opened    []int    // those of counted that have exceptions
	headers   []string // that conditions read
	asked     *asked   // by conditions; shared by Sets that differ in their lists
}

// ruleFile is the rules of one file in their order.
type ruleFile struct {
	name  string
	on    methods // all methods any rule asks for
	rules []*rule
}

// rule is one compiled rule.
type rule struct {
	id       string
	file     int // place among the files
	match    matcher
	when     *condition // nil: none
	verdict  call.Verdict
	status   int
	act      call.Act
	last     time.Duration // of a ban or hold
	shape    call.Shape    // of a ban: whom it is about
	flag     bool
	shadow   bool
	severity call.Severity
	action   call.Action // empty: by the kind of request
	why      template
	expires  time.Time
	except   *exceptions
	told     []call.Evidence // owner, ticket and end, for each alert
}

// RuleInfo describes a rule or limit to people: who wrote it and until when.
type RuleInfo struct {
	ID, File      string
	Line          int
	Mode          string // enforce | shadow | off
	Owner, Ticket string
	Expires       time.Time
	Overridden    bool   // a pack's rule that a file replaced
	Limit         bool   // of `limits:`, else of `rules:`
	Description   string // what it is for, in the words of who wrote it
	On            []string
	Then          string // as it is written
	Severity      call.Severity
	Why           string
}

// Name implements the guard.
func (s *Set) Name() string { return "policy" }

// Revision names exactly this policy: a digest of all its files, those of
// lists among them.
func (s *Set) Revision() string { return s.revision }

// Plan is the dialling plan: that of the options, else the files' `home:`.
func (s *Set) Plan() *number.Plan { return s.plan }

// Limits are the compiled `limits:` in their order, for the counting engine.
func (s *Set) Limits() []Limit { return s.limits }

// Lists are the `lists:`, by name.
func (s *Set) Lists() []*List { return s.lists }

// Rules lists all rules and limits in the order of the files.
func (s *Set) Rules() []RuleInfo { return s.rules }

// Judge gives the policy's opinion. It abstains when no rule matches; being in
// an allowed country is no reason to let a stranger in, so that abstains too.
// What only has to be told (flags, shadow refusals) is in Also. It allocates
// nothing unless a rule matches.
func (s *Set) Judge(a *call.Attempt) call.Decision {
	if a.Emergency() {
		return call.Decision{}
	}
	d := s.judge(a)
	if a.To.Other != nil {
		d = s.judgeOther(a, d)
	}
	return d
}

func (s *Set) judge(a *call.Attempt) call.Decision {
	var o opinion
	s.places.judge(a, bitOf(a), s, &o)
	var buf [32]int32
	decided := -1 // the file that has had its say
	for _, i := range s.index.held(a, s.lists, buf[:0]) {
		if r := s.flat[i]; r.file != decided && r.inForce(a) && o.take(r, a, s) {
			decided = r.file
		}
	}
	for _, i := range s.opened {
		l := &s.counted[i]
		if l.applies(a, s) {
			if e := l.except.find(a, s); e != nil {
				o.excepted(e)
			}
		}
	}
	return o.decision()
}

// always: no condition beside the match.
func (r *rule) always() bool { return r.when == nil }

func (r *rule) inForce(a *call.Attempt) bool { return r.expires.IsZero() || a.At.Before(r.expires) }

// opinion is a decision in the making. Its zero value abstains.
type opinion struct {
	d       call.Decision // the strictest yet, without Trace and Also
	trace   []string
	also    []call.Decision
	used    []call.Evidence // exceptions
	effects []call.Effect
}

// take hears a rule whose keys match; done says that it decides for its file.
func (o *opinion) take(r *rule, a *call.Attempt, s *Set) (done bool) {
	var failed error
	if r.when != nil {
		holds := false
		if holds, failed = r.asked(a, s, o); !holds {
			return false
		}
	}
	if e := r.except.find(a, s); e != nil {
		o.excepted(e)
		return false
	}
	o.trace = append(o.trace, r.id)
	if r.flag || r.shadow {
		o.also = append(o.also, r.decide(a, s, failed))
		return false
	}
	got := r.decide(a, s, failed)
	o.effects = append(o.effects, got.Effects...)
	if got.Verdict > o.d.Verdict {
		o.d = got
	}
	return got.Verdict > call.Abstain // else a hold of an account that has its call for now
}

// decision is what came of it.
func (o *opinion) decision() call.Decision {
	d := o.d
	d.Trace, d.Also, d.Effects = o.trace, o.also, o.effects
	if o.used != nil {
		d.Evidence = append(d.Evidence, o.used...)
	}
	return d
}

// decide makes the decision of a rule that matched; failed is why its
// condition could not be evaluated, if it could not.
func (r *rule) decide(a *call.Attempt, s *Set, failed error) call.Decision {
	verdict, status := r.verdictOn(a)
	d := call.Decision{Verdict: verdict, Status: status, Rule: r.id, Reason: r.why.fill(s.facts(a)), Severity: r.severity,
		Action: r.action, Subject: subjectOf(a), Evidence: r.when.evidence(s.facts(a), r.match.evidence(a, s.lists)), Shadow: r.shadow && !r.flag, Trace: []string{r.id}}
	if failed != nil {
		d.Reason += " (" + failed.Error() + ")"
	}
	d.Effects = r.effects(a, &d)
	d.Evidence = append(d.Evidence, r.told...)
	switch {
	case d.Action != "" || verdict == call.Allow || verdict == call.Challenge:
	case verdict == call.Abstain && !r.flag: // a ban or hold tells of itself
	case r.act == call.ActHangup:
		d.Action = call.CallEnded
	case r.flag:
		d.Action = call.RuleFlagged
	case r.shadow && a.Method == "INVITE":
		d.Action = call.CallWouldReject
	default:
		d.Action = refusedAction(a)
	}
	return d
}

func refusedAction(a *call.Attempt) call.Action {
	if a.Method == "INVITE" {
		return call.CallRejected
	}
	return call.RequestRejected
}

// subjectOf says whom repeats are counted against: the user, else the peer,
// else the address.
func subjectOf(a *call.Attempt) call.Subject {
	switch {
	case a.User != "":
		return call.Subject{Kind: "user", Value: a.User}
	case a.Peer != "":
		return call.Subject{Kind: "peer", Value: a.Peer}
	}
	return call.Subject{Kind: "source", Value: a.Source.Addr.Addr().Unmap().String()}
}
