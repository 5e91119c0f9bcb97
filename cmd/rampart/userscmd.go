package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/rampart-sbc/rampart/sbc/digest"
)

// usersCmd keeps a file of users.
type usersCmd struct {
	Add    usersAddCmd    `cmd:"" help:"Add a user, or give him another password."`
	List   usersListCmd   `cmd:"" help:"List the users of a file."`
	Remove usersRemoveCmd `cmd:"" help:"Take a user out of a file."`
}

type usersAddCmd struct {
	File     string   `arg:"" help:"File of users; made when it is not there." placeholder:"FILE"`
	User     string   `arg:"" help:"Name that the phone logs in with." placeholder:"USER"`
	Domain   string   `required:"" help:"Realm of the challenges: the domain, unless authentication.realm is another." placeholder:"NAME"`
	For      []string `help:"Extensions he may speak for, where they are not his name." placeholder:"EXT"`
	Generate bool     `help:"Make a strong password and print it, instead of reading one from standard input."`
}

// Help is shown under the flags.
func (usersAddCmd) Help() string {
	return "Writes a line for SHA-256 and one for MD5. The password is one line of standard input, or made here; it is in no file and in no list of processes.\n\n" +
		"Example:\n  rampart users add users.digest 1001 --domain sip.example.com --generate"
}

// Run adds the lines.
func (c *usersAddCmd) Run(a *app) error {
	password, err := c.password(a)
	if err != nil {
		return err
	}
	old, err := readUsersFile(c.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left := old.without(func(e digest.Entry) bool { return e.User == c.User && e.Realm == c.Domain })
	had := left != old.text
	var out []digest.Entry
	for _, algorithm := range []string{digest.SHA256, digest.MD5} {
		out = append(out, digest.Entry{User: c.User, Realm: c.Domain, Algorithm: algorithm, For: c.For}.WithPassword(password))
	}
	if err := writeUsersFile(c.File, left, out); err != nil {
		return err
	}
	if c.Generate {
		fmt.Fprintln(a.stdout, password)
	}
	what := "added"
	if had {
		what = "has another password now"
	}
	fmt.Fprintf(a.stderr, "user %s of realm %s %s\n", c.User, c.Domain, what)
	return nil
}

func (c *usersAddCmd) password(a *app) (string, error) {
	if c.Generate {
		return rand.Text(), nil // 128 bits and more
	}
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("users add: password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", usageError{errors.New("users add: no password on standard input; --generate makes one")}
	case len(line) < 8:
		return "", errors.New("users add: a password of less than 8 characters is guessed; --generate makes a good one")
	}
	if why := weakPassword(c.User, c.Domain, c.For, line); why != "" {
		return "", fmt.Errorf("users add: this password is tried early on: %s; --generate makes a good one", why)
	}
	return line, nil
}

type usersListCmd struct {
	File string `arg:"" help:"File of users." placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (usersListCmd) Help() string { return "Example:\n  rampart users list users.digest" }

// listedUser is a line of it, without the hash.
type listedUser struct {
	User       string   `json:"user"`
	Realm      string   `json:"realm"`
	Algorithms []string `json:"algorithms"`
	Extensions []string `json:"extensions,omitempty"`
}

// Run prints them.
func (c *usersListCmd) Run(a *app) error {
	file, err := readUsersFile(c.File)
	if err != nil {
		return err
	}
	list := []listedUser{}
	at := map[[2]string]int{}
	for _, e := range file.entries {
		k := [2]string{e.User, e.Realm}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, listedUser{User: e.User, Realm: e.Realm, Extensions: e.For})
		}
		list[i].Algorithms = append(list[i].Algorithms, e.Algorithm)
	}
	if c.JSON {
		return printJSON(a, struct {
			Users []listedUser `json:"users"`
		}{list})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tREALM\tALGORITHMS\tEXTENSIONS")
	for _, u := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.User, u.Realm, strings.Join(u.Algorithms, ","), strings.Join(u.Extensions, ","))
	}
	return w.Flush()
}

type usersRemoveCmd struct {
	File   string `arg:"" help:"File of users." placeholder:"FILE"`
	User   string `arg:"" help:"Name of the user." placeholder:"USER"`
	Domain string `help:"Of this realm only." placeholder:"NAME"`
}

// Help is shown under the flags.
func (usersRemoveCmd) Help() string {
	return "What the user's phones have registered stands until it expires.\n\nExample:\n  rampart users remove users.digest 1001"
}

// Run takes the lines out.
func (c *usersRemoveCmd) Run(a *app) error {
	old, err := readUsersFile(c.File)
	if err != nil {
		return err
	}
	left := old.without(func(e digest.Entry) bool {
		return e.User == c.User && (c.Domain == "" || e.Realm == c.Domain)
	})
	if left == old.text {
		return fmt.Errorf("users remove: %s has no user %s", c.File, c.User)
	}
	return writeUsersFile(c.File, left, nil)
}

// usersFile is a file as it stands: what these commands do not change, notes of
// whoever keeps it among them, stays.
type usersFile struct {
	text    string
	entries []digest.Entry
}

// without is the text without the lines of some entries.
func (f usersFile) without(gone func(digest.Entry) bool) string {
	drop := map[int]bool{}
	for _, e := range f.entries {
		if gone(e) {
			drop[e.Line] = true
		}
	}
	var b strings.Builder
	n := 0
	for line := range strings.Lines(f.text) {
		if n++; !drop[n] {
			b.WriteString(line)
		}
	}
	return b.String()
}

func readUsersFile(file string) (usersFile, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return usersFile{}, fmt.Errorf("users: %w", err)
	}
	u, faults := digest.ReadUsers(data, "nobody")
	// Users who have different algorithms can be mended with these commands.
	for _, f := range faults {
		if f.Line > 0 && !f.Common {
			return usersFile{}, fmt.Errorf("users: %s:%d:%d: %s", file, f.Line, f.Col, f.Message)
		}
	}
	return usersFile{string(data), slices.Collect(u.All())}, nil
}

// writeUsersFile replaces the file whole, for its owner alone; what a link leads
// to, not the link.
func writeUsersFile(file, text string, more []digest.Entry) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	var b strings.Builder
	switch {
	case text == "":
		b.WriteString("# Users of the gateway: USER:REALM:ALGORITHM:HA1[:EXTENSIONS]. See docs/authentication.md.\n")
	case strings.HasSuffix(text, "\n"):
		b.WriteString(text)
	default:
		b.WriteString(text + "\n")
	}
	for _, e := range more {
		b.WriteString(e.Text() + "\n")
	}
	if _, faults := digest.ReadUsers([]byte(b.String()), "nobody"); len(faults) > 0 && !faults[0].Common {
		return fmt.Errorf("users: %s", faults[0].Message)
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(b.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if st, err := os.Stat(file); err == nil {
		keepOwner(f.Name(), st)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	return nil
}

// keepOwner gives the new file the old one's owner, where that is allowed: the
// gateway need not run as who edits.
func keepOwner(file string, old fs.FileInfo) {
	if uid, gid, ok := ownerOf(old); ok {
		_ = os.Chown(file, uid, gid)
	}
}
