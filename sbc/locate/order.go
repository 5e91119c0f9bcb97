package locate

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// What is put in which order: pure.

// srvRecord and naptrRecord are what is used of the records of these types.
type srvRecord struct {
	priority, weight, port uint16
	target                 string // "" for "."
}

type naptrRecord struct {
	order, preference uint16
	flags, service    string
	replacement       string
}

// ordered puts hosts in the order of RFC 2782: by priority, and within one
// priority each in turn drawn by weight.
func ordered(hs []host, n func(int) int) []host {
	hs = slices.Clone(hs)
	slices.SortStableFunc(hs, func(a, b host) int {
		// Weights of 0 stand first, so that they have a small chance.
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(min(a.weight, 1), min(b.weight, 1)))
	})
	for i := 0; i < len(hs); {
		j := i
		for j < len(hs) && hs[j].priority == hs[i].priority {
			j++
		}
		draw(hs[i:j], n)
		i = j
	}
	return hs
}

func draw(hs []host, n func(int) int) {
	for ; len(hs) > 1; hs = hs[1:] {
		sum := 0
		for _, h := range hs {
			sum += int(h.weight)
		}
		if sum == 0 {
			return // no preference: as the DNS gave them
		}
		at, k := n(sum+1), 0
		for run := int(hs[0].weight); run < at; run += int(hs[k].weight) {
			k++
		}
		chosen := hs[k]
		copy(hs[1:k+1], hs[:k])
		hs[0] = chosen
	}
}

// pointer is a NAPTR record that leads somewhere we can go.
type pointer struct{ transport, name string }

// pointers picks the NAPTR records of transports that may be used, in their
// order (RFC 3263 §4.1).
func pointers(rs []naptrRecord, may []string) (out []pointer) {
	rs = slices.Clone(rs)
	slices.SortStableFunc(rs, func(a, b naptrRecord) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.preference, b.preference))
	})
	for _, r := range rs {
		t := map[string]string{"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}[strings.ToUpper(r.service)]
		if t == "" || !strings.EqualFold(r.flags, "s") || r.replacement == "" || !slices.Contains(may, t) {
			continue
		}
		if out = append(out, pointer{t, r.replacement}); len(out) == maxServices {
			break
		}
	}
	return out
}

func srvName(transport, host string) string {
	switch transport {
	case "tls":
		return "_sips._tcp." + host
	case "tcp":
		return "_sip._tcp." + host
	}
	return "_sip._udp." + host
}

// families keeps the addresses we can reach and alternates between IPv6 and
// IPv4, as one of the two may be broken (RFC 8305 §4). Within a family the
// order stays.
func families(as []netip.Addr, v4, v6 bool) (out []netip.Addr) {
	var four, six []netip.Addr
	for _, a := range as {
		switch a = a.Unmap(); {
		case a.IsUnspecified() || a.IsMulticast():
		case a.Is4() && v4 && !slices.Contains(four, a):
			four = append(four, a)
		case a.Is6() && v6 && !slices.Contains(six, a):
			six = append(six, a)
		}
	}
	for len(four)+len(six) > 0 {
		if len(six) > 0 {
			out, six = append(out, six[0]), six[1:]
		}
		if len(four) > 0 {
			out, four = append(out, four[0]), four[1:]
		}
	}
	return out
}
