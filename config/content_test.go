package config

import "testing"

func TestBodies(t *testing.T) {
	for types, ok := range map[string]bool{"[application/isup]": true, "application/qsig": true, "[]": true, "[application/sdp]": false, "[text/plain]": false} {
		for _, where := range []string{"pbx: {uri: \"sip:10.0.0.5:5060\", bodies: " + types + "}\n",
			"pbx: \"sip:10.0.0.5:5060\"\npeers: [{name: a, identify: {ip: 198.51.100.1/32}, bodies: " + types + "}]\n"} {
			_, ps := Parse("x.yaml", []byte("domain: sip.example.com\nhome: {country: FR}\n"+where), fakeHost(nil))
			if got := ps.Err() == nil; got != ok {
				t.Errorf("bodies: %s: %v", types, ps)
			}
		}
	}
}

func TestRedirects(t *testing.T) {
	for word, ok := range map[string]bool{"relay": true, "follow": true, "refuse": true, "folow": false, "true": false} {
		for _, where := range []string{"pbx: {uri: \"sip:10.0.0.5:5060\", redirects: " + word + "}\n",
			"pbx: \"sip:10.0.0.5:5060\"\npeers: [{name: a, identify: {ip: 198.51.100.1/32}, redirects: " + word + "}]\n",
			"pbx: \"sip:10.0.0.5:5060\"\nphones: {redirects: " + word + "}\n"} {
			_, ps := Parse("x.yaml", []byte("domain: sip.example.com\nhome: {country: FR}\n"+where), fakeHost(nil))
			if got := ps.Err() == nil; got != ok {
				t.Errorf("redirects: %s: %v", word, ps)
			}
		}
	}
}
