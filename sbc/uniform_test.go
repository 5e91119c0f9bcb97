package sbc_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// guarded is a PBX with one user, that says no in its own way.
type guarded struct {
	w              *rawWorld
	unknown, wrong int // what an unknown user gets at once, and a wrong password; 401: a challenge
	asked          atomic.Int64
}

func (b *guarded) answer(m *siptest.Message) bool {
	if m.Method != "REGISTER" {
		return false
	}
	user := siptest.UserOf(siptest.URIOf(m.Get("To")))
	challenge := func(stale string) {
		n := unique("")
		b.w.b.reply(m, 401, unique("t"), nil, siptest.Field{Name: "WWW-Authenticate",
			Value: `Digest realm="pbx", nonce="` + strings.Repeat("0", 32-len(n)) + n + `", opaque="` + strings.Repeat("f", 8) + `", qop="auth"` + stale})
	}
	says := func(code int) {
		if code == 401 {
			challenge("")
			return
		}
		b.w.b.replyOf(m, code, unique("t"), "text/plain", []byte("no "+user), siptest.Field{Name: "Warning", Value: `399 pbx "no such user"`},
			siptest.Field{Name: "Supported", Value: "timer"})
	}
	credentials := m.Get("Authorization")
	b.asked.Add(1)
	switch {
	case user != "1001":
		says(map[bool]int{true: b.unknown, false: max(b.unknown, b.wrong)}[credentials == ""])
	case credentials == "":
		challenge("")
	case !strings.Contains(credentials, "right"):
		says(b.wrong)
	default:
		b.w.b.reply(m, 200, unique("t"), nil, siptest.Field{Name: "Contact", Value: m.Get("Contact") + ";expires=3600"})
	}
	return true
}

var (
	secretsOfAnswer = regexp.MustCompile(`(tag|branch|nonce|received|rport)=("?)[^";,\r\n]+`)
	idsOfAnswer     = regexp.MustCompile(`(?m)^(Call-ID|Via|From|To|CSeq): .*$`)
)

// shape is an answer without what is different each time: of that, how long it is.
func shape(m *siptest.Message) string {
	nonce := regexp.MustCompile(`nonce="([^"]*)"`).FindStringSubmatch(m.Get("WWW-Authenticate"))
	size := 0
	if nonce != nil {
		size = len(nonce[1])
	}
	to := len(siptest.Param(m.Get("To"), "tag"))
	return fmt.Sprintf("nonce of %d, tag of %d\n%s", size, to,
		idsOfAnswer.ReplaceAllString(secretsOfAnswer.ReplaceAllString(string(m.Bytes()), "$1=$2*"), "$1: *"))
}

// try registers from an address that nobody is known from, but with the right
// password, and gives the answer.
func (w *rawWorld) try(user, credentials string) *siptest.Message {
	w.t.Helper()
	from := "777"
	if credentials == "right" {
		from = user
	}
	p := w.plug(from)
	defer p.close()
	m := p.outside("REGISTER", "sip:"+domain)
	for _, f := range []string{"From", "To"} {
		m.Set(f, strings.Replace(strings.Replace(m.Get(f), "sip:"+p.user+"@", "sip:"+user+"@", 1), "<sip:"+domain+">", "<sip:"+user+"@"+domain+">", 1))
	}
	if credentials != "" {
		m.Add("Authorization", `Digest username="`+user+`", realm="pbx", nonce="old", uri="sip:`+domain+`", response="`+credentials+strings.Repeat("0", 32-len(credentials))+`"`)
	}
	p.send(m)
	return p.expect("an answer to REGISTER", func(m *siptest.Message) bool { return m.Code >= 200 })
}

// However the PBX says no, strangers cannot tell a user that there is from one
// that there is not, neither before they have sent a password nor after.
func TestStrangersLearnNothing(t *testing.T) {
	for name, b := range map[string]*guarded{
		"404 for the unknown":                  {unknown: 404, wrong: 401},
		"403 for the unknown, 401 for a guess": {unknown: 403, wrong: 401},
		"403 for a guess":                      {unknown: 401, wrong: 403},
		"404 and 403":                          {unknown: 404, wrong: 403},
		"always a challenge":                   {unknown: 401, wrong: 401},
		"a decline for all":                    {unknown: 603, wrong: 486},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRawWorld(t)
			b.w = w
			w.b.auto.Store(b.answer)
			if res := w.try("1001", "right"); res.Code != 200 {
				t.Fatalf("the right password: %d", res.Code)
			}
			for _, credentials := range []string{"", "badcafe"} {
				there, nobody := w.try("1001", credentials), w.try("4711", credentials)
				if there.Code != 401 || shape(there) != shape(nobody) {
					t.Errorf("credentials %q: a user that there is gets\n%s\none that there is not\n%s", credentials, shape(there), shape(nobody))
				}
				if len(nobody.Body) > 0 || nobody.Get("Warning") != "" || nobody.Get("Content-Type") != "" {
					t.Errorf("what the PBX thinks: %s", nobody.Bytes())
				}
			}
			if res := w.try("1001", "right"); res.Code != 200 {
				t.Errorf("the right password after wrong ones: %d", res.Code)
			}
			// What is counted is what they were told, else the counting would tell.
			if c := codes(w.rep); !slices.Equal(c, []int{200, 401, 401, 200}) {
				t.Errorf("answers to credentials are written down as %v", c)
			}
			w.secret()
		})
	}
}

// Whose name the PBX is asked in does not get lost by wrong passwords for him:
// the next to look for users would see challenges of ours beside the PBX's.
func TestGuessingTellsNothing(t *testing.T) {
	w := newRawWorld(t)
	b := &guarded{w: w, unknown: 404, wrong: 403}
	w.b.auto.Store(b.answer)
	if res := w.try("1001", "right"); res.Code != 200 {
		t.Fatalf("the right password: %d", res.Code)
	}
	want := shape(w.try("1001", ""))
	for i := range 3 {
		for _, try := range [][2]string{{"1001", "badcafe"}, {"4711", ""}, {"4711", "badcafe"}, {"1001", ""}} {
			if got := shape(w.try(try[0], try[1])); got != want {
				t.Errorf("round %d, %q: the answer is\n%s\nbefore it was\n%s", i, try, got, want)
			}
		}
	}
}

// codes of the REGISTERs that had credentials.
func codes(r *reports) (out []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == call.EventRegister && e.Credentials == "" {
			out = append(out, e.Code)
		}
	}
	return out
}

// Nobody is known yet whom the PBX challenges: the challenge is ours.
func TestStrangersLearnNothingAtFirst(t *testing.T) {
	w := newRawWorld(t)
	b := &guarded{w: w, unknown: 404, wrong: 403}
	w.b.auto.Store(b.answer)
	for _, credentials := range []string{"", "badcafe"} {
		if res := w.try("4711", credentials); res.Code != 401 || !strings.Contains(res.Get("WWW-Authenticate"), `nonce="`) {
			t.Errorf("credentials %q: %s", credentials, res.Bytes())
		}
	}
}

// A phone that was registered, and its address, get the PBX's own words.
func TestTheKnownLearnTheTruth(t *testing.T) {
	w := newRawWorld(t)
	b := &guarded{w: w, unknown: 404, wrong: 403}
	w.b.auto.Store(b.answer)
	p := w.plug("1001")
	send := func(credentials string) *siptest.Message {
		m := p.outside("REGISTER", "sip:"+domain)
		m.Set("To", "<sip:1001@"+domain+">")
		m.Add("Authorization", `Digest username="1001", realm="pbx", nonce="n", uri="sip:`+domain+`", response="`+credentials+strings.Repeat("0", 32-len(credentials))+`"`)
		p.send(m)
		return p.expect("an answer", func(m *siptest.Message) bool { return m.Code >= 200 })
	}
	if res := send("right"); res.Code != 200 {
		t.Fatalf("%d", res.Code)
	}
	if res := send("badcafe"); res.Code != 403 {
		t.Errorf("a phone whose password was changed gets %d", res.Code)
	}
}

// Whoever wants to hear what the PBX says may.
func TestAnswersAsGiven(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.Registrations.AsGiven = true })
	b := &guarded{w: w, unknown: 404, wrong: 403}
	w.b.auto.Store(b.answer)
	if res := w.try("4711", ""); res.Code != 404 {
		t.Errorf("%d", res.Code)
	}
	if res := w.try("1001", "badcafe"); res.Code != 403 {
		t.Errorf("%d", res.Code)
	}
}

// With as many answers waiting as there is room for, strangers are sent away
// before the PBX is asked, and a place is given back with each answer.
func TestHeldAnswersAreBounded(t *testing.T) {
	w := newRawWorld(t)
	b := &guarded{w: w, unknown: 404, wrong: 401}
	w.b.auto.Store(b.answer)
	if res := w.try("1001", "right"); res.Code != 200 {
		t.Fatalf("%d", res.Code)
	}
	if n := w.gw.HeldAnswers(); n != 0 {
		t.Fatalf("%d places taken after the answer", n)
	}
	w.gw.FillHeldAnswers()
	before := b.asked.Load()
	for _, user := range []string{"1001", "4711"} {
		if res := w.try(user, ""); res.Code != 503 || res.Get("Retry-After") == "" {
			t.Errorf("%s: %d", user, res.Code)
		}
	}
	if b.asked.Load() != before {
		t.Errorf("the PBX was asked %d times", b.asked.Load()-before)
	}
	// A phone that is known has its answer all the same.
	p := w.plug("701")
	m := p.outside("REGISTER", "sip:"+domain)
	m.Set("From", "<sip:1001@"+domain+">;tag=x")
	m.Set("To", "<sip:1001@"+domain+">")
	p.send(m)
	p.answer("REGISTER", 401)
}

// What strangers do beside registering has one answer, whoever it is for.
func TestStrangersLearnNothingByOtherMethods(t *testing.T) {
	w := newRawWorld(t)
	b := &guarded{w: w, unknown: 404, wrong: 401}
	w.b.auto.Store(b.answer)
	w.desk2("1001")
	for _, method := range []string{"INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REFER", "NOTIFY", "INFO", "BYE", "UPDATE"} {
		var got []string
		for _, user := range []string{"1001", "4711"} {
			p := w.plug("788")
			m := p.outside(method, "sip:"+user+"@"+domain)
			switch method {
			case "SUBSCRIBE", "PUBLISH", "NOTIFY":
				m.Add("Event", "presence")
				m.Add("Subscription-State", "active")
			case "REFER":
				m.Add("Refer-To", "<sip:1002@"+domain+">")
			case "INVITE":
				withSDP(m, p.srtp())
			}
			p.send(m)
			got = append(got, shape(p.expect("an answer to "+method, func(m *siptest.Message) bool { return m.Code >= 200 })))
			p.close()
		}
		if got[0] != got[1] {
			t.Errorf("%s:\n%s\n%s", method, got[0], got[1])
		}
	}
}

// desk2 registers a user with a PBX that answers by itself.
func (w *rawWorld) desk2(user string) *rawPhone {
	w.t.Helper()
	p := w.plug(user)
	m := p.outside("REGISTER", "sip:"+domain)
	m.Set("To", "<sip:"+user+"@"+domain+">")
	m.Add("Authorization", `Digest username="`+user+`", realm="pbx", nonce="n", uri="sip:x", response="right`+strings.Repeat("0", 27)+`"`)
	p.send(m)
	p.answer("REGISTER", 200)
	return p
}
