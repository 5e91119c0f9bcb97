package config_test

import (
	"fmt"

	"github.com/rampart-sbc/rampart/config"
)

func ExampleParse() {
	file := []byte(`domain: sip.example.com
pbx: "sip:127.0.0.1:5062"
home: {country: BE}
listen: {tls: "127.0.0.1:5061"}
media: {inactivty: 20s}
`)
	_, problems := config.Parse("rampart.yaml", file, config.ThisHost())
	fmt.Println(problems)
	// Output:
	// rampart.yaml:5:9: unknown key "inactivty" in media
	//     hint: did you mean inactivity?
}
