package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

const afterWarmUp = 8 * 24 * time.Hour

// ordinary writes days of an office: strangers and contacts call, some are hung up on.
func (s *script) ordinary(days, calls int) {
	for d := range days {
		for i := range calls {
			n := d*calls + i
			c := dialled{at: time.Duration(d)*24*time.Hour + time.Duration(i)*8*time.Hour/time.Duration(calls), in: true, user: fmt.Sprint(1000 + n%50),
				from: fmt.Sprintf("+4477%08d", n*104729%100_000_000), to: did(n), ring: 8 * second, talk: time.Duration(10+n*37%400) * second}
			if n%25 == 0 {
				c.talk, c.by = 5*second, call.ByCallee
			}
			s.call(c)
		}
	}
}

// robot calls and plays a message; every other callee hangs up.
func (s *script) robot(at time.Duration, from string, i int, message time.Duration) {
	c := dialled{at: at, in: true, user: fmt.Sprint(1000 + i%50), from: from, to: did(i), ring: 6 * second, talk: message}
	if i%2 == 1 {
		c.talk, c.by = 4*second, call.ByCallee
	}
	s.call(c)
}

func TestRobocalls(t *testing.T) {
	for name, c := range map[string]struct {
		from    func(i int) string
		every   time.Duration
		message func(i int) time.Duration
		kind    string
	}{
		"number":              {func(int) string { return "+442071110000" }, 5 * second, func(int) time.Duration { return 18 * second }, "from"},
		"slow number":         {func(int) string { return "+442071110000" }, 2 * time.Minute, func(int) time.Duration { return 18 * second }, "from"},
		"neighbours":          {func(i int) string { return fmt.Sprintf("+44207111%04d", i*13) }, 20 * second, func(int) time.Duration { return 18 * second }, "from_prefix"},
		"everywhere, equal":   {func(i int) string { return fmt.Sprintf("+4420%08d", i*7654321) }, time.Minute, func(int) time.Duration { return 18 * second }, "from"},
		"everywhere, unequal": {func(i int) string { return fmt.Sprintf("+4420%08d", i*7654321) }, time.Minute, func(i int) time.Duration { return time.Duration(12+i*7%30) * second }, "from"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			s.ordinary(8, 60)
			if got := of(s.play(), IDRobo); len(got) > 0 {
				t.Fatalf("ordinary days: %+v", got[0])
			}
			for i := range 40 {
				s.robot(afterWarmUp+time.Duration(i)*c.every, c.from(i), i, c.message(i))
			}
			got := of(s.play(), IDRobo)
			if len(got) == 0 || got[len(got)-1].Subject.Kind != c.kind {
				t.Fatalf("%+v", got)
			}
			if n := incidents(got, IDRobo); n > 2 {
				t.Errorf("%d incidents", n)
			}
		})
	}
}

func TestNoRobocalls(t *testing.T) {
	for name, write := range map[string]func(s *script){
		"a school's announcement": func(s *script) {
			for i := range 60 {
				s.call(dialled{at: afterWarmUp + time.Duration(i)*4*second, in: true, from: "+442071110000", to: did(i), ring: 5 * second, talk: 31 * second})
			}
		},
		"a courier": func(s *script) {
			for i := range 40 {
				d := dialled{at: afterWarmUp + time.Duration(i)*time.Minute, in: true, from: "+447700123456", to: did(i), ring: 9 * second, talk: time.Duration(15+i%40) * second}
				if i%8 == 0 {
					d.talk, d.by = 6*second, call.ByCallee
				}
				s.call(d)
			}
		},
		"appointment reminders of whom we call": func(s *script) {
			for d := range 4 {
				s.call(dialled{at: time.Duration(d) * 24 * time.Hour, from: did(1), user: "1001", to: "+442071110000", ring: 5 * second, talk: time.Minute})
			}
			for i := range 40 {
				s.robot(afterWarmUp+time.Duration(i)*20*second, "+442071110000", i, 20*second)
			}
		},
		"the office is closed, says a machine of ours": func(s *script) {
			for i := range 40 {
				s.call(dialled{at: afterWarmUp + time.Duration(i)*time.Minute, in: true, from: fmt.Sprintf("+4420%08d", i*7654321), to: did(i), silent: true, talk: 12 * second})
			}
		},
		"a busy hour of strangers": func(s *script) {
			for i := range 200 {
				d := dialled{at: afterWarmUp + time.Duration(i)*15*second, in: true, from: fmt.Sprintf("+4420%08d", i*7654321%100_000_000), to: did(i), ring: 5 * second, talk: time.Duration(10000+i*3571%200_000) * time.Millisecond}
				if i%25 == 0 {
					d.talk, d.by = 4*second, call.ByCallee
				}
				s.call(d)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			s.ordinary(8, 60)
			write(s)
			if got := of(s.play(), IDRobo); len(got) > 0 {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

func TestRobocallCaps(t *testing.T) {
	s := scripted(t)
	cfg := s.e.cfg
	cfg.MaxKeys = 300
	s = &script{t: t, e: New(cfg, s.e.rates)}
	for i := range 5000 {
		s.robot(time.Duration(i)*50*time.Millisecond, fmt.Sprintf("+4420%08d", i*7654321%100_000_000), i, 20*second)
	}
	for i := range 500 {
		s.robot(10*time.Minute+time.Duration(i)*50*time.Millisecond, "+442071110000", i, 20*second)
	}
	s.play()
	for _, d := range s.e.detectors {
		if r, ok := d.(*robo); ok {
			if r.by.len() > 300 || r.strangers.len() > 1 || len(r.by.peek("+442071110000", s.e.now).Calls) > maxRobots || len(r.strangers.peek("main", s.e.now).Calls) > maxRobots {
				t.Errorf("%d keys", r.by.len())
			}
		}
	}
	if n := s.e.ping.met.len(); n > 300 {
		t.Errorf("%d callers met", n)
	}
}
