package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Tones tell who is heard.
const (
	aliceTone = 440
	bobTone   = 1209
)

func (w *world) register(ctx context.Context) {
	w.title("Telephones register over TLS, with the PBX, through the gateway")
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	life := context.WithoutCancel(ctx)
	for _, p := range []struct {
		at   **siptest.Phone
		user string
		tone float64
	}{{&w.alice, "1001", aliceTone}, {&w.bob, "1002", bobTone}, {&w.carol, "1003", 0}} {
		phone, err := w.phone(life, p.user, p.tone, true)
		if err == nil {
			*p.at = phone
			err = phone.Register(ctx, 10*time.Minute)
		}
		w.expect(err, "%s is registered; its password went to the PBX alone, as a digest", p.user)
	}
	if w.alice == nil {
		return
	}
	bound := w.pbx.Bound("1001")
	w.expect(when(bound != "" && !strings.Contains(bound, fmt.Sprint(w.alice.Addr().Port())), "the contact is %q", bound),
		"the PBX knows the telephone by a name that the gateway gave it")
	wrong, err := siptest.NewPhone(life, siptest.PhoneConfig{User: "1001", Password: "guessed", Domain: domain, Server: w.ports.tls,
		Transport: "tls", TLS: w.roots})
	if err == nil {
		defer wrong.Close()
		err = refusal(wrong.Register(ctx, time.Minute), 401, 403)
	}
	w.expect(err, "a wrong password is refused")
}

func (w *world) securedCall(ctx context.Context) {
	w.title("1001 calls the PBX: SRTP outside, RTP inside")
	if w.alice == nil {
		w.skip("1001 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	call, err := w.alice.Invite(ctx, siptest.ExtTone)
	if !w.expect(err, "the call is answered") {
		return
	}
	w.expect(call.Media.WaitTone(ctx, siptest.ToneFreq), "1001 hears the PBX (%d Hz), encrypted with %s", siptest.ToneFreq, siptest.SuiteGCM)
	err = errors.New("the PBX has no such call")
	if list := w.pbx.Answered(); len(list) > 0 {
		err = list[len(list)-1].Media.WaitTone(ctx, aliceTone)
	}
	w.expect(err, "the PBX hears 1001 (%d Hz)", aliceTone)
	w.expect(call.Bye(ctx), "1001 hangs up")
}

func (w *world) betweenPhones(ctx context.Context) {
	w.title("1001 calls 1002: two telephones, each with keys of its own")
	if w.alice == nil || w.bob == nil {
		w.skip("a telephone has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	call, err := w.alice.Invite(ctx, "1002")
	if !w.expect(err, "the call is answered") {
		return
	}
	list := w.bob.Answered()
	if len(list) == 0 {
		w.skip("1002 has no call")
		return
	}
	other := list[len(list)-1]
	both := func() error {
		call.Media.Forget()
		other.Media.Forget()
		return errors.Join(call.Media.WaitTone(ctx, bobTone), other.Media.WaitTone(ctx, aliceTone))
	}
	w.expect(both(), "each hears the other")
	w.expect(call.Hold(ctx), "1001 puts the call on hold")
	w.expect(when(other.Held(), "it is not"), "1002 is on hold")
	if err := call.Resume(ctx); err == nil {
		err = both()
		w.expect(err, "1001 comes back and each hears the other again")
	} else {
		w.expect(err, "1001 comes back")
	}
	err = other.Bye(ctx)
	if err == nil {
		err = call.WaitEnd(ctx)
	}
	w.expect(err, "1002 hangs up, and 1001 is told")
}

func (w *world) outsideCalls(ctx context.Context) {
	w.title("Calls to and from a carrier, over TLS with certificates at both ends")
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	if w.alice != nil {
		call, err := w.alice.Invite(ctx, "02079460000")
		if w.expect(err, "1001 dials 020 7946 0000, the PBX sends it to the carrier") {
			w.expect(call.Media.WaitTone(ctx, siptest.CarrierTone), "1001 hears the carrier (%d Hz)", siptest.CarrierTone)
			w.expect(call.Bye(ctx), "1001 hangs up")
		}
	}
	conf := w.keys.client(w.roots.RootCAs, domain)
	inbound, err := siptest.NewCarrier(context.WithoutCancel(ctx), siptest.CarrierConfig{Domain: carrierName, Gateway: w.ports.tls, Transport: "tls",
		TLS: conf, SRTP: []string{siptest.SuiteCM80}, Log: w.onVerbose, Trace: w.wire.trace})
	if err != nil {
		w.expect(err, "the carrier connects")
		return
	}
	defer inbound.Close()
	call, err := inbound.Invite(ctx, "sip:"+inboundNumber+"@"+domain, siptest.From("sip:+442079460555@"+carrierName))
	if w.expect(err, "the carrier calls %s, and 1002 answers", inboundNumber) {
		w.expect(call.Media.WaitTone(ctx, bobTone), "the carrier hears 1002 (%d Hz)", bobTone)
		w.expect(call.Bye(ctx), "the carrier hangs up")
	}
}

// respelled are ways to write one number in Jamaica, which looks like a
// number in the USA.
var respelled = []string{
	"+18765550100",
	"%2B1%38765550100",
	"+1-876-555-0100",
	"tel:+1-876-555-0100",
	"tel:876-555-0100;phone-context=+1",
	"sip:8765550100;phone-context=+1@" + domain + ";user=phone",
	"sip:00%31(876)555-0100@" + domain,
}

func (w *world) deniedCountry(ctx context.Context) {
	w.title("Jamaica is closed, however its number is written")
	if w.alice == nil {
		w.skip("1001 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	for _, number := range append([]string{"0018765550100"}, respelled...) {
		call, err := w.alice.Invite(ctx, number)
		if err == nil {
			call.Bye(ctx)
		}
		var refused *siptest.Refused
		if w.expect(refusal(err, 403), "403  %s", number) && errors.As(err, &refused) {
			w.respelt = refused.Response.Get("Call-ID") // the last one is spelt oddest
		}
	}
	w.expect(when(!w.reached("18765550100", "8765550100"), "it rang"), "nothing of it reached the carrier")
}

// reached says whether the carrier was called with one of the numbers.
func (w *world) reached(numbers ...string) bool {
	for {
		select {
		case got := <-w.rang:
			for _, n := range numbers {
				if strings.HasSuffix(got, n) {
					return true
				}
			}
		default:
			return false
		}
	}
}

func (w *world) insecure(ctx context.Context) {
	w.title("What is not secure is refused")
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	plain, err := siptest.NewPhone(context.WithoutCancel(ctx), siptest.PhoneConfig{User: "1001", Password: password("1001"), Domain: domain,
		Server: w.ports.udp, Log: w.onVerbose})
	if err == nil {
		defer plain.Close()
		short, cancel := context.WithTimeout(ctx, time.Second)
		_, err = plain.Invite(short, siptest.ExtTone)
		cancel()
		switch r := (*siptest.Refused)(nil); {
		case errors.As(err, &r):
			err = fmt.Errorf("it was answered %d", r.Response.Code)
		case err == nil:
			err = errors.New("it was answered")
		default:
			err = nil
		}
	}
	w.expect(err, "---  a call without TLS, to a socket that is open for one old trunk: no answer")
	if w.alice == nil {
		return
	}
	_, err = w.alice.Invite(ctx, siptest.ExtTone, siptest.Suites())
	w.expect(refusal(err, 488), "488  a call over TLS that offers RTP without encryption")
	var refused *siptest.Refused
	if errors.As(err, &refused) {
		w.expect(when(refused.Response.Get("Warning") != "", "there is none"), "a Warning tells the telephone why")
	}
}

func (w *world) burst(ctx context.Context) {
	w.title("1003 may begin five calls at once, and tries twelve")
	if w.carol == nil {
		w.skip("1003 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	codes := map[int]int{}
	var other error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			_, err := w.carol.Invite(ctx, siptest.ExtBusy)
			mu.Lock()
			defer mu.Unlock()
			var refused *siptest.Refused
			if errors.As(err, &refused) {
				codes[refused.Response.Code]++
			} else {
				other = fmt.Errorf("not refused: %w", err)
			}
		})
	}
	wg.Wait()
	w.expect(errors.Join(other, when(codes[486] == 5 && codes[480] == 7, "answers by code: %v", codes)),
		"5 calls reach the PBX, which is busy (486); 7 are limited (480)")
}

func (w *world) emergency(ctx context.Context) {
	w.title("An emergency call passes, even now")
	if w.carol == nil {
		w.skip("1003 has no connection")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.step)
	defer cancel()
	call, err := w.carol.Invite(ctx, "112")
	if w.expect(err, "1003, who is limited, calls 112 and is answered") {
		w.expect(call.Media.WaitTone(ctx, siptest.CarrierTone), "1003 hears the answer")
		w.expect(call.Bye(ctx), "1003 hangs up")
	}
	w.expect(when(w.reached("112"), "no call to 112 there"), "the carrier was called with 112")
}

func (w *world) hidden(context.Context) {
	w.title("The inside stays inside")
	seen, size := w.wire.find(w.secrets())
	w.expect(when(size > 0 && seen == "", "found %q", seen), "in %d messages to telephones and carrier there is no address of the PBX", size)
}

// when is nil if it is so, else an error.
func when(so bool, format string, args ...any) error {
	if so {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// refusal is nil when err is a refusal with one of the codes.
func refusal(err error, codes ...int) error {
	var refused *siptest.Refused
	switch {
	case err == nil:
		return errors.New("it was not refused")
	case !errors.As(err, &refused):
		return err
	}
	for _, c := range codes {
		if refused.Response.Code == c {
			return nil
		}
	}
	return fmt.Errorf("refused by %s, not by %d", refused.Response, codes[0])
}

// recorder keeps what the public side received.
type recorder struct {
	mu    sync.Mutex
	bytes []byte
	count int
}

// maxRecord bounds the recording.
const maxRecord = 4 << 20

func (r *recorder) trace(sent bool, _ netip.AddrPort, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !sent && len(r.bytes)+len(b) < maxRecord {
		r.bytes = append(r.bytes, b...)
		r.count++
	}
}

func (r *recorder) find(what []string) (found string, messages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range what {
		if i := strings.Index(string(r.bytes), s); i >= 0 {
			return string(r.bytes[max(0, i-30):min(len(r.bytes), i+10)]), r.count
		}
	}
	return "", r.count
}
