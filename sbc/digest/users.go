package digest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// The file of users: one line for each user, realm and algorithm, as Apache's
// htdigest writes them or with the algorithm named.
//
//	USER:REALM:HA1
//	USER:REALM:ALGORITHM:HA1[:EXTENSION,EXTENSION…]
//
// HA1 is H(USER:REALM:PASSWORD) in hex (RFC 7616 §3.4.2). The user may speak for
// the extension of his own name, or for those at the end of the line in its
// stead. Passwords themselves are not in it.

const (
	MD5    = "MD5"
	SHA256 = "SHA-256"

	// MaxUsersFile bounds the file, maxLines what is in it, maxWord a name.
	MaxUsersFile = 32 << 20
	maxLines     = 200_000
	maxWord      = 128
	maxFaults    = 50
)

// Fault is what is wrong with a line of the file.
type Fault struct {
	Line, Col     int
	Message, Hint string
	Common        bool // no line is wrong, but they do not go together
}

// HA1 is what stands for a password. It prints as nothing.
type HA1 struct{ hex string }

func (HA1) String() string               { return redacted }
func (HA1) GoString() string             { return redacted }
func (HA1) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (HA1) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewHA1 makes one of a password.
func NewHA1(algorithm, user, realm, password string) HA1 {
	return HA1{digestOf(algorithm, user, realm, password)}
}

// Entry is one line.
type Entry struct {
	User, Realm, Algorithm string
	For                    []string // extensions; nil: that of the user's name
	Line                   int
	ha1                    HA1
}

// Format keeps the hash out of all that is printed.
func (e Entry) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "user %s of realm %s, %s, line %d", e.User, e.Realm, e.Algorithm, e.Line)
}

// Matcher tells of one password after the other whether the line is of it.
func (e Entry) Matcher() func(password string) bool {
	want, _ := hex.DecodeString(e.ha1.hex)
	x := hasher(e.Algorithm)()
	text := []byte(e.User + ":" + e.Realm + ":")
	fixed := len(text)
	var sum []byte
	return func(password string) bool {
		text = append(text[:fixed], password...)
		x.Reset()
		x.Write(text)
		sum = x.Sum(sum[:0])
		return bytes.Equal(sum, want)
	}
}

// Text is the line as it stands in a file: the one way to read an HA1.
func (e Entry) Text() string {
	s := strings.Join([]string{e.User, e.Realm, e.Algorithm, e.ha1.hex}, ":")
	if e.For != nil {
		s += ":" + strings.Join(e.For, ",")
	}
	return s
}

// WithPassword is the entry for that password.
func (e Entry) WithPassword(password string) Entry {
	e.ha1 = NewHA1(e.Algorithm, e.User, e.Realm, password)
	return e
}

type lineKey struct{ user, realm, algorithm string }

type realmKey struct{ realm, name string }

// Users are those of a file. They are never changed.
type Users struct {
	entries    []Entry
	by         map[lineKey]int
	speaks     map[realmKey]string // who speaks for an extension
	algorithms map[string][]string // by realm: those that every user of it has, the best first
	dummy      string
}

// Format keeps hashes out of all that is printed.
func (u Users) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d users", len(u.entries)) }

// Len is the number of lines.
func (u *Users) Len() int { return len(u.entries) }

// All lists the lines.
func (u *Users) All() iter.Seq[Entry] { return slices.Values(u.entries) }

// Realms lists them, sorted.
func (u *Users) Realms() (out []string) {
	for r := range u.algorithms {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// OfRealmsLike lists lines whose realm is none of those, but for its letters'
// case; of each realm the first.
func (u *Users) OfRealmsLike(realms []string) (out []Entry) {
	for _, realm := range u.Realms() {
		like := func(r string) bool { return strings.EqualFold(r, realm) }
		if slices.Contains(realms, realm) || !slices.ContainsFunc(realms, like) {
			continue
		}
		i := slices.IndexFunc(u.entries, func(e Entry) bool { return e.Realm == realm })
		out = append(out, u.entries[i])
	}
	return out
}

// Algorithms are those that every user of the realm has a line for, the best
// first: a phone picks one before anybody knows who it is. A realm without
// users is like one with all of them.
func (u *Users) Algorithms(realm string) []string {
	if a, ok := u.algorithms[realm]; ok {
		return a
	}
	return []string{SHA256, MD5}
}

// Speaks reports whether a user may speak for an extension.
func (u *Users) Speaks(user, realm, extension string) bool {
	who, ok := u.speaks[realmKey{realm, extension}]
	return ok && who == user
}

// Credentials are those that answer the challenges of that realm for an
// extension; false when the file has nobody who speaks for it.
func (u *Users) Credentials(realm, extension string) (Credentials, bool) {
	user, ok := u.speaks[realmKey{realm, extension}]
	if !ok {
		return Credentials{}, false
	}
	return Credentials{User: user, ha1: func(realm, algorithm string) string {
		if i, ok := u.by[lineKey{user, realm, canonical(algorithm)}]; ok {
			return u.entries[i].ha1.hex
		}
		return ""
	}}, true
}

// ReadUsers reads a file. dummy is what unknown users are compared with: any
// text that nobody knows.
func ReadUsers(data []byte, dummy string) (*Users, []Fault) {
	u := &Users{by: map[lineKey]int{}, speaks: map[realmKey]string{}, algorithms: map[string][]string{}, dummy: dummy}
	var faults []Fault
	fault := func(line, col int, hint, format string, args ...any) {
		if len(faults) < maxFaults {
			faults = append(faults, Fault{Line: line, Col: col, Message: fmt.Sprintf(format, args...), Hint: hint})
		}
	}
	if len(data) > MaxUsersFile {
		fault(1, 1, "", "longer than %d MiB", MaxUsersFile>>20)
		return u, faults
	}
	n := 0
	data = bytes.TrimPrefix(data, []byte("\uFEFF")) // of editors that mark UTF-8
	for text := range strings.Lines(string(data)) {
		n++
		text = strings.TrimRight(text, "\r\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if len(u.entries) == maxLines {
			fault(n, 1, "", "more than %d lines", maxLines)
			break
		}
		e, f := readEntry(text)
		if f.Message != "" {
			fault(n, f.Col, f.Hint, "%s", f.Message)
			continue
		}
		e.Line = n
		k := lineKey{e.User, e.Realm, e.Algorithm}
		if i, ok := u.by[k]; ok {
			fault(n, 1, "keep one of them", "user %s of realm %s has a line for %s already, line %d", e.User, e.Realm, e.Algorithm, u.entries[i].Line)
			continue
		}
		u.by[k] = len(u.entries)
		u.entries = append(u.entries, e)
		for _, x := range e.extensions() {
			at := realmKey{e.Realm, x}
			if who, ok := u.speaks[at]; ok && who != e.User {
				fault(n, 1, "one user for each extension", "extension %s of realm %s is user %s's already", x, e.Realm, who)
				continue
			}
			u.speaks[at] = e.User
		}
	}
	return u, append(faults, u.common()...)
}

func (e Entry) extensions() []string {
	if e.For != nil {
		return e.For
	}
	return []string{e.User}
}

// common finds the algorithms of each realm.
func (u *Users) common() (faults []Fault) {
	users, lines := map[string]map[string]bool{}, map[realmKey]int{}
	for _, e := range u.entries {
		if users[e.Realm] == nil {
			users[e.Realm] = map[string]bool{}
		}
		users[e.Realm][e.User] = true
		lines[realmKey{e.Realm, e.Algorithm}]++
	}
	for _, realm := range slices.Sorted(maps.Keys(users)) {
		for _, a := range []string{SHA256, MD5} {
			if lines[realmKey{realm, a}] == len(users[realm]) {
				u.algorithms[realm] = append(u.algorithms[realm], a)
			}
		}
		if u.algorithms[realm] == nil {
			u.algorithms[realm] = []string{}
			faults = append(faults, Fault{Line: 1, Col: 1, Common: true, Hint: "rampart users add writes a line for each algorithm",
				Message: fmt.Sprintf("realm %s: there is no algorithm that all of its users have a line for", clip(realm))})
		}
	}
	return faults[:min(len(faults), maxFaults)]
}

// readEntry reads one line.
func readEntry(text string) (e Entry, f Fault) {
	parts := strings.Split(text, ":")
	bad := func(part int, hint, format string, args ...any) (Entry, Fault) {
		col := 1
		for _, p := range parts[:part] {
			col += len(p) + 1
		}
		return Entry{}, Fault{Col: col, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if len(parts) < 3 || len(parts) > 5 {
		return bad(0, "USER:REALM:ALGORITHM:HA1", "%d fields, want 3 to 5", len(parts))
	}
	for i, what := range []string{"user", "realm"} {
		if p := parts[i]; p == "" || len(p) > maxWord || !printable(p) || strings.ContainsAny(p, "\"\\") || strings.TrimSpace(p) != p {
			return bad(i, "", "the %s is empty, too long, or has characters that cannot be in one", what)
		}
	}
	e = Entry{User: parts[0], Realm: parts[1]}
	at := 2
	if len(parts) == 3 {
		e.Algorithm = MD5
		if len(parts[2]) == 64 {
			e.Algorithm = SHA256
		}
	} else {
		if e.Algorithm = canonical(parts[2]); e.Algorithm != MD5 && e.Algorithm != SHA256 {
			return bad(2, "MD5 or SHA-256; without one the length of the hash says it", "%q is no algorithm that is known here", clip(parts[2]))
		}
		at = 3
	}
	size := map[string]int{MD5: 32, SHA256: 64}[e.Algorithm]
	v := strings.ToLower(parts[at])
	if _, err := hex.DecodeString(v); err != nil || len(v) != size {
		// What stands there may be a password: it is not repeated.
		return bad(at, "rampart users add FILE USER --domain REALM makes the line", "the hash is no %d hexadecimal digits", size)
	}
	e.ha1 = HA1{v}
	if len(parts) == 5 {
		for x := range strings.SplitSeq(parts[4], ",") {
			if x = strings.TrimSpace(x); x == "" || len(x) > maxWord || !printable(x) || strings.ContainsAny(x, "\"\\") || len(e.For) == 64 {
				return bad(4, "64 extensions at most, with commas between them", "an extension is empty, too long, or has characters that cannot be in one, or there are too many")
			}
			e.For = append(e.For, x)
		}
	}
	return e, f
}

func clip(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
