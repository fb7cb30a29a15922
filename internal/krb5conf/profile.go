package krb5conf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Profile is a tree of named sections, which hold relations and further
// sections. A name may have several values, in the order in which they were
// read, and may be a section's as well. It is not changed after Parse or
// LoadProfile and so is safe for concurrent use. A nil Profile is empty.
type Profile struct {
	root     section
	files    []string
	unread   []unread
	warnings []Warning
	strays   []Value // names before the first section of a file
}

type section struct {
	name  string
	at    Value // where it stands first
	final bool  // later text adds nothing
	items []item
	index map[string]int // into items, once there are many
}

// An item is what stands under one name.
type item struct {
	name   string
	values []Value
	final  bool // no further values
	sub    *section
}

// indexFrom is the number of items from which a map beats a walk.
const indexFrom = 12

func (s *section) find(name string) *item {
	if s.index != nil {
		if i, ok := s.index[name]; ok {
			return &s.items[i]
		}
		return nil
	}
	for i := range s.items {
		if s.items[i].name == name {
			return &s.items[i]
		}
	}
	return nil
}

// need is find, adding an item where there is none. The result is good until
// the next call.
func (s *section) need(name string) *item {
	if it := s.find(name); it != nil {
		return it
	}
	s.items = append(s.items, item{name: name})
	switch n := len(s.items); {
	case s.index != nil:
		s.index[name] = n - 1
	case n >= indexFrom:
		s.index = make(map[string]int, 2*n)
		for i := range s.items {
			s.index[s.items[i].name] = i
		}
	}
	return &s.items[len(s.items)-1]
}

func (p *Profile) section(path []string) *section {
	if p == nil {
		return nil
	}
	s := &p.root
	for _, name := range path {
		it := s.find(name)
		if it == nil || it.sub == nil {
			return nil
		}
		s = it.sub
	}
	return s
}

func (p *Profile) values(path []string) []Value {
	if len(path) == 0 {
		return nil
	}
	s := p.section(path[:len(path)-1])
	if s == nil {
		return nil
	}
	if it := s.find(path[len(path)-1]); it != nil {
		return it.values
	}
	return nil
}

// Values returns every value of the relation at path, the names of its
// sections first: Values("realms", "EXAMPLE.ORG", "kdc"). Names are compared
// byte by byte. The result is the caller's.
func (p *Profile) Values(path ...string) []Value { return slices.Clone(p.values(path)) }

// Value returns the first of Values, which for a setting that takes one value
// is the one that counts.
func (p *Profile) Value(path ...string) (Value, bool) {
	if v := p.values(path); len(v) > 0 {
		return v[0], true
	}
	return Value{}, false
}

// HasSection reports whether there is a section at path.
func (p *Profile) HasSection(path ...string) bool { return p.section(path) != nil }

// Sections returns the names of the sections within the one at path, or of the
// outermost ones, in the order of their first appearance.
func (p *Profile) Sections(path ...string) []string {
	return p.names(path, func(it *item) bool { return it.sub != nil })
}

// Keys returns the names of the relations in the section at path, in the order
// of their first appearance.
func (p *Profile) Keys(path ...string) []string {
	return p.names(path, func(it *item) bool { return len(it.values) > 0 })
}

func (p *Profile) names(path []string, match func(*item) bool) []string {
	s := p.section(path)
	if s == nil {
		return nil
	}
	var names []string
	for i := range s.items {
		if match(&s.items[i]) {
			names = append(names, s.items[i].name)
		}
	}
	return names
}

// Files returns the names of the files that were read, in that order, included
// ones among them.
func (p *Profile) Files() []string {
	if p == nil {
		return nil
	}
	return slices.Clone(p.files)
}

// unread is a file that was named, by whoever reads krb5.conf or in a file that includes
// it, and passed over.
type unread struct {
	file     string
	err      error
	included bool
}

// maxUnread bounds how many of them are kept.
const maxUnread = 8

func (p *Profile) passOver(u unread) {
	switch {
	case errors.Is(u.err, fs.ErrNotExist):
		u.err = fs.ErrNotExist
	case errors.Is(u.err, fs.ErrPermission):
		u.err = fs.ErrPermission
	}
	if len(p.unread) < maxUnread {
		p.unread = append(p.unread, u)
	}
}

// Missed says, for people, which file it may be that has what was looked for in vain: one
// that may not be read, one that another includes, or any where none was read. It is "" if
// there is none.
func (p *Profile) Missed() string {
	if p == nil {
		return ""
	}
	var missed []string
	for _, u := range p.unread {
		if len(p.files) == 0 || u.included || u.err == fs.ErrPermission {
			missed = append(missed, fmt.Sprintf("%s: %v", u.file, reason(u.err)))
		}
	}
	return strings.Join(missed, ", ")
}

// Warnings returns what was passed over while reading.
func (p *Profile) Warnings() []Warning {
	if p == nil {
		return nil
	}
	return slices.Clone(p.warnings)
}
