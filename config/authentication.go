package config

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// Authentication is what the gateway itself asks of those who want to reach the
// PBX. The zero value asks nothing: passwords are the PBX's business.
type Authentication struct {
	File  string `yaml:"file"`  // of users; "": only the PBX knows passwords
	PBX   bool   `yaml:"pbx"`   // challenge first, and let the PBX check
	Realm string `yaml:"realm"` // of the challenges; "": the domain
	// Algorithms of the challenges, in the order in which they are offered.
	Algorithms []string `yaml:"algorithms,single"`
}

// ReadUsers reads the file of users again, with all of its problems.
func (c *Config) ReadUsers(host Host) (*digest.Users, strictyaml.Problems) {
	file := c.Authentication.File
	fail := func(hint, format string, args ...any) (*digest.Users, strictyaml.Problems) {
		return nil, strictyaml.Problems{c.Problem("authentication.file", format, args...).WithHint("%s", hint)}
	}
	if err := checkPrivate(host, file); err != nil {
		return fail(privateHint(err, file), "authentication.file: %v", err)
	}
	data, err := host.ReadFile(file)
	if err != nil {
		return fail("", "authentication.file: %s: %v", file, cause(err))
	}
	b := make([]byte, 32)
	rand.Read(b)
	u, faults := digest.ReadUsers(data, hex.EncodeToString(b))
	var ps strictyaml.Problems
	for _, f := range faults {
		p := strictyaml.At(file, strictyaml.Pos{Line: f.Line, Col: f.Col}, "%s", f.Message)
		if f.Hint != "" {
			p = p.WithHint("%s", f.Hint)
		}
		ps = append(ps, p)
	}
	for _, realm := range c.Realms() {
		common := u.Algorithms(realm)
		if len(ps) == 0 && !slices.ContainsFunc(c.Authentication.Algorithms, func(a string) bool { return slices.Contains(common, a) }) {
			ps = append(ps, c.Problem("authentication.algorithms", "authentication.algorithms: every user of realm %s has a line for %s, not for %s",
				realm, strings.Join(common, ", "), strings.Join(c.Authentication.Algorithms, ", ")).WithHint("rampart users add writes a line for each"))
		}
		if !slices.Contains(u.Realms(), realm) {
			ps = append(ps, c.Problem("authentication.file", "authentication.file: %s has no user of realm %s, so none of its phones can register", file, realm).
				WithHint("rampart users add %s USER --domain %s", file, realm).AsWarning())
		}
	}
	if ps.Err() != nil {
		return nil, ps
	}
	for _, e := range u.OfRealmsLike(c.Realms()) {
		ps = append(ps, strictyaml.At(file, strictyaml.Pos{Line: e.Line, Col: len(e.User) + 2}, "user %s is of realm %s, which differs in capital letters from the one that phones are challenged with", e.User, e.Realm).
			WithHint("rampart users add %s USER --domain REALM makes the line anew: the hash is of the realm as it is written", file).AsWarning())
	}
	return u, ps
}

// Realms are those that phones are challenged with.
func (c *Config) Realms() []string {
	if c.Authentication.Realm != "" {
		return []string{c.Authentication.Realm}
	}
	return c.Domains
}

func (k *checker) authentication() {
	a := k.c.Authentication
	const at = "authentication"
	switch {
	case a.File == "" && !a.PBX:
		for _, key := range []string{"realm", "algorithms"} {
			if k.at.Has(at + "." + key) {
				k.problem(at+"."+key, "file: users, or pbx: true", "authentication.%s: nobody is asked for a password", key)
			}
		}
		return
	case a.File != "" && a.PBX:
		k.problem(at+".pbx", "keep one of them; behind a file the PBX may challenge as well", "authentication: a file of users and pbx")
	case a.PBX && k.at.Has(at+".algorithms"):
		k.problem(at+".algorithms", "leave it out", "authentication.algorithms: it is the PBX's challenge that counts")
	case a.File != "" && a.Realm != "" && len(k.c.Domains) > 1:
		k.problem(at+".realm", "leave it out: each domain is a realm of its own", "authentication.realm: with several domains, user 1001 of one would be user 1001 of all")
	}
	if r := a.Realm; !k.badAt(at+".realm") && (len(r) > 128 || slices.ContainsFunc([]byte(r), func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c == 0x7f || c == ':' })) {
		k.problem(at+".realm", "a name such as sip.example.com", "authentication.realm: %q cannot be one", clip(r))
	}
	known := []string{digest.SHA256, digest.MD5}
	for i, x := range a.Algorithms {
		switch p := fmt.Sprintf("%s.algorithms[%d]", at, i); {
		case k.badAt(p):
		case !slices.Contains(known, x):
			k.problem(p, suggestion(x, known), "authentication.algorithms: %q is not known here", clip(x))
			return
		case slices.Contains(a.Algorithms[:i], x):
			k.problem(p, "keep one of them", "authentication.algorithms: %s is given twice", x)
		}
	}
	if len(a.Algorithms) == 0 && !k.badAt(at+".algorithms") {
		k.problem(at+".algorithms", "leave it out for both", "authentication.algorithms is empty")
		return
	}
	if a.File == "" || k.badAt(at+".file") || k.noVariable(at+".file", a.File) {
		return
	}
	_, ps := k.users()
	k.ps = append(k.ps, ps...)
}

func (k *checker) users() (*digest.Users, strictyaml.Problems) {
	k.c.at = k.at
	u, ps := k.c.ReadUsers(k.host)
	if u != nil && u.Len() == 0 {
		ps = append(ps, k.c.Problem("authentication.file", "authentication.file: %s names nobody", k.c.Authentication.File).
			WithHint("%s", fmt.Sprintf("rampart users add %s USER --domain %s", k.c.Authentication.File, k.c.Realms()[0])).AsWarning())
	}
	return u, ps
}
