package hostname

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A List is what hosts are matched against, in the notation of Chromium's
// AuthServerAllowlist: "app.example" is that host alone, "*.corp.example" every host
// below corp.example but not itself, "*corp.example" every host that ends like that, and
// "*" every host. A port limits a pattern to URLs with that port. The empty list matches
// none. It is safe for concurrent use.
type List struct{ patterns []pattern }

// Match reports whether one of the patterns is for a host, written without
// brackets, and a port in decimals. Hosts are compared as [Normal] makes them;
// what that refuses matches nothing.
func (l List) Match(host, port string) bool {
	host, port, ok := normal(host, port)
	return ok && slices.ContainsFunc(l.patterns, func(p pattern) bool { return p.matches(host, port) })
}

// A pattern is one element of a list.
type pattern struct {
	host   string // normal, after a dot where it is an ending of that kind
	suffix bool   // host is an ending
	port   string // any when empty
}

// ParseList reads patterns, each of which may itself be a list with commas between, and leaves out
// those that are none. The error names the first of these; an empty one between commas is no
// mistake, unless there is no other.
func ParseList(list []string) (out List, err error) {
	for _, text := range list {
		for element := range strings.SplitSeq(text, ",") {
			element = strings.TrimSpace(element)
			switch p, ok := parseOne(element); {
			case ok:
				out.patterns = append(out.patterns, p)
			case element != "" && err == nil:
				err = fmt.Errorf("%q is no host: write app.example, app.example:8443, *.corp.example or *", element)
			}
		}
	}
	if err == nil && len(list) > 0 && len(out.patterns) == 0 {
		err = errors.New("there is no host in the list: write app.example, or leave the list out")
	}
	return out, err
}

func parseOne(text string) (p pattern, ok bool) {
	host, tail := text, ""
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, tail, ok = strings.Cut(rest, "]")
		if !ok || !strings.Contains(host, ":") || strings.Contains(host, "*") {
			return p, false // brackets are for whole IPv6 addresses
		}
	} else if i := strings.IndexByte(text, ':'); i >= 0 && !IsAddress(text) {
		host, tail = text[:i], text[i:]
	}
	if tail != "" {
		if p.port, ok = port(tail); !ok {
			return p, false
		}
	}
	host, p.suffix = strings.CutPrefix(host, "*")
	if p.suffix && host == "" {
		return p, true
	}
	dot := ""
	if p.suffix && strings.HasPrefix(host, ".") {
		dot, host = ".", host[1:]
	}
	host, err := Normal(host)
	p.host = dot + host
	return p, err == nil
}

// port reads ":8443", of five digits at most.
func port(text string) (string, bool) {
	text, ok := strings.CutPrefix(text, ":")
	n, err := NormalPort(text)
	return n, ok && err == nil && len(text) <= 5
}

func normal(host, port string) (string, string, bool) {
	host, err := Normal(host)
	if err != nil {
		return "", "", false
	}
	if port != "" {
		if port, err = NormalPort(port); err != nil {
			return "", "", false
		}
	}
	return host, port, true
}

// matches takes a normal host and port.
func (p pattern) matches(host, port string) bool {
	if p.port != "" && p.port != port {
		return false
	}
	if p.suffix {
		return strings.HasSuffix(host, p.host)
	}
	return host == p.host
}

// A Map gives values to hosts by pattern. The zero Map is empty. Once set up it is safe for
// concurrent use.
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
