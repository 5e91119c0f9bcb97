package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// Failed attempts are kept over a restart, beside the bans: whoever guesses a
// password slowly, or from many addresses, goes on being counted. With them are
// the addresses that good registrations came from: what fails there goes on being
// judged by user.

// maxFailureFile bounds what is read of the file: full tables are well below it.
const maxFailureFile = 64 << 20

// failureFile is the file in the state directory.
type failureFile struct {
	Version int `json:"version"`
	ratelimit.Kept
	Registered []sbc.SeenSource `json:"registered,omitempty"`
}

// startCounts makes the engine of the limits, with what was counted before a
// restart. What cannot be read is told of once there is somebody to tell.
func (g *gateway) startCounts(all []ratelimit.Limit) (lost, err error) {
	g.failureFile = stateFile{path: filepath.Join(g.cfg.State, "failures.json"), most: maxFailureFile}
	var was failureFile
	name, lost := g.failureFile.read(&was, func() error { return oneVersion(was.Version) }, time.Now())
	if lost != nil {
		was, g.failuresNow = failureFile{}, g.failureFile.now(name)
	}
	if g.counts, err = ratelimit.New(all, ratelimit.Caps{Seed: was.Seed}); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if n := g.counts.Restore(was.Kept, time.Now()); n > 0 {
		g.log.Info("failed attempts of before the restart", "keys", n)
	}
	g.registeredBefore = was.Registered
	return lost, nil
}

// failuresNotLoaded tells that the file could not be used.
func (g *gateway) failuresNotLoaded(err error) {
	if err != nil {
		g.failed(call.SinkDegraded, "failures/not-loaded", "counts of failed attempts of before the restart are lost, and who was registered then"+g.failuresNow, err)
	}
}

// failureEvery is the time between two writes; with full tables it is a minute
// and a half. A gateway that is killed forgets the failures of that time.
func failureEvery(size int) time.Duration {
	return 10*time.Second + time.Duration(size>>17)*time.Second
}

// writtenAnew is when the file is written without a change: it says when
// registrations stood last.
const writtenAnew = time.Hour

// keepFailures writes the counts when they changed, and at the end.
func (g *gateway) keepFailures(ctx context.Context) {
	timer := time.NewTimer(failureEvery(0))
	defer timer.Stop()
	var written [2]uint64
	failing, at := false, time.Now()
	for last := false; !last; {
		size := 0
		select {
		case <-ctx.Done():
			last = true
		case <-timer.C:
		}
		now := [2]uint64{g.counts.Changes(), g.sbc.SourceChanges()}
		var err error
		if now != written || g.sbc.Bindings() > 0 && (last || time.Since(at) > writtenAnew) {
			if size, err = g.writeFailures(time.Now()); err == nil {
				at = time.Now()
			}
		}
		switch {
		case err == nil:
			written, failing = now, false
		case !failing: // once, not every ten seconds
			failing = true
			g.failed(call.SinkDegraded, "failures/not-kept", "counts of failed attempts cannot be written and end with a restart", err)
		}
		timer.Reset(failureEvery(size))
	}
}

func (g *gateway) writeFailures(now time.Time) (size int, err error) {
	if size, err = g.failureFile.write(failureFile{1, g.counts.Kept(now), g.sbc.Sources(now)}); err != nil {
		return 0, fmt.Errorf("failures: %w", err)
	}
	return size, nil
}
