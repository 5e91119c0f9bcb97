package rules_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/rules"
)

func TestEveryPackIsNamed(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".yaml"); ok {
			found = append(found, name)
		}
	}
	names := rules.Names()
	slices.Sort(names)
	slices.Sort(found)
	if !slices.Equal(names, found) {
		t.Errorf("names %v, files %v", names, found)
	}
	for _, n := range names {
		if data, ok := rules.Pack(n); !ok || len(data) == 0 {
			t.Errorf("pack %s is empty", n)
		}
	}
	for _, n := range []string{"office", "call-centre"} {
		if data, ok := rules.Profile(n); !ok || len(data) == 0 {
			t.Errorf("profile %s is empty", n)
		}
		if _, ok := rules.Pack(n); ok {
			t.Errorf("profile %s is a pack", n)
		}
	}
	for _, n := range []string{"", "nothing", "../rules/base", "base.yaml"} {
		if _, ok := rules.Pack(n); ok {
			t.Errorf("%q is a pack", n)
		}
	}
}
