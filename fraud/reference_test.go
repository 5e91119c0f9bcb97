package fraud

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rampart-sbc/rampart/fraud/param"
)

//go:generate go test -run IsCurrent -update .

var update = flag.Bool("update", false, "write the reference page")

// TestReferenceIsCurrent: the page of detectors says what the code does.
func TestReferenceIsCurrent(t *testing.T) {
	const path = "../docs/reference/detectors.md"
	want := page()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says (%v); run go generate ./fraud", path, err)
	}
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Made from the code by go generate ./fraud; change it there. -->\n# Detectors\n" +
		"Entries of `detectors:` in policy files, by `id:`. Each may also have `then:` (`flag`, `reject CODE`, `hangup`, `hold DURATION`), `mode:` (`enforce`, `shadow`, `off`), " +
		"`owner:`, `ticket:` and `description:`. Without a `mode:` what it does is withheld for the time that `shadow` of `fraud/all` says; alerts are always sent. Money is in the currency of the rate deck, USD without one.\n")
	office, centre := Defaults("office"), Defaults("call-centre")
	for _, d := range param.All() {
		fmt.Fprintf(&b, "\n## %s\n%s", d.ID, d.Sees)
		if d.ID != param.Everywhere {
			fmt.Fprintf(&b, " [More](../%s)", d.Page)
		}
		b.WriteString("\n")
		if len(d.Params) == 0 {
			continue
		}
		b.WriteString("\n| key | kind | office | call-centre | from … to | meaning |\n|---|---|---|---|---|---|\n")
		for _, p := range d.Params {
			o, _ := office.Get(d.ID, p.Key)
			c, _ := centre.Get(d.ID, p.Key)
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | `%s` | %s … %s | %s |\n", p.Key, p.Kind, param.Text(p.Kind, o), param.Text(p.Kind, c), param.Text(p.Kind, p.Min), param.Text(p.Kind, p.Max), p.Doc)
		}
	}
	return b.Bytes()
}
