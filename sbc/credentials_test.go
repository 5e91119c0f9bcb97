package sbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Phones repeat their credentials in every request of a call, with a uri that
// is our public contact. The PBX gets them only where it has asked.
func TestCredentialsInsideCalls(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	digest := func(uri string) string {
		return fmt.Sprintf(`Digest username="1001", realm="%s", nonce="n", uri="%s", response="%032d"`, domain, uri, 0)
	}
	ask := func(seq int, name, uri string) *siptest.Message {
		r := p.within("INFO", seq, c.inv, c.ok)
		r.Add(name, digest(uri))
		p.send(r)
		return w.b.request("INFO")
	}
	own := siptest.URIOf(c.ok.Get("Contact"))
	if !strings.Contains(own, publicNet) {
		t.Fatalf("our contact on the public side is %q", own)
	}
	for seq, name := range []string{"Proxy-Authorization", "Authorization", "PROXY-authorization"} {
		in := ask(seq+2, name, own)
		if in.Get("Authorization")+in.Get("Proxy-Authorization") != "" {
			t.Errorf("credentials that nobody asked for:\n%s", in.Bytes())
		}
		w.b.reply(in, 200, c.tag, nil)
		p.answer("INFO", 200)
	}
	w.secret(p)

	// Asked for, they cross: once.
	in := ask(6, "Proxy-Authorization", own)
	w.b.reply(in, 407, c.tag, nil, siptest.Field{Name: "Proxy-Authenticate", Value: fmt.Sprintf(`Digest realm="%s", nonce="n"`, domain)})
	if p.answer("INFO", 407).Get("Proxy-Authenticate") == "" {
		t.Error("the challenge is gone")
	}
	if in = ask(7, "Proxy-Authorization", own); in.Get("Proxy-Authorization") != digest(own) {
		t.Errorf("the answer to a challenge:\n%s", in.Bytes())
	}
	w.b.reply(in, 200, c.tag, nil)
	p.answer("INFO", 200)
	if in = ask(8, "Proxy-Authorization", own); in.Get("Proxy-Authorization") != "" {
		t.Errorf("credentials after they were good:\n%s", in.Bytes())
	}
	w.b.reply(in, 200, c.tag, nil)
	p.answer("INFO", 200)
}
