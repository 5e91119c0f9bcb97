package config

import "github.com/rampart-sbc/rampart/internal/strictyaml"

// Answers says what strangers hear when the PBX refuses their registration.
type Answers string

const (
	AnswersUniform Answers = "uniform"  // the same, whether the user exists or not
	AnswersAsGiven Answers = "as-given" // what the PBX says
)

// UnmarshalScalar reads the word.
func (a *Answers) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(a), text, string(AnswersUniform), string(AnswersAsGiven))
}

// YAMLShape implements [strictyaml.Shaper].
func (Answers) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(AnswersUniform), string(AnswersAsGiven))
}

func (k *checker) answers() {
	if k.c.Phones.Answers == AnswersAsGiven {
		k.warning("phones.answers", "answers: uniform", "phones: strangers hear what the PBX says to a registration, so they can find out which users there are")
	}
}
