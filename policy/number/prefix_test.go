package number

import "testing"

func TestPrefix(t *testing.T) {
	france, err := Compile(Home{Country: "FR"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	america, err := Compile(Home{Country: "US"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		plan *Plan
		text string
		bare bool
		want string
	}{
		{france, "+1876", false, "+1876"}, {france, "+1 (876)", false, "+1876"}, {france, "001876", false, "+1876"},
		{france, "0899", false, "+33899"}, {france, "1876", false, ""}, {france, "1876", true, "+1876"},
		{france, "+0876", false, ""}, {france, "00", false, ""}, {france, "", false, ""}, {france, "abc", false, ""},
		{america, "0111876", false, "+1876"}, {america, "01144", false, "+44"}, {america, "1900", false, "+1900"}, {america, "900", false, ""},
		{france, "+1234567890123456", false, ""},
	} {
		got, ok := c.plan.Prefix(c.text, c.bare)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s (bare %v): %q %v, want %q", c.text, c.bare, got, ok, c.want)
		}
	}
}
