package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/history"
)

// Who put a policy in force.
const (
	byStart    = "start"
	bySignal   = "signal"
	byAPI      = "api"
	byWatch    = "watch"
	byRollback = "rollback"
)

// inForce is one policy while it is in force. It is never changed.
type inForce struct {
	set      *policy.Set
	material material
	since    time.Time
	by       string
	of       string // an old policy made again: its revision then
	untested error  // its failed tests, where it was loaded all the same
}

// policies is the policy in force, the way to the next one and back to the ones
// before. One change at a time: whoever changes holds the lock from reading
// the files until the new policy judges.
type policies struct {
	mu    sync.Mutex
	cfg   *config.Config // as last read
	now   *inForce
	want  []string     // files that the last policy that was read did not find
	pin   *history.Pin // now is an old policy; the files count again after an explicit reload
	lost  error        // why the pinned policy could not be loaded at the start
	store *history.Store
}

// startPolicy reads the policy that the gateway starts with: the pinned one of
// the history, else that of the files.
func (g *gateway) startPolicy() error {
	g.policies.cfg, g.policies.store = g.cfg, history.Open(history.Dir(g.cfg.State))
	if now, pin, err := g.pinnedPolicy(); err != nil {
		g.log.Error("the pinned policy cannot be loaded, that of the files is", "error", err)
		g.policies.lost = err
	} else if pin != nil {
		g.log.Warn("an old policy is pinned and in force, the files are not; rampart policy reload ends that", "revision", pin.Revision, "since", pin.At)
		g.policies.now, g.policies.pin = now, pin
		return nil
	}
	now, err := g.loadPolicy(g.cfg, byStart)
	if err != nil {
		return err
	}
	g.policies.now = now
	return nil
}

// loadPolicy makes the policy of a configuration's files and runs its tests.
// When they fail it is refused, or, where the operator said so, taken all the
// same; then tellUntested says it. The lock of policies is held.
func (g *gateway) loadPolicy(cfg *config.Config, by string) (*inForce, error) {
	plan, err := cfg.Plan()
	if err != nil {
		return nil, err
	}
	set, m, ps := compileRules(cfg, plan, readBounded, time.Now(), g.policies.now)
	g.warned(ps)
	g.policies.want = m.missing
	if set == nil {
		return nil, listed("rules", ps)
	}
	if ps := prove(cfg, set); len(ps) > 0 {
		return nil, listed("proof that emergency calls pass", ps)
	}
	now := &inForce{set: set, material: m, since: time.Now(), by: by}
	if last := g.policies.now; last != nil && set.Revision() == last.set.Revision() {
		now.since, now.by = last.since, last.by
	}
	if failed := runTests(cfg, set); failed != nil {
		err := listed("tests of the rules", failed)
		if !g.allowFailing {
			return nil, err
		}
		now.untested = err
	}
	if g.policies.now != nil { // else there is nobody to tell yet, and no list from before
		g.listsKept(set, ps)
	}
	return now, nil
}

// tellUntested says that the rules in force failed their tests.
func (g *gateway) tellUntested(now *inForce) {
	if now.untested != nil {
		g.failed(call.PolicyReloaded, "policy/tests-failing", "the policy is in force although its tests fail (--allow-failing-tests)", now.untested)
	}
}

// startedPolicy tells of it once alerts can be told, and writes it down.
func (g *gateway) startedPolicy() {
	p := &g.policies
	if p.lost != nil {
		g.failed(call.PolicyReloaded, "policy/pin-lost", "the pinned policy cannot be loaded, that of the files is in force", p.lost)
	}
	g.tellUntested(p.now)
	if p.pin == nil {
		g.remember(p.now)
		return
	}
	e := g.about(call.PolicyReloaded, call.Medium, "policy/pinned", "an old policy is pinned and in force, the files are not: "+p.pin.Revision)
	g.rep.System(e)
}

// pinnedPolicy makes the policy that is pinned, if one is.
func (g *gateway) pinnedPolicy() (*inForce, *history.Pin, error) {
	pin, err := g.policies.store.Pinned()
	if err != nil || pin == nil {
		return nil, nil, err
	}
	now, err := g.oldPolicy(pin.Revision, g.policies.cfg)
	return now, pin, err
}

// oldPolicy makes a policy of the history again, under a configuration.
func (g *gateway) oldPolicy(revision string, cfg *config.Config) (*inForce, error) {
	e, err := g.policies.store.Load(revision)
	if err != nil {
		return nil, err
	}
	m, read := kept(e)
	now, err := g.makeAgain(m, read, cfg)
	if err == nil && now.set.Revision() != e.Revision { // another home, or another version of the gateway
		now.of = e.Revision
	}
	return now, err
}

// makeAgain makes a policy of what was kept of it: a Set of its own, as one in
// force is not to be changed.
func (g *gateway) makeAgain(m material, read func(string) ([]byte, error), cfg *config.Config) (*inForce, error) {
	plan, err := cfg.Plan()
	if err != nil {
		return nil, err
	}
	set, ps := m.compile(cfg, plan, read, time.Now(), nil)
	if set == nil {
		return nil, fmt.Errorf("the old policy cannot be made again: %w", listed("rules", ps))
	}
	if ps := prove(cfg, set); len(ps) > 0 {
		return nil, listed("proof that emergency calls pass", ps)
	}
	return &inForce{set: set, material: m, since: time.Now(), by: byRollback}, nil
}

// outcome says what a change of the policy led to.
type outcome struct {
	Revision string   `json:"revision"` // in force now
	Before   string   `json:"before"`
	Changed  bool     `json:"changed"`
	By       string   `json:"by"`
	Pinned   bool     `json:"pinned"`
	Needs    []string `json:"needs_restart,omitempty"` // changed keys of the configuration
}

// reloadPolicy reads the configuration, finds its rule files again and puts
// them and the peers' limits in force. On an error everything stays as it was.
// A pinned policy stays unless unpin says that its time is over; the peers'
// limits are taken all the same.
func (g *gateway) reloadPolicy(by string, unpin bool) (out outcome, err error) {
	p := &g.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	out = outcome{Revision: p.now.set.Revision(), Before: p.now.set.Revision(), Pinned: p.pin != nil, By: by}
	next, ps := config.Load(g.cfg.File, config.ThisHost())
	g.warned(ps)
	if next == nil {
		return out, listed("configuration", ps)
	}
	cfg, needs := g.cfg.Reloaded(next)
	out.Needs = needs
	var now *inForce
	if p.pin == nil && by != byAPI { // whoever rotates logs sends the signal, too
		if err := vanished(p.cfg, cfg); err != nil {
			return out, err
		}
	}
	if p.pin == nil || unpin {
		if now, err = g.loadPolicy(cfg, by); err != nil {
			return out, err
		}
	} else {
		if now, err = g.makeAgain(material{sources: p.now.material.sources, lists: map[string][]byte{}}, from(p.now.material.lists), cfg); err != nil {
			return out, err
		}
		now.since, now.by = p.now.since, p.now.by
	}
	if err := g.putInForce(cfg, now); err != nil {
		return out, err
	}
	g.drainFor.Store(int64(cfg.Drain))
	if unpin && p.pin != nil {
		p.pin = nil
		if err := p.store.Pin(nil); err != nil {
			g.failed(call.PolicyReloaded, "policy/history", "the pin is lifted, but a restart will find it again", err)
		}
	}
	out.Revision, out.Pinned = now.set.Revision(), p.pin != nil
	out.Changed = out.Revision != out.Before
	return out, nil
}

// reloadFiles puts changed policy files in force under the configuration as last
// read: a configuration that somebody is writing is not looked at.
func (g *gateway) reloadFiles() (out outcome, err error) {
	p := &g.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	out = outcome{Revision: p.now.set.Revision(), Before: p.now.set.Revision(), Pinned: p.pin != nil, By: byWatch}
	if p.pin != nil {
		return out, nil
	}
	if err := vanished(p.cfg, p.cfg); err != nil {
		return out, err
	}
	cfg := *p.cfg
	cfg.PolicyFiles = nil
	for _, names := range cfg.FindPolicy(filepath.Glob) {
		cfg.PolicyFiles = append(cfg.PolicyFiles, names...)
	}
	slices.Sort(cfg.PolicyFiles)
	cfg.PolicyFiles = slices.Compact(cfg.PolicyFiles)
	now, err := g.loadPolicy(&cfg, byWatch)
	if err != nil || now.set.Revision() == out.Before {
		return out, err
	}
	if err := g.putInForce(&cfg, now); err != nil {
		return out, err
	}
	out.Revision, out.Changed = now.set.Revision(), true
	return out, nil
}

// rollback puts an old policy in force and pins it; without a revision the one
// before the present one.
func (g *gateway) rollback(revision, by string) (out outcome, err error) {
	p := &g.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	out = outcome{Revision: p.now.set.Revision(), Before: p.now.set.Revision(), Pinned: p.pin != nil, By: by}
	if revision == "" {
		if revision, err = p.before(); err != nil {
			return out, err
		}
	}
	old, err := g.oldPolicy(revision, p.cfg)
	if err != nil {
		return out, err
	}
	pin := &history.Pin{Revision: old.set.Revision(), At: old.since, By: by}
	if err := g.putInForce(p.cfg, old); err != nil {
		return out, err
	}
	p.pin = pin
	if err := p.store.Pin(pin); err != nil {
		g.failed(call.PolicyReloaded, "policy/history", "the policy is rolled back, but a restart will not know", err)
	}
	out.Revision, out.Pinned = old.set.Revision(), true
	out.Changed = out.Revision != out.Before
	return out, nil
}

// before is the revision that was in force before the present one. A rollback
// undoes what came after the policy it went to: who rolls back again, now or
// after another change, gets one that is older, never the one he has left.
func (p *policies) before() (string, error) {
	all, err := p.store.List()
	if err != nil {
		return "", err
	}
	var way []history.Entry // to the present one, without what was undone
	for _, e := range slices.Backward(all) {
		if e.By == byRollback {
			for i, was := range slices.Backward(way) {
				if was.Revision == e.Revision || e.Of != "" && was.Revision == e.Of {
					way = way[:i]
					break
				}
			}
		}
		way = append(way, e)
	}
	now := p.now.set.Revision()
	for _, e := range slices.Backward(way) {
		if e.Revision != now && !e.TooLarge {
			return e.Revision, nil
		}
	}
	return "", fmt.Errorf("%w before %s, which is in force; rampart policy history lists all", history.ErrUnknown, now)
}

// putInForce makes a policy judge from the next request on, with the peers'
// limits of a configuration: all of it at once.
func (g *gateway) putInForce(cfg *config.Config, now *inForce) error {
	counts, err := g.counts.With(limits(cfg, now.set))
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	detect, err := detectorsOf(cfg, now.set)
	if err != nil {
		return err
	}
	cost, err := rates(cfg, now.set.Plan().Data())
	if err != nil && now.by != byRollback {
		return err
	}
	if err != nil { // who goes back is in a hurry: what somebody did to the deck meanwhile is no reason to stay
		g.failed(call.PolicyReloaded, "policy/rates", "the rates in force stay", err)
		cost = g.detectors.Rates()
	}
	changed := now.set.Revision() != g.policies.now.set.Revision()
	g.counts = counts
	g.policies.cfg, g.policies.now = cfg, now
	g.rep.recall.keep(now.set) // before it decides anything
	g.detectors.Configure(detect, cost)
	g.sbc.SetPolicy(judges(counts, now.set, g.detectors))
	g.gate.SetPeers(peerBudgets(cfg, runtime.GOMAXPROCS(0)))
	m := *g.rep.meta.Load()
	m.PolicyRevision, m.NumberData = now.set.Revision(), now.set.Plan().Data().Version()
	g.rep.meta.Store(&m)
	if changed {
		g.remember(now)
	}
	g.tellUntested(now)
	return nil
}

// remember writes a policy that came into force to the history.
func (g *gateway) remember(now *inForce) {
	err := g.policies.store.Add(history.Entry{Revision: now.set.Revision(), At: now.since, By: now.by, Of: now.of,
		Rules: len(now.set.Rules()) - len(now.set.Limits()), Limits: len(now.set.Limits()), Files: now.material.files()})
	if err != nil {
		g.failed(call.PolicyReloaded, "policy/history", "the policy is in force, but nobody can go back to it", err)
	}
}

// warned logs the warnings among problems.
func (g *gateway) warned(ps strictyaml.Problems) {
	for _, p := range ps {
		if p.Warning {
			g.log.Warn("configuration", "warning", p.String())
		}
	}
}

// listsKept tells of list files that are gone or wrong, and whose last values
// stay in force.
func (g *gateway) listsKept(set *policy.Set, ps strictyaml.Problems) {
	files := map[string]bool{}
	for _, l := range set.ListFiles() {
		files[l.Path] = true
	}
	var bad strictyaml.Problems
	for _, p := range ps {
		if p.Warning && files[p.File] {
			p.Warning = false
			bad = append(bad, p)
		}
	}
	if len(bad) > 0 {
		g.failed(call.PolicyReloaded, "policy/list-not-loaded", "a list was not loaded, its last values stay", listed("lists", bad))
	}
}

// maxListed bounds the problems that one error names: it goes to the log and
// into alerts.
const maxListed = 100

// listed makes one error of all errors among problems, one a line.
func listed(in string, ps strictyaml.Problems) error {
	all := ps.Errors()
	errs := []error{fmt.Errorf("%s in the %s", count(len(all), "error"), in)}
	for _, p := range all[:min(len(all), maxListed)] {
		errs = append(errs, errors.New(p.String()))
	}
	if n := len(all) - maxListed; n > 0 {
		errs = append(errs, fmt.Errorf("and %d more", n))
	}
	return errors.Join(errs...)
}

// evidenceOf shows the first problems of a failed reload one by one, as the
// text of an alert is short.
func evidenceOf(err error) (out []call.Evidence) {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && strings.Contains(line, ":") {
			out = append(out, call.Evidence{Name: "problem", Value: line})
		}
	}
	return out[:min(len(out), 16)]
}
