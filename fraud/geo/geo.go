// Package geo answers one question: where is an address registered, by country
// and autonomous system? It reads MaxMind databases (GeoLite2, GeoIP2, DB-IP in
// the same schema) that the operator provides; none can be shipped.
//
// It does not guess: private and loopback addresses, addresses that are not in the
// data, and a gateway without data all give an empty answer. It does not look
// up numbers (policy/number does).
//
// A DB owns the data it has read. It reads no clock. When a file cannot be
// read at start, Open fails; when Reload fails, the data in use stays.
//
// Start reading at [Open].
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/oschwald/geoip2-golang/v2"
)

// DB is a country and an ASN database, either of which may be missing. A nil
// *DB is valid and empty. It may be used from any goroutine, also while it is
// loaded again.
type DB struct {
	country, asn file
}

// file is one database. It is held in memory and not mapped: a file that is
// overwritten in place would take the process down with SIGBUS, and a reader
// can be replaced without knowing who still uses it.
type file struct {
	path string
	r    atomic.Pointer[geoip2.Reader]
}

// probe is looked up once to see whether a file is of the right kind.
var probe = netip.AddrFrom4([4]byte{192, 0, 2, 1})

// Open reads the files. An empty name leaves that half of the answers empty; with
// two empty names the DB is nil.
func Open(countryFile, asnFile string) (*DB, error) {
	if countryFile == "" && asnFile == "" {
		return nil, nil
	}
	db := &DB{}
	db.country.path, db.asn.path = countryFile, asnFile
	if err := db.Reload(); err != nil {
		return nil, err
	}
	return db, nil
}

// Reload reads both files again. Nothing changes unless all of them are good.
func (db *DB) Reload() error {
	if db == nil {
		return nil
	}
	country, err1 := db.country.read(func(r *geoip2.Reader) error { _, err := r.Country(probe); return err })
	asn, err2 := db.asn.read(func(r *geoip2.Reader) error { _, err := r.ASN(probe); return err })
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	db.country.r.Store(country)
	db.asn.r.Store(asn)
	return nil
}

func (f *file) read(try func(*geoip2.Reader) error) (*geoip2.Reader, error) {
	if f.path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read GeoIP data: %w", err)
	}
	r, err := geoip2.OpenBytes(b)
	if err == nil {
		err = try(r)
	}
	if err != nil {
		return nil, fmt.Errorf("read GeoIP data %s: %w", f.path, err)
	}
	return r, nil
}

// Lookup returns the country as ISO 3166-1 alpha-2 in capitals, and the number of
// the autonomous system. What is not known is "" and 0. Where the data has
// no country of location, the country of registration counts.
func (db *DB) Lookup(addr netip.Addr) (country string, asn uint) {
	if db == nil || !public(addr.Unmap()) {
		return "", 0
	}
	addr = addr.Unmap().WithZone("")
	if r := db.country.r.Load(); r != nil {
		if rec, err := r.Country(addr); err == nil {
			country = rec.Country.ISOCode
			if country == "" {
				country = rec.RegisteredCountry.ISOCode
			}
			if !iso(country) {
				country = "" // historical codes such as A1 are not countries
			}
		}
	}
	if r := db.asn.r.Load(); r != nil {
		if rec, err := r.ASN(addr); err == nil {
			asn = rec.AutonomousSystemNumber
		}
	}
	return country, asn
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

func iso(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
