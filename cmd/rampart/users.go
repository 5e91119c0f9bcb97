package main

import (
	"fmt"
	"slices"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// authentication is what the gateway asks of those who want to reach the PBX.
func (g *gateway) authentication() (sbc.Authentication, error) {
	a := g.cfg.Authentication
	out := sbc.Authentication{Challenge: a.PBX, Realm: a.Realm, Algorithms: a.Algorithms}
	if a.File == "" {
		return out, nil
	}
	u, ps := g.cfg.ReadUsers(config.ThisHost())
	if err := ps.Err(); err != nil {
		return out, fmt.Errorf("users: %w", err)
	}
	out.Users = u
	return out, nil
}

func (g *gateway) lookAtUsers() string { return looks([]string{g.cfg.Authentication.File}) }

// reloadUsers reads the file of users again. One that cannot be read changes
// nothing.
func (g *gateway) reloadUsers() {
	if g.cfg.Authentication.File == "" {
		return
	}
	u, ps := g.cfg.ReadUsers(config.ThisHost())
	err := ps.Err()
	if err == nil {
		err = emptied(g.sbc.Users(), u, g.cfg)
	}
	if err != nil {
		g.failed(call.AdminChange, "authentication/users-not-loaded", "users not loaded, the old ones stay", err)
		return
	}
	g.sbc.SetUsers(u)
	g.log.Info("users loaded again", "lines", u.Len())
	e := g.about(call.AdminChange, call.Info, "authentication/users-loaded", fmt.Sprintf("users loaded again, %d lines", u.Len()))
	g.rep.System(e)
}

// emptied refuses a file that has lost all users of a realm that phones are
// challenged with: an editor has it open, or a disk was full. All phones would be
// told that their passwords are wrong, and be counted as guessers.
func emptied(old, now *digest.Users, cfg *config.Config) error {
	for _, realm := range cfg.Realms() {
		if slices.Contains(old.Realms(), realm) && !slices.Contains(now.Realms(), realm) {
			return fmt.Errorf("%s has no user of realm %s any more; a restart would take it so", cfg.Authentication.File, realm)
		}
	}
	return nil
}
