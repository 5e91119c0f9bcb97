package config

import (
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for src, want := range map[string]string{
		"":                              "",
		"phones: {answers: uniform}\n":  "",
		"phones: {answers: as-given}\n": "strangers hear what the PBX says",
		"phones: {answers: truthful}\n": "uniform, as-given",
	} {
		c, ps := Parse("/etc/rampart/rampart.yaml", []byte("domain: sip.example.com\npbx: \"sip:10.0.0.5:5060\"\nhome: {country: FR}\n"+src), fakeHost(exampleFiles()))
		text := ""
		for _, p := range ps {
			text += p.Message + "\n" + p.Hint + "\n"
		}
		if want == "" && (text != "" || c.Phones.Answers != AnswersUniform) || !strings.Contains(text, want) {
			t.Errorf("%q: %q, answers %q", src, text, c.Phones.Answers)
		}
	}
}
