package explain

import "strings"

// hidden stands for what a request proved itself with.
const hidden = "(hidden)"

// Secret reports a header field whose value is a credential, a key or a token:
// its value is kept and shown nowhere.
func Secret(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info", "www-authenticate",
		"proxy-authenticate", "cookie", "set-cookie", "identity", "identity-info":
		return true
	}
	return false
}

// hideURI takes a password out of a SIP URI (RFC 3261 §19.1.1).
func hideURI(uri string) string {
	at := strings.LastIndexByte(uri, '@')
	if at < 0 {
		return uri
	}
	scheme := strings.IndexByte(uri[:at], ':')
	if scheme < 0 {
		return uri
	}
	if p := strings.IndexByte(uri[scheme+1:at], ':'); p >= 0 {
		return uri[:scheme+1+p+1] + hidden + uri[at:]
	}
	return uri
}

// hideUser does so in a user part.
func hideUser(user string) string {
	if name, _, found := strings.Cut(user, ":"); found {
		return name + ":" + hidden
	}
	return user
}
