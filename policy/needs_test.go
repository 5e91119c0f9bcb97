package policy_test

import (
	"fmt"
	"strings"
	"testing"
)

// What files ask of GeoIP is listed with its place; packs and what is off are not.
func TestNeeds(t *testing.T) {
	rule := "version: 1\nrules:\n  - {id: %s/abroad, on: register, match: {source: {country: [LV]}}, then: drop}\n"
	s := compile(t, pack("base", fmt.Sprintf(rule, "base")), file("a.yaml", `version: 1
rules:
  - id: site/abroad
    on: register
    match: {source: {country: [LV], asn: [64500]}}
    then: drop
  - {id: site/off, on: register, match: {source: {asn: [64501]}}, then: drop, mode: off}
  - {id: site/near, on: register, match: {source: {cidr: ["192.0.2.0/24"]}}, then: drop}
  - {id: site/condition, on: register, when: "source.country == 'LV'", then: drop}
  - {id: site/list, on: register, match: {source: {list: far}}, then: drop}
  - {id: site/near-list, on: register, match: {source: {list: near}}, then: drop}
lists:
  far: [LV, LT]
  near: ["192.0.2.0/24"]
limits:
  - {id: site/per-country, on: register, key: [source.country], rate: 5/s, then: drop}
`))
	var got []string
	for _, n := range s.Needs() {
		got = append(got, fmt.Sprintf("%s:%d:%d %s %s", n.File, n.Pos.Line, n.Pos.Col, n.ID, n.Fact))
	}
	want := []string{"a.yaml:5:31 site/abroad source.country", "a.yaml:5:42 site/abroad source.asn", "a.yaml:9:46 site/condition source.country", "a.yaml:10:58 site/list source.country", "a.yaml:16:48 site/per-country source.country"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("needs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
