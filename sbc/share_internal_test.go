package sbc

import (
	"hash/maphash"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// TestShareOf: whose share of what is let in a phone takes does not follow from
// what it writes: names that it has not registered are neither many shares nor
// those of others.
func TestShareOf(t *testing.T) {
	g := &Gateway{}
	g.overload.seed = maphash.MakeSeed()
	phone := func(flow uint64, users ...string) func(from string) uint64 {
		fi := &flowIdentity{ids: &identities{}, until: map[aor]time.Time{}}
		for _, u := range users {
			fi.until[aor{u, "a.example"}] = time.Now().Add(time.Hour)
		}
		f := &sipx.Flow{ID: flow}
		return func(from string) uint64 {
			return g.shareOf(&request{flow: f, method: "INVITE", from: []byte(from)}, identity{kind: call.Phone, who: fi})
		}
	}
	a, desk, trunk := phone(1, "1001"), phone(2, "1001"), phone(3, "1001", "1002")
	own := a("sip:1001@a.example")
	if own == 0 || own != a("sips:%31001@A.example.") || own != desk("sip:1001@a.example") {
		t.Error("a user has more than one share")
	}
	if trunk("sip:1002@a.example") == own || trunk("sip:1001@a.example") != own {
		t.Error("two users of one connection have one share")
	}
	strange := a("sip:1002@a.example")
	if strange == trunk("sip:1002@a.example") {
		t.Error("a phone takes the share of another user")
	}
	for _, from := range []string{"sip:x1@a.example", "sip:x2@a.example", "sip:1001@b.example", "sip:anonymous@anonymous.invalid", "tel:1001"} {
		if a(from) != strange {
			t.Errorf("%s is another share of the same connection", from)
		}
	}
	if desk("sip:x1@a.example") == strange {
		t.Error("two connections have one share")
	}
}
