package config

import (
	"strings"
	"testing"
	"testing/fstest"
)

const users = "1001:sip.example.com:SHA-256:3333333333333333333333333333333333333333333333333333333333333333\n1001:sip.example.com:MD5:33333333333333333333333333333333\n"

func TestAuthentication(t *testing.T) {
	for _, c := range []struct{ name, src, file, want string }{
		{"nothing", "authentication: {}", "", ""},
		{"a file", "authentication: {file: users.digest}", users, ""},
		{"without MD5", "authentication: {file: users.digest, algorithms: SHA-256}", users, ""},
		{"the PBX", "authentication: {pbx: true, realm: pbx.example.com}", "", ""},
		{"both", "authentication: {file: users.digest, pbx: true}", users, "authentication: a file of users and pbx"},
		{"a realm for nothing", "authentication: {realm: x}", "", "authentication.realm: nobody is asked for a password"},
		{"algorithms of the PBX", "authentication: {pbx: true, algorithms: [MD5]}", "", "authentication.algorithms: it is the PBX's challenge that counts"},
		{"no algorithm", "authentication: {file: users.digest, algorithms: []}", users, "authentication.algorithms is empty"},
		{"an algorithm twice", "authentication: {file: users.digest, algorithms: [MD5, MD5]}", users, "authentication.algorithms: MD5 is given twice"},
		{"an algorithm of nobody", "authentication: {file: users.digest, algorithms: [SHA256]}", users, `authentication.algorithms: "SHA256" is not known here`},
		{"a realm with quotes", "authentication: {pbx: true, realm: 'a\"b'}", "", `authentication.realm: "a\"b" cannot be one`},
		{"no file", "authentication: {file: gone}", "", "authentication.file: /etc/rampart/gone: file does not exist"},
		{"readable by others", "authentication: {file: key.pub}", users, "authentication.file: /etc/rampart/key.pub has mode 0644: others can read it"},
		{"a bad line", "authentication: {file: users.digest}", users + "1002:sip.example.com:secret\n", "users.digest:3:22: the hash is no 32 hexadecimal digits"},
		{"another realm", "authentication: {file: users.digest, realm: b.example}", users, "warning: authentication.file: /etc/rampart/users.digest has no user of realm b.example, so none of its phones can register"},
		{"a realm in capitals", "authentication: {file: users.digest}", users + "1002:SIP.example.com:33333333333333333333333333333333\n",
			"users.digest:3:6: warning: user 1002 is of realm SIP.example.com, which differs in capital letters"},
		{"a mark of UTF-8", "authentication: {file: users.digest}", "\uFEFF" + users, ""},
		{"no SHA-256", "authentication: {file: users.digest, algorithms: SHA-256}", users[strings.Index(users, "\n")+1:], "authentication.algorithms: every user of realm sip.example.com has a line for MD5, not for SHA-256"},
		{"two domains of one realm", "authentication: {file: users.digest, realm: sip.example.com}\ndomain: [sip.example.com, b.example]", users,
			"authentication.realm: with several domains, user 1001 of one would be user 1001 of all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := base + c.src
			if strings.Contains(c.src, "domain:") {
				src = strings.Replace(src, "domain: sip.example.com\n", "", 1)
			}
			files := fstest.MapFS{"users.digest": {Data: []byte(c.file), Mode: 0o600}, "key.pub": {Data: []byte(c.file), Mode: 0o644}}
			_, ps := Parse("/etc/rampart/rampart.yaml", []byte(src), fakeHost(files))
			got := ps.String()
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if strings.Contains(got, "secret") {
				t.Error("a password is repeated")
			}
		})
	}
}
