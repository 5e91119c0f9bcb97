// Package geo answers one question: where is an address registered, by country
// and autonomous system? It reads MaxMind databases (GeoLite2, GeoIP2, DB-IP in
// the same schema) and flat ones in the same format, whose records have
// country_code or asn at the top. The operator provides them; none is shipped.
//
// It does not guess: private and loopback addresses, addresses that are not in the
// data, and a gateway without data all give an empty answer. It does not look
// up numbers (policy/number does).
//
// A DB owns the data it has read. It reads no clock and watches nothing: who
// runs it asks for Reload. When a file cannot be read at start, Open fails;
// when Reload fails, the data in use stays.
//
// Start reading at [Open].
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
)

// DB is a country and an ASN database, either of which may be missing. A nil
// *DB is valid and empty. It may be used from any goroutine, also while it is
// loaded again.
type DB struct {
	mu    sync.Mutex // one Reload at a time
	files [2]file    // by half
}

// file is one database. It is held in memory and not mapped: a file that is
// overwritten in place would take the process down with SIGBUS, and a reader
// can be replaced without knowing who still uses it.
type file struct {
	path string
	t    atomic.Pointer[table]
}

// probe is looked up once to see whether a file is of the right kind.
var probe = netip.AddrFrom4([4]byte{192, 0, 2, 1})

// maxFile caps what is taken into memory.
const maxFile = 512 << 20

// Open reads the files. An empty name leaves that half of the answers empty; with
// two empty names the DB is nil.
func Open(countryFile, asnFile string) (*DB, error) {
	if countryFile == "" && asnFile == "" {
		return nil, nil
	}
	db := &DB{}
	db.files[countries].path, db.files[networks].path = countryFile, asnFile
	if err := db.Reload(); err != nil {
		return nil, err
	}
	return db, nil
}

// Files are the names of the files.
func (db *DB) Files() (out []string) {
	if db == nil {
		return nil
	}
	for i := range db.files {
		if p := db.files[i].path; p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Reload reads both files again. Nothing changes unless all of them are good.
func (db *DB) Reload() error {
	if db == nil {
		return nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	var next [2]table
	var errs []error
	for i := range db.files {
		t, err := db.files[i].read(half(i))
		next[i], errs = t, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range db.files {
		if next[i] != nil {
			db.files[i].t.Store(&next[i])
		}
	}
	return nil
}

func (f *file) read(want half) (table, error) {
	if f.path == "" {
		return nil, nil
	}
	fi, err := os.Stat(f.path)
	if err == nil && fi.Size() > maxFile {
		err = fmt.Errorf("%s has %d bytes, at most %d are read", f.path, fi.Size(), maxFile)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(f.path)
	}
	if err != nil {
		return nil, fmt.Errorf("read GeoIP data: %w", err)
	}
	t, err := read(b, want)
	if err != nil {
		return nil, fmt.Errorf("read GeoIP data %s: %w", f.path, err)
	}
	return t, nil
}

// Lookup returns the country as ISO 3166-1 alpha-2 in capitals, and the number of
// the autonomous system. What is not known is "" and 0. Where the data has
// no country of location, the country of registration counts.
func (db *DB) Lookup(addr netip.Addr) (country string, asn uint) {
	if db == nil || !public(addr.Unmap()) {
		return "", 0
	}
	addr = addr.Unmap().WithZone("")
	if t := db.files[countries].t.Load(); t != nil {
		if country = (*t).country(addr); !iso(country) {
			country = "" // historical codes such as A1 are not countries
		}
	}
	if t := db.files[networks].t.Load(); t != nil {
		asn = (*t).asn(addr)
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
