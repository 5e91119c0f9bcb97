package policy

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Changes is what differs between two policies, by what it means: entries by
// their id wherever they stand, countries by what may be called.
type Changes struct {
	Added     []Entry       `json:"added"`
	Removed   []Entry       `json:"removed"`
	Changed   []EntryChange `json:"changed"`
	Moved     []Entry       `json:"moved"` // asked earlier or later among the entries of their file
	Countries []PlaceChange `json:"countries"`
	Lists     []ListChange  `json:"lists"`
	Other     []KeyChange   `json:"other"` // keys of files that are no entries: home
	Tests     [2]int        `json:"tests"` // how many there were, and are
}

// Entry names an entry of a policy.
type Entry struct {
	Section string `json:"section"` // rules, limits, exceptions, detectors
	ID      string `json:"id"`
	File    string `json:"file"`
}

// EntryChange is an entry that is there on both sides.
type EntryChange struct {
	Entry
	Keys []KeyChange `json:"keys"`
}

// KeyChange is one key; "" says that it is not there.
type KeyChange struct {
	Key string `json:"key"`
	Old string `json:"old"`
	New string `json:"new"`
}

// PlaceChange is a country, prefix or class of numbers, or "default".
type PlaceChange struct {
	Place string `json:"place"`
	Old   string `json:"old"` // allow or deny
	New   string `json:"new"`
}

// ListChange is a list by its number of values; -1: it is not there.
type ListChange struct {
	Name string `json:"name"`
	Old  int    `json:"old"`
	New  int    `json:"new"`
}

// None reports policies that mean the same.
func (c Changes) None() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Moved)+len(c.Countries)+len(c.Lists)+len(c.Other) == 0
}

// notNil is a list that a program reads as [] and not as null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Diff compares the policies of two lists of files that were compiled to the
// two sets.
func Diff(oldFiles, newFiles []Source, was, is *Set) (Changes, strictyaml.Problems) {
	var c Changes
	a, ps := outlineOf(oldFiles)
	b, more := outlineOf(newFiles)
	if ps = append(ps, more...); ps.Err() != nil {
		return c, ps
	}
	for _, id := range a.ids() {
		x := a.entries[id]
		y, ok := b.entries[id]
		if !ok {
			c.Removed = append(c.Removed, x.Entry)
			continue
		}
		if keys := differ(x.keys, y.keys); len(keys) > 0 {
			c.Changed = append(c.Changed, EntryChange{y.Entry, keys})
		}
	}
	for _, id := range b.ids() {
		if _, ok := a.entries[id]; !ok {
			c.Added = append(c.Added, b.entries[id].Entry)
		}
	}
	c.Moved = moved(a, b)
	c.Countries = a.places(b)
	c.Other = differ(a.other, b.other)
	c.Lists = lists(was, is)
	c.Tests = [2]int{a.tests, b.tests}
	c.Added, c.Removed, c.Moved = notNil(c.Added), notNil(c.Removed), notNil(c.Moved)
	c.Changed, c.Countries, c.Lists, c.Other = notNil(c.Changed), notNil(c.Countries), notNil(c.Lists), notNil(c.Other)
	return c, ps
}

// outline is a policy as people see it: what counts after overriding.
type outline struct {
	entries map[string]*outlined // by section and id
	byFile  map[string][]string  // in order
	country map[string]string    // place: allow or deny
	class   map[string]string
	deny    string // the default; "" while no file has countries:
	other   map[string]string
	tests   int
}

type outlined struct {
	Entry
	keys map[string]string
}

func outlineOf(files []Source) (*outline, strictyaml.Problems) {
	o := &outline{entries: map[string]*outlined{}, byFile: map[string][]string{}, country: map[string]string{}, class: map[string]string{}, other: map[string]string{}}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b Source) int { return a.level() - b.level() })
	var all strictyaml.Problems
	for _, f := range files {
		tree, ps := strictyaml.Generic(f.Name, f.Data)
		all = append(all, ps...)
		top, _ := tree.(map[string]any)
		for _, section := range []string{"rules", "limits", "exceptions", "detectors"} {
			items, _ := top[section].([]any)
			for _, it := range items {
				if m, ok := it.(map[string]any); ok {
					o.entry(section, f.Name, m)
				}
			}
		}
		if y, ok := top["countries"].(map[string]any); ok {
			o.countries(y)
		}
		if home, ok := top["home"]; ok {
			flatten("home", home, o.other)
		}
		tests, _ := top["tests"].([]any)
		o.tests += len(tests)
	}
	return o, all
}

// entry notes one; where an id comes again, it takes the other's place.
func (o *outline) entry(section, file string, m map[string]any) {
	id, _ := m["id"].(string)
	keys := map[string]string{}
	for k, v := range m {
		if k != "id" {
			flatten(k, v, keys)
		}
	}
	if section == "exceptions" { // they have no id: the rule and whom it is opened for
		match, _ := json.Marshal(m["match"])
		id = text(m["rule"]) + " for " + string(match)
	}
	key := section + " " + id
	if old := o.entries[key]; old != nil {
		old.keys = keys
		old.File = file
		return
	}
	o.entries[key] = &outlined{Entry{section, id, file}, keys}
	o.byFile[section+" "+file] = append(o.byFile[section+" "+file], key)
}

func (o *outline) countries(y map[string]any) {
	o.deny = cmp.Or(text(y["default"]), o.deny, "deny")
	for _, list := range []string{"allow", "deny"} {
		items, ok := y[list].([]any)
		if !ok && y[list] != nil {
			items = []any{y[list]}
		}
		for _, p := range items {
			o.country[text(p)] = list
		}
	}
	classes, _ := y["classes"].(map[string]any)
	for name, v := range classes {
		o.class[name] = text(v)
	}
}

// ids are the keys of the entries in the order of files.
func (o *outline) ids() []string { return slices.Sorted(maps.Keys(o.entries)) }

// places compares what may be called. A place that is not named is as the
// default says; a class that is not named is allowed.
func (o *outline) places(b *outline) (out []PlaceChange) {
	verdict := func(x *outline, place string) string { return cmp.Or(x.country[place], x.deny, "allow") }
	if was, is := cmp.Or(o.deny, "allow"), cmp.Or(b.deny, "allow"); was != is {
		out = append(out, PlaceChange{"default", was, is})
	}
	all := maps.Clone(o.country)
	maps.Copy(all, b.country)
	for _, place := range slices.Sorted(maps.Keys(all)) {
		if was, is := verdict(o, place), verdict(b, place); was != is {
			out = append(out, PlaceChange{place, was, is})
		}
	}
	classes := maps.Clone(o.class)
	maps.Copy(classes, b.class)
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		if was, is := cmp.Or(o.class[name], "allow"), cmp.Or(b.class[name], "allow"); was != is {
			out = append(out, PlaceChange{"class " + name, was, is})
		}
	}
	return out
}

// moved finds the entries that changed their order within a file: those outside
// of the longest run that kept it.
func moved(a, b *outline) (out []Entry) {
	for _, file := range slices.Sorted(maps.Keys(a.byFile)) {
		at := map[string]int{}
		for i, id := range b.byFile[file] {
			at[id] = i
		}
		var ids []string
		for _, id := range a.byFile[file] {
			if _, ok := at[id]; ok {
				ids = append(ids, id)
			}
		}
		keep := rising(ids, at)
		for _, id := range ids {
			if !keep[id] {
				out = append(out, b.entries[id].Entry)
			}
		}
	}
	return out
}

// rising is the longest rising run of places, by patience sorting.
func rising(ids []string, at map[string]int) map[string]bool {
	var tails []int // index into ids of the smallest end of a run of each length
	before := make([]int, len(ids))
	for i, id := range ids {
		n, _ := slices.BinarySearchFunc(tails, at[id], func(j, v int) int { return at[ids[j]] - v })
		before[i] = -1
		if n > 0 {
			before[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	keep := map[string]bool{}
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = before[i] {
			keep[ids[i]] = true
		}
	}
	return keep
}

func lists(was, is *Set) (out []ListChange) {
	size, version := map[string][2]int{}, map[string][2]string{}
	for side, s := range []*Set{was, is} {
		if s == nil {
			continue
		}
		for _, l := range s.lists {
			n, ok := size[l.name]
			if !ok {
				n = [2]int{-1, -1}
			}
			v := version[l.name]
			n[side], v[side] = l.size, l.version
			size[l.name], version[l.name] = n, v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(size)) {
		if v := version[name]; v[0] != v[1] {
			out = append(out, ListChange{name, size[name][0], size[name][1]})
		}
	}
	return out
}

func differ(a, b map[string]string) (out []KeyChange) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if a[k] != b[k] {
			out = append(out, KeyChange{k, a[k], b[k]})
		}
	}
	return out
}

// flatten writes match.to.country and its like as one key each; a list is one
// value.
func flatten(key string, v any, out map[string]string) {
	if m, ok := v.(map[string]any); ok {
		for k, x := range m {
			flatten(key+"."+k, x, out)
		}
		return
	}
	out[key] = text(v)
}

// text is a value for people: a word as it is, the rest as JSON.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case []any:
		if len(x) == 1 { // one value may stand without brackets
			return text(x[0])
		}
	}
	b, _ := json.Marshal(v)
	return strings.TrimSpace(string(b))
}
