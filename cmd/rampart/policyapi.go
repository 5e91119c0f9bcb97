package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/history"
)

// policyView is the policy in force as the API shows it.
type policyView struct {
	Revision string        `json:"revision"`
	Since    call.Time     `json:"since"`
	By       string        `json:"by"`
	Pinned   *call.Time    `json:"pinned,omitempty"` // since when an old policy is in force by will
	Rules    int           `json:"rules"`
	Limits   int           `json:"limits"`
	Lists    int           `json:"lists"`
	Watch    bool          `json:"watch"`
	Files    []string      `json:"files"`
	Shadow   int           `json:"shadow"` // entries that are only told of
	Expired  []expiredView `json:"expired"`
}

// expiredView is an entry that is not applied any more.
type expiredView struct {
	ID      string    `json:"id"`
	File    string    `json:"file"`
	Line    int       `json:"line"`
	Expires call.Time `json:"expires"`
	Owner   string    `json:"owner,omitempty"`
	Ticket  string    `json:"ticket,omitempty"`
}

func (g *gateway) policyView(at time.Time) policyView {
	g.policies.mu.Lock()
	now, pin, watch := g.policies.now, g.policies.pin, g.policies.cfg.Policy.Watch
	g.policies.mu.Unlock()
	v := policyView{Revision: now.set.Revision(), Since: call.Time{Time: now.since}, By: now.by, Watch: watch,
		Limits: len(now.set.Limits()), Lists: len(now.set.Lists()), Files: []string{}, Expired: []expiredView{}}
	if pin != nil {
		v.Pinned = call.At(pin.At)
	}
	for _, s := range now.material.sources {
		v.Files = append(v.Files, s.Name)
	}
	for _, r := range now.set.Rules() {
		if !r.Overridden && !r.Limit {
			v.Rules++
		}
		if r.Mode == "shadow" {
			v.Shadow++
		}
		if !r.Expires.IsZero() && !at.Before(r.Expires) {
			v.Expired = append(v.Expired, expiredView{r.ID, r.File, r.Line, call.Time{Time: r.Expires}, r.Owner, r.Ticket})
		}
	}
	return v
}

// policyOperations are what the API offers about the policy.
func (g *gateway) policyOperations() []admin.Operation {
	return []admin.Operation{
		{Method: "GET", Path: "/api/v1/policy", Doc: `{"summary": "The policy in force", "responses": {"200": {"description": "Its revision, since when, by whom, whether it is pinned, what it holds and which entries have expired"}}}`,
			Serve: func(*http.Request) (any, error) { return g.policyView(time.Now()), nil }},
		{Method: "GET", Path: "/api/v1/policy/history", Doc: `{"summary": "The policies that were in force, newest first", "responses": {"200": {"description": "Their revisions, times and files, without what stood in these"}}}`,
			Serve: func(*http.Request) (any, error) {
				all, err := g.policies.store.List()
				if all == nil {
					all = []history.Entry{}
				}
				return map[string]any{"items": all, "total": len(all)}, err
			}},
		{Method: "POST", Path: "/api/v1/policy/reload", Doc: `{"summary": "Load the policy of the files; a pin ends", "responses": {"200": {"description": "The revision in force now"}, "422": {"description": "The files are wrong; the old policy stays in force"}}}`,
			Serve: func(r *http.Request) (any, error) {
				out, err := g.reloadPolicy(byAPI, true)
				g.toldReload(out, err)
				g.adminChange(r, "admin/policy-reload", "policy reload", out, err)
				if err != nil {
					return nil, admin.Status{Code: http.StatusUnprocessableEntity, Detail: err.Error()}
				}
				return out, nil
			}},
		{Method: "POST", Path: "/api/v1/policy/rollback", Doc: `{"summary": "Put a policy of the history in force and pin it", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"revision": {"type": "string", "description": "Four characters or more; empty: the one before"}}}}}}, "responses": {"200": {"description": "The revision in force now"}, "404": {"description": "The history has no such policy"}, "422": {"description": "It cannot be made again; the present one stays in force"}}}`,
			Serve: g.serveRollback},
	}
}

func (g *gateway) serveRollback(r *http.Request) (any, error) {
	var in struct {
		Revision string `json:"revision"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return nil, admin.BadRequest("the body has to be {\"revision\": \"…\"}")
	}
	if len(in.Revision) > 64 {
		return nil, admin.BadRequest("a revision has 12 characters")
	}
	out, err := g.rollback(in.Revision, byAPI)
	g.adminChange(r, "admin/policy-rollback", "policy rollback", out, err)
	switch {
	case errors.Is(err, history.ErrUnknown):
		return nil, admin.NotFound(err.Error())
	case err != nil:
		return nil, admin.Status{Code: http.StatusUnprocessableEntity, Detail: err.Error()}
	}
	g.log.Warn("policy rolled back and pinned", "revision", out.Revision, "before", out.Before)
	g.rep.System(g.about(call.PolicyReloaded, call.Medium, "policy/rolled-back", fmt.Sprintf("policy %s, pinned; before: %s", out.Revision, out.Before)))
	return out, nil
}

// adminChange tells of what somebody did through the API, and of what he could
// not do.
func (g *gateway) adminChange(r *http.Request, rule, what string, out outcome, err error) {
	e := g.about(call.AdminChange, call.Medium, rule, what+": "+out.Before+" to "+out.Revision)
	e.Evidence = []call.Evidence{{Name: "revision", Value: out.Revision}, {Name: "revision.before", Value: out.Before}}
	if from, bad := netip.ParseAddrPort(r.RemoteAddr); bad == nil {
		e.Source = call.FoldAddr(from)
	}
	if err != nil {
		e.Reason = what + " failed: " + oneLine(err)
		g.rep.Failed(e)
		return
	}
	g.rep.System(e)
}
