package peers

import (
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

//go:embed kamailio.cfg.tmpl
var kamailioConfig string

// Domain is the SIP domain of the test PBX.
const Domain = "sip.example.test"

// PBX configures Kamailio as an office's PBX. The zero value of a field means
// its default.
type PBX struct {
	Addr     netip.Addr        // where it listens, UDP and TCP; from the Net when unset
	Port     uint16            // 5060
	Users    map[string]string // extension to password; 1001 to 1009 with pw1001 to pw1009 when nil
	Services map[string]string // extension to the URI of the endpoint behind the PBX, for example 600
	DIDs     map[string]string // number, as the gateway sends it, to extension
	Gateway  netip.Addr        // the gateway's inside address, trusted to bring carriers' calls
	Trunk    string            // URI that calls to 0… and +… are sent to; none: 404
	Domains  []string          // Domain when nil

	Trusts bool // takes what Gateway brings for shown: it asks for no password

	Presence bool // also a presence server: message-summary, dialog, presence (Debian's kamailio-presence-modules)

	Carrier   bool   // everybody but Gateway must show a user's password to call, whatever From says
	Algorithm string // of its challenges; "" is MD5

	Unknown int // what a REGISTER for a user that is not there gets at once, 404; 0: a challenge like all others

	NonceSeconds int // life of a nonce, 300; an older one gives stale=true (baresip never sends one twice in a REGISTER)

	TLSPort         uint16 // with TLSCert and TLSKey (PEM files): also TLS, on port 5061
	TLSCert, TLSKey string
}

// Kamailio is a running PBX.
type Kamailio struct {
	*Process
	Addr   netip.AddrPort // UDP and TCP
	TLS    netip.AddrPort // valid when it listens on TLS
	Domain string
}

// URI of an extension.
func (k *Kamailio) URI(user string) string { return "sip:" + user + "@" + k.Domain }

// StartPBX starts Kamailio and waits until it answers OPTIONS.
func StartPBX(tb testing.TB, n *Net, c PBX) *Kamailio {
	tb.Helper()
	if !c.Addr.IsValid() {
		c.Addr = n.Addr(tb)
	}
	if c.Port == 0 {
		c.Port = 5060
	}
	if c.TLSPort == 0 {
		c.TLSPort = c.Port + 1
	}
	if c.Users == nil {
		c.Users = map[string]string{}
		for i := 1001; i < 1010; i++ {
			c.Users[fmt.Sprint(i)] = fmt.Sprintf("pw%d", i)
		}
	}
	if c.Domains == nil {
		c.Domains = []string{Domain}
	}
	if c.NonceSeconds == 0 {
		c.NonceSeconds = 300
	}
	k := &Kamailio{Addr: netip.AddrPortFrom(c.Addr, c.Port), Domain: c.Domains[0]}
	dir := tb.TempDir()
	v := struct {
		PBX
		Listen, TLSListen, TLSConfig, Gateway, DB string
	}{PBX: c, Listen: k.Addr.String(), Gateway: "none"}
	if c.Gateway.IsValid() {
		v.Gateway = c.Gateway.String()
	}
	if c.TLSCert != "" {
		k.TLS = netip.AddrPortFrom(c.Addr, c.TLSPort)
		v.TLSListen = k.TLS.String()
		v.TLSConfig = write(tb, filepath.Join(dir, "tls.cfg"), fmt.Sprintf(
			"[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\nprivate_key = %s\ncertificate = %s\n"+
				"[client:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n", c.TLSKey, c.TLSCert))
	}
	if c.Presence {
		// The tables of the text database; Kamailio writes into the copy.
		v.DB = filepath.Join(dir, "db")
		if err := os.CopyFS(v.DB, os.DirFS("/usr/share/kamailio/dbtext/kamailio")); err != nil {
			tb.Fatalf("peers: kamailio's tables: %v", err)
		}
	}
	var text strings.Builder
	if err := template.Must(template.New("kamailio").Parse(kamailioConfig)).Execute(&text, v); err != nil {
		tb.Fatalf("peers: kamailio configuration: %v", err)
	}
	file := write(tb, filepath.Join(dir, "kamailio.cfg"), text.String())
	k.Process = Start(tb, Command{Name: "kamailio", Path: "kamailio", Dir: dir, Children: true,
		Args: []string{"-f", file, "-DD", "-E", "-x", "tlsf", "-X", "fm", "-m", "64", "-M", "8", "-Y", dir}})
	k.until(15*time.Second, "an answer to OPTIONS", func() bool { return Answers("udp", k.Addr, 300*time.Millisecond) })
	return k
}
