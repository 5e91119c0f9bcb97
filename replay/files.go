package replay

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Geo says in which country addresses are.
type Geo struct {
	nets map[netip.Prefix]string
	bits [2][]int // lengths of prefixes that there are, the longest first: IPv4, IPv6
}

const (
	maxNets    = 4_000_000
	maxLabels  = 10_000_000 // events
	maxLabelIn = 64 << 20   // bytes of one line
)

// ReadGeo reads cidr,country.
func ReadGeo(name string, r io.Reader) (Geo, error) {
	g := Geo{nets: map[netip.Prefix]string{}}
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord, in.Comment = 2, true, '#'
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return g, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := in.FieldPos(0)
		cidr, country := strings.TrimSpace(rec[0]), strings.ToUpper(strings.TrimSpace(rec[1]))
		if line == 1 && strings.EqualFold(cidr, "cidr") {
			continue
		}
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return g, fmt.Errorf("%s:%d: %q is no network", name, line, cidr)
		}
		if len(country) != 2 {
			return g, fmt.Errorf("%s:%d: %q is no country: two letters", name, line, country)
		}
		if len(g.nets) == maxNets {
			return g, fmt.Errorf("%s:%d: more than %d networks", name, line, maxNets)
		}
		g.nets[p.Masked()] = country
	}
	var seen [2][129]bool
	for p := range g.nets {
		seen[family(p.Addr())][p.Bits()] = true
	}
	for f := range seen {
		for b := 128; b >= 0; b-- {
			if seen[f][b] {
				g.bits[f] = append(g.bits[f], b)
			}
		}
	}
	return g, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Country is that of the smallest network that has the address, or "".
func (g Geo) Country(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for _, bits := range g.bits[family(a)] {
		if p, err := a.Prefix(bits); err == nil {
			if c, ok := g.nets[p]; ok {
				return c
			}
		}
	}
	return ""
}

// ReadLabels reads which events belong to attacks, an attack a line:
// {"id": "…", "ids": ["event", …]}. Lines with "hardneg": true are of what only
// looks like one.
func ReadLabels(name string, r io.Reader) (map[string]string, error) {
	out := map[string]string{}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLabelIn)
	line := 0
	for in.Scan() {
		line++
		if len(strings.TrimSpace(in.Text())) == 0 {
			continue
		}
		var l struct {
			ID      string
			IDs     []string
			HardNeg bool
		}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if l.HardNeg {
			continue
		}
		if l.ID == "" {
			return nil, fmt.Errorf("%s:%d: an attack without an id", name, line)
		}
		for _, id := range l.IDs {
			out[id] = l.ID
		}
		if len(out) > maxLabels {
			return nil, fmt.Errorf("%s:%d: more than %d events", name, line, maxLabels)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, line+1, err)
	}
	return out, nil
}
