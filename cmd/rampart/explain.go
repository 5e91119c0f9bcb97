package main

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/policy"
)

// recall is what a running gateway remembers, so that it can say why: the facts
// of its latest decisions, and the policies that made them.
type recall struct {
	recent *explain.Recent

	mu   sync.Mutex
	sets []*policy.Set // the latest last
}

// maxSets policies stay in memory; decisions of older ones are explained with
// the one in force, and marked.
const maxSets = 8

func newRecall() *recall { return &recall{recent: explain.NewRecent(explain.Caps{})} }

// keep remembers a policy that came into force.
func (m *recall) keep(set *policy.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.sets {
		if s.Revision() == set.Revision() {
			m.sets = append(m.sets[:i], m.sets[i+1:]...)
			break
		}
	}
	m.sets = append(m.sets, set)
	if n := len(m.sets) - maxSets; n > 0 {
		clear(m.sets[:n])
		m.sets = append([]*policy.Set(nil), m.sets[n:]...)
	}
}

// keepOld remembers a policy that was made again, as the first to be forgotten.
func (m *recall) keepOld(set *policy.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sets) == maxSets {
		m.sets[0] = set
		return
	}
	m.sets = append([]*policy.Set{set}, m.sets...)
}

// set finds the policy of a revision, else the one in force.
func (m *recall) set(revision string) (s *policy.Set, then bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sets {
		if s.Revision() == revision {
			return s, true
		}
	}
	if len(m.sets) == 0 {
		return nil, false
	}
	return m.sets[len(m.sets)-1], false
}

// record gives a call the names of its record: its id, and the Call-IDs of the
// legs that went out.
func (m *recall) record(x *call.Record) {
	stranger := x.User == "" && x.Peer == "" && x.Account == ""
	m.recent.Name(x.ID, x.CallID, stranger)
	for _, p := range x.Passes {
		m.recent.Name(p.SIPCallIDTo, x.CallID, stranger)
	}
}

// explained is the answer about one call or request.
type explained struct {
	CallID    string          `json:"call_id"`
	Decisions []explain.Trace `json:"decisions"`
	Omitted   int             `json:"omitted,omitempty"` // earlier ones, where there are many
}

// maxDecisions are told at a time, the latest: a phone that registers for a
// year does so under one Call-ID.
const maxDecisions = 50

// explain tells how the decisions about a call came about. all tells of every
// entry that did not match.
func (g *gateway) explain(id string, all bool) (out explained, found bool) {
	facts := g.rep.recall.recent.Find(id)
	if len(facts) == 0 {
		for _, v := range g.sbc.Calls() { // one that is up, by the Call-ID of its other leg
			for _, other := range v.CallIDs {
				if other == id {
					facts = g.rep.recall.recent.Find(v.ID)
				}
			}
		}
	}
	if len(facts) == 0 {
		return out, false
	}
	out.CallID = facts[0].Attempt.ID
	if n := len(facts) - maxDecisions; n > 0 {
		out.Omitted, facts = n, facts[n:]
	}
	for _, f := range facts {
		in := explain.Input{Fact: f, Most: mostMisses, Tech: techPrefixes(g.cfg)}
		if all {
			in.Most = 0
		}
		in.Set, in.Then = g.policyOf(f.Attempt.Policy)
		out.Decisions = append(out.Decisions, explain.Of(in))
	}
	return out, true
}

// techPrefixes are those of each peer.
func techPrefixes(cfg *config.Config) map[string][]string {
	out := map[string][]string{}
	for _, p := range cfg.Peers {
		out[p.Name] = p.TechPrefixes
	}
	return out
}

// policyOf finds the policy of a revision: in memory, else made again from the
// history, else it is the one in force.
func (g *gateway) policyOf(revision string) (set *policy.Set, then bool) {
	set, then = g.rep.recall.set(revision)
	if then || revision == "" {
		return set, then
	}
	old, err := g.oldPolicy(revision, g.policyConfig())
	if err != nil || old.set.Revision() != revision {
		return set, false
	}
	g.rep.recall.keepOld(old.set)
	return old.set, true
}

// explainOperation is asked by `rampart calls explain`.
func (g *gateway) explainOperation() admin.Operation {
	return admin.Operation{Method: http.MethodGet, Path: "/api/v1/calls/{id}/explain", Doc: explainDoc, Serve: func(r *http.Request) (any, error) {
		id := r.PathValue("id")
		out, ok := g.explain(id, r.URL.Query().Get("all") == "true")
		if !ok {
			return nil, admin.NotFound(fmt.Sprintf("no decision about %q is in memory; an older one may be in the call detail records: rampart calls explain --cdr FILE", clipID(id)))
		}
		return out, nil
	}}
}

func clipID(id string) string {
	if len(id) > 128 {
		return id[:128] + "…"
	}
	return id
}

const explainDoc = `{
 "operationId": "explainCall",
 "summary": "Why a call was let through or refused",
 "description": "All decisions about a call or request, oldest first, each with the steps that led to it: how numbers were read, what limits compared, which entry of countries decided, which rules were asked and what did not match. Kept for the latest decisions only.",
 "parameters": [
  {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}, "description": "Our id of the call, the id of its record, or the SIP Call-ID of one of its legs."},
  {"name": "all", "in": "query", "schema": {"type": "boolean"}, "description": "Tell of every rule and limit that did not match."}
 ],
 "responses": {
  "200": {"description": "The decisions.", "content": {"application/json": {"schema": {"type": "object", "properties": {
   "call_id": {"type": "string"}, "omitted": {"type": "integer", "description": "Earlier decisions that are left out."},
   "decisions": {"type": "array", "items": {"type": "object", "properties": {
    "at": {"type": "string", "format": "date-time"}, "method": {"type": "string"}, "verdict": {"type": "string"}, "status": {"type": "integer"}, "rule": {"type": "string"},
    "reason": {"type": "string"}, "policy_revision": {"type": "string"}, "explained_with": {"type": "string"}, "number_data": {"type": "string"},
    "notes": {"type": "array", "items": {"type": "string"}},
    "steps": {"type": "array", "items": {"type": "object", "properties": {"stage": {"type": "string"}, "outcome": {"type": "string"}, "rule": {"type": "string"}, "at": {"type": "string"}, "text": {"type": "string"}, "values": {"type": "array", "items": {"type": "object"}}}}}
   }}}
  }}}}},
  "404": {"description": "Nothing is known about it any more."}
 }
}`
