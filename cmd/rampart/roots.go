package main

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"sync/atomic"

	rtls "github.com/rampart-sbc/rampart/tls"
)

// roots are the authorities that one PBX or peer is believed by: its ca file
// as last read without an error.
type roots struct {
	file string
	pool atomic.Pointer[x509.CertPool]
}

// load reads the file again. On an error the old authorities stay.
func (r *roots) load() error {
	pool, err := rtls.LoadPool(r.file)
	if err != nil {
		return err
	}
	r.pool.Store(pool)
	return nil
}

// verify judges each connection to a host by the authorities of that moment.
func (r *roots) verify(certs *rtls.Store, o rtls.Options, host string) func(cryptotls.ConnectionState) error {
	return func(cs cryptotls.ConnectionState) error {
		own := o
		own.Roots = r.pool.Load()
		return certs.Client(own, host).VerifyConnection(cs)
	}
}
