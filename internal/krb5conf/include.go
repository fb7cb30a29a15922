package krb5conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// An Opener opens a file or directory by the name that a configuration gives.
// A directory is an [fs.ReadDirFile]. A file that is not there gives an error
// that is [fs.ErrNotExist], an unreadable one [fs.ErrPermission].
type Opener func(name string) (fs.File, error)

var errIrregular = errors.New("neither a file nor a directory")

// openFile is the Opener of the machine's own files. A pipe is refused, for
// opening one may wait for ever; the null device reads as an empty file.
func openFile(name string) (fs.File, error) {
	if name != os.DevNull {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return nil, &fs.PathError{Op: "open", Path: name, Err: errIrregular}
		}
	}
	return os.Open(name)
}

// LoadProfile reads the files in that order into one profile: the first value
// of a name is that of the first file that has one. A nil open reads the
// machine's files. A file that does not exist is passed over, one that may not
// be read too, with a warning; of a directory, the files in it are read that
// includedir would take. With nothing to read the profile is empty.
//
// Other failures are errors: a *[SyntaxError], or one that wraps what open
// returned.
func LoadProfile(paths []string, open Opener) (*Profile, error) {
	if open == nil {
		open = openFile
	}
	r := reader{p: &Profile{}, open: open}
	for _, path := range paths {
		if err := r.top(path); err != nil {
			return nil, err
		}
	}
	return r.p, nil
}

// top reads one of the files that make up the profile.
func (r *reader) top(path string) error {
	text, dir, err := r.read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.p.passOver(unread{path, err, false})
		return nil
	case errors.Is(err, fs.ErrPermission):
		r.p.passOver(unread{path, err, false})
		r.p.warnings = addWarning(r.p.warnings, path, 0, "not read: %v", reason(err))
		return nil
	case err != nil:
		return fmt.Errorf("krb5.conf %s: %w", path, reason(err))
	case dir != nil:
		s := &state{reader: r, file: path}
		return s.each(path, dir)
	}
	return r.text(path, text, 0)
}

// reason is err without the path, which the message has already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// read returns the text of a file or the sorted names in a directory.
func (r *reader) read(path string) (text string, dir []string, err error) {
	f, err := r.open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if info.IsDir() {
		dir, err = names(f)
		return "", dir, err
	}
	// One byte more than allowed, which text then refuses. A file may grow
	// while it is read, and some report no size.
	b := bytes.NewBuffer(make([]byte, 0, min(max(info.Size(), 0), maxFileSize)+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, maxFileSize+1))
	return b.String(), nil, err
}

// names lists a directory. It is never nil.
func names(f fs.File) ([]string, error) {
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, errors.New("directory cannot be listed")
	}
	list := []string{}
	for {
		entries, err := d.ReadDir(256)
		for _, e := range entries {
			// The files are counted when read; this bounds the list itself.
			if included(e.Name()) && len(list) <= maxFiles {
				list = append(list, e.Name())
			}
		}
		if err == io.EOF || err == nil && len(entries) == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(list)
	return list, nil
}

// included reports whether includedir takes a file of that name: one that ends
// in .conf, or has letters, digits, dashes and underscores only; none that
// starts with a dot.
func included(name string) bool {
	if strings.HasPrefix(name, ".") || name == "" {
		return false
	}
	return strings.HasSuffix(name, ".conf") || !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// deeper reports whether another file may be included.
func (s *state) deeper(name string) (bool, error) {
	switch {
	case s.reader.open == nil:
		s.warnf("%s is not included: there are no files here", clip(name))
		return false, nil
	case name == "":
		s.warnf("wanted a name to include")
		return false, nil
	case s.depth >= maxIncludes:
		return false, s.errorf("includes nest more than %d deep: does an include go round?", maxIncludes)
	}
	return true, nil
}

func (s *state) include(name string) error {
	if ok, err := s.deeper(name); !ok {
		return err
	}
	text, dir, err := s.read(name)
	switch {
	case err != nil:
		s.passOver(name, err)
		return nil
	case dir != nil:
		s.warnf("%s is a directory: write includedir", clip(name))
		return nil
	}
	return s.text(name, text, s.depth+1)
}

func (s *state) includeDir(name string) error {
	if ok, err := s.deeper(name); !ok {
		return err
	}
	_, dir, err := s.read(name)
	switch {
	case err != nil:
		s.passOver(name, err)
		return nil
	case dir == nil:
		s.warnf("%s is not a directory: write include", clip(name))
		return nil
	}
	return s.each(name, dir)
}

// passOver goes on without a file that cannot be read.
func (s *state) passOver(name string, err error) {
	s.warnf("%s is not included: %v", clip(name), reason(err))
	s.p.passOver(unread{name, err, true})
}

// each reads the files of a directory that includedir takes.
func (s *state) each(dir string, list []string) error {
	for _, name := range list {
		path := strings.TrimRight(dir, "/") + "/" + name
		text, sub, err := s.read(path)
		switch {
		case err != nil:
			s.passOver(path, err)
			continue
		case sub != nil:
			continue
		}
		if err := s.text(path, text, s.depth+1); err != nil {
			return err
		}
	}
	return nil
}
