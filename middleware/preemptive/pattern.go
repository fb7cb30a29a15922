package preemptive

import (
	"net/netip"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// A pattern is one element of the list of [Hosts].
type pattern struct {
	host   string // in lower case, without brackets
	suffix bool   // host is an ending
	port   string // any when empty
}

// parse reads patterns and leaves out those that are none.
func parse(list []string) []pattern {
	var out []pattern
	for _, text := range list {
		for element := range strings.SplitSeq(text, ",") {
			if p, ok := parseOne(strings.TrimSpace(element)); ok {
				out = append(out, p)
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
		p.host = normal(inner)
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
	p.host = normal(host)
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

// normal returns a host name in the form in which names are compared.
func normal(host string) string {
	if strings.Contains(host, ":") {
		if a, err := netip.ParseAddr(host); err == nil {
			return a.String() // an IPv6 address can be written in many ways
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (p pattern) matches(t middleware.Target) bool {
	host := normal(t.Host)
	switch {
	case host == "", p.port != "" && p.port != t.Port:
		return false
	case p.suffix:
		// ".corp.example" alone is no host below corp.example.
		return len(host) > len(p.host) && strings.HasSuffix(host, p.host) || p.host != "" && p.host[0] != '.' && host == p.host
	}
	return host == p.host
}
