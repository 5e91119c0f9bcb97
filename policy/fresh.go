package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// ListFiles are the files that lists take their values from.
func (s *Set) ListFiles() (out []ListFile) {
	for _, l := range s.lists {
		if l.file != "" {
			out = append(out, ListFile{l.name, l.file})
		}
	}
	return out
}

// WithLists reads the list files again and returns a Set that has their values
// and the same rules, without compiling anything; s itself when no list
// changed. A file that cannot be read, or in which something is wrong, keeps
// what s had of it; what is wrong is returned as warnings.
func (s *Set) WithLists(read func(path string) ([]byte, error)) (*Set, strictyaml.Problems) {
	var all strictyaml.Problems
	next := *s
	next.lists = make([]*List, len(s.lists))
	changed, values := false, 0
	for i, l := range s.lists {
		next.lists[i] = l
		if l.file != "" {
			fresh, ps := readList(l, l.kind, l.bare, s.plan, read)
			for _, p := range ps {
				all = append(all, p.AsWarning())
			}
			if ps.Err() == nil && fresh.version != l.version {
				next.lists[i], changed = fresh, true
				if fresh.size == 0 {
					all = append(all, strictyaml.At(l.file, strictyaml.Pos{}, "the list %s is empty", l.name).AsWarning())
				}
			}
		}
		if values += next.lists[i].size; values > maxAllValues {
			return s, append(all, strictyaml.At(l.file, strictyaml.Pos{}, "the lists hold more than %d values together; all keep their last ones", maxAllValues).AsWarning())
		}
	}
	if !changed {
		return s, all
	}
	next.revision = revision(s.base, next.lists)
	next.bind()
	return &next, all
}

// revision names a policy of some files with some lists.
func revision(base string, ls []*List) string {
	digest := sha256.New()
	fmt.Fprintln(digest, base)
	for _, l := range ls {
		if l.file != "" {
			fmt.Fprintln(digest, l.name, l.version)
		}
	}
	return hex.EncodeToString(digest.Sum(nil))[:12]
}
