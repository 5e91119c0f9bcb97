package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// incidentOperations are what the API offers about incidents of fraud.
func (g *gateway) incidentOperations() []admin.Operation {
	const id = `{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}`
	return []admin.Operation{
		{Method: "GET", Path: "/api/v1/incidents", Doc: `{"summary": "Incidents of fraud and of guessing, those found last first", "parameters": [{"name": "state", "in": "query", "schema": {"type": "string", "enum": ["open", "over", "closed"]}}, {"name": "action", "in": "query", "schema": {"type": "string"}, "description": "event.action of its alerts"}, {"name": "user", "in": "query", "schema": {"type": "string"}}, {"name": "offset", "in": "query", "schema": {"type": "integer"}}, {"name": "limit", "in": "query", "schema": {"type": "integer"}}], "responses": {"200": {"description": "What each is about, since when, how often, its last alert, what was done and what it is related to; cost sums what those that are open cost"}, "400": {"description": "A parameter is wrong"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.listIncidents(r, time.Now()) }},
		{Method: "GET", Path: "/api/v1/incidents/{id}", Doc: `{"summary": "One incident, with those that belong to the same story", "parameters": [` + id + `], "responses": {"200": {"description": "It"}, "404": {"description": "There is none of that id"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.showIncident(r.PathValue("id"), time.Now()) }},
		{Method: "POST", Path: "/api/v1/incidents/{id}/close", Doc: `{"summary": "Close an incident, and lift what was done because of it", "parameters": [` + id + `], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"verdict": {"type": "string", "enum": ["fraud", "false-alarm"]}, "note": {"type": "string"}, "release": {"type": "boolean", "description": "Lift its holds and let the numbers be called that it guards"}}}}}}, "responses": {"200": {"description": "The incident, and what was lifted"}, "400": {"description": "The body is wrong"}, "404": {"description": "There is none of that id"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.closeIncident(r, time.Now()) }},
	}
}

// incidentList is a page of incidents.
type incidentList struct {
	Items []incident `json:"items"`
	Total int        `json:"total"`
	Open  int        `json:"open"` // in the whole book
	Cost  []costOf   `json:"cost"` // of those that are open
}

// costOf is what open incidents cost, in one currency.
type costOf struct {
	Currency  string  `json:"currency"`
	SoFar     float64 `json:"so_far"`
	PerMinute float64 `json:"per_minute"`
}

func (g *gateway) listIncidents(r *http.Request, now time.Time) (any, error) {
	q := r.URL.Query()
	state, action, user := q.Get("state"), q.Get("action"), q.Get("user")
	if !slices.Contains([]string{"", "open", "over", "closed"}, state) {
		return nil, admin.BadRequest("state is open, over or closed")
	}
	offset, err := queryNumber(r, "offset", 0, 1<<30)
	if err != nil {
		return nil, err
	}
	limit, err := queryNumber(r, "limit", 100, 10_000)
	if err != nil {
		return nil, err
	}
	out := incidentList{Items: []incident{}, Cost: []costOf{}}
	costs := g.detectors.Costs()
	all := g.incidents.list(now, func(x *incident) bool {
		x.costs(costs)
		if x.State == "open" {
			out.Open++
			out.add(x)
		}
		return (state == "" || x.State == state) && (action == "" || string(x.Action) == action) &&
			(user == "" || x.Alert.User != nil && x.Alert.User.Name == user || x.Subject == call.Subject{Kind: "user", Value: user})
	})
	out.Total = len(all)
	out.Items = append(out.Items, all[min(offset, len(all)):min(offset+limit, len(all))]...)
	return out, nil
}

// costs brings what an incident costs up to now: its last alert may have been a
// while ago, and its calls be over. One that the detectors no longer keep costs
// nothing more.
func (x *incident) costs(now map[string]fraud.Cost) {
	was := x.Alert.Rampart.Loss
	if was == nil {
		return
	}
	c := now[x.ID]
	x.Alert.Rampart.Loss = &alert.Loss{SoFar: max(was.SoFar, math.Round(100*c.Lost)/100), PerMinute: math.Round(100*c.PerMin) / 100, Currency: was.Currency}
}

func (l *incidentList) add(x *incident) {
	loss := x.Alert.Rampart.Loss
	if loss == nil {
		return
	}
	i := slices.IndexFunc(l.Cost, func(c costOf) bool { return c.Currency == loss.Currency })
	if i < 0 {
		i = len(l.Cost)
		l.Cost = append(l.Cost, costOf{Currency: loss.Currency})
	}
	l.Cost[i].SoFar += loss.SoFar
	l.Cost[i].PerMinute += loss.PerMinute
}

func queryNumber(r *http.Request, name string, def, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, admin.BadRequest(fmt.Sprintf("%s has to be a number from 0 to %d", name, most))
	}
	return n, nil
}

// incidentView is one incident with its story.
type incidentView struct {
	incident
	Story []incident `json:"story"` // those it is related to, as far as the book has them, the first one first
}

func (g *gateway) showIncident(id string, now time.Time) (any, error) {
	x, ok := g.incidents.find(id, now)
	if !ok {
		return nil, noIncident(id)
	}
	costs := g.detectors.Costs()
	x.costs(costs)
	v := incidentView{x, []incident{}}
	seen := map[string]bool{id: true}
	for todo := x.Related; len(todo) > 0 && len(v.Story) < maxBackLinks; todo = todo[1:] {
		if seen[todo[0]] {
			continue
		}
		seen[todo[0]] = true
		if o, ok := g.incidents.find(todo[0], now); ok {
			o.costs(costs)
			v.Story = append(v.Story, o)
			todo = append(todo, o.Related...)
		}
	}
	slices.SortStableFunc(v.Story, func(a, b incident) int { return a.First.Compare(b.First.Time) })
	return v, nil
}

func noIncident(id string) error {
	return admin.NotFound(fmt.Sprintf("there is no incident %.40q", id))
}

// closeRequest is the body of what closes an incident.
type closeRequest struct {
	Verdict string `json:"verdict,omitempty"`
	Note    string `json:"note,omitempty"`
	Release bool   `json:"release,omitempty"`
}

// closed is the answer: what was lifted.
type closed struct {
	incident
	Holds   []banView `json:"released_holds"`
	Numbers int       `json:"released_numbers"` // that may be called again
}

func (g *gateway) closeIncident(r *http.Request, now time.Time) (any, error) {
	var q closeRequest
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil && len(bytes.TrimSpace(b)) > 0 {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&q)
	}
	if err == nil && !slices.Contains([]string{"", "fraud", "false-alarm"}, q.Verdict) {
		err = errors.New("verdict is fraud or false-alarm")
	}
	if err == nil && len(q.Note) > maxBanText {
		err = fmt.Errorf("the note is longer than %d bytes", maxBanText)
	}
	if err != nil {
		return nil, admin.BadRequest("the body has to be such as {\"verdict\": \"false-alarm\", \"note\": \"…\", \"release\": true}: " + err.Error())
	}
	id := r.PathValue("id")
	x, ok := g.incidents.close(id, closing{At: call.Time{Time: now.UTC()}, By: r.RemoteAddr, Verdict: q.Verdict, Note: q.Note}, now)
	if !ok {
		return nil, noIncident(id)
	}
	out := closed{incident: x, Holds: []banView{}}
	if q.Release {
		g.releaseIncident(&out, now)
	}
	g.incidentClosed(r, &out, q)
	return out, nil
}

// releaseIncident lifts the holds that an incident led to, and makes the
// detectors forget what they remember because of it.
func (g *gateway) releaseIncident(out *closed, now time.Time) {
	for _, a := range out.Acts {
		if a.Key == nil || a.Act != call.ActHold.String() || a.Shadow {
			continue
		}
		if was, ok := g.bans.Remove(call.ActHold, *a.Key, now); ok {
			out.Holds = append(out.Holds, viewBan(was))
		}
	}
	if len(out.Holds) > 0 {
		select {
		case g.banByHand <- struct{}{}:
		default: // a write is due anyway
		}
	}
	out.Numbers = g.detectors.Release(out.ID)
}

// incidentClosed tells who closed what.
func (g *gateway) incidentClosed(r *http.Request, x *closed, q closeRequest) {
	what := "incident " + x.ID + " (" + string(x.Action) + " of " + x.Subject.Kind + " " + x.Subject.Value + ") closed"
	if q.Verdict != "" {
		what += " as " + q.Verdict
	}
	if q.Release {
		what += fmt.Sprintf("; released: %s, %s", count(len(x.Holds), "hold"), count(x.Numbers, "guarded number"))
	}
	if q.Note != "" {
		what += ": " + q.Note
	}
	e := g.about(call.AdminChange, call.Medium, "admin/incident-closed", what)
	e.Subject = x.Subject
	if from, bad := netip.ParseAddrPort(r.RemoteAddr); bad == nil {
		e.Source = call.FoldAddr(from)
	}
	g.log.Warn("incident closed by hand", "what", what)
	g.rep.System(e)
}
