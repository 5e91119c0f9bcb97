package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// table is one database, of whichever schema.
type table interface {
	country(netip.Addr) string // as it stands there
	asn(netip.Addr) uint
}

// what a table is asked for.
type half uint8

const (
	countries half = iota
	networks
)

func (h half) String() string { return [...]string{"country", "network number"}[h] }

// read takes the schema of MaxMind where the file says that it is of a type
// that MaxMind has, else the fields that its records have.
func read(b []byte, want half) (table, error) {
	r, err := geoip2.OpenBytes(b)
	if err == nil {
		t := schema{r}
		if want == countries {
			_, err = r.Country(probe)
		} else {
			_, err = r.ASN(probe)
		}
		if err == nil {
			return t, nil
		}
	}
	var unknown geoip2.UnknownDatabaseTypeError
	var other geoip2.InvalidMethodError
	if !errors.As(err, &unknown) && !errors.As(err, &other) {
		return nil, err
	}
	m, ferr := maxminddb.OpenBytes(b)
	if ferr != nil {
		return nil, ferr
	}
	return newFlat(m, want)
}

// schema is a database of MaxMind's schema.
type schema struct{ r *geoip2.Reader }

func (s schema) country(addr netip.Addr) string {
	rec, err := s.r.Country(addr)
	if err != nil {
		return ""
	}
	if rec.Country.ISOCode != "" {
		return rec.Country.ISOCode
	}
	return rec.RegisteredCountry.ISOCode
}

func (s schema) asn(addr netip.Addr) uint {
	rec, err := s.r.ASN(addr)
	if err != nil {
		return 0
	}
	return rec.AutonomousSystemNumber
}

// flat is a database whose records hold the answer in a field at the top, or
// MaxMind's fields under a type of another name. Free databases are so.
type flat struct {
	r    *maxminddb.Reader
	path []any
	text bool // a network number is written as text: "AS64500" or "64500"
}

// paths are where records may hold the answer, the most telling first.
var paths = [...][][]any{
	countries: {{"country_code"}, {"countryCode"}, {"country", "iso_code"}, {"registered_country", "iso_code"}, {"country"}},
	networks:  {{"asn"}, {"as_number"}, {"autonomous_system_number"}, {"asn_number"}},
}

// maxSample bounds the records that are looked at to see what they hold.
const maxSample = 2000

// newFlat finds the field that holds the answer.
func newFlat(r *maxminddb.Reader, want half) (table, error) {
	looked := 0
	for res := range r.Networks() {
		if res.Err() != nil {
			return nil, res.Err()
		}
		for _, path := range paths[want] {
			f := &flat{r: r, path: path}
			var text string
			if err := res.DecodePath(&text, path...); err == nil && text != "" {
				f.text = true
				if want == countries && iso(strings.ToUpper(text)) || want == networks && asNumber(text) != 0 {
					return f, nil
				}
			}
			var n uint64
			if want == networks && res.DecodePath(&n, path...) == nil && n != 0 {
				f.text = false
				return f, nil
			}
		}
		if looked++; looked == maxSample {
			break
		}
	}
	return nil, fmt.Errorf("type %q: none of its first %d records has a %s", r.Metadata.DatabaseType, looked, want)
}

func (f *flat) country(addr netip.Addr) string {
	var text string
	if err := f.r.Lookup(addr).DecodePath(&text, f.path...); err != nil {
		return ""
	}
	return strings.ToUpper(text)
}

func (f *flat) asn(addr netip.Addr) uint {
	res := f.r.Lookup(addr)
	if f.text {
		var text string
		if err := res.DecodePath(&text, f.path...); err != nil {
			return 0
		}
		return asNumber(text)
	}
	var n uint64
	if err := res.DecodePath(&n, f.path...); err != nil || n > 1<<32-1 {
		return 0
	}
	return uint(n)
}

// asNumber reads AS64500 or 64500; 0 is no network.
func asNumber(text string) uint {
	if len(text) > 2 && strings.EqualFold(text[:2], "AS") {
		text = text[2:]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint(n)
}
