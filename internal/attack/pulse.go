package attack

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// pulse is how the good calls did over a time.
type pulse struct {
	calls, failed int
	first         error           // of those that failed
	setup         []time.Duration // of those that were answered, sorted at the end
	audio         float64         // share of the packets of the call that is up which came
}

// typical and worst setup time.
func (p pulse) typical() time.Duration { return p.at(0.5) }
func (p pulse) worst() time.Duration   { return p.at(1) }

func (p pulse) at(q float64) time.Duration {
	if len(p.setup) == 0 {
		return 0
	}
	return p.setup[min(len(p.setup)-1, int(q*float64(len(p.setup))))]
}

func (p pulse) String() string {
	return fmt.Sprintf("%d of %d calls answered, setup %s (worst %s), audio %.1f %%", p.calls-p.failed, p.calls,
		p.typical().Round(100*time.Microsecond), p.worst().Round(time.Millisecond), 100*p.audio)
}

const (
	callEvery   = 250 * time.Millisecond
	enoughAudio = 0.98 // with fewer packets somebody would hear it
	leastBeat   = 1500 * time.Millisecond
	longTone    = 1477 // of the call that is up all the time
)

// quiet measures the calls without an attack; an attack on a gateway that takes
// no calls would prove nothing.
func (y *yard) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	if err := y.callLong(ctx); err != nil {
		return err
	}
	p := y.beat(ctx, func(ctx context.Context) { pause(ctx, 2*time.Second) })
	y.quietly = p
	if p.failed > 0 {
		return fmt.Errorf("%d of %d calls fail without any attack: %w", p.failed, p.calls, p.first)
	}
	return nil
}

// callLong makes the call that is up all the time.
func (y *yard) callLong(ctx context.Context) error {
	call, err := y.phones[0].Invite(ctx, siptest.ExtTone, siptest.Tone(longTone))
	if err != nil {
		return fmt.Errorf("a call of a registered telephone does not get through this configuration: %w", err)
	}
	y.long = call
	if err := call.Media.WaitTone(ctx, siptest.ToneFreq); err != nil {
		return fmt.Errorf("a call has no audio: %w", err)
	}
	y.far, err = y.farEnd(ctx, longTone)
	return err
}

// heard is the packets of that call, sent and received, in the worse direction.
type heard struct{ toPhone, fromPBX, toPBX, fromPhone uint64 }

func (y *yard) heard() heard {
	near, far := y.long.Media.Stats(), y.far.Stats()
	return heard{near.Received, far.Sent, far.Received, near.Sent}
}

// since is the share that came in the worse direction. Two packets may be on
// their way.
func (h heard) since(was heard) float64 {
	share := func(got, sent uint64) float64 {
		if sent <= 2 {
			return 1
		}
		return min(1, float64(got)/float64(sent-2))
	}
	return min(share(h.toPhone-was.toPhone, h.fromPBX-was.fromPBX), share(h.toPBX-was.toPBX, h.fromPhone-was.fromPhone))
}

// during runs an attack beside the good calls and notes what became of them.
func (y *yard) during(ctx context.Context, n *notes, attack func(context.Context)) {
	p := y.beat(ctx, attack)
	if n.skipped != "" {
		return
	}
	n.saw("meanwhile %s", p)
	if p.failed > 0 {
		n.wrong("%d of %d good calls failed meanwhile: %v", p.failed, p.calls, p.first)
	}
	if y.long.Ended() != "" {
		n.wrong("the call that was up ended: %s", y.long.Ended())
		if err := y.callLong(ctx); err != nil {
			n.wrong("%v", err)
		}
		return
	}
	if p.audio < enoughAudio {
		n.wrong("the call that was up lost %.0f %% of its audio", 100*(1-p.audio))
	}
}

// beat makes good calls, one at a time, in turns by the telephones, while the
// attack runs.
func (y *yard) beat(ctx context.Context, attack func(context.Context)) (p pulse) {
	before, began := y.heard(), time.Now()
	over, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; over.Err() == nil; i++ {
			took, err := y.goodCall(ctx, y.phones[1+i%(len(y.phones)-1)])
			if ctx.Err() != nil {
				return
			}
			p.calls++
			if err != nil {
				p.failed++
				if p.first == nil {
					p.first = err
				}
			} else {
				p.setup = append(p.setup, took)
			}
			pause(over, callEvery)
		}
	})
	attack(ctx)
	pause(ctx, leastBeat-time.Since(began)) // a short attack still meets some calls
	stop()
	wg.Wait()
	slices.Sort(p.setup)
	p.audio = y.heard().since(before)
	return p
}

// goodCall calls the PBX and hangs up.
func (y *yard) goodCall(ctx context.Context, p *siptest.Phone) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	began := time.Now()
	call, err := p.Invite(ctx, siptest.ExtTone)
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	if err := call.Bye(ctx); err != nil {
		return took, fmt.Errorf("hang up: %w", err)
	}
	return took, nil
}
