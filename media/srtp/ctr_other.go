//go:build !amd64

package srtp

// ctr is AES-128 in counter mode for many short messages.
type ctr = blockCTR
