package hostpattern

import "strings"

// A Map gives values to hosts by pattern. The zero Map is empty. Once set up it
// is safe for concurrent use.
type Map[V any] struct{ entries []entry[V] }

type entry[V any] struct {
	pattern
	value V
}

// Set gives a value to the hosts that one pattern matches. It is false for what
// is no pattern, a list included.
func (m *Map[V]) Set(text string, value V) bool {
	p, ok := parseOne(strings.TrimSpace(text))
	if !ok {
		return false
	}
	m.entries = append(m.entries, entry[V]{p, value})
	return true
}

// Get returns the value of the most exact pattern that matches: a whole name
// before an ending, a longer ending before a shorter one, and of equals the one
// with a port. What is given twice is the later's.
func (m *Map[V]) Get(host, port string) (value V, ok bool) {
	host, port, known := normal(host, port)
	if !known {
		return value, false
	}
	var best *pattern
	for i := range m.entries {
		e := &m.entries[i]
		if e.matches(host, port) && (best == nil || !best.exacter(e.pattern)) {
			best, value, ok = &e.pattern, e.value, true
		}
	}
	return value, ok
}

// exacter reports whether p says more than q, both matching the same host.
func (p pattern) exacter(q pattern) bool {
	switch {
	case p.suffix != q.suffix:
		return !p.suffix
	case len(p.host) != len(q.host):
		return len(p.host) > len(q.host)
	}
	return p.port != "" && q.port == ""
}
