package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// What the detectors of fraud know outlives a restart: habits, incidents,
// guarded numbers, what is spent. The file is theirs; here it is read, written
// and told of.

// maxDetectorFile bounds what is read of the file: full tables are well below it.
const maxDetectorFile = 1 << 30

// loadDetectors gives the detectors what they knew before a restart. Calls of
// before are over. A file that cannot be used is told of, and they begin anew:
// they learn what is usual again, and what they do is withheld for the first
// week, where nothing else is configured.
func (g *gateway) loadDetectors() {
	g.detectorFile = stateFile{path: filepath.Join(g.cfg.State, "fraud.state"), most: maxDetectorFile}
	f := &g.detectorFile
	b, err := f.octets()
	name := filepath.Base(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		f.left = true
	case int64(len(b)) > f.most:
		err = fmt.Errorf("longer than %d bytes", f.most)
	default:
		err = g.detectors.Restore(b)
	}
	if err == nil {
		g.log.Info("the detectors of fraud know what they knew before the restart", "bytes", len(b))
		g.report(g.detectors.Interrupted())
		return
	}
	if !f.left {
		aside, bad := f.putAside(time.Now())
		f.left = bad != nil
		name, err = filepath.Base(aside), errors.Join(err, bad)
	}
	g.failed(call.SinkDegraded, "fraud/not-loaded", "what the detectors of fraud knew before the restart is lost"+f.now(name), err)
}

// detectorsEvery is the time between two writes without a finding. A gateway
// that is killed forgets the habits of that time; what was found is written at
// once.
const detectorsEvery = time.Minute

// detectorsAtOnce is the least time between two writes, by what the last one
// took: one thirtieth of a processor goes there at most.
func detectorsAtOnce(took time.Duration) time.Duration { return max(time.Second, 30*took) }

// keepDetectors writes what they know: after a finding, and each minute.
func (g *gateway) keepDetectors(ctx context.Context) {
	timer := time.NewTimer(detectorsEvery)
	defer timer.Stop()
	failing := false
	var rest <-chan time.Time // nothing is written before
	for {
		wake := g.detectorsFound
		if rest != nil {
			wake = nil // it keeps one
		}
		select {
		case <-ctx.Done():
			return
		case <-rest:
			rest = nil
			continue
		case <-wake:
		case <-timer.C:
		}
		began := time.Now()
		err := g.writeDetectors()
		switch {
		case err == nil:
			failing = false
		case !failing: // once, not every minute
			failing = true
			g.failed(call.SinkDegraded, "fraud/not-kept", "what the detectors of fraud know cannot be written and ends with a restart", err)
		}
		rest = time.After(detectorsAtOnce(time.Since(began)))
		timer.Reset(detectorsEvery)
	}
}

// keepFinding has what was found written soon.
func (g *gateway) keepFinding() {
	select {
	case g.detectorsFound <- struct{}{}:
	default: // a write is due anyway
	}
}

func (g *gateway) writeDetectors() error {
	if g.detectorFile.left {
		return nil
	}
	b, err := g.detectors.Snapshot()
	if err == nil {
		err = replaceFile(g.detectorFile.path, b)
	}
	return err
}

// settleDetectors is the end: they see what happened while everything else
// ended, and all is written.
func (g *gateway) settleDetectors() {
	if g.fraudEvents == nil {
		return
	}
	for more := true; more; {
		select {
		case ev, ok := <-g.fraudEvents.C:
			if more = ok; ok {
				g.report(g.detectors.Observe(ev))
			}
		default:
			more = false
		}
	}
	g.report(g.detectors.Flush())
	if err := errors.Join(g.writeDetectors(), g.writeIncidents()); err != nil {
		g.failed(call.SinkDegraded, "fraud/not-kept", "what the detectors of fraud know is not written whole", err)
	}
}

// report tells what was found and does nothing else: there are no calls.
func (g *gateway) report(fs []fraud.Finding) {
	for _, f := range fs {
		g.reportFinding(f)
	}
}
