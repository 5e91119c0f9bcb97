package number_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Every country that has numbers is in exactly one region.
func TestEveryCountryHasARegion(t *testing.T) {
	in := map[string]string{}
	for _, r := range number.Regions() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r) {
			t.Errorf("region %q is not in kebab-case", r)
		}
		for _, c := range number.RegionCountries(r) {
			if in[c] != "" {
				t.Errorf("%s is in %s and in %s", c, in[c], r)
			}
			in[c] = r
			if got := number.Region(c); got != r {
				t.Errorf("Region(%s) is %q, want %q", c, got, r)
			}
		}
	}
	for _, c := range number.Builtin().Countries() {
		if in[c] == "" {
			t.Errorf("%s has numbers and no region", c)
		}
	}
	if len(number.Regions()) != 22 { // M.49 with its intermediate regions, the Channel Islands with Northern Europe
		t.Errorf("%d regions: %v", len(number.Regions()), number.Regions())
	}
}

func TestRegion(t *testing.T) {
	for country, want := range map[string]string{
		"JM": "caribbean", "DO": "caribbean", "US": "northern-america", "MX": "central-america", "GY": "south-america",
		"FR": "western-europe", "GB": "northern-europe", "VA": "southern-europe", "RU": "eastern-europe", "TR": "western-asia",
		"RE": "eastern-africa", "SO": "eastern-africa", "LV": "northern-europe", "TK": "polynesia",
		"": "", "x": "", "XX": "", "ZZ": "", "fr": "", "F\xff": "", "FRA": "", "[[": "", "@@": "",
	} {
		if got := number.Region(country); got != want {
			t.Errorf("Region(%q) is %q, want %q", country, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { number.Region("JM") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFillKnowsTheRegion(t *testing.T) {
	p := plan(t, paris)
	for text, want := range map[string]string{"0018765550100": "caribbean", "0123456789": "western-europe", "1001": "", "*97": "", "00881612345678": ""} {
		x := call.Party{Region: "stale", User: "kept"}
		p.Normalise(text, number.Dialled).Fill(&x)
		if x.Region != want || x.User != "kept" {
			t.Errorf("%s: region %q, user %q, want %q", text, x.Region, x.User, want)
		}
	}
	if !slices.Contains(number.RegionCountries("caribbean"), "JM") || number.RegionCountries("atlantis") != nil {
		t.Error("RegionCountries")
	}
}

// The page lists what is compiled in.
func TestRegionsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/numbers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range number.Regions() {
		if row := "| `" + r + "` | " + strings.Join(number.RegionCountries(r), " ") + " |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/numbers.md has no row %q", row)
		}
	}
}
