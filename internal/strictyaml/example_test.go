package strictyaml_test

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

func ExampleDecode() {
	type rule struct {
		At   strictyaml.Pos `yaml:"-"`
		ID   string         `yaml:"id,required"`
		To   []string       `yaml:"to,single"`
		Over time.Duration  `yaml:"over"`
	}
	var file struct {
		Rules []rule `yaml:"rules"`
	}
	ps := strictyaml.Decode("local.yaml", []byte(`rules:
  - id: local/one
    to: 0033
    ovr: 5m
  - to: ["+33"]
    over: 10
`), &file)
	fmt.Println(ps)
	// Output:
	// local.yaml:3:9: rules[0].to[0]: 0033 without quotes is a number in YAML, and text belongs here
	//     hint: put it in quotes: "0033"
	// local.yaml:4:5: unknown key "ovr" in rules[0]
	//     hint: did you mean over?
	// local.yaml:5:5: rules[1].id is missing
	// local.yaml:6:11: rules[1].over: "10" is not a duration
	//     hint: a number with a unit: 500ms, 10s, 5m, 12h, 7d
}
