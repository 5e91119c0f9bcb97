package main

import (
	"context"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/sbc/digest"
)

// maxNamed bounds the users that are named one by one.
const maxNamed = 50

// passwords guesses, as an attacker would: those of the file of users against
// its hashes, and those that carriers gave us.
func (x *examination) passwords(context.Context) {
	for _, p := range x.cfg.Peers {
		if p.Register == nil {
			continue
		}
		if why := weakPassword(p.Register.User, p.URI.Host, nil, p.Register.Password.Reveal()); why != "" {
			x.say(warning, "ask the carrier for another one: who has it calls at your cost", "the password for peer %s is guessed: %s", p.Name, why)
		}
	}
	if x.cfg.Authentication.File == "" {
		x.ok("passwords are kept by the PBX, where the doctor cannot see them")
		return
	}
	u, ps := x.cfg.ReadUsers(x.host)
	if u == nil {
		x.say(broken, "", "%v", ps.Err())
		return
	}
	var entries []digest.Entry
	for e := range u.All() {
		entries = append(entries, e)
	}
	users := len(onePerUser(entries))
	start := time.Now()
	weak, untried := weakUsers(entries, x.guess)
	for _, w := range weak[:min(len(weak), maxNamed)] {
		x.say(broken, "rampart users add "+x.cfg.Authentication.File+" "+w.User+" --domain "+w.Realm+" --generate", "the password is guessed of %s", w)
	}
	if len(weak) > maxNamed {
		x.say(broken, "", "and of %s more", count(len(weak)-maxNamed, "user"))
	}
	switch {
	case untried > 0:
		x.say(warning, "rampart doctor --guess 10m", "there was no time to try all guesses with %d of %s", untried, count(users, "user"))
	case len(weak) == 0:
		x.ok("no password of %s is among the first that are tried (%s)", count(users, "user"), time.Since(start).Round(time.Millisecond))
	}
	if onlyMD5 := slices.ContainsFunc(x.cfg.Realms(), func(r string) bool { return !slices.Contains(u.Algorithms(r), digest.SHA256) }); onlyMD5 {
		x.say(warning, "rampart users add writes lines for both", "not every user has a line for SHA-256, so it is not offered")
	}
}
