package sipx

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"
)

// application lists the torture messages that are well-formed for Check and
// that the gateway answers later, with what it answers.
var application = map[string]int{
	"intmeth": 405, "esc02": 405, "bext01": 420, "invut": 415, "sdp01": 406, "zeromf": 483, "regaut01": 401,
}

// refused lists the torture messages that Check refuses, with the status;
// all others it accepts.
var refused = map[string]int{
	"badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": 400, "quotbal": 400, "ltgtruri": 400,
	"lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": 400, "regbadct": 400, "badaspec": 400,
	"baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 400, "bigcode": 400, "badbranch": 400, "insuf": 400,
	"unkscm": 416, "novelsc": 416, "unksm2": 400, "multi01": 400, "mcl01": 400, "bcast": 400, "inv2543": 400,
	"ipv6-bad": 400, "ipv6-bug-abnf-3-colons": 400,
}

// TestTorture runs the messages of RFC 4475 and RFC 5118 from the directory
// sip-torture below RAMPART_CORPORA. The project does not carry them; what is
// essential in them is repeated by TestCheck.
func TestTorture(t *testing.T) {
	dir := os.Getenv("RAMPART_CORPORA")
	if dir == "" {
		t.Log("NOTICE: RAMPART_CORPORA is not set: the messages of RFC 4475 and RFC 5118 were not tried")
		return
	}
	dir = filepath.Join(dir, "sip-torture")
	f, err := os.Open(filepath.Join(dir, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 62 {
		t.Fatalf("table has %d rows, want 61 messages", len(rows)-1)
	}
	for _, row := range rows[1:] {
		name := row[0]
		t.Run(name, func(t *testing.T) {
			msg, err := os.ReadFile(filepath.Join(dir, "rfc4475", name+".dat"))
			if err != nil {
				if msg, err = os.ReadFile(filepath.Join(dir, "rfc5118", name+".dat")); err != nil {
					t.Fatal(err)
				}
			}
			n, bad := Check(msg, false, Limits{})
			want := refused[name]
			switch {
			case want == 0 && bad != nil:
				t.Fatalf("refused (%v), but the table says %q", bad, row[5])
			case want != 0 && bad == nil:
				t.Fatalf("accepted, want %d; the table says %q", want, row[5])
			case want != 0 && bad.Status != want:
				t.Fatalf("status %d (%v), want %d", bad.Status, bad, want)
			case want != 0:
				if response := msg[0] == 'S'; bad.Response != response {
					t.Fatalf("Response = %v, want %v", bad.Response, response)
				}
				return
			}
			if !mayBeSIP(msg) {
				t.Error("the first look drops it")
			}
			if name == "dblreq" && n >= len(msg) {
				t.Fatal("trailing octets are not cut off")
			}
			agree(t, msg[:n])
		})
	}
}
