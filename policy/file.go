package policy

import "github.com/rampart-sbc/rampart/internal/strictyaml"

// The shapes of a policy file. They hold what stands in the file and where;
// the files of each section (rule.go, limit.go, places.go, …) turn them into what
// is run.

type fileYAML struct {
	Pos        strictyaml.Pos      `yaml:"-"`
	Version    int                 `yaml:"version,required"`
	Home       *homeYAML           `yaml:"home"`
	Countries  *countriesYAML      `yaml:"countries"`
	Rules      []ruleYAML          `yaml:"rules"`
	Limits     []limitYAML         `yaml:"limits"`
	Lists      map[string]listYAML `yaml:"lists"`
	Exceptions []exceptionYAML     `yaml:"exceptions"`
	Detectors  []detectorYAML      `yaml:"detectors"`
	Tests      []testYAML          `yaml:"tests"`
}
