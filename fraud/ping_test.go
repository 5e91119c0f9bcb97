package fraud

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

const second = time.Second

func did(i int) string { return fmt.Sprintf("+4420794610%02d", i%100) }

// ping rings one of our numbers for a moment.
func (s *script) ping(at time.Duration, from string, i int) {
	s.call(dialled{at: at, in: true, user: fmt.Sprint(1000 + i%100), from: from, to: did(i), ring: 1200 * time.Millisecond})
}

// One number, a block of them, numbers all over a country, and over several
// countries that cost: each is found, as one incident, and names whom it rang.
func TestPingCalls(t *testing.T) {
	for name, c := range map[string]struct {
		from    func(i int) string
		every   time.Duration
		calls   int
		at      int // found with this call
		subject call.Subject
	}{
		"number":  {func(int) string { return "+21671123456" }, 10 * second, 20, 5, call.Subject{Kind: "from", Value: "+21671123456"}},
		"block":   {func(i int) string { return fmt.Sprintf("+21671123%03d", i) }, 10 * second, 20, 6, call.Subject{Kind: "from_prefix", Value: "+21671123"}},
		"country": {func(i int) string { return fmt.Sprintf("+2167%02d23456", i) }, 100 * second, 20, 6, call.Subject{Kind: "from", Value: "+21670523456"}},
		"countries": {func(i int) string {
			return []string{"+21671", "+37120", "+25261", "+22076"}[i%4] + fmt.Sprintf("%02d3456", i)
		}, 10 * time.Minute, 20, 6, call.Subject{Kind: "from", Value: "+3712005345"}},
		"slowly":  {func(i int) string { return fmt.Sprintf("+2167%02d23456", i) }, 3 * time.Hour, 12, 6, call.Subject{Kind: "from", Value: "+21670523456"}},
		"at home": {func(i int) string { return fmt.Sprintf("+44207946%04d", i) }, 10 * second, 20, 6, call.Subject{Kind: "from_prefix", Value: "+44207946"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			var fs []Finding
			first := 0
			for i := range c.calls {
				s.ping(time.Duration(i)*c.every, c.from(i), i)
				now := s.play()
				fs = append(fs, now...)
				if first == 0 && len(now) > 0 {
					first = i + 1
				}
			}
			got := of(fs, IDPing)
			if len(got) == 0 || first != c.at || !strings.HasPrefix(got[0].Subject.Value, c.subject.Value) || got[0].Subject.Kind != c.subject.Kind {
				t.Fatalf("found with call %d, want %d: %+v", first, c.at, got)
			}
			if n := incidents(fs, IDPing); n != 1 && name != "slowly" {
				t.Errorf("%d incidents", n)
			}
			rang := map[string]bool{}
			for _, f := range got {
				for _, m := range f.Missed {
					if rang[m.User] {
						t.Errorf("%s is named twice", m.User)
					}
					rang[m.User] = true
				}
			}
			if len(got[0].Missed) != c.at || !rang["1000"] {
				t.Errorf("rang: %+v", got[0].Missed)
			}
		})
	}
}

// Calls that look like it and are none.
func TestNoPingCalls(t *testing.T) {
	for name, write := range map[string]func(s *script){
		"a courier rings and waits": func(s *script) {
			for i := range 30 {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: "+447700123456", to: did(i), ring: 15 * second})
			}
		},
		"a friend who cannot get through": func(s *script) {
			for i := range 20 {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: "+21671123456", to: did(1), ring: 3 * second})
			}
		},
		"one ring at many phones": func(s *script) {
			for i := range 20 {
				s.call(dialled{at: time.Minute + time.Duration(i)*time.Millisecond, in: true, user: fmt.Sprint(1000 + i), from: "+21671123456", to: fmt.Sprint(1000 + i), ring: 3 * second})
			}
		},
		"phones that stop when another answers": func(s *script) {
			for n := range 10 {
				at := time.Duration(n) * 5 * time.Minute
				s.call(dialled{at: at, in: true, from: "+21671123456", to: "1000", ring: 2900 * time.Millisecond, talk: time.Minute})
				for i := 1; i < 5; i++ {
					s.call(dialled{at: at + 20*time.Millisecond, in: true, from: "+21671123456", to: fmt.Sprint(1000 + i), ring: 3 * second})
				}
			}
		},
		"who is hung up on": func(s *script) {
			for i := range 20 {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: "+21671123456", to: did(i), ring: 3 * second, talk: 2 * second, by: call.ByCallee})
			}
		},
		"nobody can call back": func(s *script) {
			for i := range 20 {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: "anonymous", to: did(i), ring: second})
			}
		},
		"refused before they rang": func(s *script) {
			for i := range 20 {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: "+21671123456", to: did(i), refused: true, code: 403, silent: true, by: call.ByGateway})
			}
		},
		"one in three hangs up soon": func(s *script) {
			for i := range 60 {
				d := dialled{at: time.Duration(i) * 2 * time.Minute, in: true, from: fmt.Sprintf("+2167%02d23456", i), to: did(i), ring: 8 * second, talk: time.Minute}
				if i%3 == 0 {
					d.ring, d.talk = 3*second, 0
				}
				s.call(d)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			write(s)
			if got := of(s.play(), IDPing); len(got) > 0 {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

// What carriers and recorders do to ping calls does not hide them.
func TestPingCallsAsTheyCome(t *testing.T) {
	for name, d := range map[string]dialled{
		"without 180":                 {ring: 2 * second, silent: true},
		"answered and gone":           {ring: second, talk: 2 * second},
		"answered at once and gone":   {silent: true, talk: second},
		"who ended it is not said":    {ring: 2 * second, unknown: true},
		"so long, but the call costs": {ring: 8 * second},
		"passed on":                   {ring: 2 * second, diverted: "+447700900000"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			for i := range 8 {
				d.at, d.in, d.from, d.to = time.Duration(i)*20*second, true, fmt.Sprintf("+21671123%03d", i), did(i)
				s.call(d)
			}
			if got := of(s.play(), IDPing); len(got) == 0 {
				t.Error("not found")
			}
		})
	}
	t.Run("a switchboard with one number", func(t *testing.T) {
		s := scripted(t)
		for i := range 8 {
			s.ping(time.Duration(i)*20*second, fmt.Sprintf("+21671123%03d", i), 0)
		}
		if got := of(s.play(), IDPing); len(got) == 0 {
			t.Error("not found")
		}
	})
}

// A country that calls all day is judged by its own days: a pool of numbers is
// found in the middle of its calls, and its ordinary days are no alarm.
func TestPingCallsAmongMany(t *testing.T) {
	s := scripted(t)
	n := 0
	ordinary := func(d int, calls int) {
		for i := range calls {
			n++
			c := dialled{at: time.Duration(d)*24*time.Hour + time.Duration(i)*2*time.Minute, in: true, from: fmt.Sprintf("+9053%08d", n*7919), to: did(n), ring: 8 * second, talk: 2 * time.Minute}
			if i%10 == 0 {
				c.ring, c.talk = 4*second, 0
			}
			s.call(c)
		}
	}
	for d := range 10 {
		ordinary(d, 200+20*(d%3))
	}
	if got := of(s.play(), IDPing); len(got) > 0 {
		t.Fatalf("ordinary days: %+v", got[0])
	}
	ordinary(10, 200)
	for i := range 60 {
		s.ping(10*24*time.Hour+time.Duration(i)*4*time.Minute, fmt.Sprintf("+9054%08d", i*104729), i)
	}
	got := of(s.play(), IDPing)
	if len(got) == 0 {
		t.Fatal("a pool among ordinary calls is not found")
	}
	if got[0].Count > 1 || incidents(got, IDPing) != 1 {
		t.Errorf("%+v", got[0])
	}
}

// Numbers and blocks that pinged us are guarded: calls back are told and
// refused, confirm the campaign, and are let through when the time is over.
func TestCallsBack(t *testing.T) {
	s := scripted(t)
	s.enforce(IDCallback)
	for i := range 10 {
		s.ping(time.Duration(i)*10*second, fmt.Sprintf("+21671123%03d", i), i)
	}
	ping := of(s.play(), IDPing)
	if len(ping) == 0 {
		t.Fatal("no campaign")
	}
	for to, want := range map[string]call.Verdict{"+21671123004": call.Reject, "+21671123999": call.Reject, "+21671124004": call.Abstain, "+442079460000": call.Abstain} {
		if d := s.dials(time.Hour, "1004", to); d.Verdict != want || want == call.Reject && (d.Rule != IDCallback || d.Status != 603 || d.Shadow) {
			t.Errorf("%s: %+v", to, d)
		}
	}
	s.call(dialled{at: 30 * time.Minute, user: "1004", from: did(4), to: "+21671123004", ring: second, talk: time.Minute})
	s.call(dialled{at: 32 * time.Minute, user: "1005", from: did(5), to: "+21671123005", ring: second, talk: time.Minute})
	fs := s.play()
	back := of(fs, IDCallback)
	if len(back) != 2 || back[0].Subject != (call.Subject{Kind: "to", Value: "+21671123004"}) || back[0].Severity != call.High || back[0].Related[0] != ping[0].Incident {
		t.Fatalf("%+v", back)
	}
	if back[1].Lost != 0 {
		t.Errorf("the first call back is no loss of another number: %v", back[1].Lost)
	}
	confirmed := of(fs, IDPing)
	if len(confirmed) == 0 || confirmed[0].Incident != ping[0].Incident || confirmed[0].Severity != call.High || confirmed[0].Related[0] != back[0].Incident {
		t.Errorf("%+v", confirmed)
	}
	s.call(dialled{at: time.Hour, user: "1004", from: did(4), to: "+21671123004", ring: second, talk: time.Minute})
	if again := of(s.play(), IDCallback); len(again) != 1 || again[0].Lost < .1 {
		t.Errorf("the loss of the call before is not told: %+v", again)
	}
	if d := s.dials(73*time.Hour, "1004", "+21671123004"); d.Verdict != call.Abstain {
		t.Errorf("after the guard: %+v", d)
	}
}

// A single ring of a number that costs is no campaign. The user that it rang is
// told when he calls it, others are not; nobody is where the number is known.
func TestCallBackOfOneRing(t *testing.T) {
	for name, c := range map[string]struct {
		rang, user, to string
		known          bool
		more           int // others that it rang
		want           int
	}{
		"the user":                        {"1001", "1001", "+21671123456", false, 0, 1},
		"somebody else":                   {"1001", "1002", "+21671123456", false, 0, 0},
		"nobody knows whom it rang":       {"", "1002", "+21671123456", false, 0, 1},
		"a number called before":          {"1001", "1001", "+21671123456", true, 0, 0},
		"dearer, one user":                {"1001", "1001", "+905312345678", false, 0, 0},
		"dearer, several users":           {"1001", "1001", "+905312345678", false, 1, 1},
		"a country where calls are cheap": {"1001", "1001", "+33123456789", false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			if c.known {
				s.call(dialled{at: -48 * time.Hour, user: "1009", from: did(9), to: c.to, ring: 3 * second, talk: time.Minute})
			}
			for i := range 1 + c.more {
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, user: c.rang, from: c.to, to: did(1 + i), ring: 2 * second})
			}
			s.call(dialled{at: time.Hour, user: c.user, from: did(50), to: c.to, ring: 2 * second, talk: time.Minute})
			s.enforce(IDCallback)
			got := of(s.play(), IDCallback)
			if len(got) != c.want || c.want > 0 && got[0].Severity != call.Medium {
				t.Errorf("%+v", got)
			}
			if d := s.dials(2*time.Hour, c.user, c.to); d.Verdict != call.Abstain {
				t.Errorf("refused for one ring: %+v", d)
			}
		})
	}
}

// Who forges the numbers of our customers, or of a town, cannot make us refuse
// calls to them.
func TestGuardIsNoWeapon(t *testing.T) {
	const customer, abroad, once = "+442071234567", "+37120123456", "+442071230000"
	s := scripted(t)
	s.enforce(IDCallback)
	for d := range 3 {
		s.call(dialled{at: time.Duration(d) * 24 * time.Hour, user: "1001", from: did(1), to: customer, ring: 3 * second, talk: time.Minute})
		s.call(dialled{at: time.Duration(d) * 24 * time.Hour, user: "1001", from: did(1), to: abroad, ring: 3 * second, talk: time.Minute})
		// It calls us on as many days, which its caller can forge: it stays a stranger, for calls to it cost.
		s.call(dialled{at: time.Duration(d) * 24 * time.Hour, in: true, user: "1001", from: "+21671123456", to: did(1), ring: 3 * second, talk: time.Minute})
	}
	start := 4 * 24 * time.Hour
	for i := range 30 {
		for j, n := range []string{customer, abroad, once, "+21671123456", fmt.Sprintf("+442071234%03d", i)} {
			s.ping(start+time.Duration(i*5+j)*10*second, n, i)
		}
	}
	if got := of(s.play(), IDPing); len(got) == 0 {
		t.Fatal("no campaign")
	}
	at := start + 2*time.Hour
	for to, want := range map[string]call.Verdict{customer: call.Abstain, abroad: call.Abstain, "+21671123456": call.Reject,
		once: call.Abstain, "+442071234999": call.Abstain} {
		if d := s.dials(at, "1001", to); d.Verdict != want {
			t.Errorf("%s: %v, want %v", to, d.Verdict, want)
		}
	}
	s.call(dialled{at: at, user: "1001", from: did(1), to: customer, ring: 2 * second, talk: time.Minute})
	back := of(s.play(), IDCallback)
	if len(back) != 1 || back[0].Severity != call.Low || !strings.Contains(back[0].Reason, "forged") {
		t.Errorf("a customer that pinged is told: %+v", back)
	}
}

// Who forges a whole block at home makes us refuse nobody in it whom we talked to.
func TestNeighboursAreNotLiable(t *testing.T) {
	const before, neighbour = "+442071234567", "+442071234568"
	s := scripted(t)
	s.enforce(IDPing)
	s.call(dialled{in: true, user: "1001", from: before, to: did(1), ring: 3 * second, talk: time.Minute})
	for i := range 30 {
		s.ping(48*time.Hour+time.Duration(i)*10*second, fmt.Sprintf("+442071234%03d", i), i)
	}
	if got := of(s.play(), IDPing); len(got) == 0 {
		t.Fatal("no campaign")
	}
	for from, want := range map[string]call.Verdict{before: call.Abstain, neighbour: call.Reject} {
		a := &call.Attempt{Method: "INVITE", On: call.Request, Direction: call.Inbound, Account: "main", At: t0.Add(48*time.Hour + 6*time.Minute)}
		a.From = call.Party{User: from, Number: from, Kind: call.National}
		a.To = call.Party{User: did(1), Number: did(1), Kind: call.National}
		d := s.e.Judge(a)
		if d.Verdict != want || want == call.Reject && d.Reason == "" {
			t.Errorf("%s: %+v", from, d)
		}
	}
}

// However many numbers are forged, what is kept has its caps, and what was found
// stays guarded.
func TestPingCaps(t *testing.T) {
	s := scripted(t)
	s.e.cfg.MaxKeys = 500
	cfg := s.e.cfg
	s = &script{t: t, e: New(cfg, s.e.rates)}
	for i := range 10 {
		s.ping(time.Duration(i)*second, "+21671123456", i)
	}
	for i := range 20_000 {
		s.ping(time.Minute+time.Duration(i)*10*time.Millisecond, fmt.Sprintf("+9053%08d", i*4999), i)
	}
	for i := range 1000 { // many of one number
		s.ping(10*time.Minute+time.Duration(i)*10*time.Millisecond, "+21671123456", i)
	}
	s.play()
	p := s.e.ping
	for name, n := range map[string]int{"number": p.number.len(), "block": p.block.len(), "guard": p.guard.len(), "rung": p.rung.len(), "called": p.called.len()} {
		if n > 500 {
			t.Errorf("%s: %d keys", name, n)
		}
	}
	k := p.number.peek("+21671123456", s.e.now)
	if k == nil || len(k.Short) > fewPings || cap(k.Short) > 2*fewPings || k.Shorts < 500 {
		t.Errorf("%+v", k)
	}
	for _, f := range s.got {
		if len(f.Missed) > maxMissed || len(f.Numbers) > maxNamed {
			t.Errorf("%d missed, %d numbers", len(f.Missed), len(f.Numbers))
		}
	}
	s.enforce(IDCallback)
	if d := s.dials(time.Hour, "1001", "+21671123456"); d.Verdict != call.Reject {
		t.Errorf("pushed out of the guard: %+v", d)
	}
}

// The chance of many is that of the textbook.
func TestTail(t *testing.T) {
	for _, c := range []struct {
		k      int
		lambda float64
		want   float64
	}{{0, 1, 1}, {1, 1, .632121}, {3, .5, .014388}, {8, .3, 1.2469e-9}, {64, 100, .99997}} {
		if got := tail(c.k, c.lambda); got < c.want*.98 || got > c.want*1.02 {
			t.Errorf("P(X >= %d | %v) = %v, want %v", c.k, c.lambda, got, c.want)
		}
	}
}

// BenchmarkPings is a flood of ping calls in the name of everybody in a country,
// three events each.
func BenchmarkPings(b *testing.B) {
	s := scripted(b)
	for i := range b.N {
		s.ping(time.Duration(i)*50*time.Millisecond, fmt.Sprintf("+9053%08d", i*4999%100_000_000), i)
	}
	evs := s.evs
	b.ReportAllocs()
	b.ResetTimer()
	for _, ev := range evs {
		s.e.Observe(ev)
	}
}

// Many numbers all over the country at home are found against what strangers do
// on ordinary days. When those whom we know hang up as often, a fault of ours is
// why.
func TestPingCallsAtHome(t *testing.T) {
	for name, fault := range map[string]bool{"a campaign": false, "a fault": true} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			day := func(d int) {
				for i := range 200 {
					n := d*200 + i
					c := dialled{at: time.Duration(d)*24*time.Hour + time.Duration(i)*2*time.Minute, in: true, from: fmt.Sprintf("+4477%08d", n*104729%100_000_000), to: did(n), ring: 8 * second, talk: 2 * time.Minute}
					if i%2 == 0 {
						c.from = fmt.Sprintf("+4420%08d", i) // calls every day
					}
					if i%15 == 0 {
						c.ring, c.talk = 4*second, 0
					}
					s.call(c)
				}
			}
			for d := range 9 {
				day(d)
			}
			if got := of(s.play(), IDPing); len(got) > 0 {
				t.Fatalf("ordinary days: %+v", got[0])
			}
			day(9)
			for i := range 60 {
				at := 9*24*time.Hour + time.Hour + time.Duration(i)*time.Minute
				s.ping(at, fmt.Sprintf("+4478%08d", i*7654321%100_000_000), i)
				if fault {
					s.ping(at+20*second, fmt.Sprintf("+4420%08d", i*2), i)
				}
			}
			got := of(s.play(), IDPing)
			if fault != (len(got) == 0) {
				t.Fatalf("%+v", got)
			}
			if !fault && (incidents(got, IDPing) != 1 || s.e.ping.guard.len() != 0) {
				t.Errorf("%d incidents, %d guarded", incidents(got, IDPing), s.e.ping.guard.len())
			}
		})
	}
}

// A few numbers at home that ring everybody are told by their numbers. Strangers
// who hang up in the hour after are none of them, whoever rings twice.
func TestStrangersWhoHangUpInACampaign(t *testing.T) {
	s := scripted(t)
	for d := range 9 {
		for i := range 100 {
			n := d*100 + i
			c := dialled{at: time.Duration(d)*24*time.Hour + time.Duration(i)*5*time.Minute, in: true, from: fmt.Sprintf("+4477%08d", n*104729%100_000_000), to: did(n), ring: 8 * second, talk: 2 * time.Minute}
			if i%15 == 0 {
				c.ring, c.talk = 4*second, 0
			}
			s.call(c)
		}
	}
	from := 9*24*time.Hour + time.Hour
	for i := range 48 {
		s.ping(from+time.Duration(i)*10*second, fmt.Sprintf("+4478%08d", i%8*7654321), i)
	}
	for i := range 3 {
		stranger := fmt.Sprintf("+4479%08d", i*1234567)
		s.ping(from+time.Duration(10+i*10)*time.Minute, stranger, i)
		s.ping(from+time.Duration(12+i*10)*time.Minute, stranger, i)
	}
	got := of(s.play(), IDPing)
	told := map[string]bool{}
	for _, f := range got {
		told[f.Subject.Value] = true
		if strings.HasPrefix(f.Subject.Value, "+4479") {
			t.Errorf("%s: %s", f.Subject.Value, f.Reason)
		}
	}
	if len(told) < 8 {
		t.Errorf("%d of 8 numbers are told", len(told))
	}
}
