package ratelimit_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// guesser asks an engine in the name of phones and attackers.
type guesser struct {
	t *testing.T
	e *ratelimit.Engine
	n int
}

// asks is a REGISTER without credentials that gets a challenge; gives the rule
// that refused it.
func (g *guesser) asks(ip, user string, after time.Duration) string {
	a := request("REGISTER", ip, after)
	g.n++
	a.RegisterUser, a.SIPCallID = user, strconv.Itoa(g.n)
	d := g.e.Judge(a)
	if d.Verdict == call.Abstain {
		g.e.Outcome(a, 401)
	}
	return d.Rule
}

// answers is the one that follows, with credentials.
func (g *guesser) answers(ip, user string, after time.Duration, code int) string {
	a := request("REGISTER", ip, after)
	a.RegisterUser, a.AuthUser, a.SIPCallID = user, user, strconv.Itoa(g.n)
	d := g.e.Judge(a)
	if d.Verdict == call.Abstain {
		g.e.Outcome(a, code)
	}
	return d.Rule
}

func (g *guesser) guesses(ip, user string, after time.Duration) string {
	if rule := g.asks(ip, user, after); rule != "" {
		return rule
	}
	return g.answers(ip, user, after, 401)
}

func (g *guesser) want(got, want, when string) {
	g.t.Helper()
	if got != want {
		g.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

var (
	spread     = ratelimit.Limit{ID: "l/spread", Match: only("REGISTER"), Key: []string{"source.ip"}, Failures: 25, Distinct: 5, Of: "register.user", Over: 5 * time.Minute, Verdict: call.Drop}
	unanswered = ratelimit.Limit{ID: "l/unanswered", Match: only("REGISTER"), Key: []string{"source.ip"}, Distinct: 20, Of: "register.user", Unanswered: true, Over: 2 * time.Minute, Verdict: call.Drop}
	sources    = ratelimit.Limit{ID: "l/sources", Match: only("REGISTER"), Key: []string{"register.user"}, Failures: 10, Distinct: 10, Of: "source.ip", Over: time.Hour, Verdict: call.Challenge}
	slow       = ratelimit.Limit{ID: "l/slow", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 30, Leak: 6.0 / 3600, Verdict: call.Reject, Status: 403}
)

// 25 failures over five users, however they are spread: fewer failures, or over
// fewer users, are none of its business.
func TestFailuresOverManyUsers(t *testing.T) {
	for name, user := range map[string]func(i int) string{
		"in turn":       func(i int) string { return fmt.Sprint(100 + i%5) },
		"nine of each":  func(i int) string { return fmt.Sprint(100 + i/9) },
		"each once":     func(i int) string { return fmt.Sprint(100 + i) },
		"mostly of one": func(i int) string { return fmt.Sprint(100 + max(0, i-40)) },
	} {
		g := guesser{t: t, e: engine(t, ratelimit.Caps{}, spread)}
		users, at := map[string]bool{}, -1
		for i := range 60 {
			if at < 0 && i >= 25 && len(users) >= 5 {
				at = i
			}
			if rule := g.guesses("192.0.2.1", user(i), time.Duration(i)*time.Second); (rule != "") != (at >= 0) {
				t.Fatalf("%s: failure %d of %d users: %q", name, i, len(users), rule)
			}
			users[user(i)] = true
		}
		if at < 0 {
			t.Errorf("%s: never refused", name)
		}
	}
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, spread)}
	for i := range 200 { // four phones of an office with wrong passwords
		g.want(g.guesses("192.0.2.1", fmt.Sprint(100+i%4), time.Duration(i)*time.Second), "", "four users")
	}
	for i := range 200 { // 24 in five minutes
		g.want(g.guesses("192.0.2.9", fmt.Sprint(100+i), time.Duration(i)*12600*time.Millisecond), "", "slowly")
	}
	// Whoever is refused is let in again when the time is over.
	for i := range 30 {
		g.guesses("192.0.2.2", fmt.Sprint(i), 0)
	}
	g.want(g.guesses("192.0.2.2", "1", 4*time.Minute), "l/spread", "within the time")
	g.want(g.guesses("192.0.2.2", "1", 6*time.Minute), "", "after the time")
}

// A success takes back the failures of that user, and of nobody else.
func TestSuccessTakesBackItsOwnFailures(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, spread)}
	for i := range 24 {
		g.guesses("192.0.2.1", fmt.Sprint(100+i%6), 0)
	}
	g.asks("192.0.2.1", "mine", time.Second)
	g.answers("192.0.2.1", "mine", time.Second, 200)
	g.guesses("192.0.2.1", "100", 2*time.Second)
	g.want(g.asks("192.0.2.1", "100", 3*time.Second), "l/spread", "a good account of his own does not help")

	g = guesser{t: t, e: engine(t, ratelimit.Caps{}, spread)}
	for i := range 30 {
		g.guesses("192.0.2.1", fmt.Sprint(100+i%6), 0)
	}
	g.want(g.asks("192.0.2.1", "105", time.Second), "l/spread", "thirty of six")
	g = guesser{t: t, e: engine(t, ratelimit.Caps{}, spread)}
	for i := range 24 {
		g.guesses("192.0.2.1", fmt.Sprint(100+i%6), 0)
	}
	for u := range 6 {
		g.asks("192.0.2.1", fmt.Sprint(100+u), time.Second)
		g.answers("192.0.2.1", fmt.Sprint(100+u), time.Second, 200)
	}
	for i := range 24 {
		g.want(g.guesses("192.0.2.1", fmt.Sprint(200+i), 2*time.Second), "", "all have shown their passwords")
	}
}

// A phone whose nonce was old fails once and is then taken: an office of those
// does not add up to an attack.
func TestOldNoncesAddUpToNothing(t *testing.T) {
	addr := ratelimit.Limit{ID: "l/addr", Match: only("REGISTER"), Key: []string{"source.ip"}, Failures: 100, Over: 10 * time.Minute, Verdict: call.Drop}
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, addr, spread)}
	for i := range 400 {
		user := fmt.Sprint(100 + i)
		g.n++
		g.want(g.answers("192.0.2.1", user, 0, 401), "", "an old nonce")
		g.want(g.answers("192.0.2.1", user, 0, 200), "", "a new one")
	}
	// Another user's success, under the same Call-ID, takes nothing back.
	for range 100 {
		g.answers("192.0.2.2", "victim", 0, 401)
		g.answers("192.0.2.2", "mine", 0, 200)
	}
	g.want(g.answers("192.0.2.2", "victim", 0, 401), "l/addr", "guesses between successes")
}

// Who looks which users there are never answers a challenge; phones do, however
// many of them register in the same moment.
func TestUnansweredChallenges(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, unanswered)}
	calls := map[int]int{}
	for i := range 200 { // an office: all are challenged before the first one answers
		g.want(g.asks("192.0.2.1", fmt.Sprint(i), 0), "", "an office asks")
		calls[i] = g.n
	}
	for i := range 200 {
		g.n = calls[i]
		g.want(g.answers("192.0.2.1", fmt.Sprint(i), 4*time.Second, 200), "", "an office answers")
	}
	g.n = 1000
	g.want(g.asks("192.0.2.1", "late", 10*time.Second), "", "later")

	for i := range 20 { // on a connection each
		g.want(g.asks("192.0.2.2:"+fmt.Sprint(2000+i), fmt.Sprint(i), time.Duration(i)*time.Second), "", "a scanner")
	}
	g.want(g.asks("192.0.2.2:3000", "x", 20*time.Second), "", "the last may yet be answered")
	g.want(g.asks("192.0.2.2:3001", "y", 25*time.Second), "l/unanswered", "none was")
	g.want(g.asks("192.0.2.2:3002", "y", 4*time.Minute), "", "much later")
	for range 100 { // one phone that never answers is one user
		g.want(g.asks("192.0.2.3", "1", 0), "", "one user")
	}
	g.want(g.asks("192.0.2.3", "1", 30*time.Second), "", "one user")
}

// A scanner that asks for one user after the other on one connection is found
// out by the twentieth, however fast it is.
func TestQuietConnection(t *testing.T) {
	for name, pace := range map[string]time.Duration{"at once": 10 * time.Millisecond, "slowly": 6 * time.Second} {
		g := guesser{t: t, e: engine(t, ratelimit.Caps{}, unanswered)}
		for i := range 25 {
			want := map[bool]string{true: "l/unanswered"}[i >= 19]
			g.want(g.asks("192.0.2.1:5061", fmt.Sprint(i), time.Duration(i)*pace), want, fmt.Sprint(name, ", request ", i+1))
		}
	}
}

// Who answers is not quiet: neither phones with many lines, nor a PBX that
// registers all of its users in one go, over one connection.
func TestConnectionThatAnswers(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, unanswered)}
	from := func(i int) string { return fmt.Sprint("192.0.2.1:", 2000+i) }
	for n := range 6 * 200 { // phones with six lines, all in the same second
		line, i := n/200, n%200
		g.want(g.asks(from(i), fmt.Sprint(i, "-", line), time.Duration(line)*100*time.Millisecond), "", "six lines ask")
	}
	for n := range 6 * 200 {
		line, i := n/200, n%200
		g.n = n + 1
		g.want(g.answers(from(i), fmt.Sprint(i, "-", line), time.Second, 200), "", "six lines answer")
	}
	g.n = 6 * 200
	first := g.n
	for i := range 40 {
		g.want(g.asks("192.0.2.2:5061", fmt.Sprint(i), time.Duration(i)*time.Millisecond), "", "a PBX asks")
	}
	for i := range 40 {
		g.n = first + i + 1
		g.want(g.answers("192.0.2.2:5061", fmt.Sprint(i), time.Second+time.Duration(i)*time.Millisecond, 200), "", "a PBX answers")
	}
	g.n = 9999
	g.want(g.asks("192.0.2.2:5061", "another", 2*time.Second), "", "later")

	// One user of a scanner's own that answers each time does not help it.
	over := 0
	for i := range 30 {
		at := time.Duration(i) * time.Second
		if g.asks("192.0.2.3:5061", fmt.Sprint(i), at) != "" {
			over = cmp.Or(over, i+1)
		}
		g.asks("192.0.2.3:5061", "mine", at)
		g.answers("192.0.2.3:5061", "mine", at, 200)
	}
	if over != 20 {
		t.Errorf("found out at its request %d", over)
	}
}

// Many sources that try one user each a little: told about the user, and asked
// of every source, not refused to it.
func TestOneUserGuessedFromManySources(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, sources)}
	for i := range 10 {
		g.want(g.guesses(fmt.Sprint("192.0.2.", i), "1001", time.Duration(i)*time.Minute), "", "each a little")
	}
	a := request("REGISTER", "198.51.100.1", 11*time.Minute)
	a.RegisterUser = "1001"
	d := g.e.Judge(a)
	if d.Verdict != call.Challenge || d.Subject != (call.Subject{Kind: "user", Value: "1001"}) {
		t.Errorf("%+v", d)
	}
	g.want(g.guesses("198.51.100.1", "1002", 11*time.Minute), "", "another user")
	// An address that answers for the user with the right password counts no more.
	g.answers("192.0.2.1", "1001", 11*time.Minute, 200)
	g = guesser{t: t, e: engine(t, ratelimit.Caps{}, sources)}
	for i := range 9 {
		g.guesses(fmt.Sprint("192.0.2.", i), "1001", 0)
	}
	g.guesses("192.0.2.1", "1001", 0)
	g.want(g.asks("198.51.100.1", "1001", time.Minute), "", "nine sources")
}

// Guesses over days are slowed down to what leaks; the right password ends it.
func TestSlowGuessing(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, slow)}
	day, let := 24*time.Hour, 0
	for at := time.Duration(0); at < 3*day; at += 2 * time.Minute {
		if g.guesses("192.0.2.1", "1001", at) == "" {
			let++
		}
	}
	if let < 30+3*24*6-10 || let > 30+3*24*6+1 {
		t.Errorf("%d guesses in three days", let)
	}
	g.want(g.guesses("192.0.2.2", "1001", 3*day), "", "another source")
	g.want(g.asks("192.0.2.1", "1002", 3*day), "", "another user")

	g = guesser{t: t, e: engine(t, ratelimit.Caps{}, slow)}
	for range 29 {
		g.guesses("192.0.2.1", "1001", 0)
	}
	g.asks("192.0.2.1", "1001", 0)
	g.answers("192.0.2.1", "1001", 0, 200)
	for range 30 {
		g.want(g.guesses("192.0.2.1", "1001", 0), "", "after the right password it begins anew")
	}
	g.want(g.guesses("192.0.2.1", "1001", 0), "l/slow", "thirty more")
}

// Whatever attackers name, memory is bounded, and who is known is not forgotten
// for the sake of strangers.
func TestTriesAreBounded(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{Values: 500}, spread, unanswered, sources)}
	known := request("REGISTER", "192.0.2.1", 0)
	known.Source.Registered = true
	for i := range 30 {
		known.RegisterUser, known.AuthUser, known.SIPCallID = fmt.Sprint(i), "x", fmt.Sprint("k", i)
		g.e.Outcome(known, 403)
	}
	for i := range 20_000 {
		ip := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String()
		g.guesses(ip, fmt.Sprint("u", i), 0)
		if i%2000 != 0 {
			continue
		}
		if n := g.e.Stats(known.At).Values; n > 500 {
			t.Fatalf("%d values are remembered", n)
		}
	}
	if d := g.e.Judge(known); d.Rule != "l/spread" {
		t.Errorf("the known one was forgotten: %q", d.Rule)
	}
	for i := range 5000 { // one key
		g.guesses("203.0.113.1", fmt.Sprint("u", i%7), 0)
	}
	if n := g.e.Stats(known.At).Values; n > 500 {
		t.Errorf("%d values are remembered", n)
	}
}

func TestBadGuessLimits(t *testing.T) {
	base := ratelimit.Limit{ID: "l/x", Match: all, Key: []string{"source.ip"}, Verdict: call.Drop}
	for name, f := range map[string]func(*ratelimit.Limit){
		"unanswered alone": func(l *ratelimit.Limit) { l.Rate, l.Burst, l.Unanswered = 1, 1, true },
		"unanswered with failures": func(l *ratelimit.Limit) {
			l.Failures, l.Distinct, l.Of, l.Over, l.Unanswered = 5, 5, "to", time.Minute, true
		},
		"leak alone":       func(l *ratelimit.Limit) { l.Leak = 1 },
		"leak and over":    func(l *ratelimit.Limit) { l.Failures, l.Leak, l.Over = 5, 1, time.Minute },
		"leak of distinct": func(l *ratelimit.Limit) { l.Failures, l.Distinct, l.Of, l.Leak = 5, 5, "to", 1 },
		"a leak too small": func(l *ratelimit.Limit) { l.Failures, l.Leak = 5, 1e-9 },
	} {
		l := base
		f(&l)
		if _, err := ratelimit.New([]ratelimit.Limit{l}, ratelimit.Caps{}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// What limits on guesses cost a request that is refused by none of them.
func TestGuessesAlloc(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, spread, unanswered, sources, slow)
	a := request("REGISTER", "192.0.2.1", 0)
	a.RegisterUser, a.AuthUser, a.SIPCallID = "1001", "1001", "x"
	e.Outcome(a, 401)
	if n := testing.AllocsPerRun(100, func() { e.Judge(a) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Who writes one user after the other into To and guesses the password of one is
// counted for that one; the others are not.
func TestGuessedUserIsCounted(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: 5 * time.Minute, Act: call.ActBan}
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	for _, l := range []ratelimit.Limit{per, slow, sources} {
		e := engine(t, ratelimit.Caps{}, l)
		try := func(ip, to, as string, i int) (*call.Attempt, call.Decision) {
			a := request("REGISTER", ip, time.Duration(i)*time.Second)
			a.RegisterUser, a.AuthUser, a.SIPCallID, a.Source.Transport = to, as, fmt.Sprint(i), "tls"
			return a, e.Judge(a)
		}
		over := -1
		for i := range 60 {
			ip := "192.0.2.1"
			if l.ID == sources.ID {
				ip = fmt.Sprint("192.0.2.", i)
			}
			a, d := try(ip, fmt.Sprint("to", i), "victim@example.test", i)
			if d.Rule == "" {
				e.Outcome(a, 403)
				continue
			}
			if over < 0 {
				over = i
				for _, x := range bans.Enact(a, d.Effects, nil) {
					if x.Key.RegisterUser != "victim" {
						t.Errorf("banned is %s", x.Key)
					}
				}
			}
		}
		if over != l.Failures {
			t.Errorf("%s: refused from try %d on", l.ID, over)
		}
		if _, d := try("192.0.2.1", "to3", "to3", 60); d.Rule != "" {
			t.Errorf("%s: another user is refused: %s", l.ID, d.Reason)
		}
		if _, d := try("192.0.2.200", "victim", "victim", 60); (d.Rule != "") != (l.ID == sources.ID) {
			t.Errorf("%s: the user himself, from elsewhere: %q", l.ID, d.Rule)
		}
	}
	if n, _ := bans.Count(start.Add(time.Minute)); n != 1 {
		t.Fatalf("%d bans", n)
	}
	a := request("REGISTER", "192.0.2.1", time.Minute)
	a.RegisterUser, a.AuthUser, a.Source.Transport = "to99", "victim", "tls"
	if d := bans.Judge(a); d.Rule != ratelimit.RuleBanned {
		t.Error("the ban of a user is passed by another To")
	}
	if a.AuthUser = "to99"; bans.Judge(a).Rule != "" {
		t.Error("the ban of a user is of others too")
	}
}

// A phone whose name for the PBX is not its extension is one user: a success
// forgets what it failed under both.
func TestNameOfThePhoneIsNotItsExtension(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: time.Hour, Verdict: call.Reject, Status: 403}
	e := engine(t, ratelimit.Caps{}, per)
	for i := range 100 {
		a := request("REGISTER", "192.0.2.1", time.Duration(i)*time.Second)
		a.RegisterUser, a.AuthUser, a.SIPCallID = "1001", "a8f3k", fmt.Sprint(i)
		if d := e.Judge(a); d.Rule != "" {
			t.Fatalf("try %d is refused: %s", i, d.Reason)
		}
		e.Outcome(a, map[bool]int{true: 200, false: 403}[i%10 == 9])
	}
}

// Where several domains are served, users of one name are as many as there are
// domains.
func TestUsersAreCountedByTheirDomain(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: 5 * time.Minute, Act: call.ActBan}
	many := ratelimit.Limit{ID: "l/many", Match: only("REGISTER"), Key: []string{"source.net"}, Failures: 20, Distinct: 2, Of: "register.user", Over: 5 * time.Minute, Verdict: call.Drop}
	e, bans := engine(t, ratelimit.Caps{}, per, many), ratelimit.NewBans(ratelimit.BanCaps{})
	of := func(domain string) *call.Attempt {
		a := request("REGISTER", "192.0.2.1", 0)
		a.Source.Transport = "tls"
		a.RegisterUser, a.AuthUser, a.RegisterDomain = "alice", "alice", domain
		return a
	}
	for range 10 {
		e.Outcome(of("a.test"), 403)
	}
	d := e.Judge(of("a.test"))
	if d.Rule != "l/user" {
		t.Fatalf("%+v", d)
	}
	if d := e.Judge(of("b.test")); d.Rule != "" {
		t.Errorf("the other domain's user is refused: %s", d.Reason)
	}
	if x := bans.Enact(of("a.test"), d.Effects, nil); len(x) != 1 || x[0].Key.Domain != "a.test" || x[0].Key.String() != "source.ip=192.0.2.1 register.user=alice domain=a.test" {
		t.Fatalf("%+v", x)
	}
	if bans.Judge(of("a.test")).Rule == "" || bans.Judge(of("b.test")).Rule != "" {
		t.Error("the ban is of the wrong user")
	}
	for range 10 {
		e.Outcome(of("b.test"), 403)
	}
	if e.Judge(of("b.test")).Rule == "" {
		t.Error("failures of two users are taken for those of one")
	}
	// By hand, without a domain, every user of that name is banned.
	k, _ := call.KeyOf(of(""), call.ShapeIP|call.ShapeRegisterUser)
	bans.Add(call.Ban{Act: call.ActBan, Key: k, Since: start, Manual: true}, time.Hour)
	if bans.Judge(of("b.test")).Rule == "" {
		t.Error("a ban of the user in every domain")
	}
	// Also where one of the user in that domain is over and remembered.
	later := of("a.test")
	later.At = start.Add(30 * time.Minute)
	if d := bans.Judge(later); d.Rule != ratelimit.RuleBanned {
		t.Errorf("the ban of before hides the one in every domain: %+v", d)
	}
}
