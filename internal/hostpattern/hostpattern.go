// Package hostpattern matches hosts against lists in the notation of Chromium's
// AuthServerAllowlist: "app.example" is that host alone, "*.corp.example" every
// host below corp.example but not itself, "*corp.example" every host that ends
// like that, and "*" every host. A port limits a pattern to URLs with that port.
package hostpattern

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hostname"
)

// A List is what hosts are matched against. The empty list matches none. It is
// safe for concurrent use.
type List struct{ patterns []pattern }

// Match reports whether one of the patterns is for a host, written without
// brackets, and a port in decimals. Hosts are compared as [hostname.Normal] makes
// them; what that refuses matches nothing.
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

// Parse reads patterns, each of which may itself be a list with commas between, and leaves out
// those that are none. The error names the first of these; an empty one between commas is no
// mistake, unless there is no other.
func Parse(list []string) (out List, err error) {
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
		err = errors.New("there is no host in the list: write app.example, or leave it out for all hosts")
	}
	return out, err
}

func parseOne(text string) (p pattern, ok bool) {
	host := text
	if rest, ok := strings.CutPrefix(text, "["); ok {
		inner, tail, ok := strings.Cut(rest, "]")
		if !ok || !strings.Contains(inner, ":") || strings.Contains(inner, "*") {
			return p, false // brackets are for whole IPv6 addresses
		}
		if tail != "" {
			if p.port, ok = port(tail); !ok {
				return p, false
			}
		}
		host = inner
	} else if i := strings.IndexByte(text, ':'); i >= 0 && !hostname.IsAddress(text) {
		if p.port, ok = port(text[i:]); !ok {
			return p, false
		}
		host = text[:i]
	}
	host, p.suffix = strings.CutPrefix(host, "*")
	if p.suffix && host == "" {
		return p, true
	}
	below := p.suffix && strings.HasPrefix(host, ".")
	if below {
		host = host[1:]
	}
	host, err := hostname.Normal(host)
	if err != nil {
		return p, false
	}
	if below {
		host = "." + host
	}
	p.host = host
	return p, true
}

// port reads ":8443", of five digits at most.
func port(text string) (string, bool) {
	text, ok := strings.CutPrefix(text, ":")
	n, err := hostname.NormalPort(text)
	return n, ok && err == nil && len(text) <= 5
}

func normal(host, port string) (string, string, bool) {
	host, err := hostname.Normal(host)
	if err != nil {
		return "", "", false
	}
	if port != "" {
		if port, err = hostname.NormalPort(port); err != nil {
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
