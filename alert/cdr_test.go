package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func after(d time.Duration) *call.Time { return call.At(t0.Add(d)) }

// answered is a call from a phone through the PBX to a carrier: two passes.
func answered() call.Record {
	leg := func(side, suite string) call.Leg {
		return call.Leg{Side: side, Suite: suite, PacketsIn: 3050, PacketsOut: 3047, BytesIn: 524600, LossPercent: 0.1, JitterMs: 1.25, RTTMs: 31.5, ReportedLossPercent: 0.2, MOS: 4.37}
	}
	carrier := leg("public", "AES_CM_128_HMAC_SHA1_80")
	carrier.Peer = "carrier-a"
	return call.Record{
		ID: "01JGT7-1", CallID: "01JGT7", Node: "sbc-1", Account: "main", User: "1001", Direction: call.Outbound,
		From: "1001", To: "0442079460000", ToE164: "+442079460000", ToNumber: "+442079460000", ToKind: "international",
		Country: "GB", Class: "fixed", Start: after(0), Ring: after(900 * time.Millisecond), Answer: after(6 * time.Second), End: after(67 * time.Second),
		RingMs: 5100, DurationMs: 61000, EndedBy: call.ByCaller, Code: 200, Verdict: call.Allow, UserAgent: "baresip v3",
		Source: "203.0.113.77:40112", SourceGeo: "FR",
		Passes: []call.Pass{
			{SIPCallID: "a84b4c76e66710@192.168.1.20", SIPCallIDTo: "7f3a", From: "public", RoutedTo: "main", Code: 200,
				Trace: []string{"base/known-phone"}, Source: "203.0.113.77:40112", Transport: "tls", TLSVersion: "1.3",
				MediaLegs: []call.Leg{leg("public", "AEAD_AES_256_GCM"), leg("inside", "")}, DurationMs: 61000, AnsweredAt: after(6 * time.Second)},
			{SIPCallID: "7f3a-out", SIPCallIDTo: "91bc", From: "inside", Peer: "main", RoutedTo: "carrier-a", Code: 200,
				Trace: []string{"countries/allowed"}, Source: "10.0.0.5:5060", Transport: "udp",
				MediaLegs: []call.Leg{leg("inside", ""), carrier}, FailedOver: []string{"carrier-b"}, DurationMs: 61000,
				AnsweredAt: after(6 * time.Second), HangupCause: ""},
		},
	}
}

func refused() call.Record {
	return call.Record{
		ID: "01JGT8-1", CallID: "01JGT8", Account: "main", User: "1001", Direction: call.Outbound, From: "1001", To: "0018765550100",
		ToE164: "+18765550100", ToNumber: "+18765550100", ToKind: "international", Country: "JM", Class: "fixed",
		Start: after(0), End: after(2 * time.Millisecond), RingMs: 2, EndedBy: call.ByGateway, Code: 403, Verdict: call.Reject,
		Rule: "countries/denied", Source: "203.0.113.77:40112",
		Passes: []call.Pass{{SIPCallID: "x@y", From: "public", Code: 403, Rule: "countries/denied",
			Trace: []string{"base/known-phone", "countries/denied"}, Source: "203.0.113.77:40112", Transport: "tls", TLSVersion: "1.3",
			Policy: "27b486aa434a", Facts: facts()}},
	}
}

func facts() *call.Facts {
	return &call.Facts{At: call.Time{Time: t0}, Sender: "phone", Account: "main", User: "1001", Direction: "outbound",
		From: call.FactsParty{Given: "1001", Host: "sip.example.com", Number: "1001", Kind: "extension"},
		To:   call.FactsParty{Given: "0018765550100", Host: "sip.example.com", Number: "+18765550100", Kind: "international", Country: "JM", Region: "caribbean", Class: "fixed"},
		URI:  "sip:0018765550100@sip.example.com", UserAgent: "baresip v3", Country: "FR", Registered: true, Hops: 70, Size: 1240, Offer: "RTP/SAVP", SRTP: true,
		Verdict: "reject", Status: 403, Reason: "country JM is not on the list of allowed ones: +18765550100",
		Evidence: []call.Evidence{{Name: "call.to.country", Value: "JM", Threshold: "default: deny"}},
		Counts:   []call.Count{{Limit: "base/calls-per-user", Unit: "calls", Value: 1, Most: 20}}, Asked: true}
}

// Every fact of a pass is in the schema, and what is hostile in it is made safe
// and short.
func TestEveryFactFits(t *testing.T) {
	long := strings.Repeat("x\x1b[2J", 500)
	var fill func(v reflect.Value, depth int)
	fill = func(v reflect.Value, depth int) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(long)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(500)
		case reflect.Uint:
			v.SetUint(64500)
		case reflect.Interface:
			v.Set(reflect.ValueOf(long))
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 40, 40))
			for i := range v.Len() {
				fill(v.Index(i), depth)
			}
		case reflect.Pointer:
			if depth > 0 {
				v.Set(reflect.New(v.Type().Elem()))
				fill(v.Elem(), depth-1)
			}
		case reflect.Struct:
			if _, ok := v.Interface().(call.Time); ok {
				v.Set(reflect.ValueOf(call.Time{Time: t0}))
				return
			}
			for i := range v.NumField() {
				fill(v.Field(i), depth)
			}
		}
	}
	r := refused()
	f := r.Passes[0].Facts
	fill(reflect.ValueOf(f).Elem(), 3)
	f.Sender, f.Direction, f.Verdict = "phone", "outbound", "drop"
	line, err := record{cleanRecord(r, "sbc-1", t0)}.Line()
	if err != nil {
		t.Fatal(err)
	}
	valid(t, compile(t, "cdr"), line)
	if strings.Contains(string(line), "\x1b") || strings.Contains(string(line), "u001b") {
		t.Error("a control character is in the line")
	}
	if len(line) > 64<<10 {
		t.Errorf("a line of %d octets", len(line))
	}
}

func unknown(source string) call.Record {
	at := call.At(time.Now())
	return call.Record{ID: "s", CallID: "s", From: "100", To: "900441234567890", Start: at, End: at, Verdict: call.Drop,
		Rule: "base/strangers", Source: source, UserAgent: "scan\x1b[0m",
		Passes: []call.Pass{{SIPCallID: "1", From: "public", Source: source, Transport: "udp"}}}
}

// row is what the tests read of a CDR line.
type row struct {
	Source     string
	Coalesced  int
	Start, End time.Time
}

func records(t *testing.T, data []byte) (out []row) {
	t.Helper()
	for l := range bytes.Lines(data) {
		var r row
		if err := json.Unmarshal(l, &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestGoldenCDR(t *testing.T) {
	schema := compile(t, "cdr")
	busy := answered()
	busy.Answer, busy.DurationMs, busy.Code, busy.EndedBy, busy.Passes = nil, 0, 486, call.ByCallee, busy.Passes[:1]
	busy.Passes[0].Code, busy.Passes[0].AnsweredAt, busy.Passes[0].DurationMs = 486, nil, 0
	many := unknown("198.51.100.9:5060")
	many.Start, many.End = after(0), after(9600*time.Millisecond)
	for name, r := range map[string]call.Record{"coalesced": many, "answered": answered(), "refused": refused(), "busy": busy, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			clean := cleanRecord(r, "sbc-1", t0)
			if name == "coalesced" {
				clean.Coalesced = 96
			}
			line, err := record{clean}.Line()
			if err != nil {
				t.Fatal(err)
			}
			if n := valid(t, schema, line); n != 1 {
				t.Fatalf("%d lines", n)
			}
			golden(t, "cdr/"+name+".json", indent(t, line))
		})
	}
}

func TestCDRIsCompleteForTheKnown(t *testing.T) {
	schema := compile(t, "cdr")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		c := NewCDR(CDROptions{Node: "sbc-1", PerSource: 2, Total: 3}, m)
		for range 500 {
			c.Write(refused())
			nobody := answered()
			nobody.User = ""
			c.Write(nobody) // let through: never folded, whoever it was
			c.WriteKnown(unknown("192.0.2.1:5060"))
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Write(refused())
		if n := valid(t, schema, m.data()); n != 1500 {
			t.Errorf("%d lines", n)
		}
	})
}

// What is refused in a carrier's name over UDP may be anybody's. What is let
// through, and what came on a connection, is the carrier's.
func TestCDRFoldsForgedPeers(t *testing.T) {
	schema := compile(t, "cdr")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		c := NewCDR(CDROptions{Datagrams: 5}, m)
		peer := func(transport string, v call.Verdict) call.Record {
			r := unknown("198.51.100.9:5060")
			r.Peer, r.Verdict, r.Passes[0].Transport = "carrier", v, transport
			return r
		}
		for range 100 {
			c.WriteKnown(peer("udp", call.Reject))
			c.WriteKnown(peer("udp", call.Allow))
			c.WriteKnown(peer("tls", call.Reject))
		}
		synctest.Wait()
		if n := m.lines(); n != 205 {
			t.Fatalf("%d lines before the window ends, want 5, 100 and 100", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		rs := records(t, m.data())
		if last := rs[len(rs)-1]; len(rs) != 206 || last.Coalesced != 94 {
			t.Fatalf("%d records, the last is %+v", len(rs), last)
		}
		c.Close(t.Context())
		valid(t, schema, m.data())
	})
}

func TestCDRFoldsStrangers(t *testing.T) {
	schema := compile(t, "cdr")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		c := NewCDR(CDROptions{PerSource: 3, Window: time.Minute}, m)
		for range 100 {
			c.Write(unknown("198.51.100.9:5060"))
			time.Sleep(100 * time.Millisecond)
		}
		c.Write(unknown("198.51.100.10:5060"))
		synctest.Wait()
		if n := m.lines(); n != 4 {
			t.Fatalf("%d lines before the window ends, want 3 and 1", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		rs := records(t, m.data())
		if len(rs) != 5 || rs[4].Coalesced != 96 || rs[4].Source != "198.51.100.9:5060" {
			t.Fatalf("%+v", rs)
		}
		if d := rs[4].End.Sub(rs[4].Start); d != 9600*time.Millisecond {
			t.Errorf("the record spans %v, want 9.6 s", d)
		}
		c.Close(t.Context())
		valid(t, schema, m.data())
		if st := c.Stats(); st.Records != 101 || st.Coalesced != 97 {
			t.Errorf("%+v", st)
		}
	})
}

// Forged sources, each packet another: neither memory nor disk may grow with them.
func TestCDRStrangersAreBounded(t *testing.T) {
	schema := compile(t, "cdr")
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		c := NewCDR(CDROptions{Total: 50, Table: 100}, m)
		const n = 20_000
		for i := range n {
			c.Write(unknown(fmt.Sprintf("[2001:db8:%x:%x::1]:5060", i>>8, i)))
		}
		c.mu.Lock()
		size := len(c.table.keys)
		c.mu.Unlock()
		if size != 101 {
			t.Errorf("the table holds %d keys, want 100 and one for the rest", size)
		}
		c.Write(refused())
		c.Close(t.Context())
		rs := records(t, m.data())
		sum := 0
		for _, r := range rs {
			sum += r.Coalesced + 1
		}
		if len(rs) != 102 || sum != n+1 {
			t.Errorf("%d records stand for %d attempts, want 102 for %d", len(rs), sum, n+1)
		}
		valid(t, schema, m.data())
		if last := rs[len(rs)-1]; last.Source != "" || last.Coalesced != n-100-1 {
			t.Errorf("the record for the rest: %+v", last)
		}
	})
}

func TestSourceKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:5060":            "192.0.2.1",
		"[::ffff:192.0.2.1]:5060":   "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1":  "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1]:99": "2001:db8:1:2::",
		"[fe80::1%eth0]:5060":       "fe80::",
		"nonsense":                  "invalid IP",
		"":                          "invalid IP",
	} {
		if got := sourceKey(in).String(); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestCDRKeepsWhatItWasGiven(t *testing.T) {
	r := answered()
	r.Passes[0].SIPCallID, r.Passes[0].MediaLegs[0].JitterMs = "\x00", math.NaN()
	cleanRecord(r, "n", t0)
	if r.Passes[0].SIPCallID != "\x00" || !math.IsNaN(r.Passes[0].MediaLegs[0].JitterMs) {
		t.Error("the caller's record was changed")
	}
}

func TestCDRToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cdr.jsonl")
	f, err := File(path)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCDR(CDROptions{Node: "sbc-1"}, f)
	for range 5000 {
		c.Write(answered())
	}
	if err := c.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n != 5000 {
		t.Errorf("%d lines", n)
	}
	NewCDR(CDROptions{}).Close(t.Context()) // without a sink
}

func FuzzCDRLine(f *testing.F) {
	f.Add("1001", "0018765550100", "baresip", int64(5), 486, 0.5, uint8(3))
	f.Add("\xff\x1b", "\u202e", "", int64(-1), -5, math.Inf(1), uint8(0))
	schema := compile(f, "cdr")
	f.Fuzz(func(t *testing.T, from, to, agent string, ms int64, code int, q float64, verdict uint8) {
		r := answered()
		r.ID, r.From, r.To, r.UserAgent, r.RingMs, r.DurationMs, r.Code = from, from, to, agent, ms, ms, code
		r.Verdict, r.User, r.Rule, r.Source = call.Verdict(verdict%5), to, from, agent
		p := &r.Passes[0]
		p.SIPCallID, p.RoutedTo, p.Trace, p.DurationMs, p.HangupCause = from, to, []string{agent, from}, ms, agent
		p.MediaLegs[0].LossPercent, p.MediaLegs[0].JitterMs, p.MediaLegs[0].Suite = q, -q, agent
		if strings.HasPrefix(from, "x") {
			r.Start, r.Passes = nil, nil
		}
		line, err := record{cleanRecord(r, to, t0)}.Line()
		if err != nil {
			t.Fatal(err)
		}
		if n := valid(t, schema, line); n != 1 {
			t.Fatalf("%d lines: %q", n, line)
		}
	})
}
