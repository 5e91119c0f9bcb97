package b2bua

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// variants are the flags that change what a phase answers; the product is
// taken over each.
func variants(p Phase) []State {
	base := State{Phase: p, Routes: 2, Tag: "b1"}
	if p >= Answered {
		base.Dialogs = []Dialog{{Exchange: Agreed}}
	}
	if p == Modifying {
		base.Dialogs[0].Exchange = OfferA
	}
	with := func(d Dialog) func(*State) { return func(s *State) { s.Dialogs = []Dialog{d} } }
	out := []State{base}
	add := func(f func(*State)) { s := base; f(&s); out = append(out, s) }
	switch p {
	case Idle:
		base = State{}
		return []State{base}
	case Calling, Ringing:
		add(func(s *State) { s.Provisional = true })
		add(func(s *State) { s.Route = 1 })
		add(func(s *State) { s.Bare = true })
		if p == Ringing {
			add(with(Dialog{Exchange: Agreed}))
			add(with(Dialog{Exchange: OfferB}))
			add(with(Dialog{Exchange: OfferA, Prack: true}))
			add(with(Dialog{Exchange: OfferB, Update: [2]bool{B: true}, Carries: [2]bool{B: true}}))
		}
	case Cancelling:
		add(func(s *State) { s.WantCancel, s.Finished = true, true })
		add(func(s *State) { s.Provisional, s.Finished = true, true })
	case Answered:
		add(func(s *State) { s.ByeOnAck, s.Finished, s.Byes = true, true, 0 })
		add(func(s *State) { s.AckDue = true; with(Dialog{Exchange: OfferB})(s) })
	case Up:
		add(func(s *State) { s.ModifyAck[A] = true })
		add(with(Dialog{Exchange: OfferA, Update: [2]bool{A: true}, Carries: [2]bool{A: true}}))
		add(with(Dialog{Exchange: OfferB, Update: [2]bool{B: true}, Carries: [2]bool{B: true}}))
		add(with(Dialog{Exchange: Agreed, Update: [2]bool{A: true}}))
		add(func(s *State) { s.Interval = 1800 })
	case Modifying:
		add(func(s *State) { s.Modifier = B; with(Dialog{Exchange: OfferB})(s) })
		add(with(Dialog{Exchange: None}))
		add(func(s *State) {
			s.Replied, s.AckDue, s.ModifyAck[A] = true, true, true
			with(Dialog{Exchange: OfferB})(s)
		})
		add(func(s *State) { s.Interval = 1800 })
	case Ending:
		add(func(s *State) { s.Byes, s.Finished = 1, true })
		add(func(s *State) { s.Byes, s.Finished = 2, true })
	case Ended:
		add(func(s *State) { s.Finished = true })
	}
	return out
}

func events(k Kind) []Event {
	switch k {
	case Invite:
		return []Event{{Kind: k, Routes: 2}, {Kind: k, Routes: 2, Bare: true}, {Kind: k, Routes: 0}}
	case Ack:
		return []Event{{Kind: k, Leg: A}, {Kind: k, Leg: B}, {Kind: k, Leg: A, Desc: Answer}, {Kind: k, Leg: A, Code: 488}}
	case Modify:
		return []Event{{Kind: k, Leg: A}, {Kind: k, Leg: B}, {Kind: k, Leg: A, Bare: true}}
	case Reliable:
		return []Event{{Kind: k, Leg: B, Code: 183}, {Kind: k, Leg: B, Code: 183, Desc: Offer}, {Kind: k, Leg: B, Code: 183, Desc: Answer}}
	case Prack:
		return []Event{{Kind: k}, {Kind: k, Desc: Offer}, {Kind: k, Desc: Answer}, {Kind: k, Code: 488}}
	case PrackDone:
		return []Event{{Kind: k, Code: 200}, {Kind: k, Code: 481}}
	case Update:
		return []Event{{Kind: k, Leg: A}, {Kind: k, Leg: B}, {Kind: k, Leg: A, Desc: Offer}, {Kind: k, Leg: B, Desc: Offer}}
	case UpdateDone:
		return []Event{{Kind: k, Leg: A, Code: 200}, {Kind: k, Leg: B, Code: 200}, {Kind: k, Leg: A, Code: 481}, {Kind: k, Leg: B, Code: 491}}
	case NoAck, Bye, ModifyCancel, Request:
		return []Event{{Kind: k, Leg: A}, {Kind: k, Leg: B}}
	case Provisional:
		return []Event{{Kind: k, Leg: B, Code: 100}, {Kind: k, Leg: B, Code: 180}}
	case Success:
		return []Event{{Kind: k, Leg: B, Code: 200, Tag: "b1"}, {Kind: k, Leg: B, Code: 200, Tag: "b2"}, {Kind: k, Leg: B, Code: 200, Tag: "b1", Interval: 1800}, {Kind: k, Leg: B, Code: 200, Tag: "b1", Desc: Offer}}
	case Failure:
		return []Event{{Kind: k, Code: 486}, {Kind: k, Code: 503, TryNext: true}, {Kind: k, Code: 407}, {Kind: k, Code: 422}}
	case ModifySuccess:
		return []Event{{Kind: k, Code: 200}, {Kind: k, Code: 200, Interval: 1800}, {Kind: k, Code: 200, Desc: Offer}}
	case ModifyFailure:
		return []Event{{Kind: k, Code: 488}, {Kind: k, Code: 481}}
	case Refused:
		return []Event{{Kind: k, Code: 488}}
	case Redirected:
		return []Event{{Kind: k, Code: 480}, {Kind: k, Code: 480, Routes: 2}}
	case RetryTimeout:
		return []Event{{Kind: k, Code: 407}}
	case Hangup:
		return []Event{{Kind: k, Cause: "operator"}}
	}
	return []Event{{Kind: k}}
}

func (a Action) text() string {
	s := a.Verb.String()
	switch a.Verb {
	case ReplyInvite, Reply, ReplyReliable, ReplyPrack:
		s += fmt.Sprint(" ", a.Code)
	case ReplyModify, ReplyUpdate:
		s += fmt.Sprint(" ", a.Leg, " ", a.Code)
	case SendBye, Confirmed, SendModify, SendUpdate, AckModify, CancelModify, RelayRequest:
		s += " " + a.Leg.String()
	case StartTimer, StopTimer:
		s += " " + timerNames[a.Timer]
	case Finish:
		s += fmt.Sprint(" ", a.Code, " ", a.By, " ", a.Cause)
	}
	if a.Relay {
		s += " relayed"
	}
	return strings.TrimSpace(s)
}

func (s State) text() string {
	var f []string
	flag := func(on bool, n string) {
		if on {
			f = append(f, n)
		}
	}
	flag(s.Route > 0, fmt.Sprint("route", s.Route))
	flag(s.Provisional, "provisional")
	flag(s.WantCancel, "want-cancel")
	flag(s.ByeOnAck, "bye-on-ack")
	flag(s.ModifyAck[A], "ack-a")
	flag(s.ModifyAck[B], "ack-b")
	flag(s.Phase == Modifying && s.Modifier == B, "by-b")
	flag(s.Byes != 0, fmt.Sprint("byes", s.Byes))
	flag(s.Interval > 0, fmt.Sprint("expires", s.Interval))
	flag(s.Finished, "finished")
	flag(s.Bare, "bare")
	flag(s.AckDue, "ack-due")
	flag(s.Replied, "replied")
	for _, d := range s.Dialogs {
		flag(d.Exchange != Agreed || s.Phase < Answered, d.Exchange.String())
		flag(d.Prack, "prack")
		for l, open := range d.Update {
			flag(open, "update-"+strings.ToLower(Leg(l).String()))
			flag(open && d.Carries[l], "with-offer")
		}
	}
	if len(f) == 0 {
		return s.Phase.String()
	}
	return s.Phase.String() + "(" + strings.Join(f, ",") + ")"
}

// TestProduct walks every phase with every event: a pair without an answer is
// an answer too, and every one was read by a person.
func TestProduct(t *testing.T) {
	var b strings.Builder
	b.WriteString("# phase | event | next phase | actions. Rewritten by: go test ./sbc/b2bua -update\n")
	for _, p := range Phases() {
		for _, s := range variants(p) {
			for _, k := range Kinds() {
				for _, e := range events(k) {
					next, acts := Step(s, e)
					var as []string
					for _, a := range acts {
						as = append(as, a.text())
					}
					ev := k.String()
					switch k {
					case Ack, NoAck, Bye, Modify, ModifyCancel, Request, Update, UpdateDone:
						ev += " " + e.Leg.String()
					case Success:
						ev += " " + e.Tag
					case Invite, Redirected:
						ev += fmt.Sprint(" routes=", e.Routes)
					default:
						if e.Code != 0 {
							ev += fmt.Sprint(" ", e.Code)
						}
					}
					if (k == Ack || k == UpdateDone) && e.Code != 0 {
						ev += fmt.Sprint(" ", e.Code)
					}
					if e.Desc != Nothing {
						ev += [...]string{"", " offer", " answer"}[e.Desc]
					}
					if e.Bare {
						ev += " bare"
					}
					if e.Interval > 0 {
						ev += fmt.Sprint(" interval ", e.Interval)
					}
					fmt.Fprintf(&b, "%s | %s | %s | %s\n", s.text(), ev, next.text(), strings.Join(as, "; "))
				}
			}
		}
	}
	const file = "testdata/product.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range g {
			if i >= len(w) || g[i] != w[i] {
				t.Fatalf("line %d:\n got %s\nwant %s", i+1, g[i], strings.Join(w[min(i, len(w)-1):min(i+1, len(w))], ""))
			}
		}
		t.Fatal("golden file has more lines")
	}
}

// world plays the phones and the PBX around the machine: it only does what a
// real one could do after what the machine has sent, in any order.
type world struct {
	t    *testing.T
	r    *rand.Rand
	s    State
	log  []string
	open bool // A's INVITE awaits its final response
	awaitAck,
	bInvite, bHeard, bCancelled bool // our INVITE at B is open; B sent a provisional response; CANCEL is on its way
	bUp, aUp, aGone, bGone bool
	modify                 [2]bool // our re-INVITE is open at that leg
	theirModify            [2]bool // theirs awaits our final response
	modAck                 [2]bool
	byes                   int
	media                  bool
	finishes, finals       int
	invites                int
	setup, retry, failover bool
	session                bool
	redirects              int
	forks                  int
	hand                   *bool      // what waits for the answer to the request at hand
	ring                   [2]bool    // B's dialog that A knows of
	owes                   [2]bool    // A owes a PRACK in this dialog
	prack, prackOut        [2]bool    // A's PRACK waits for its answer; ours with an offer is at B
	upd, updOut            [2][2]bool // by dialog and leg: its UPDATE waits for its answer; ours is at it
	ackOut                 [2]bool    // this leg's 2xx to our INVITE or re-INVITE has no ACK yet
}

func (w *world) step(e Event) {
	var acts []Action
	before := w.s.Phase
	w.s, acts = Step(w.s, e)
	var as []string
	for _, a := range acts {
		as = append(as, a.text())
	}
	w.log = append(w.log, fmt.Sprintf("%v %v %d %s → %v: %s", before, e.Kind, e.Code, e.Leg, w.s.Phase, strings.Join(as, "; ")))
	for _, a := range acts {
		w.act(a)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
}

func (w *world) act(a Action) {
	switch a.Verb {
	case SendInvite:
		if w.bInvite {
			w.fail("a second INVITE to B while the first is open")
		}
		w.media = true
		if w.r.IntN(20) == 0 { // no media, or a bad description
			w.step(Event{Kind: Refused, Code: 488})
			return
		}
		w.bInvite, w.bHeard, w.bCancelled = true, false, false
		w.ring, w.owes = [2]bool{}, [2]bool{}
	case Reply:
		if w.hand != nil {
			w.final(w.hand, "request at hand")
			w.hand = nil
		}
	case ReplyReliable:
		w.owes[a.Fork] = true
	case SendPrack:
		w.prackOut[a.Fork] = w.s.Dialog(a.Fork).Prack
	case ReplyPrack:
		w.final(&w.prack[a.Fork], "PRACK")
	case SendUpdate:
		w.updOut[a.Fork][a.Leg] = true
	case ReplyUpdate:
		w.final(&w.upd[a.Fork][a.Leg], "UPDATE")
	case ReplyInvite:
		if a.Code < 200 {
			return
		}
		if !w.open {
			w.fail("a second final response %d to A", a.Code)
		}
		if a.Code < 300 && w.r.IntN(20) == 0 { // B's answer cannot be used: nothing was sent
			w.step(Event{Kind: Refused, Code: 488})
			return
		}
		w.open = false
		w.finals++
		if a.Code < 300 {
			w.awaitAck, w.aUp = true, true
		}
	case SendAck:
		if !w.ackOut[B] {
			w.fail("a second ACK to B")
		}
		w.bUp, w.ackOut[B] = true, false
	case AckModify:
		w.ackOut[a.Leg] = false
	case AckAndBye:
		w.byes++
	case SendCancel:
		if !w.bInvite {
			w.fail("CANCEL without an open INVITE")
		}
		w.bCancelled = true
	case SendBye:
		if a.Leg == A && !w.aUp || a.Leg == B && !w.bUp {
			w.fail("BYE to %v, which has no dialog", a.Leg)
		}
		if a.Leg == A && w.awaitAck && a.Cause != "no-ack" {
			w.fail("BYE to A before its ACK")
		}
		if w.ackOut[a.Leg] {
			w.fail("BYE to %v, whose 2xx has no ACK", a.Leg)
		}
		w.byes++
		if a.Leg == A {
			w.aGone = true
		} else {
			w.bGone = true
		}
	case SendModify:
		if w.r.IntN(10) == 0 {
			w.step(Event{Kind: Refused, Code: 488})
			return
		}
		w.modify[a.Leg] = true
	case ReplyModify:
		if !w.theirModify[a.Leg] {
			w.fail("a second final response to the re-INVITE of %v", a.Leg)
		}
		w.theirModify[a.Leg] = false
		if a.Code < 300 {
			w.modAck[a.Leg] = true
		}
	case CloseMedia:
		w.media = false
	case Abandon:
		if !w.bInvite || w.bHeard {
			w.fail("an INVITE was abandoned that is not open or was heard of")
		}
		w.bInvite = false
	case StartTimer:
		switch a.Timer {
		case Setup:
			w.setup = true
		case Retry:
			w.retry = true
		case Failover:
			w.failover = true
		case Session:
			w.session = true
		}
	case StopTimer:
		switch a.Timer {
		case Setup:
			w.setup = false
		case Retry:
			w.retry = false
		case Failover:
			w.failover = false
		case Session:
			w.session = false
		}
	case Finish:
		w.finishes++
	}
}

// final: a request gets its one final response.
func (w *world) final(open *bool, what string) {
	w.t.Helper()
	if !*open {
		w.fail("a second final response to a %s", what)
	}
	*open = false
}

// ask is a request that waits for its answer.
func (w *world) ask(open *bool, e Event) {
	*open, w.hand = true, open
	w.step(e)
	w.hand = nil
}

// dialogs lists what could happen inside of B's dialog f.
func (w *world) dialogs(f int, add func(bool, func())) {
	d := w.s.Dialog(f)
	is := func(x bool, d Desc) Desc {
		if x && w.r.IntN(2) == 0 {
			return d
		}
		return Nothing
	}
	said := is(d.Initial(), Answer) + is(d.Exchange == None, Offer)
	add(w.bInvite, func() {
		w.bHeard, w.ring[f] = true, true
		w.step(Event{Kind: Reliable, Leg: B, Fork: f, Code: 183, Desc: said})
	})
	add(w.bInvite, func() {
		w.bHeard, w.ring[f] = true, true
		w.step(Event{Kind: Provisional, Leg: B, Fork: f, Code: 180})
	})
	add(w.bInvite, func() {
		w.bInvite, w.ackOut[B] = false, w.s.Phase == Calling || w.s.Phase == Ringing
		w.ring[f] = true
		w.step(Event{Kind: Success, Code: 200, Fork: f, Tag: fmt.Sprint("b", f), Desc: is(d.Exchange == None, Offer), Interval: w.r.IntN(2) * 90})
	})
	confirmed := w.bUp || w.aUp
	live := w.ring[f] && (!confirmed || w.s.Fork == f) && w.s.Phase != Ended
	add(live && w.owes[f] && !w.prack[f] && !w.aGone, func() {
		w.owes[f] = false
		e := Event{Kind: Prack, Fork: f, Desc: is(d.Exchange == OfferB && !d.Carries[B], Answer) + is(d.Exchange == Agreed, Offer)}
		if w.r.IntN(8) == 0 {
			e.Desc, e.Code = Nothing, 488
		}
		w.ask(&w.prack[f], e)
	})
	add(w.owes[f] && w.open, ev(w, Event{Kind: NoPrack}))
	add(w.prackOut[f], func() {
		w.prackOut[f] = false
		w.step(Event{Kind: PrackDone, Fork: f, Code: []int{200, 481, 408}[w.r.IntN(3)]})
	})
	for _, l := range []Leg{A, B} {
		gone := l == A && w.aGone || l == B && w.bGone
		add(live && !gone && !w.upd[f][l] && w.r.IntN(3) == 0, func() {
			w.ask(&w.upd[f][l], Event{Kind: Update, Leg: l, Fork: f, Desc: is(true, Offer)})
		})
		add(w.updOut[f][l], func() {
			w.updOut[f][l] = false
			w.step(Event{Kind: UpdateDone, Leg: l.Other(), Fork: f, Code: []int{200, 200, 200, 491, 481, 408}[w.r.IntN(6)]})
		})
	}
}

func ev(w *world, e Event) func() { return func() { w.step(e) } }

// choices lists what could happen now.
func (w *world) choices() (out []func()) {
	add := func(on bool, f func()) {
		if on {
			out = append(out, f)
		}
	}
	ev := func(e Event) func() { return ev(w, e) }
	for f := range w.ring {
		w.dialogs(f, add)
	}
	add(w.invites == 0 || w.s.Phase == Challenged && w.retry, func() {
		w.invites++
		w.open = true
		w.step(Event{Kind: Invite, Routes: w.r.IntN(4), Bare: w.r.IntN(3) == 0})
	})
	add(w.open, ev(Event{Kind: Cancel}))
	for _, c := range []int{100, 180, 183} {
		add(w.bInvite, func() { w.bHeard = true; w.step(Event{Kind: Provisional, Code: c}) })
	}
	final := func(e Event) func() { return func() { w.bInvite = false; w.step(e) } }
	add(w.bInvite, final(Event{Kind: Failure, Code: 486}))
	add(w.bInvite, final(Event{Kind: Failure, Code: 503, TryNext: true}))
	add(w.bInvite, final(Event{Kind: Failure, Code: 408, TryNext: true}))
	add(w.bInvite && w.invites < 3, final(Event{Kind: Failure, Code: 407}))
	add(w.bInvite && w.redirects < 5, func() {
		w.redirects++
		final(Event{Kind: Redirected, Code: 480, Routes: w.r.IntN(3)})()
	})
	add(w.bInvite && w.invites < 3, final(Event{Kind: Failure, Code: 422}))
	add(w.bUp && w.forks < 2, func() { w.forks++; w.step(Event{Kind: Success, Code: 200, Tag: fmt.Sprint("fork", w.forks)}) })
	add(w.awaitAck, func() { w.awaitAck = false; w.step(Event{Kind: Ack, Leg: A, Code: w.r.IntN(5) / 4 * 488}) })
	add(w.awaitAck, func() { w.awaitAck = false; w.step(Event{Kind: NoAck, Leg: A}) })
	for _, l := range []Leg{A, B} {
		up := l == A && w.aUp && !w.aGone || l == B && w.bUp && !w.bGone
		add(up, func() {
			if l == A {
				w.aGone, w.awaitAck = true, false
			} else {
				w.bGone = true
			}
			w.step(Event{Kind: Bye, Leg: l})
		})
		add(up && !w.theirModify[l] && !w.modAck[l], func() {
			w.ask(&w.theirModify[l], Event{Kind: Modify, Leg: l, Bare: w.r.IntN(3) == 0})
		})
		add(up, ev(Event{Kind: Request, Leg: l}))
		add(w.theirModify[l], ev(Event{Kind: ModifyCancel, Leg: l}))
		add(w.modify[l], func() {
			w.modify[l], w.ackOut[l] = false, true
			w.step(Event{Kind: ModifySuccess, Code: 200, Desc: Desc(w.r.IntN(2)), Interval: w.r.IntN(2) * 90})
		})
		add(w.modify[l], func() {
			w.modify[l] = false
			w.step(Event{Kind: ModifyFailure, Code: []int{408, 481, 488, 491}[w.r.IntN(4)]})
		})
		add(w.modAck[l], func() { w.modAck[l] = false; w.step(Event{Kind: Ack, Leg: l, Code: w.r.IntN(5) / 4 * 488}) })
		add(w.modAck[l], func() { w.modAck[l] = false; w.step(Event{Kind: NoAck, Leg: l}) })
	}
	add(w.byes > 0, func() { w.byes--; w.step(Event{Kind: ByeDone}) })
	add(w.setup && w.invites > 0, func() { w.setup = false; w.step(Event{Kind: SetupTimeout}) })
	add(w.failover, func() { w.failover = false; w.step(Event{Kind: Silence}) })
	add(w.retry, func() { w.retry = false; w.step(Event{Kind: RetryTimeout, Code: 407}) })
	add(w.session, func() { w.session = false; w.step(Event{Kind: Hangup, Cause: "session-expired"}) })
	add(w.r.IntN(30) == 0 && w.invites > 0, ev(Event{Kind: Hangup, Cause: "operator"}))
	return out
}

// TestRandomWalks lives through calls until nothing can happen any more, and
// then asks what must hold of each.
func TestRandomWalks(t *testing.T) {
	n := 200_000
	if race || testing.Short() { // one goroutine: the detector has nothing to find
		n = 20_000
	}
	phases, alive := map[Phase]int{}, 0
	for seed := range n {
		w := &world{t: t, r: rand.New(rand.NewPCG(uint64(seed), 7))}
		for range 400 {
			cs := w.choices()
			if len(cs) == 0 {
				break
			}
			cs[w.r.IntN(len(cs))]()
			phases[w.s.Phase]++
		}
		if len(w.choices()) == 0 && w.s.Phase != Ended {
			w.fail("seed %d: nothing can happen any more in %v", seed, w.s.Phase)
		}
		if w.s.Phase != Ended {
			alive++
			continue // still alive after 400 events
		}
		switch {
		case w.open:
			w.fail("seed %d: A's INVITE has no final response", seed)
		case w.finals != w.invites:
			w.fail("seed %d: %d INVITEs, %d final responses", seed, w.invites, w.finals)
		case w.finishes != 1:
			w.fail("seed %d: %d results", seed, w.finishes)
		case w.media:
			w.fail("seed %d: media left open", seed)
		case w.session:
			w.fail("seed %d: the session timer of a call that is over", seed)
		case w.bUp && !w.bGone, w.aUp && !w.aGone:
			w.fail("seed %d: a leg was left up (A %v/%v B %v/%v)", seed, w.aUp, w.aGone, w.bUp, w.bGone)
		case w.theirModify[A] || w.theirModify[B]:
			w.fail("seed %d: a re-INVITE has no final response", seed)
		case w.prack != [2]bool{}:
			w.fail("seed %d: a PRACK has no final response", seed)
		case w.upd != [2][2]bool{}:
			w.fail("seed %d: an UPDATE has no final response", seed)
		case w.ackOut[A] && !w.aGone, w.ackOut[B] && !w.bGone:
			w.fail("seed %d: a 2xx has no ACK", seed)
		}
	}
	if alive > n/100 {
		t.Errorf("%d of %d walks never ended", alive, n)
	}
	for _, p := range Phases()[1:] {
		if phases[p] == 0 {
			t.Errorf("no walk was ever in %v", p)
		}
	}
}
