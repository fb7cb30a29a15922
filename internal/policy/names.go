package policy

import (
	"fmt"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/middleware"
)

// Names say which service principals hosts have (RFC 4559 section 4.1). What each field
// means is told where initiators offer it.
type Names struct {
	Service       string // empty means HTTP
	HostOverride  string
	HostOverrides map[string]string
	Realm         string
	PortInSPN     bool
}

// A Namer makes the names. It is safe for concurrent use.
type Namer struct {
	o         Names
	overrides hostname.Map[string]
}

// NewNamer returns a namer, or an error that says which name is no good.
func NewNamer(o Names) (*Namer, error) {
	if o.Service == "" {
		o.Service = "HTTP"
	}
	if strings.ContainsFunc(o.Service, notInWord) {
		return nil, fmt.Errorf("service class %q must be a plain word such as HTTP or WSMAN", o.Service)
	}
	if o.HostOverride != "" {
		host, err := hostname.Normal(o.HostOverride)
		if err != nil {
			return nil, fmt.Errorf("host override %q must be a host name alone, without scheme and port: %w", o.HostOverride, err)
		}
		o.HostOverride = host
	}
	if strings.ContainsFunc(o.Realm, notInRealm) {
		return nil, fmt.Errorf("%q is no name of a realm", o.Realm)
	}
	n := &Namer{o: o}
	for pattern, name := range o.HostOverrides {
		value, err := override(name)
		if err != nil {
			return nil, fmt.Errorf("host override %q for %q: want a host, service/host or service/host@REALM: %w", name, pattern, err)
		}
		if !n.overrides.Set(pattern, value) {
			return nil, fmt.Errorf("host override for %q: want a host such as app.example, app.example:8443 or *.corp.example", pattern)
		}
	}
	return n, nil
}

// override returns a value of HostOverrides: a normal host, or a principal as it
// was written, which may be one of capitals.
func override(name string) (string, error) {
	service, rest, whole := strings.Cut(name, "/")
	if !whole {
		return hostname.Normal(name)
	}
	host, realm, inRealm := strings.Cut(rest, "@")
	if inRealm && (realm == "" || strings.ContainsFunc(realm, notInRealm)) {
		return "", fmt.Errorf("%q is no name of a realm", realm)
	}
	if service == "" || strings.ContainsFunc(service, notInWord) {
		return "", fmt.Errorf("%q is no service class", service)
	}
	// Principals with a port in them, as PortInSPN makes them, are names too.
	if name, port, ok := strings.Cut(host, ":"); ok && !hostname.IsAddress(host) {
		if _, err := hostname.NormalPort(port); err != nil {
			return "", err
		}
		host = name
	}
	_, err := hostname.Normal(host)
	return name, err
}

// notInWord reports what does not stand in a service class.
func notInWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// notInRealm reports what cannot stand in the realm that follows a principal's @ (RFC 4120
// section 6.1; realms in the style of X.500 have slashes).
func notInRealm(r rune) bool { return r <= ' ' || r == 0x7f || r == '@' || r == '\\' }

// For returns the service principal for a target whose host is one
// ([middleware.Target.Check]). It is fixed where it was configured, rather than
// made of the URL.
func (n *Namer) For(t middleware.Target) (spn string, fixed bool) {
	if name, ok := n.overrides.Get(t.Host, t.Port); ok {
		if strings.Contains(name, "/") {
			return n.inRealm(name), true
		}
		return n.Of(name, ""), true
	}
	if n.o.HostOverride != "" && t.RedirectedFrom == "" {
		return n.Of(n.o.HostOverride, ""), true
	}
	host, _ := hostname.Normal(t.Host) // was checked
	return n.Of(host, t.Port), false
}

// Of returns the service principal of a normal host, which has no zone there, and
// of a port where principals have one.
func (n *Namer) Of(host, port string) string {
	host = hostname.WithoutZone(host)
	if n.o.PortInSPN && port != "" && port != "80" && port != "443" {
		host += ":" + port
	}
	return n.inRealm(n.o.Service + "/" + host)
}

func (n *Namer) inRealm(spn string) string {
	if n.o.Realm == "" || strings.Contains(spn, "@") {
		return spn
	}
	return spn + "@" + n.o.Realm
}
