package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func (s *script) wrong(at time.Duration, from string, i, code int) {
	s.call(dialled{at: at, in: true, from: from, to: fmt.Sprintf("+44207946%04d", i%10_000), silent: true, code: code, by: call.ByCallee})
}

func TestProbing(t *testing.T) {
	for name, c := range map[string]struct {
		from  func(i int) string
		every time.Duration
		code  int
		at    int
		kind  string
	}{
		"one caller":         {func(int) string { return "+447700123456" }, 10 * second, 404, 5, "from"},
		"one caller, slowly": {func(int) string { return "+447700123456" }, time.Hour, 404, 12, "from"},
		"a changed number":   {func(int) string { return "+447700123456" }, 10 * second, 410, 5, "from"},
		"a caller each":      {func(i int) string { return fmt.Sprintf("+4477%08d", i*104729) }, 30 * second, 404, 8, "from"},
		"withheld":           {func(int) string { return "anonymous" }, 30 * second, 604, 8, "account"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			first := 0
			var fs []Finding
			for i := range 20 {
				s.wrong(time.Duration(i)*c.every, c.from(i), i, c.code)
				if got := s.play(); len(got) > 0 {
					fs = append(fs, got...)
					if first == 0 {
						first = i + 1
					}
				}
			}
			if first != c.at || fs[0].Detector != IDProbe || fs[0].Subject.Kind != c.kind || c.every < time.Hour && incidents(fs, IDProbe) != 1 {
				t.Errorf("found at %d, want %d: %+v", first, c.at, fs)
			}
		})
	}
}

func TestNoProbing(t *testing.T) {
	for name, write := range map[string]func(s *script){
		"the same old number": func(s *script) {
			for i := range 100 {
				s.wrong(time.Duration(i)*10*second, fmt.Sprintf("+4477%08d", i%50), 7, 404)
			}
		},
		"people who dial wrong": func(s *script) {
			for i := range 100 {
				s.wrong(time.Duration(i)*20*time.Minute, fmt.Sprintf("+4477%08d", i), i, 404)
			}
		},
		"numbers that were given up": func(s *script) {
			for i := range 30 {
				from := fmt.Sprintf("+4477%08d", i)
				s.call(dialled{at: time.Duration(i) * time.Minute, in: true, from: from, to: did(i), ring: 5 * second, talk: time.Minute})
				s.wrong(48*time.Hour+time.Duration(i)*time.Minute, from, i, 404)
			}
		},
		"busy and not at home": func(s *script) {
			for i := range 100 {
				s.wrong(time.Duration(i)*10*second, "+447700123456", i, []int{486, 480, 603}[i%3])
			}
		},
		"scanners on the Internet": func(s *script) {
			for i := range 100 {
				s.call(dialled{at: time.Duration(i) * second, in: true, from: "1001", to: fmt.Sprintf("+21671%06d", i), silent: true, code: 404, by: call.ByCallee})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted(t)
			write(s)
			if got := of(s.play(), IDProbe); len(got) > 0 {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

func TestProbeCaps(t *testing.T) {
	s := scripted(t)
	cfg := s.e.cfg
	cfg.MaxKeys = 300
	s = &script{t: t, e: New(cfg, s.e.rates)}
	for i := range 5000 {
		s.wrong(time.Duration(i)*10*time.Millisecond, fmt.Sprintf("+4477%08d", i), i, 404)
		s.wrong(time.Duration(i)*10*time.Millisecond, "+447700123456", i, 404)
	}
	s.play()
	for _, d := range s.e.detectors {
		if p, ok := d.(*probe); ok && (p.by.len() > 300 || len(*p.by.peek("+447700123456", s.e.now)) > maxProbed || len(*p.all.peek("main", s.e.now)) > maxProbed) {
			t.Errorf("%d keys", p.by.len())
		}
	}
}
