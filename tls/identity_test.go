package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func certWith(t testing.TB, cn string, sans ...string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: cn}}
	for _, s := range sans {
		addSAN(t, c, s)
	}
	return c
}

// The cases follow RFC 5922 §7.1 rule by rule.
func TestNames(t *testing.T) {
	tests := []struct {
		name string
		sans []string
		want []string
	}{
		{"sip URI and DNS: the URI alone", []string{"sip:example.com", "sip.example.com"}, []string{"example.com"}},
		{"several URIs", []string{"sip:example.com", "sip:example.net"}, []string{"example.com", "example.net"}},
		{"a virtual host beside a host name", []string{"sip:voice.example.com", "host.example.net"}, []string{"voice.example.com"}},
		{"DNS when there is no URI", []string{"example.com", "Sip.Example.COM."}, []string{"example.com", "sip.example.com"}},
		{"a URI of another scheme does not hide DNS", []string{"https://example.org/", "im:example.org", "example.com"}, []string{"example.com"}},
		{"sips is not sip", []string{"sips:example.org", "example.com"}, []string{"example.com"}},
		{"a user is not a domain", []string{"sip:alice@example.org", "example.com"}, []string{"example.com"}},
		{"an escaped at sign neither", []string{"sip:alice%40example.org", "example.com"}, []string{"example.com"}},
		{"scheme and host without regard to case", []string{"SIP:Example.COM"}, []string{"example.com"}},
		{"port and parameters", []string{"sip:example.com:5061;transport=tls"}, []string{"example.com"}},
		{"user hidden in a parameter", []string{"sip:example.com;x=a@b"}, nil},
		{"headers", []string{"sip:example.com?Subject=x"}, nil},
		{"web form of the URI", []string{"sip://example.com"}, nil},
		{"addresses in URIs", []string{"sip:192.0.2.1:5061", "sip:[2001:DB8::1]", "sip:[2001:db8::2]:5061"}, []string{"192.0.2.1", "2001:db8::1", "2001:db8::2"}},
		{"wildcard stands in DNS, not in a URI", []string{"*.example.com", "sip:*.example.com"}, []string{"*.example.com"}},
		{"star elsewhere is nothing", []string{"s*p.example.com", "*", "*.", "a.*.example.com", "**.example.com"}, nil},
		{"each once", []string{"example.com", "EXAMPLE.com", "example.com."}, []string{"example.com"}},
		{"address in a DNS name is a mistake", []string{}, nil},
		{"IP alone is no SIP domain", []string{"192.0.2.1"}, nil},
		{"odd port", []string{"sip:example.com:506x", "sip:example.com:", "sip:example.com:123456"}, nil},
	}
	for _, tt := range tests {
		c := certWith(t, "cn.example.com", tt.sans...)
		if tt.name == "address in a DNS name is a mistake" {
			c.DNSNames = []string{"192.0.2.1"}
		}
		if got := Names(c); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v gives %q, want %q", tt.name, tt.sans, got, tt.want)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	c := &x509.Certificate{}
	for i := range 10 * maxNames {
		c.DNSNames = append(c.DNSNames, "h"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+".example")
	}
	if got := len(Names(c)); got > maxNames {
		t.Errorf("%d names, cap is %d", got, maxNames)
	}
}

func TestMatch(t *testing.T) {
	wild, cn := Rules{Wildcard: true}, Rules{CommonName: true}
	tests := []struct {
		sans  []string
		name  string
		rules Rules
		want  bool
	}{
		{[]string{"example.com"}, "example.com", Rules{}, true},
		{[]string{"example.com"}, "EXAMPLE.com.", Rules{}, true},
		{[]string{"example.com."}, "example.com", Rules{}, true},
		{[]string{"example.com"}, "sip.example.com", Rules{}, false}, // no suffix
		{[]string{"sip.example.com"}, "example.com", Rules{}, false},
		{[]string{"badexample.com"}, "example.com", Rules{}, false},
		{[]string{"sip:example.com", "other.example.com"}, "other.example.com", Rules{}, false}, // the URI rules
		{[]string{"sip:example.com", "other.example.com"}, "example.com", Rules{}, true},
		{[]string{"*.example.com"}, "sip.example.com", Rules{}, false},
		{[]string{"*.example.com"}, "sip.example.com", wild, true},
		{[]string{"*.example.com"}, "SIP.Example.com", wild, true},
		{[]string{"*.example.com"}, "a.b.example.com", wild, false},
		{[]string{"*.example.com"}, "example.com", wild, false},
		{[]string{"*.com"}, "example.com", wild, false},
		{[]string{"*.example.com"}, "*.example.com", wild, false}, // a name to compare with is never a pattern
		{[]string{"*.example.com"}, "*.example.com", Rules{}, false},
		{[]string{"xn--bcher-kva.example"}, "xn--bcher-kva.example", Rules{}, true},
		{[]string{"xn--bcher-kva.example"}, "XN--BCHER-KVA.example", Rules{}, true},
		{[]string{"xn--bcher-kva.example"}, "bücher.example", Rules{}, false},
		{[]string{"192.0.2.1"}, "192.0.2.1", Rules{}, true},
		{[]string{"192.0.2.1"}, "::ffff:192.0.2.1", Rules{}, true},
		{[]string{"192.0.2.1"}, "[::ffff:192.0.2.1]", Rules{}, true},
		{[]string{"2001:db8::1"}, "[2001:DB8:0::1]", Rules{}, true},
		{[]string{"2001:db8::1"}, "2001:db8::1", Rules{}, true},
		{[]string{"2001:db8::1"}, "2001:db8::1%eth0", Rules{}, false},
		{[]string{"sip:192.0.2.1"}, "192.0.2.1", Rules{}, true},
		{[]string{"192.0.2.1"}, "192.0.2.10", Rules{}, false},
		{[]string{"192.0.2.1"}, "192.0.2.01", Rules{}, false},
		{[]string{"example.com"}, "", Rules{}, false},
		{[]string{"example.com"}, ".", Rules{}, false},
		{[]string{"example.com"}, "example..com", Rules{}, false},
		{[]string{"example.com"}, "example.com..", Rules{}, false},
		{[]string{"example.com"}, "example.com\x00", Rules{}, false},
		{[]string{"example.com"}, "cn.example.com", cn, false}, // there is a SAN
		{[]string{"https://example.com/"}, "cn.example.com", cn, false},
		{nil, "cn.example.com", Rules{}, false},
		{nil, "cn.example.com", cn, true},
		{nil, "CN.example.com.", cn, true},
		{nil, "", cn, false},
	}
	for _, tt := range tests {
		if got := Match(certWith(t, "cn.example.com", tt.sans...), tt.name, tt.rules); got != tt.want {
			t.Errorf("Match(%q, %q, %+v) = %v", tt.sans, tt.name, tt.rules, got)
		}
	}
	long := &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("192.0.2.1").To16()}} // IPv4 in its IPv6 form
	if !Match(long, "192.0.2.1", Rules{}) {
		t.Error("a mapped IPv4 address did not match")
	}
	star := certWith(t, "*.example.com")
	if Match(star, "sip.example.com", Rules{CommonName: true, Wildcard: true}) {
		t.Error("a wildcard in the CN matched")
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"example.com", "EXAMPLE.com.", "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "_sip.example.com", "pbx"} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		"bücher.example": "xn--", "*.example.com": "wildcard", "": "neither", "a b": "neither", "10.1": "neither", "0x7f.1": "neither",
		"1.2.3.0x4": "neither", "-a.example": "neither", strings.Repeat("a", 64) + ".example": "neither", "sip:example.com": "neither",
		strings.Repeat("a.", 200) + "example": "neither", "a@example.com": "neither", "[example.com]": "neither", "[192.0.2.1]": "neither", "fe80::1%eth0": "neither", "[fe80::1%eth0]": "neither",
	} {
		wantError(t, CheckName(bad), says)
	}
}

func TestIdentify(t *testing.T) {
	peers := []Peer{
		{Name: "a", Certificate: "sip.a.example"},
		{Name: "b", Certificate: "sip.b.example", Rules: Rules{ServerOnly: true}},
		{Name: "c", Certificate: "x.c.example", Rules: Rules{Wildcard: true}},
	}
	serverOnly := func(c *x509.Certificate) *x509.Certificate {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		return c
	}
	tests := []struct {
		cert *x509.Certificate
		want string
	}{
		{certWith(t, "", "sip:sip.a.example"), "a"},
		{certWith(t, "", "sip.b.example"), "b"},
		{certWith(t, "", "*.c.example"), "c"},
		{certWith(t, "", "*.a.example"), ""},
		{certWith(t, "sip.a.example"), ""},
		{serverOnly(certWith(t, "", "sip.b.example")), "b"},
		{serverOnly(certWith(t, "", "sip.a.example")), ""}, // chains, but not for this peer
	}
	for _, tt := range tests {
		got, err := Identify(cryptotls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.cert}}, peers)
		var ne *NameError
		if got != tt.want || (err == nil) != (tt.want != "") || (err != nil && !errors.As(err, &ne)) {
			t.Errorf("%q: %q, %v; want %q", Names(tt.cert), got, err, tt.want)
		}
	}
	if got, err := Identify(cryptotls.ConnectionState{}, peers); got != "" || err != nil {
		t.Errorf("no certificate: %q, %v", got, err)
	}
	_, err := Identify(cryptotls.ConnectionState{PeerCertificates: []*x509.Certificate{certWith(t, "", "evil.example")}}, peers[:1])
	wantError(t, err, "evil.example", "sip.a.example")
}

// naiveMatch is Match for one DNS name, written another way: by labels.
func naiveMatch(dns, name string, wild bool) bool {
	d := strings.Split(strings.ToLower(strings.TrimSuffix(dns, ".")), ".")
	n := strings.Split(strings.ToLower(strings.TrimSuffix(name, ".")), ".")
	if len(d) != len(n) {
		return false
	}
	if wild && d[0] == "*" && len(d) > 2 && n[0] != "*" {
		d, n = d[1:], n[1:]
	}
	return slices.Equal(d, n)
}

func FuzzMatch(f *testing.F) {
	f.Add("*.example.com", "sip:example.com", "sip.example.com")
	f.Add("example.com.", "", "EXAMPLE.COM")
	f.Add("", "sip:[2001:db8::1]:5061", "2001:db8::1")
	f.Add("a.b", "sip:alice@a.b", "a.b")
	f.Fuzz(func(t *testing.T, dns, uri, name string) {
		c := &x509.Certificate{DNSNames: []string{dns}}
		strict, wild := Match(c, name, Rules{}), Match(c, name, Rules{Wildcard: true})
		if strict && !wild {
			t.Fatalf("%q, %q: looser rules match less", dns, name)
		}
		if strict && !naiveMatch(dns, name, false) || wild && !naiveMatch(dns, name, true) {
			t.Fatalf("Match(%q, %q) = %v, %v against the naive rule", dns, name, strict, wild)
		}
		_, isIP := netip.ParseAddr(name)
		if CheckName(name) == nil && isIP != nil && naiveMatch(dns, name, false) && !strict {
			t.Fatalf("%q should match itself as %q", dns, name)
		}
		if strict && CheckName(name) != nil {
			t.Fatalf("%q matched but cannot be configured", name)
		}
		if u, err := url.Parse(uri); err == nil {
			c.URIs = append(c.URIs, u)
			h, ok := sipHost(u)
			if ok && strings.Contains(uri, "@") {
				t.Fatalf("%q with a user became %q", uri, h)
			}
			if ok && !Match(c, h.String(), Rules{}) {
				t.Fatalf("%q does not match its own host %q", uri, h)
			}
			if ok && slices.Contains(Names(c), strings.ToLower(dns)) && h.String() != strings.ToLower(dns) {
				t.Fatalf("DNS %q counted beside %q", dns, uri)
			}
		}
		for _, n := range Names(c) {
			if n != strings.ToLower(n) || strings.HasSuffix(n, ".") || clean(n) != n {
				t.Fatalf("name %q is not in normal form", n)
			}
		}
	})
}
