package sipx

import "testing"

func TestRAck(t *testing.T) {
	for v, want := range map[string]struct {
		rseq, cseq uint32
		ok         bool
	}{
		"776656 1 INVITE":              {776656, 1, true},
		"4294967295 4294967295 INVITE": {4294967295, 4294967295, true},
		"4294967296 1 INVITE":          {0, 0, false},
		"1 INVITE":                     {0, 0, false},
		"1 2 3 INVITE":                 {0, 0, false},
		"-1 1 INVITE":                  {0, 0, false},
		"one two INVITE":               {0, 0, false},
	} {
		r := parseRequest(t, withLines(msg("PRACK", "192.0.2.7", "rack", "rack", "x", 2), "RAck: "+v))
		rseq, cseq, method, ok := r.RAck()
		if ok != want.ok || ok && (rseq != want.rseq || cseq != want.cseq || method != "INVITE") {
			t.Errorf("%q: %d %d %s %t", v, rseq, cseq, method, ok)
		}
	}
	if _, _, _, ok := parseRequest(t, msg("PRACK", "192.0.2.7", "none", "none", "x", 2)).RAck(); ok {
		t.Error("a PRACK without RAck acknowledges something")
	}
}

func TestWithout100rel(t *testing.T) {
	got := Without100rel([]HeaderField{{"Supported", "timer, 100rel"}, {"Require", "100rel"}, {"Subject", "100rel"}})
	if len(got) != 2 || got[0].Value != "timer" || got[1].Name != "Subject" {
		t.Errorf("%v", got)
	}
	if v := AllowWith([]string{"INVITE, Update"}); v != Allow {
		t.Errorf("with UPDATE: %s", v)
	}
	if v := AllowWith([]string{"INVITE"}); v == Allow || AllowWith(nil) != v {
		t.Errorf("without UPDATE: %s", v)
	}
}
