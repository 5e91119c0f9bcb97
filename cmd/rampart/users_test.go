package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// users runs rampart users add with a password on standard input.
func addUser(file, user, domain, password string, more ...string) (stdout string, err error) {
	var out, errs bytes.Buffer
	c := usersAddCmd{File: file, User: user, Domain: domain, For: more, Generate: password == ""}
	err = c.Run(&app{stdin: strings.NewReader(password + "\n"), stdout: &out, stderr: &errs, host: config.ThisHost()})
	return out.String(), err
}

func TestUsersCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.digest")
	secret, err := addUser(file, "1001", "sip.example.com", "")
	if secret = strings.TrimSpace(secret); err != nil || len(secret) < 20 {
		t.Fatal(secret, err)
	}
	if _, err := addUser(file, "login", "sip.example.com", "Vw7-riddle-tango", "1002", "1003"); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	text, _ := os.ReadFile(file)
	if strings.Contains(string(text), "riddle") || strings.Contains(string(text), secret) {
		t.Error("the file has a password in it")
	}
	u, faults := digest.ReadUsers(text, "x")
	if faults != nil || u.Len() != 4 || !u.Speaks("login", "sip.example.com", "1003") {
		t.Error(faults, u.Len())
	}
	for e := range u.All() {
		if e.User == "1001" && !e.Matcher()(secret) {
			t.Errorf("%s is not of the password that was printed", e.Algorithm)
		}
	}
	if _, err := addUser(file, "1001", "sip.example.com", "another-6-Word"); err != nil {
		t.Fatal(err)
	}
	code, out, _ := rampart("users", "list", file)
	if code != 0 || strings.Count(out, "1001") != 1 || !strings.Contains(out, "SHA-256,MD5") || !strings.Contains(out, "1002,1003") {
		t.Errorf("%d\n%s", code, out)
	}
	if code, out, _ := rampart("users", "list", file, "--json"); code != 0 || !strings.Contains(out, `"realm": "sip.example.com"`) {
		t.Errorf("%d\n%s", code, out)
	}
	for _, bad := range []string{"1001", "12345678", "Password123", "1001sip.example.com", "short", "asterisk2024"} {
		if _, err := addUser(file, "1001", "sip.example.com", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := addUser(file, "a:b", "sip.example.com", "another-6-Word"); err == nil {
		t.Error("a user with a colon")
	}
	if code, _, errs := rampart("users", "remove", file, "nobody"); code != 1 || !strings.Contains(errs, "no user nobody") {
		t.Error(code, errs)
	}
	if code, _, _ := rampart("users", "remove", file, "1001"); code != 0 {
		t.Error(code)
	}
	if code, _, _ := rampart("users", "list", filepath.Join(t.TempDir(), "gone")); code != 1 {
		t.Error(code)
	}
	left, _ := os.ReadFile(file)
	if strings.Contains(string(left), "1001") || !strings.Contains(string(left), "login") {
		t.Errorf("left:\n%s", left)
	}
}

// What stands in the file beside the lines of a user stays as it is, a link stays
// a link, and a last line without an end is a line.
func TestUsersFileIsKept(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.digest"), filepath.Join(dir, "users.digest")
	const first, second = "# ground floor\n2001:sip.example.com:33333333333333333333333333333333\n\n", "# cellar\r\n2002:sip.example.com:33333333333333333333333333333333"
	const mine = "1001:sip.example.com:33333333333333333333333333333333\n"
	if err := errors.Join(os.WriteFile(real, []byte(first+mine+second), 0o600), os.Symlink("real.digest", link)); err != nil {
		t.Fatal(err)
	}
	if _, err := addUser(link, "1001", "sip.example.com", ""); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(real)
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is replaced", err)
	}
	if !strings.HasPrefix(string(text), first+second+"\n1001:sip.example.com:SHA-256:") || strings.Count(string(text), "1001:") != 2 {
		t.Errorf("with another password:\n%s", text)
	}
	if code, _, errs := rampart("users", "remove", link, "1001"); code != 0 {
		t.Fatal(errs)
	}
	if text, _ := os.ReadFile(real); string(text) != first+second+"\n" {
		t.Errorf("without the user:\n%s", text)
	}
}

// The running gateway takes a changed file of users; one with a mistake changes
// nothing and is told.
func TestUsersAreReadAgain(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), net: 61}
	s.write("rampart.yaml", s.config("admin: {listen: off}\nauthentication: {file: users.digest}\n"))
	file := filepath.Join(s.dir, "users.digest")
	if _, err := addUser(file, "1001", "sip.example.com", ""); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.g.close(time.Second) })
	w := s.g.newWatcher()
	if _, err := addUser(file, "1002", "sip.example.com", ""); err != nil {
		t.Fatal(err)
	}
	look(w)
	if got := s.log.take(); !strings.Contains(got, "users loaded again") || !strings.Contains(got, "lines=4") {
		t.Error(got)
	}
	s.write("users.digest", "1001:broken\n")
	look(w)
	s.waitAlert("authentication/users-not-loaded")
	s.log.take()
	for _, lost := range []string{"", "# nobody\n", "1001:other.example.com:" + strings.Repeat("3", 32) + "\n"} {
		s.write("users.digest", lost)
		s.g.reload()
		if got := s.log.take(); !strings.Contains(got, "users not loaded, the old ones stay") || !strings.Contains(got, "has no user of realm sip.example.com any more") {
			t.Errorf("%q: %s", lost, got)
		}
		if n := s.g.sbc.Users().Len(); n != 4 {
			t.Errorf("%q: %d lines are in force", lost, n)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.g.reload()
	if got := s.log.take(); !strings.Contains(got, "users not loaded, the old ones stay") {
		t.Error(got)
	}
}

// The likeliest passwords of all are found, strong ones are not, and the search
// ends when its time is over.
func TestWeakUsers(t *testing.T) {
	var entries []digest.Entry
	weak := map[string]string{"1001": "1001", "1002": "2001", "1003": "Password1", "1004": "4711", "1005": "240671", "1006": "rampart2026", "1007": "123456"}
	for user, password := range weak {
		entries = append(entries, digest.Entry{User: user, Realm: "sip.rampart.example", Algorithm: digest.MD5}.WithPassword(password))
	}
	entries = append(entries, digest.Entry{User: "1008", Realm: "sip.rampart.example", Algorithm: digest.MD5}.WithPassword("9f-Kite.lantern"))
	found, untried := weakUsers(entries, time.Hour)
	if len(found) != len(weak) || untried != 0 {
		t.Errorf("%v, %d untried", found, untried)
	}
	for _, f := range found {
		if f.User == "1008" || f.Why == "" || strings.Contains(fmt.Sprint(f), weak[f.User]) && f.User != weak[f.User] {
			t.Error(f)
		}
	}
	if found, untried := weakUsers(entries[len(entries)-1:], -time.Second); len(found) != 0 || untried != 1 {
		t.Errorf("without time: %v, %d untried", found, untried)
	}
}
