//go:build !amd64

package srtp

// mac is HMAC-SHA1 (RFC 2104) for many short messages under one key.
type mac = libMAC
