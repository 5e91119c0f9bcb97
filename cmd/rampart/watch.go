package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
)

// watchEvery is how often files are looked at. They are asked, not listened to:
// that works on network file systems and where a directory is swapped by a link.
const watchEvery = 2 * time.Second

// watchPolicy loads policy files, lists, GeoIP and numbering data that changed.
func (g *gateway) watchPolicy(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := g.newWatcher()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.poll()
		}
	}
}

// watcher remembers how the files looked. What changed is loaded when it has
// looked the same twice, so that nothing is read half-written; what failed is
// not tried again until it looks different.
type watcher struct {
	g       *gateway
	rules   settled
	want    []string
	wanted  settled // files that a policy names and that are not there yet
	geo     settled
	numbers settled
	users   settled
}

// settled is one state of files.
type settled struct{ loaded, seen string }

// moved takes how the files look now and reports a change that has come to rest.
func (s *settled) moved(now string) bool {
	rest := now == s.seen
	s.seen = now
	if !rest || now == s.loaded {
		return false
	}
	s.loaded = now
	return true
}

func (g *gateway) newWatcher() *watcher {
	w := &watcher{g: g}
	look := g.lookAtPolicy()
	w.rules = settled{look, look}
	w.await()
	geo, numbers, users := g.lookAtGeo(), g.lookAtNumbers(), g.lookAtUsers()
	w.geo, w.numbers, w.users = settled{geo, geo}, settled{numbers, numbers}, settled{users, users}
	return w
}

// poll looks once.
func (w *watcher) poll() {
	g := w.g
	if cfg := g.policyConfig(); !cfg.Policy.Watch {
		return
	}
	changed, came := w.rules.moved(g.lookAtPolicy()), w.wanted.moved(g.lookAtWanted())
	if changed || came {
		w.load()
		w.await()
	}
	if w.users.moved(g.lookAtUsers()) {
		g.reloadUsers()
	}
	if w.geo.moved(g.lookAtGeo()) {
		g.reloadGeo()
	}
	if w.numbers.moved(g.lookAtNumbers()) { // a part of the configuration, which is read with it
		g.toldReload(g.reloadPolicy(byWatch, false))
	}
}

// await looks out for the files that were not there when the policy was read.
// They may have come in the meantime.
func (w *watcher) await() {
	w.g.policies.mu.Lock()
	want := w.g.policies.want
	w.g.policies.mu.Unlock()
	if slices.Equal(want, w.want) {
		return
	}
	w.want = want
	var gone strings.Builder
	for _, f := range slices.Compact(slices.Sorted(slices.Values(want))) {
		fmt.Fprintf(&gone, "%q gone\n", f)
	}
	w.wanted = settled{gone.String(), w.g.lookAtWanted()}
}

// load puts the changed files in force.
func (w *watcher) load() {
	g := w.g
	out, err := g.reloadFiles()
	switch {
	case err != nil:
		g.toldReload(out, err)
	case out.Pinned:
		g.log.Warn("policy files changed, an old policy is pinned and stays in force; rampart policy reload ends that", "revision", out.Revision)
	case out.Changed:
		g.toldReload(out, nil)
	}
}

// vanished names patterns that found files when the policy in force was read
// and find none any more. That is a file system that went away, more likely
// than a policy that was meant to have no rules: it needs somebody who says so.
func vanished(last, next *config.Config) error {
	var gone []error
	was := last.FindPolicy(func(pattern string) (found []string, err error) {
		for _, f := range last.PolicyFiles {
			if ok, _ := filepath.Match(pattern, f); ok {
				found = append(found, f)
			}
		}
		return found, nil
	})
	now := next.FindPolicy(filepath.Glob)
	for _, pattern := range sortedKeys(was) {
		if found, asked := now[pattern]; asked && len(was[pattern]) > 0 && len(found) == 0 {
			gone = append(gone, fmt.Errorf("policy.files: %s finds no file any more", pattern))
		}
	}
	if len(gone) > 0 {
		gone = append(gone, errors.New("if that is meant: rampart policy reload"))
	}
	return errors.Join(gone...)
}

// policyConfig is the configuration as last read.
func (g *gateway) policyConfig() *config.Config {
	g.policies.mu.Lock()
	defer g.policies.mu.Unlock()
	return g.policies.cfg
}

// lookAtPolicy says how the files of the policy and of its lists look.
func (g *gateway) lookAtPolicy() string {
	g.policies.mu.Lock()
	cfg, now := g.policies.cfg, g.policies.now
	g.policies.mu.Unlock()
	var files []string
	for _, names := range cfg.FindPolicy(filepath.Glob) {
		files = append(files, names...)
	}
	return looks(append(files, sortedKeys(now.material.lists)...))
}

func (g *gateway) lookAtWanted() string {
	g.policies.mu.Lock()
	want := slices.Clone(g.policies.want)
	g.policies.mu.Unlock() // a file system may take its time
	return looks(want)
}

func (g *gateway) lookAtGeo() string {
	return looks([]string{g.cfg.GeoIP.Country, g.cfg.GeoIP.ASN})
}

func (g *gateway) lookAtNumbers() string {
	return looks([]string{g.policyConfig().Home.Numbering})
}

// looks describes files without reading them: size, time, mode, and where links
// lead to, as a swapped link may lead to a file of the same time and size.
func looks(files []string) string {
	slices.Sort(files)
	var b strings.Builder
	for _, f := range slices.Compact(files) {
		if f == "" {
			continue
		}
		at, _ := filepath.EvalSymlinks(f)
		st, err := os.Stat(f)
		if err != nil {
			fmt.Fprintf(&b, "%q gone\n", f)
			continue
		}
		fmt.Fprintf(&b, "%q %q %d %d %s\n", f, at, st.Size(), st.ModTime().UnixNano(), st.Mode())
	}
	return b.String()
}
