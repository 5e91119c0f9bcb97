package fraud

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"pgregory.net/rapid"
)

func asText(t interface{ Fatal(...any) }, fs []Finding) (out []string) {
	for _, f := range fs {
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// A stream that is split over two processes gives what one gives.
func TestRestartChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		evs := newWorld(rapid.Uint64().Draw(t, "seed")).events(12)
		cut := rapid.IntRange(0, len(evs)).Draw(t, "cut")
		whole, first := office(), office()
		want := watch(whole, evs)
		var got []Finding
		for _, ev := range evs[:cut] {
			got = append(got, first.Observe(ev)...)
		}
		b, err := first.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		second := office()
		if err := second.Restore(b); err != nil {
			t.Fatal(err)
		}
		got = append(got, watch(second, evs[cut:])...)
		if a, b := asText(t, want), asText(t, got); !slices.Equal(a, b) {
			t.Fatalf("cut at %d of %d: %d findings, %d in one process", cut, len(evs), len(b), len(a))
		}
		one, _ := whole.Snapshot()
		two, _ := second.Snapshot()
		if string(one) != string(two) {
			t.Fatal("what is known differs")
		}
	})
}

// What the tests of the Engine give it makes every detector find something.
func TestWorldHasEverything(t *testing.T) {
	kinds := map[string]int{}
	for _, f := range watch(office(), newWorld(1).events(1000)) {
		kinds[f.Detector]++
	}
	for _, id := range []string{IDPing, IDCallback, IDToll, IDForward, IDPump, IDFree, IDRobo, IDProbe} {
		if kinds[id] == 0 {
			t.Errorf("the world has no %s", id)
		}
	}
}

// A file that is damaged anywhere changes nothing.
func TestRestoreOfDamage(t *testing.T) {
	e := office()
	watch(e, newWorld(1).events(100))
	whole, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, []byte("rampart-fraud"), []byte("{}"), whole[:len(whole)-1], whole[:len(whole)/2], append(slices.Clone(whole), 0)} {
		if err := e.Restore(bad); err == nil {
			t.Errorf("%d octets were taken", len(bad))
		}
	}
	for i := 0; i < len(whole); i += 1 + len(whole)/200 {
		bad := slices.Clone(whole)
		bad[i] ^= 0x40
		if err := e.Restore(bad); err == nil {
			t.Errorf("taken with octet %d changed", i)
		}
	}
	if after, _ := e.Snapshot(); string(after) != string(whole) {
		t.Error("a damaged file changed something")
	}
}

func TestSnapshotOfEvents(t *testing.T) {
	e := office()
	e.Observe(call.Event{Kind: call.EventInvite, ID: "x", Subject: &call.Subject{Kind: "user", Value: "1"}})
	b, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	again := office()
	if err := again.Restore(b); err != nil || len(again.batch) != 1 || again.batch[0].ID != "x" {
		t.Error(err, again.batch)
	}
}
