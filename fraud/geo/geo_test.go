package geo

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"
)

type rows map[string]mmdbtype.Map

// write makes a database of a kind, with documentation and private addresses in it.
func write(t testing.TB, path, kind string, data rows) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IncludeReservedNetworks: true, BuildEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for p, m := range data {
		if err := tree.Insert(netipx.PrefixIPNet(netip.MustParsePrefix(p)), m); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func in(field, code string) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(field): mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

func as(n uint32) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(n)}
}

func files(t testing.TB) (country, asn string) {
	t.Helper()
	dir := t.TempDir()
	country, asn = filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.mmdb")
	write(t, country, "GeoLite2-Country", rows{
		"203.0.113.0/24": in("country", "FR"), "198.51.100.0/24": in("registered_country", "NL"), "192.0.2.0/24": in("country", "A1"),
		"2001:db8::/32": in("country", "GB"), "10.0.0.0/8": in("country", "US"), "127.0.0.0/8": in("country", "US"), "100.64.0.0/10": in("country", "US"),
	})
	write(t, asn, "GeoLite2-ASN", rows{"203.0.113.0/25": as(64500), "2001:db8::/32": as(4200000001)})
	return country, asn
}

func TestLookup(t *testing.T) {
	db, err := Open(files(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, country string
		asn           uint
	}{
		{"203.0.113.77", "FR", 64500},
		{"203.0.113.200", "FR", 0},
		{"::ffff:203.0.113.77", "FR", 64500},
		{"198.51.100.1", "NL", 0}, // registered there
		{"192.0.2.1", "", 0},      // not a country
		{"2001:db8:1::5", "GB", 4200000001},
		{"2001:db9::1", "", 0},
		{"8.8.8.8", "", 0},
		{"10.1.2.3", "", 0}, // although it is in the data
		{"127.0.0.1", "", 0},
		{"::1", "", 0},
		{"100.64.0.1", "", 0},
		{"fe80::1%eth0", "", 0},
		{"fd00::1", "", 0},
		{"224.0.0.1", "", 0},
		{"0.0.0.0", "", 0},
	} {
		if country, asn := db.Lookup(netip.MustParseAddr(c.addr)); country != c.country || asn != c.asn {
			t.Errorf("%s: %q %d, want %q %d", c.addr, country, asn, c.country, c.asn)
		}
	}
	if country, asn := db.Lookup(netip.Addr{}); country != "" || asn != 0 {
		t.Errorf("no address: %q %d", country, asn)
	}
}

func TestHalvesAndNothing(t *testing.T) {
	country, asn := files(t)
	a := netip.MustParseAddr("203.0.113.77")
	for _, c := range []struct {
		name, country, asn, want string
		num                      uint
	}{
		{"none", "", "", "", 0}, {"country", country, "", "FR", 0}, {"asn", "", asn, "", 64500},
	} {
		db, err := Open(c.country, c.asn)
		if err != nil {
			t.Fatal(err)
		}
		if got, n := db.Lookup(a); got != c.want || n != c.num {
			t.Errorf("%s: %q %d", c.name, got, n)
		}
		if err := db.Reload(); err != nil {
			t.Errorf("%s: reload: %v", c.name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	country, asn := files(t)
	dir := t.TempDir()
	junk, other := filepath.Join(dir, "junk.mmdb"), filepath.Join(dir, "other.mmdb")
	if err := os.WriteFile(junk, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, other, "My-Own-Kind", rows{"203.0.113.0/24": in("country", "FR")})
	for _, c := range []struct{ name, country, asn, want string }{
		{"missing", filepath.Join(dir, "no.mmdb"), "", "no such file"},
		{"junk", junk, "", "junk.mmdb"},
		{"unknown kind", other, "", "My-Own-Kind"},
		{"swapped", asn, "", "GeoLite2-ASN"},
		{"swapped the other way", "", country, "GeoLite2-Country"},
	} {
		db, err := Open(c.country, c.asn)
		if err == nil || db != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReloadWhileInUse(t *testing.T) {
	country, asn := files(t)
	db, err := Open(country, asn)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.77")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, _ := db.Lookup(a); c != "FR" && c != "DE" {
					t.Errorf("%q while loading", c)
					return
				}
			}
		})
	}
	write(t, country, "GeoLite2-Country", rows{"203.0.113.0/24": in("country", "DE")})
	if err := db.Reload(); err != nil {
		t.Error(err)
	}
	if c, _ := db.Lookup(a); c != "DE" {
		t.Errorf("%q after reload", c)
	}
	if err := os.WriteFile(asn, nil, 0o600); err != nil {
		t.Error(err)
	}
	write(t, country, "GeoLite2-Country", rows{"203.0.113.0/24": in("country", "ES")})
	if err := db.Reload(); err == nil {
		t.Error("an empty file was loaded")
	}
	if c, n := db.Lookup(a); c != "DE" || n != 64500 {
		t.Errorf("%q %d after a failed reload, want what was there", c, n)
	}
	close(stop)
	wg.Wait()
}

func BenchmarkLookup(b *testing.B) {
	db, err := Open(files(b))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("203.0.113.77")
	b.ReportAllocs()
	for b.Loop() {
		db.Lookup(a)
	}
}
