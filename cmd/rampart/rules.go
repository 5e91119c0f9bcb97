package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/history"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/sbc"
)

// material is all that a policy was made of: enough to make it again when the
// files have changed.
type material struct {
	sources []policy.Source
	lists   map[string][]byte // files that the sources name, as they were read
	missing []string          // those that could not be
}

// compileRules reads the packs and rule files of a configuration and makes one
// policy of them. The Set is nil when a problem is an error. last is what is in
// force, nil at the start.
func compileRules(cfg *config.Config, plan *number.Plan, read func(string) ([]byte, error), now time.Time, last *inForce) (*policy.Set, material, strictyaml.Problems) {
	sources, ps := gatherRules(cfg, read)
	m := material{sources: sources, lists: map[string][]byte{}}
	set, more := m.compile(cfg, plan, read, now, last)
	m.same(set, last)
	if ps = append(ps, more...); ps.Err() != nil {
		set = nil
	}
	return set, m, ps
}

// compile makes the policy. Whatever else it reads is kept in m.
func (m *material) compile(cfg *config.Config, plan *number.Plan, read func(string) ([]byte, error), now time.Time, last *inForce) (*policy.Set, strictyaml.Problems) {
	zone, _ := cfg.Home.Zone() // config reported a wrong name
	opts := policy.Options{Plan: plan, Zone: zone, Now: now, ReadFile: m.keeping(read, last)}
	if last != nil {
		opts.Last = last.set
	}
	return policy.Compile(m.sources, opts)
}

// readBounded reads a file no further than any file of a policy may be long. A
// pipe or a device is none: a gateway that reloads would wait for it for ever.
func readBounded(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, policy.MaxListFile+1))
}

// keeping reads a file and keeps what it read. One that cannot be read keeps
// what it held in the policy before.
func (m *material) keeping(read func(string) ([]byte, error), last *inForce) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		data, err := read(path)
		if err != nil {
			m.missing = append(m.missing, path)
		}
		if err == nil {
			m.lists[path] = data
		} else if last != nil && last.material.lists[path] != nil {
			m.lists[path] = last.material.lists[path]
		}
		return data, err
	}
}

// same keeps for a list that has not changed what was read of it then: its file
// may hold mistakes now, and the list the values from before.
func (m *material) same(set *policy.Set, last *inForce) {
	if set == nil || last == nil {
		return
	}
	was := map[string]string{}
	for _, l := range last.set.Lists() {
		was[l.Name()] = l.Version()
	}
	now := map[string]string{}
	for _, l := range set.Lists() {
		now[l.Name()] = l.Version()
	}
	for _, f := range set.ListFiles() {
		if data, ok := last.material.lists[f.Path]; ok && now[f.List] == was[f.List] {
			m.lists[f.Path] = data
		}
	}
}

// gatherRules reads the packs and files that a configuration names.
func gatherRules(cfg *config.Config, read func(string) ([]byte, error)) (sources []policy.Source, ps strictyaml.Problems) {
	for i, name := range cfg.Policy.Use {
		// An unknown name was reported by config.
		if data, ok := rules.Pack(name); ok {
			sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
		} else if config.HasPack(name) {
			ps = append(ps, cfg.Problem(fmt.Sprintf("policy.use[%d]", i), "policy.use: the pack %s is missing from this binary", name))
		}
	}
	if data, ok := rules.Profile(string(cfg.Profile)); ok {
		sources = append(sources, policy.Source{Name: "profile " + string(cfg.Profile), Data: data, Pack: true, Profile: true})
	}
	for _, file := range cfg.PolicyFiles {
		data, err := read(file)
		if err != nil {
			ps = append(ps, strictyaml.At(file, strictyaml.Pos{}, "cannot be read: %v", err))
			continue
		}
		sources = append(sources, policy.Source{Name: file, Data: data})
	}
	return sources, ps
}

// files are what the history keeps of it.
func (m material) files() (out []history.File) {
	for _, s := range m.sources {
		out = append(out, history.File{Name: s.Name, Pack: s.Pack, Profile: s.Profile, Data: s.Data})
	}
	for _, path := range sortedKeys(m.lists) {
		out = append(out, history.File{Name: path, List: true, Data: m.lists[path]})
	}
	return out
}

// kept is the material of a policy in the history, and how its lists are read.
func kept(e history.Entry) (material, func(string) ([]byte, error)) {
	m := material{lists: map[string][]byte{}}
	was := map[string][]byte{}
	for _, f := range e.Files {
		if f.List {
			was[f.Name] = f.Data
			continue
		}
		m.sources = append(m.sources, policy.Source{Name: f.Name, Data: f.Data, Pack: f.Pack, Profile: f.Profile})
	}
	return m, from(was)
}

// from reads files that were kept.
func from(was map[string][]byte) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if data, ok := was[path]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("%s is not in the history of the policy", path)
	}
}

// judges is what judges requests from one policy on: its limits, its rules, then
// what detectors found, as one thing that is put in force at once.
func judges(counts *ratelimit.Engine, set *policy.Set, found *fraud.Engine) sbc.Policy {
	set.Count(counts)
	return sbc.Policy{Revision: set.Revision(), Guards: []sbc.Guard{counts, set, found}, Plan: set.Plan(), Headers: set.Headers()}
}

// prove says why a policy may not come into force: it could refuse an emergency
// call. What it asks is counted nowhere.
func prove(cfg *config.Config, set *policy.Set) (ps strictyaml.Problems) {
	counts, err := ratelimit.New(limits(cfg, set), ratelimit.Caps{Keys: 64, Peers: 64, Calls: 64})
	if err != nil {
		return strictyaml.Problems{strictyaml.At(cfg.File, strictyaml.Pos{}, "limits: %v", err)}
	}
	var peers []string
	for _, p := range cfg.Peers {
		peers = append(peers, p.Name)
	}
	for _, fault := range admission.ProveEmergency([]admission.Guard{counts, set}, set.Plan(), peers) {
		ps = append(ps, cfg.Problem("home.emergency", "%s", fault).WithHint("emergency calls of phones and peers have to be permitted whatever the policy says"))
	}
	return ps[:min(len(ps), 20)]
}

// limits are those of the rules and of the peers' entries.
func limits(cfg *config.Config, set *policy.Set) (out []ratelimit.Limit) {
	for _, l := range set.Limits() {
		out = append(out, ratelimit.Limit(l))
	}
	for _, p := range cfg.Peers {
		out = append(out, ratelimit.PeerLimits(p.Name, p.Limits.Calls, p.Limits.CPS)...)
	}
	return out
}
