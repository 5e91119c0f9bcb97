package policy

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// What a rule does beside its verdict, and which action fits which occasion.

// bitOf says what of `on:` an attempt is.
func bitOf(a *call.Attempt) methods {
	switch a.On {
	case call.Connection:
		return onConnect
	case call.Progress:
		return onProgress
	}
	return methodOf(a.Method)
}

// Watches reports whether any rule is about connections, or about calls that
// are up: else nobody need ask.
func (s *Set) Watches(on call.Occasion) bool {
	bit := onConnect
	if on == call.Progress {
		bit = onProgress
	}
	return slices.ContainsFunc(s.files, func(f ruleFile) bool { return f.on&bit != 0 })
}

// verdictOn is what becomes of the attempt itself.
func (r *rule) verdictOn(a *call.Attempt) (call.Verdict, int) {
	switch r.act {
	case call.ActBan:
		if a.On == call.Progress {
			return call.Abstain, 0 // the call goes on; hangup ends it
		}
		return call.BanVerdict(a)
	case call.ActHold:
		return call.HoldVerdict(a)
	case call.ActHangup:
		return call.Reject, 0
	}
	return r.verdict, r.status
}

// effects of the rule, for an attempt that it matched.
func (r *rule) effects(a *call.Attempt, d *call.Decision) []call.Effect {
	return effect(r.act, call.Effect{For: r.last, Rule: d.Rule, Reason: d.Reason, Severity: d.Severity, Evidence: d.Evidence}, a, r.shape)
}

func effect(act call.Act, e call.Effect, a *call.Attempt, shape call.Shape) []call.Effect {
	ok := true
	switch e.Act = act; act {
	case call.NoAct:
		return nil
	case call.ActBan:
		e.Key, ok = call.KeyOf(a, shape)
	case call.ActHold:
		e.Key, ok = call.HoldKey(a)
	}
	if !ok {
		return nil
	}
	return []call.Effect{e}
}

// fits finds actions that make no sense where they stand.
func (c *compiler) fits(at string, m *matcher, t *thenYAML) {
	if t == nil {
		return
	}
	no := func(hint, format string, args ...any) { c.problem(at+".then", hint, format, args...) }
	connect, progress, requests := m.on&onConnect != 0, m.on&onProgress != 0, m.on&onAny != 0
	word, _, _ := strings.Cut(strings.TrimSpace(t.text), " ")
	switch {
	case connect && (t.verdict == call.Reject || t.verdict == call.Challenge || t.act == call.ActHold || t.act == call.ActHangup):
		no("a connection can be dropped, banned, flagged or allowed", "then: %s does not fit on: connect, where no request was sent yet", word)
	case progress && t.act == call.NoAct && !t.flag && t.verdict != call.Allow:
		no("write then: hangup", "then: %s does not fit on: progress, where the call is up already", word)
	case t.act == call.ActHangup && (requests || connect):
		no("write then: reject, or on: progress", "then: hangup ends calls that are up")
	case t.act == call.ActHold && m.on == onRegister:
		no("then: ban, or the hold on: invite", "then: hold locks an account, and a REGISTER has not proved yet whose it is")
	}
}

// connectFacts are what is known of a connection.
func (c *compiler) connectFacts(at string, on methods, y *matchYAML) {
	if on&onConnect == 0 {
		return
	}
	for _, k := range []struct {
		key string
		set bool
	}{
		{"direction", len(y.Direction) > 0}, {"to", y.To != nil}, {"from", y.From != nil}, {"user", y.User != nil},
		{"user_agent", y.UserAgent != nil}, {"diverted", y.Diverted != nil},
	} {
		if k.set {
			c.problem(at+".match."+k.key, "source, transport, peer, stranger and registered are known", "match: %s is not known on: connect, where no request was sent yet", k.key)
		}
	}
}

// banKey reads the `key:` of a rule: whom its ban is about.
func (c *compiler) banKey(at string, y *ruleYAML, m *matcher) call.Shape {
	for i, k := range y.Key {
		if !slices.Contains(keyNames, k) {
			c.unknown(at+item(".key", i), "key", k, keyNames)
		}
	}
	ban := y.Then != nil && y.Then.act == call.ActBan
	if len(y.Key) > 0 && y.Then != nil && !ban {
		c.problem(at+".key", "remove it, or write then: ban", "key: says whom a rule bans, and this one bans nobody")
	}
	if len(y.Key) == 0 {
		return call.ShapeIP
	}
	s := call.ShapeOf(y.Key)
	c.banShape(at, s, m, ban)
	return s
}

func (c *compiler) banShape(at string, s call.Shape, m *matcher, ban bool) {
	switch {
	case !ban:
	case s == 0:
		c.problem(at+".key", "write key: [source.ip]", "a ban needs somebody to be about")
	case m.on&onConnect != 0 && s&^(call.ShapeIP|call.ShapeNet) != 0:
		c.problem(at+".key", "write key: [source.ip]", "on: connect only the source is known")
	case s&call.ShapePeer != 0 || s == call.ShapeAccount:
		c.problem(at+".key", "write key: [source.ip] or [user]", "peers and PBXs are never banned")
	case s == call.ShapeRegisterUser || s == call.ShapeRegisterUser|call.ShapeAccount:
		c.warn(at+".key", "write key: [source.ip, register.user]", "anybody can have a user banned by failing to register in his name")
	}
}
