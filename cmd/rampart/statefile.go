package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stateFile is a JSON file of the state directory that outlives a restart. It is
// read once, before anything is written.
//
// What is damaged is put aside under a name of its own, and the gateway begins
// anew. What cannot be read at all (another owner, no descriptors left, a disk
// that fails) may be whole: it is left where it is and not written over, so that
// it counts again after the cause is mended and the gateway restarted. The
// gateway runs on in both cases: without calls there are none for help either,
// and what is lost is memory of attacks, not protection.
type stateFile struct {
	path string
	most int64 // octets that are read
	left bool  // as it is: it could not be read
}

// keptDamaged is how many damaged files are kept of each; the oldest goes.
const keptDamaged = 3

// read fills v, and does nothing when there is no file. usable looks at what was
// decoded. With an error comes the name that the file has now.
func (f *stateFile) read(v any, usable func() error, now time.Time) (aside string, err error) {
	b, err := f.octets()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		f.left = true
		return filepath.Base(f.path), err
	}
	if int64(len(b)) > f.most {
		err = fmt.Errorf("longer than %d bytes", f.most)
	} else if err = json.Unmarshal(b, v); err == nil {
		err = usable()
	}
	if err == nil {
		return "", nil
	}
	aside, bad := f.putAside(now)
	f.left = bad != nil
	return filepath.Base(aside), errors.Join(err, bad)
}

// now says what became of a file that could not be used, after read.
func (f *stateFile) now(name string) string {
	if f.left {
		return ", " + name + " is left as it is and not written until the next start"
	}
	return ", the file is kept as " + name
}

// oneVersion: there has been one version of each file so far.
func oneVersion(v int) error {
	if v != 1 {
		return fmt.Errorf("version %d of the file", v)
	}
	return nil
}

// octets are those of the file, one more than the most of them if there are more.
func (f *stateFile) octets() ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, f.most+1))
}

// putAside gives a damaged file a name that none has had, and forgets the oldest.
func (f *stateFile) putAside(now time.Time) (name string, err error) {
	base := f.path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	for n := 1; ; n++ {
		if name = base; n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		if _, err := os.Lstat(name); err != nil {
			break // of any other error the next call tells
		}
	}
	if err := os.Rename(f.path, name); err != nil {
		return f.path, err
	}
	f.forget()
	return name, nil
}

// forget removes all but the latest damaged files: their names sort by time.
func (f *stateFile) forget() {
	dir, prefix := filepath.Dir(f.path), filepath.Base(f.path)+".damaged-"
	all, _ := os.ReadDir(dir) // sorted; a directory that cannot be listed keeps them
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), prefix) })
	for _, e := range all[:max(0, len(all)-keptDamaged)] {
		os.Remove(filepath.Join(dir, e.Name()))
	}
}

// write replaces the file, unless it was left as it is.
func (f *stateFile) write(v any) (size int, err error) {
	if f.left {
		return 0, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return len(b), replaceFile(f.path, append(b, '\n'))
}

// replaceFile writes a file of the state directory whole: a crash leaves the old
// or the new one. On a full disk nothing is left of the try.
func replaceFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	dir, err := os.Open(filepath.Dir(tmp)) // the new name, too, is on the disk
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
