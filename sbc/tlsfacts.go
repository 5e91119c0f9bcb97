package sbc

import (
	cryptotls "crypto/tls"

	rtls "github.com/rampart-sbc/rampart/tls"
)

func describeTLS(st *cryptotls.ConnectionState) (version, cipher, subject string) {
	return rtls.Describe(*st)
}

func plaintext(err error) (first []byte, ok bool) { return rtls.Plaintext(err) }
