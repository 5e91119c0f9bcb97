package fraud

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// What is released is forgotten, what others led to is not.
func TestRelease(t *testing.T) {
	e := teller()
	until := t0.Add(time.Hour).UnixNano()
	*e.ping.guard.get("+37120000", e.now) = guarded{Until: until, ID: "a"}
	*e.ping.guard.get("+37120000001", e.now) = guarded{Until: until, ID: "a"}
	*e.ping.guard.get("+22507010203", e.now) = guarded{Until: until, ID: "b"}
	if n := e.Release("a"); n != 2 || e.ping.guard.len() != 1 {
		t.Errorf("%d released, %d left", n, e.ping.guard.len())
	}
	if n := e.Release(""); n != 0 || e.ping.guard.len() != 1 {
		t.Error("an empty id released something")
	}
	for _, u := range []string{"1001", "1002"} {
		p := e.toll.users.get(userKey{"main", u}, e.now)
		p.hour.level, p.day.level, p.alarm = 5, 9, until
	}
	id := e.tell(userFinding("1001"), nil)
	e.tell(userFinding("1002"), nil)
	e.Release(id)
	if p := e.toll.users.peek(userKey{"main", "1001"}, e.now); p.hour.level != 0 || p.day.level != 0 || p.alarm != 0 {
		t.Errorf("%+v", p)
	}
	if p := e.toll.users.peek(userKey{"main", "1002"}, e.now); p.hour.level == 0 {
		t.Errorf("%+v", p)
	}
	a := e.toll.accounts.get("main", e.now)
	a.day.level, a.alarm = 20, until
	f := userFinding("")
	f.Subject = call.Subject{Kind: "account", Value: "main"}
	e.Release(e.tell(f, nil))
	if a.day.level != 0 || a.alarm != 0 {
		t.Errorf("%+v", a)
	}
}
