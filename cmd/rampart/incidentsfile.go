package main

import (
	"container/list"
	"context"
	"path/filepath"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// The book of incidents outlives a restart, beside what the detectors know.

// maxIncidentFile bounds what is read of the file: a full book is well below it.
const maxIncidentFile = 256 << 20

type incidentFile struct {
	Version   int        `json:"version"`
	Incidents []incident `json:"incidents"` // found last first
}

// startIncidents makes the book, with what was in it before a restart.
func (g *gateway) startIncidents() {
	g.incidents = newIncidents()
	g.incidentFile = stateFile{path: filepath.Join(g.cfg.State, "incidents.json"), most: maxIncidentFile}
	var was incidentFile
	name, err := g.incidentFile.read(&was, func() error { return oneVersion(was.Version) }, time.Now())
	if err != nil {
		g.failed(call.SinkDegraded, "incidents/not-loaded", "incidents of before the restart are not in the book"+g.incidentFile.now(name), err)
		return
	}
	g.incidents.restore(was.Incidents)
	if n := len(was.Incidents); n > 0 {
		g.log.Info("incidents of before the restart", "count", n)
	}
}

// restore puts back what a book held.
func (b *incidents) restore(all []incident) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range all {
		x := &all[i]
		if x.ID == "" || b.by[x.ID] != nil {
			continue
		}
		x.ofLimit, x.State = !fraud.IsDetector(x.Rule), ""
		for s := call.Info; s <= call.Critical; s++ {
			if s.String() == x.Severity {
				x.weight = s
			}
		}
		if l := b.listFor(x); l.Len() < b.most(x) {
			b.by[x.ID] = l.PushBack(x)
		}
	}
}

// kept is what the file holds.
func (b *incidents) kept() (f incidentFile) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.Version, f.Incidents = 1, []incident{}
	for _, l := range []*list.List{&b.found, &b.limits} {
		for el := l.Front(); el != nil; el = el.Next() {
			v := el.Value.(*incident).view(time.Time{})
			v.State = ""
			f.Incidents = append(f.Incidents, v)
		}
	}
	return f
}

// incidentsEvery is the time between two writes; with a full book it is half a
// minute.
func incidentsEvery(size int) time.Duration {
	return time.Second + time.Duration(size>>18)*time.Second
}

// keepIncidents writes the book soon after it changed.
func (g *gateway) keepIncidents(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.incidents.wake:
		}
		size, err := g.incidentFile.write(g.incidents.kept())
		switch {
		case err == nil:
			failing = false
		case !failing: // once, not every time
			failing = true
			g.failed(call.SinkDegraded, "incidents/not-kept", "incidents cannot be written and are forgotten with a restart", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(incidentsEvery(size)):
		}
	}
}

func (g *gateway) writeIncidents() error {
	_, err := g.incidentFile.write(g.incidents.kept())
	return err
}
