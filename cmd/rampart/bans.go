package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Bans and holds: how they are kept over a restart, and how an operator sees
// and changes them. The table itself is ratelimit.Bans.

// banView is one ban or hold as the API, the file and the command show it.
type banView struct {
	Kind string `json:"kind"` // ban | hold
	Who  string `json:"who"`
	call.Ban
}

func viewBan(b call.Ban) banView { return banView{b.Act.String(), b.Key.String(), b} }

// maxBanFile bounds what is read of the file: a full table is well below it.
const maxBanFile = 256 << 20

// banFile is the file in the state directory.
type banFile struct {
	Version int       `json:"version"`
	Bans    []banView `json:"bans"`
}

// loadBans takes back what was in force before a restart. Nobody is shut out, or
// let off, by half a file.
func (g *gateway) loadBans(now time.Time) {
	g.banFile = stateFile{path: filepath.Join(g.cfg.State, "bans.json"), most: maxBanFile}
	var kept banFile
	name, err := g.banFile.read(&kept, func() error { return oneVersion(kept.Version) }, now)
	if err != nil {
		g.failed(call.SinkDegraded, "bans/not-loaded", "bans of before the restart are lost"+g.banFile.now(name), err)
		return
	}
	all := make([]call.Ban, 0, len(kept.Bans))
	for _, v := range kept.Bans {
		switch v.Kind {
		case call.ActBan.String():
			v.Act = call.ActBan
		case call.ActHold.String():
			v.Act = call.ActHold
		}
		all = append(all, v.Ban)
	}
	if n := g.bans.Restore(all, now); n > 0 {
		g.log.Info("bans and holds of before the restart", "count", n)
	}
}

// banEvery is the time between two writes of the bans; with many of them it is
// longer, so that an attack from many addresses does not become a load on the
// disk: 40 s with both tables full. A gateway that is killed loses what changed
// since.
func banEvery(entries int) time.Duration {
	return 2*time.Second + time.Duration(entries/2000)*time.Second
}

// keepBans writes the bans when they changed, at once when somebody changed
// them by hand, and at the end.
func (g *gateway) keepBans(ctx context.Context) {
	timer := time.NewTimer(banEvery(0))
	defer timer.Stop()
	written, failing, entries := uint64(0), false, 0 // what was loaded is no change
	for last := false; !last; {
		select {
		case <-ctx.Done():
			last = true
		case <-g.banByHand:
		case <-timer.C:
			timer.Reset(banEvery(entries))
		}
		now := g.bans.Changes()
		if now == written {
			continue
		}
		n, err := g.writeBans()
		switch {
		case err == nil:
			if failing {
				g.log.Info("bans are written again")
			}
			written, failing, entries = now, false, n
			timer.Reset(banEvery(entries))
		case !failing: // once, not every two seconds
			failing = true
			g.failed(call.SinkDegraded, "bans/not-kept", "bans cannot be written and end with a restart", err)
		}
	}
}

// writeBans writes all of them.
func (g *gateway) writeBans() (entries int, err error) {
	out := banFile{Version: 1, Bans: []banView{}}
	for _, b := range g.bans.Remembered() {
		out.Bans = append(out.Bans, viewBan(b))
	}
	if _, err := g.banFile.write(out); err != nil {
		return 0, fmt.Errorf("bans: %w", err)
	}
	return len(out.Bans), nil
}

// banRequest is the body of what adds or removes.
type banRequest struct {
	Kind         string `json:"kind,omitempty"` // ban (default) | hold
	Source       string `json:"source,omitempty"`
	User         string `json:"user,omitempty"`
	Peer         string `json:"peer,omitempty"`
	Account      string `json:"account,omitempty"`
	RegisterUser string `json:"register_user,omitempty"`
	Domain       string `json:"domain,omitempty"`
	For          string `json:"for,omitempty"`
	Why          string `json:"why,omitempty"`
}

// Bounds of a ban that somebody makes by hand.
const (
	defaultBan   = time.Hour
	maxManualBan = 365 * 24 * time.Hour
	maxBanText   = 256
)

// read checks a request and gives what it is about.
func (q *banRequest) read() (act call.Act, k call.Key, err error) {
	switch q.Kind {
	case "", "ban":
		act = call.ActBan
	case "hold":
		act = call.ActHold
	default:
		return 0, k, admin.BadRequest("kind is ban or hold")
	}
	for _, t := range []string{q.User, q.Peer, q.Account, q.RegisterUser, q.Domain, q.Why} {
		if len(t) > maxBanText {
			return 0, k, admin.BadRequest("longer than " + strconv.Itoa(maxBanText) + " bytes: " + t[:20] + "…")
		}
	}
	k = call.Key{User: q.User, Peer: q.Peer, Account: q.Account, RegisterUser: q.RegisterUser, Domain: strings.ToLower(q.Domain)}
	if q.Source != "" {
		if k.Source, err = readSource(q.Source); err != nil {
			return 0, k, admin.BadRequest(err.Error())
		}
	}
	switch s := k.Shape(); {
	case s == 0:
		return 0, k, admin.BadRequest("say who: source (an address), user, account or register_user")
	case k.Domain != "" && k.RegisterUser == "":
		return 0, k, admin.BadRequest("domain goes with register_user")
	case act == call.ActBan && (s&call.ShapePeer != 0 || s == call.ShapeAccount):
		return 0, k, admin.BadRequest("peers and PBXs are never banned; take them out of the configuration")
	case act == call.ActHold && !holds(s):
		return 0, k, admin.BadRequest("a hold is of a user, of a user of an account, of a peer or of an account")
	}
	return act, k, nil
}

// holds reports whether a hold may be of such a key.
func holds(s call.Shape) bool {
	return s == call.ShapeUser || s == call.ShapeUser|call.ShapeAccount || s == call.ShapePeer || s == call.ShapeAccount
}

// readSource reads an address, or a network that a key can have.
func readSource(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return call.SourcePrefix(a, false), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && (p.Masked() == call.SourcePrefix(p.Addr(), false) || p.Masked() == call.SourcePrefix(p.Addr(), true)) {
		return p.Masked(), nil
	}
	return netip.Prefix{}, fmt.Errorf("%.60q is no address, nor a network of /24, or /48 and /64 of IPv6", text)
}

// banOperations are what the API offers about bans.
func (g *gateway) banOperations() []admin.Operation {
	const body = `"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"kind": {"type": "string", "enum": ["ban", "hold"]}, "source": {"type": "string", "description": "An address or network"}, "user": {"type": "string"}, "peer": {"type": "string"}, "account": {"type": "string"}, "register_user": {"type": "string"}, "domain": {"type": "string", "description": "Of register_user, where the gateway serves more than one; without it all of them are meant"}, "for": {"type": "string", "description": "How long, such as 1h or 7d"}, "why": {"type": "string"}}}}}}`
	return []admin.Operation{
		{Method: "GET", Path: "/api/v1/bans", Doc: `{"summary": "Bans and holds in force, those that end first at the head", "parameters": [{"name": "offset", "in": "query", "schema": {"type": "integer"}}, {"name": "limit", "in": "query", "schema": {"type": "integer"}}], "responses": {"200": {"description": "Whom each is about, who asked for it and why, since when and until when"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.listBans(r, time.Now()) }},
		{Method: "POST", Path: "/api/v1/bans", Doc: `{"summary": "Ban somebody, or hold somebody's costly calls", ` + body + `, "responses": {"200": {"description": "The ban as it is in force"}, "400": {"description": "Nobody that can be banned"}, "409": {"description": "The address belongs to a peer, a PBX or a registered phone"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.addBan(r, time.Now()) }},
		{Method: "DELETE", Path: "/api/v1/bans", Doc: `{"summary": "Lift a ban or hold", ` + body + `, "responses": {"200": {"description": "What was lifted"}, "404": {"description": "There is no such ban"}}}`,
			Serve: func(r *http.Request) (any, error) { return g.removeBan(r, time.Now()) }},
	}
}

// banList is a page of bans.
type banList struct {
	Items []banView `json:"items"`
	Total int       `json:"total"`
}

func (g *gateway) listBans(r *http.Request, now time.Time) (any, error) {
	number := func(name string, def, most int) (int, error) {
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
	offset, err := number("offset", 0, 1<<30)
	if err != nil {
		return nil, err
	}
	limit, err := number("limit", 1000, 10_000)
	if err != nil {
		return nil, err
	}
	all := g.bans.List(now)
	out := banList{Items: []banView{}, Total: len(all)}
	for _, b := range all[min(offset, len(all)):min(offset+limit, len(all))] {
		out.Items = append(out.Items, viewBan(b))
	}
	return out, nil
}

func readBan(r *http.Request) (q banRequest, err error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&q)
	}
	if err != nil {
		return q, admin.BadRequest("the body has to be such as {\"source\": \"192.0.2.1\", \"for\": \"1h\", \"why\": \"…\"}: " + err.Error())
	}
	return q, nil
}

func (g *gateway) addBan(r *http.Request, now time.Time) (any, error) {
	q, err := readBan(r)
	if err != nil {
		return nil, err
	}
	act, k, err := q.read()
	if err != nil {
		return nil, err
	}
	last := defaultBan
	if q.For != "" {
		if last, err = strictyaml.ParseDuration(q.For); err != nil || last < time.Second || last > maxManualBan {
			return nil, admin.BadRequest("for: a time from 1s to 365d, such as 1h")
		}
	}
	if k.Source.IsValid() && g.sbc.InUse(k.Source) {
		return nil, admin.Conflict(k.Source.String() + " belongs to a peer, a PBX or a registered phone: those are not banned by address")
	}
	if q.Why == "" {
		q.Why = "by hand"
	}
	b, _, ok := g.bans.Add(call.Ban{Act: act, Key: k, Rule: "admin/" + act.String(), Reason: q.Why, Since: now, Manual: true}, last)
	if !ok {
		return nil, admin.Conflict("the table of bans is full")
	}
	g.banChanged(r, act, k, "until "+b.Until.UTC().Format(time.RFC3339)+": "+q.Why)
	return viewBan(b), nil
}

func (g *gateway) removeBan(r *http.Request, now time.Time) (any, error) {
	q, err := readBan(r)
	if err != nil {
		return nil, err
	}
	act, k, err := q.read()
	if err != nil {
		return nil, err
	}
	was, ok := g.bans.Remove(act, k, now)
	if !ok {
		return nil, admin.NotFound("there is no " + act.String() + " of " + k.String())
	}
	g.banChanged(r, act, k, "lifted; it was by "+was.Rule+" until "+was.Until.UTC().Format(time.RFC3339))
	return viewBan(was), nil
}

// banChanged tells who changed what through the API.
func (g *gateway) banChanged(r *http.Request, act call.Act, k call.Key, what string) {
	e := g.about(call.AdminChange, call.Medium, "admin/"+act.String(), act.String()+" of "+k.String()+" "+what)
	e.Subject = k.Subject()
	if from, bad := netip.ParseAddrPort(r.RemoteAddr); bad == nil {
		e.Source = call.FoldAddr(from)
	}
	g.log.Warn("bans changed by hand", "what", e.Reason)
	g.rep.System(e)
	select {
	case g.banByHand <- struct{}{}:
	default: // a write is due anyway
	}
}
