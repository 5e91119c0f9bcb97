package config

import (
	"reflect"
	"slices"
	"strings"
)

// Reloaded returns what is in force when a gateway that was started with c has
// read next: next's policy, numbering data, limits of peers and drain_timeout,
// and c's rest.
// needs lists the keys that differ and count after a restart only, such as
// "media.ports" or "peers". Neither Config is changed.
func (c *Config) Reloaded(next *Config) (now *Config, needs []string) {
	n := *c
	n.Policy, n.PolicyFiles, n.Drain = next.Policy, next.PolicyFiles, next.Drain
	n.Peers = slices.Clone(c.Peers)
	for i := range n.Peers {
		for _, p := range next.Peers {
			if p.Name == n.Peers[i].Name {
				n.Peers[i].Limits = p.Limits
			}
		}
	}
	n.Home.Numbering, n.data = next.Home.Numbering, next.data
	n.at = next.at
	return &n, differences(reflect.ValueOf(n), reflect.ValueOf(*next), "")
}

// differences walks two structs of one type. Lists are compared as a whole.
func differences(a, b reflect.Value, in string) (out []string) {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		x, y := a.Field(i), b.Field(i)
		if reflect.DeepEqual(x.Interface(), y.Interface()) {
			continue
		}
		if inner := differencesOf(x, y, in+name+"."); len(inner) > 0 {
			out = append(out, inner...)
			continue
		}
		out = append(out, in+name)
	}
	return out
}

func differencesOf(a, b reflect.Value, in string) []string {
	if a.Kind() != reflect.Struct {
		return nil
	}
	return differences(a, b, in)
}
