// Package hostname is the one rule for the hosts and ports of URLs: what net/http
// makes of them when it dials, and which of them a service principal can be made
// of. Whoever compares, keys or signs for hosts does it with what this package
// returns, so that none of them means another host than the one that is
// contacted.
package hostname

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

const (
	maxInput = 1024 // bytes of a name that is not converted yet
	maxName  = 253  // characters of a name in DNS (RFC 1035 section 2.3.4)
	maxLabel = 63
)

// Normal returns the host that [net/http.Transport] dials for a host as
// [net/url.URL.Hostname] returns it, in the form in which hosts are compared: a
// name in lower case and A-labels (RFC 5890) without a dot at the end, or an
// address in its shortest form, an IPv6 address with its zone if it has one. What
// is neither an address nor a name of letters, digits, hyphens and underscores is
// an error: no resolver knows it, and what others read into it is not what we
// do. Normal of what Normal returned is the same.
func Normal(host string) (string, error) {
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return "", fmt.Errorf("%q is no IPv6 address", shown(host))
		}
		if i := strings.IndexFunc(a.Zone(), notInZone); i >= 0 {
			return "", fmt.Errorf("%q is no IPv6 address: its zone has a %q", shown(host), a.Zone()[i])
		}
		return a.String(), nil
	}
	switch {
	case host == "":
		return "", errors.New("there is no host")
	case len(host) > maxInput:
		return "", fmt.Errorf("a host name of %d bytes is longer than DNS allows", len(host))
	case strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }):
		// With the profile of net/http, and before anything else is changed:
		// lower case is not the same everywhere.
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("%q has no form for DNS: %w", shown(host), err)
		}
		host = ascii
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if len(name) > maxName {
		return "", fmt.Errorf("a host name of %d characters is longer than DNS allows", len(name))
	}
	begin := 0 // of the part that is looked at
	for i := range len(name) + 1 {
		switch end := i == len(name) || name[i] == '.'; {
		case !end && odd(rune(name[i])):
			return "", fmt.Errorf("%q is no host name: it has a %q", shown(host), name[i])
		case !end:
		case i == begin:
			return "", fmt.Errorf("%q is no host name: a part between dots is empty", shown(host))
		case i-begin > maxLabel:
			return "", fmt.Errorf("%q is no host name: a part has %d characters, DNS allows %d", shown(host), i-begin, maxLabel)
		default:
			begin = i + 1
		}
	}
	return name, nil
}

// NormalPort returns a port in decimals as numbers are compared, without zeros
// in front.
func NormalPort(port string) (string, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("%q is no port: want a number up to 65535", shown(port))
	}
	if port[0] != '0' || n == 0 && len(port) == 1 {
		return port, nil
	}
	return strconv.FormatUint(n, 10), nil
}

// WithoutZone returns what Normal returned without the zone of an IPv6 address
// (RFC 4007 section 11), which has a meaning on this machine alone.
func WithoutZone(host string) string {
	if !strings.Contains(host, "%") {
		return host
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	return host
}

// IsAddress reports whether a host is an IP address.
func IsAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// Same reports whether an address host:port, as [net/http.Transport] names it to
// the hook GetConn of net/http/httptrace, is that of a host and a port.
func Same(hostPort, host, port string) bool {
	h, p, err := net.SplitHostPort(hostPort)
	return err == nil && same(Normal, h, host) && same(NormalPort, p, port)
}

func same(normal func(string) (string, error), a, b string) bool {
	a, _ = normal(a) // "" where it is none, which b is not then
	b, err := normal(b)
	return err == nil && a == b
}

// notInZone reports what cannot stand in the zone of a URL (RFC 6874).
func notInZone(r rune) bool {
	return odd(r) && (r < 'A' || r > 'Z') && r != '.' && r != '~'
}

func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// shown is as much of a name as an error needs.
func shown(s string) string {
	const enough = 80
	if len(s) > enough {
		return s[:enough] + "..."
	}
	return s
}
