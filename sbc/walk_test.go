package sbc_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// walker is a raw end that does anything that the protocol allows, and some
// that it does not, with a seed.
type walker struct {
	*raw
	rnd    *rand.Rand
	first  *rand.Rand // of the test itself
	pbx    bool
	mu     sync.Mutex
	finals map[string]int // final code by branch
	twice  []string
	cseq   int
	mute   atomic.Bool // it is dead: it hears nothing and says nothing
	wild   bool        // it does also what is of use with a whole gateway only: holds, transfers, registrations
	crypto string      // the tag of the suite that its descriptions take; none: plain RTP
}

// sdp is a description of this end, with the keys that it needs.
func (w *walker) sdp() []byte { return w.sdpAt(40000) }

func (w *walker) sdpAt(port int) []byte {
	if w.crypto != "" {
		a := w.host()
		return []byte(fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/SAVP 0\r\n"+
			"a=crypto:%s AES_CM_128_HMAC_SHA1_80 inline:%s\r\n", a, a, port, w.crypto, strings.Repeat("Abcd", 10)))
	}
	if w.wild && w.chance(20) {
		return w.raw.sdpAt(port, "a=sendonly")
	}
	return w.raw.sdpAt(port)
}

// next is a CSeq that is in order in every dialog.
func (w *walker) next() int { w.cseq++; return 10 + w.cseq }

// maybe is a description, or none.
func (w *walker) maybe(percent int) []byte {
	if w.chance(percent) {
		return w.sdpAt(40000 + 2*w.rnd.IntN(50))
	}
	return nil
}

func (w *walker) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func (w *walker) run(done <-chan struct{}) {
	for {
		m := w.take(func(*siptest.Message) bool { return true })
		if m == nil {
			select {
			case <-w.more:
			case <-done:
				return
			}
			continue
		}
		if w.mute.Load() {
			continue
		}
		switch {
		case m.Method == "REGISTER" && w.wild:
			w.reply(m, 200, unique("t"), nil, field("Contact", fmt.Sprintf("<%s>;expires=3600", siptest.URIOf(m.Get("Contact")))))
		case m.Method == "OPTIONS", m.Method == "NOTIFY":
			w.reply(m, 200, unique("t"), nil)
		case m.Method == "REFER":
			w.referred(m)
		case m.Method == "INVITE" && siptest.Param(m.Get("To"), "tag") == "":
			w.take(func(n *siptest.Message) bool { return n.Method == "INVITE" && n.Branch() == m.Branch() }) // it came again meanwhile
			w.offered(m)
		case m.Method == "INVITE":
			w.modified(m)
		case m.Method == "BYE", m.Method == "INFO":
			if w.chance(90) {
				w.reply(m, []int{200, 200, 200, 481}[w.rnd.IntN(4)], "", nil)
			}
		case m.Method == "PRACK", m.Method == "UPDATE":
			if w.chance(90) {
				body := w.maybe(10)
				if len(m.Body) > 0 {
					body = w.maybe(90)
				}
				w.reply(m, []int{200, 200, 200, 200, 481, 491, 500}[w.rnd.IntN(7)], "", body)
			}
		case m.Method == "CANCEL":
			w.reply(m, 200, "", nil)
			if w.chance(90) {
				inv := m.Clone()
				inv.Method = "INVITE"
				n, _ := m.CSeq()
				inv.Set("CSeq", fmt.Sprint(n, " INVITE"))
				if w.chance(30) {
					w.reply(inv, 200, "late", w.sdp())
				}
				w.reply(inv, 487, "late", nil)
			}
		case m.Method == "":
			w.answered(m)
		}
	}
}

// referred: it shall call somebody; it may tell how that went on.
func (w *walker) referred(m *siptest.Message) {
	code := []int{202, 202, 403, 603}[w.rnd.IntN(4)]
	w.reply(m, code, "", nil, field("Contact", "<sip:raw@"+w.addr().String()+">"))
	if code != 202 || w.chance(30) {
		return
	}
	n := &siptest.Message{Method: "NOTIFY", URI: siptest.URIOf(m.Get("Contact")), Body: []byte("SIP/2.0 200 OK\r\n")}
	for _, f := range [][2]string{{"Via", w.via()}, {"Max-Forwards", "70"}, {"From", m.Get("To")}, {"To", m.Get("From")}, {"Call-ID", m.Get("Call-ID")},
		{"CSeq", fmt.Sprint(w.next(), " NOTIFY")}, {"Contact", "<sip:raw@" + w.addr().String() + ">"}, {"Event", "refer"},
		{"Subscription-State", "terminated;reason=noresource"}, {"Content-Type", "message/sipfrag"}} {
		n.Add(f[0], f[1])
	}
	w.send(n)
}

// offered: the PBX is called.
func (w *walker) offered(m *siptest.Message) {
	if _, rest, ok := strings.Cut(string(m.Body), "a=crypto:"); ok && w.crypto != "" {
		for line := range strings.SplitSeq(rest, "a=crypto:") {
			if tag, suite, _ := strings.Cut(line, " "); strings.HasPrefix(suite, "AES_CM_128_HMAC_SHA1_80") {
				w.crypto = tag
			}
		}
	}
	rseq := 1
	for range w.rnd.IntN(8) {
		tag := fmt.Sprint("t", w.rnd.IntN(3))
		switch w.rnd.IntN(12) {
		case 8, 9, 10:
			w.reliably(m, 183, rseq, tag, w.maybe(60))
			if w.chance(80) {
				rseq++
			}
		case 11:
			up := w.back("UPDATE", w.next(), m, tag)
			if b := w.maybe(70); b != nil {
				withSDP(up, b)
			}
			w.send(up)
		case 0:
			w.reply(m, 100, "", nil)
		case 1:
			w.reply(m, 180, tag, nil)
		case 2:
			w.reply(m, 183, tag, w.sdp())
		case 3:
			w.reply(m, 183, tag, []byte("v=0\r\nnonsense\r\n"))
		case 4:
			w.reply(m, 200, tag, w.sdp())
			if w.chance(40) {
				w.send(w.back("BYE", w.next(), m, tag))
			}
			if w.chance(40) {
				w.send(withSDP(w.back("INVITE", w.next(), m, tag), w.sdp()))
			}
		case 5:
			w.reply(m, 200, tag, nil)
		case 6:
			w.reply(m, []int{302, 404, 486, 503, 603}[w.rnd.IntN(5)], tag, nil, contacts(fmt.Sprintf("<sip:+33199%06d@%s>", w.rnd.IntN(1000000), w.host()))...)
		case 7:
			w.reply(m, 407, tag, nil, siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n"`})
		}
	}
}

// modified: a re-INVITE came.
func (w *walker) modified(m *siptest.Message) {
	switch w.rnd.IntN(5) {
	case 0, 1:
		w.reply(m, 200, "", w.sdp())
	case 2:
		w.reply(m, []int{488, 481, 491, 407}[w.rnd.IntN(4)], "", nil)
	case 3:
		w.reply(m, 200, "", nil)
	}
}

// answered: the caller, and whoever sent a re-INVITE, got a response.
func (w *walker) answered(m *siptest.Message) {
	n, method := m.CSeq()
	if method != "INVITE" {
		return
	}
	inv := &siptest.Message{Headers: []siptest.Field{{Name: "From", Value: m.Get("From")}, {Name: "Call-ID", Value: m.Get("Call-ID")}}}
	if m.Code >= 200 {
		key := m.Branch()
		w.mu.Lock()
		if old, ok := w.finals[key]; ok && old != m.Code && !w.pbx {
			w.twice = append(w.twice, fmt.Sprint(key, ": ", old, " and ", m.Code))
		}
		w.finals[key] = m.Code
		w.mu.Unlock()
	}
	switch {
	case m.Code < 200 && !w.pbx:
		first := &siptest.Message{URI: "sip:x@" + w.gw.String(), Headers: []siptest.Field{{Name: "Via", Value: m.Get("Via")},
			{Name: "From", Value: m.Get("From")}, {Name: "To", Value: strings.Split(m.Get("To"), ";tag")[0]},
			{Name: "Call-ID", Value: m.Get("Call-ID")}, {Name: "CSeq", Value: m.Get("CSeq")}}}
		if m.Code > 100 && w.chance(20) {
			w.cancel(first)
		}
		if m.Get("RSeq") != "" && w.chance(85) {
			inv.Headers = append(inv.Headers, siptest.Field{Name: "CSeq", Value: m.Get("CSeq")})
			w.prack(w.next(), inv, m, w.maybe(40))
		}
		if m.Code > 100 && w.chance(20) {
			up := w.within("UPDATE", w.next(), inv, m)
			if b := w.maybe(70); b != nil {
				withSDP(up, b)
			}
			w.send(up)
		}
		if m.Code > 100 && w.chance(5) {
			w.send(w.within("BYE", w.next(), inv, m))
		}
	case m.Code >= 300:
		ack := &siptest.Message{URI: "sip:x@" + w.gw.String(), Headers: []siptest.Field{{Name: "Via", Value: m.Get("Via")},
			{Name: "From", Value: m.Get("From")}, {Name: "Call-ID", Value: m.Get("Call-ID")}, {Name: "CSeq", Value: m.Get("CSeq")}}}
		w.ackFailure(ack, m)
		if m.Code == 407 && w.chance(70) && !w.pbx && siptest.Param(m.Get("To"), "tag") != "" {
			w.invite("+33123456789", set("Call-ID", m.Get("Call-ID")), set("From", m.Get("From")), set("CSeq", fmt.Sprint(n+1, " INVITE")))
		}
	case m.Code >= 200:
		if w.chance(90) {
			ack := w.within("ACK", n, inv, m)
			if b := w.maybe(50); b != nil {
				withSDP(ack, b)
			}
			w.send(ack)
		}
		for seq := w.next(); w.chance(60); seq = w.next() {
			kinds := 5
			if w.wild {
				kinds = 6
			}
			switch w.rnd.IntN(kinds) {
			case 5:
				r := w.within("REFER", seq, inv, m)
				r.Add("Refer-To", "<sip:1003@"+domain+">")
				w.send(r)
			case 3:
				w.send(w.within("INVITE", seq, inv, m))
			case 4:
				up := w.within("UPDATE", seq, inv, m)
				if b := w.maybe(70); b != nil {
					withSDP(up, b)
				}
				w.send(up)
			case 0:
				w.send(withSDP(w.within("INVITE", seq, inv, m), w.sdp()))
			case 1:
				w.send(w.within("INFO", seq, inv, m))
			case 2:
				w.send(w.within("BYE", seq, inv, m))
			}
		}
	}
}

// TestRandomWalk: whatever the two ends do, every INVITE gets one final
// answer, every call one record, and nothing is left.
func TestRandomWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.MaxCall, c.sbc.SetupTimeout, c.sbc.RetryTimeout = time.Second, 600*time.Millisecond, 600*time.Millisecond
	})
	a := &walker{raw: w.a, rnd: rand.New(rand.NewPCG(seed, 1)), first: rand.New(rand.NewPCG(seed, 3)), finals: map[string]int{}}
	b := &walker{raw: w.b, rnd: rand.New(rand.NewPCG(seed, 2)), finals: map[string]int{}, pbx: true}
	done := make(chan struct{})
	var ends sync.WaitGroup
	ends.Go(func() { a.run(done) })
	ends.Go(func() { b.run(done) })
	const calls = 400
	var ids []string
	for i := range calls {
		change := []func(*siptest.Message){}
		if a.first.IntN(100) < 60 {
			change = append(change, rel)
		}
		if a.first.IntN(100) < 30 {
			change = append(change, bare)
		}
		ids = append(ids, w.a.invite("+33123456789", change...).Branch())
		if (i+1)%50 == 0 { // no more at a time than a socket's buffer holds
			eventually(t, fmt.Sprint(i+1, " calls begun"), func() bool { return w.rep.count(call.EventInvite) > i })
		}
	}
	w.quiet()
	eventually(t, "every final answer", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, id := range ids {
			if _, ok := a.finals[id]; !ok {
				return false
			}
		}
		return true
	})
	eventually(t, "every table empty", func() bool {
		for _, n := range w.gw.Tables() {
			if n != 0 {
				return false
			}
		}
		return true
	})
	close(done)
	ends.Wait()
	if len(a.twice) > 0 {
		t.Errorf("two final answers: %v", a.twice)
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	began, over, records := map[string]int{}, map[string]int{}, map[string]int{}
	for _, e := range w.rep.events {
		switch e.Kind {
		case call.EventInvite:
			began[e.ID]++
		case call.EventEnd:
			over[e.ID]++
		}
	}
	codes := map[int]int{}
	for _, r := range w.rep.records {
		records[r.CallID]++
		codes[r.Code]++
	}
	for id := range began {
		if began[id] != 1 || over[id] != 1 || records[id] != 1 {
			t.Errorf("call %s: %d begun, %d ended, %d records", id, began[id], over[id], records[id])
		}
	}
	if len(w.rep.systems) > 0 {
		t.Errorf("alerts %+v", w.rep.systems)
	}
	t.Logf("%d calls by final code: %v", len(records), codes)
}
