package explain

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// fill gives every field a value of its own, so that what a codec forgets or
// mixes up is seen.
func fill(v reflect.Value, n *int, depth int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(1700000000+*n), 5).In(time.FixedZone("", 3600))))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(*n)}), uint16(*n))))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(*n), 0}), 24)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n, depth)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint8, reflect.Uint16:
		v.SetUint(1)
	case reflect.Slice:
		if depth == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n, depth-1)
		}
	case reflect.Pointer:
		if depth == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, depth-1)
	case reflect.Interface:
		v.Set(reflect.ValueOf(int64(*n)))
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

func filled() (a call.Attempt, d call.Decision) {
	n := 0
	fill(reflect.ValueOf(&a).Elem(), &n, 2)
	fill(reflect.ValueOf(&d).Elem(), &n, 3)
	a.From.Other.Other, a.To.Other.Other = nil, nil // there is only one other reading
	for i := range d.Also {
		d.Also[i].Also = nil
	}
	return a, d
}

// Whatever a request or a decision has is kept: who adds a field adds it here.
func TestEveryFieldIsKept(t *testing.T) {
	a, d := filled()
	r := NewRecent(Caps{})
	r.Add(&a, &d)
	got := r.Find(a.ID)
	if len(got) != 1 {
		t.Fatal("not found")
	}
	same := func(path string, got, want reflect.Value) {}
	same = func(path string, got, want reflect.Value) {
		if got.Kind() == reflect.Struct && got.NumField() > 0 && got.Type().Field(0).IsExported() {
			for i := range got.NumField() {
				same(path+"."+got.Type().Field(i).Name, got.Field(i), want.Field(i))
			}
			return
		}
		if !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s is %+v, want %+v: a field that codec.go does not keep?", path, got, want)
		}
	}
	same("Attempt", reflect.ValueOf(got[0].Attempt), reflect.ValueOf(a))
	same("Decision", reflect.ValueOf(got[0].Decision), reflect.ValueOf(d))
	var none call.Attempt
	none.Method, none.SIPCallID = "OPTIONS", "x"
	r.Add(&none, &call.Decision{})
	if got := r.Find("x"); len(got) != 1 || !reflect.DeepEqual(got[0].Decision, call.Decision{}) || got[0].Decision.Counts != nil {
		t.Errorf("an empty decision: %+v", got)
	}
}

// What is damaged or cut off is left out and never a panic.
func TestDamaged(t *testing.T) {
	a, d := filled()
	c := codec{}
	c.attempt(&a)
	c.decision(&d, false)
	c.flag(&c.cut)
	for i := range c.buf {
		if _, ok := decode(c.buf[:i]); ok {
			t.Fatalf("%d of %d octets were taken for a whole", i, len(c.buf))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := append([]byte(nil), c.buf...)
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		decode(b)
	}
}

// A ring never holds more than it may, forgets the oldest first and finds all
// that it has: compared with a list that does the same slowly.
func TestRingAgainstAList(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		b := book{bytes: 1000 + r.IntN(3000), most: 5 + r.IntN(40)}
		kept := map[uint64]string{}
		last := uint64(0)
		for i := uint64(1); i <= 500; i++ {
			text := strings.Repeat(string(rune('a'+i%26)), 1+r.IntN(300))
			b.add([]byte(text), i, i+1_000_000)
			kept[i], last = text, i
			if len(b.buf) > b.bytes || len(b.spans)-b.first > b.most {
				t.Fatalf("%d octets of %d, %d entries of %d", len(b.buf), b.bytes, len(b.spans)-b.first, b.most)
			}
			alive := 0
			for j := last; j >= 1; j-- { // the newest without a gap
				got := b.find(j, nil)
				if len(got) == 0 {
					break
				}
				if string(got[0]) != kept[j] {
					t.Fatalf("entry %d after %d is %q, want %q", j, i, got[0], kept[j])
				}
				alive++
			}
			if alive != len(b.spans)-b.first || alive == 0 {
				t.Fatalf("%d found, %d kept", alive, len(b.spans)-b.first)
			}
		}
	}
}

func someone(i int) (*call.Attempt, *call.Decision) {
	a := &call.Attempt{At: time.Unix(1700000000, 0).Add(time.Duration(i) * time.Second).UTC(), Method: "INVITE", PeerKind: call.Phone, User: "1001",
		Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.7:40112"), Transport: "tls", TLSVersion: "1.3", Country: "FR", Registered: true},
		From:   call.Party{User: "1001", Host: "sip.example.com", Number: "1001", Kind: call.Extension},
		To:     call.Party{User: "0018765550100", Host: "sip.example.com", Number: "+18765550100", Kind: call.International, Country: "JM", Class: "fixed_or_mobile"},
		ID:     fmt.Sprint("call-", i), Pass: 1, SIPCallID: fmt.Sprint("sip-", i, "@192.0.2.7"), RequestURI: "sip:0018765550100@sip.example.com",
		UserAgent: "Phone 2.1", Hops: 70, Size: 1200, Direction: call.Outbound, Policy: "0123456789ab"}
	d := &call.Decision{Verdict: call.Allow, Trace: []string{"site/flag"}, Counts: []call.Count{{Limit: "base/invite-per-user", Unit: "requests", Value: 1, Most: 20},
		{Limit: "base/calls-per-user", Unit: "calls", Value: 1, Most: 20}}}
	return a, d
}

// A flood of strangers and registrations pushes out no call, and all of it
// together stays within the caps.
func TestFloodKeepsCalls(t *testing.T) {
	r := NewRecent(Caps{Decisions: 100, Bytes: 100_000, Names: 50})
	for i := range 50 {
		a, d := someone(i)
		r.Add(a, d)
		r.Name(fmt.Sprint("record-", i), a.ID, false)
	}
	for i := range 10_000 {
		a, d := someone(100_000 + i)
		a.PeerKind, a.Source.Registered, a.UserAgent = call.Stranger, false, strings.Repeat("x", 5000)
		d.Verdict = call.Drop
		r.Add(a, d)
		r.Name(fmt.Sprint("stranger-", i), a.ID, true)
		b, e := someone(200_000 + i)
		b.Method, b.ID = "REGISTER", ""
		r.Add(b, e)
	}
	for i := range 50 {
		if got := r.Find(fmt.Sprint("record-", i)); len(got) != 1 || got[0].Attempt.ID != fmt.Sprint("call-", i) {
			t.Fatalf("call %d: %d decisions", i, len(got))
		}
	}
	s := r.Stats()
	if s.Decisions > 225 || s.Bytes > 225_000 || len(r.names[1].list) > 6 {
		t.Errorf("kept %+v, %d names of strangers", s, len(r.names[1].list))
	}
	if got := r.Find("call-109999"); len(got) != 1 || !got[0].Cut || len(got[0].Attempt.UserAgent) != maxText {
		t.Errorf("a stranger's: %d, and its text is not cut", len(got))
	}
}

// By any name, all passes of a call are found, in order.
func TestFindByAnyName(t *testing.T) {
	r := NewRecent(Caps{})
	a, d := someone(1)
	r.Add(a, d)
	b, e := someone(2)
	b.ID, b.Pass, b.SIPCallID, b.PeerKind = a.ID, 2, "from-pbx", call.PBX
	r.Add(b, e)
	r.Name("record", a.ID, false)
	r.Name("to-pbx", a.ID, false)
	for _, name := range []string{a.ID, a.SIPCallID, "from-pbx", "record", "to-pbx"} {
		got := r.Find(name)
		if len(got) != 2 || got[0].Attempt.Pass != 1 || got[1].Attempt.Pass != 2 {
			t.Errorf("%s: %d decisions", name, len(got))
		}
	}
	if got := r.Find("nobody"); got != nil {
		t.Errorf("found %+v", got)
	}
	if got := r.Find(""); got != nil {
		t.Errorf("found %+v", got)
	}
}

// Credentials are not kept.
func TestSecretsAreNotKept(t *testing.T) {
	a, d := someone(1)
	a.Headers = []call.Header{{Name: "Authorization", Value: "Digest response=s3cret"}, {Name: "proxy-authorization", Value: "s3cret"}, {Name: "X-Tenant", Value: "blue"}}
	a.RequestURI, a.To.User = "sip:bob:s3cret@example.com", "bob:s3cret"
	r := NewRecent(Caps{})
	r.Add(a, d)
	for _, book := range r.books {
		if strings.Contains(string(book.buf), "s3cret") {
			t.Error("a credential is in memory")
		}
	}
	f := r.Find(a.ID)[0].Attempt
	if f.RequestURI != "sip:bob:(hidden)@example.com" || f.Headers[2].Value != "blue" || f.Headers[0].Value != hidden {
		t.Errorf("%+v %s", f.Headers, f.RequestURI)
	}
}

func TestRecentFromManySides(t *testing.T) {
	r := NewRecent(Caps{Decisions: 64, Bytes: 20_000})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				a, d := someone(g*1000 + i)
				r.Add(a, d)
				for _, f := range r.Find(a.ID) {
					if f.Attempt.ID != a.ID {
						t.Errorf("asked for %s, got %s", a.ID, f.Attempt.ID)
					}
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAdd(b *testing.B) {
	r := NewRecent(Caps{})
	a, d := someone(1)
	b.ReportAllocs()
	for b.Loop() {
		r.Add(a, d)
	}
}
