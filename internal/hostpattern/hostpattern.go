// Package hostpattern matches hosts against lists in the notation of Chromium's
// AuthServerAllowlist: "app.example" is that host alone, "*.corp.example" every
// host below corp.example but not itself, "*corp.example" every host that ends
// like that, and "*" every host. A port limits a pattern to URLs with that port.
package hostpattern

import (
	"net/netip"
	"slices"
	"strings"
)

// A List is what hosts are matched against. The empty list matches none. It is
// safe for concurrent use.
type List struct{ patterns []pattern }

// Match reports whether one of the patterns is for a host, written without
// brackets, and a port in decimals. Case and one dot at the end of the host make
// no difference.
func (l List) Match(host, port string) bool {
	host = Normal(host)
	return slices.ContainsFunc(l.patterns, func(p pattern) bool { return p.matches(host, port) })
}

// A pattern is one element of a list.
type pattern struct {
	host   string // in lower case, without brackets
	suffix bool   // host is an ending
	port   string // any when empty
}

// Parse reads patterns, each of which may itself be a list with commas between,
// and leaves out those that are none.
func Parse(list []string) List {
	var out List
	for _, text := range list {
		for element := range strings.SplitSeq(text, ",") {
			if p, ok := parseOne(strings.TrimSpace(element)); ok {
				out.patterns = append(out.patterns, p)
			}
		}
	}
	return out
}

func parseOne(text string) (p pattern, ok bool) {
	host := text
	if rest, ok := strings.CutPrefix(text, "["); ok {
		inner, tail, ok := strings.Cut(rest, "]")
		if _, err := netip.ParseAddr(inner); !ok || err != nil {
			return p, false
		}
		if tail != "" {
			if p.port, ok = strings.CutPrefix(tail, ":"); !ok || !isPort(p.port) {
				return p, false
			}
		}
		p.host = Normal(inner)
		return p, true
	}
	if _, err := netip.ParseAddr(text); err != nil {
		if name, port, ok := strings.Cut(text, ":"); ok {
			if !isPort(port) {
				return p, false
			}
			host, p.port = name, port
		}
	}
	host, p.suffix = strings.CutPrefix(host, "*")
	p.host = Normal(host)
	// "*." is no way to write "*".
	if p.host == "" && (!p.suffix || host != "") || strings.ContainsAny(host, "*/@ \t") {
		return p, false
	}
	return p, true
}

func isPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Normal returns a host name in the form in which names are compared: lower case,
// without a dot at the end, IPv6 addresses in their shortest form.
func Normal(host string) string {
	if strings.Contains(host, ":") {
		if a, err := netip.ParseAddr(host); err == nil {
			return a.String() // an IPv6 address can be written in many ways
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// matches takes a normal host.
func (p pattern) matches(host, port string) bool {
	switch {
	case host == "", p.port != "" && p.port != port:
		return false
	case p.suffix:
		// ".corp.example" alone is no host below corp.example.
		return len(host) > len(p.host) && strings.HasSuffix(host, p.host) || p.host != "" && p.host[0] != '.' && host == p.host
	}
	return host == p.host
}
