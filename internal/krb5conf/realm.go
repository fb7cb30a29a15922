package krb5conf

import (
	"net/netip"
	"slices"
	"strings"
)

// realm is what [realms] says about one.
type realm struct {
	kdcs, primaries, admins, kpasswd []Server
	noTimestamp                      bool
}

func (c *Config) loadRealms() {
	c.realms = make(map[string]*realm)
	for _, name := range c.Profile.Sections("realms") {
		r := &realm{
			kdcs:      c.servers(name, "kdc", PortKDC),
			primaries: c.servers(name, "primary_kdc", PortKDC),
			admins:    c.servers(name, "admin_server", PortAdmin),
			kpasswd:   c.servers(name, "kpasswd_server", PortKpasswd),
		}
		if r.primaries == nil {
			r.primaries = c.servers(name, "master_kdc", PortKDC)
		}
		if v, ok := c.Profile.Value("realms", name, noTimestamp); ok {
			if r.noTimestamp, ok = ParseBool(v.Text); !ok {
				c.warnf(name, v, "%s = %s: %s; taken for false", noTimestamp, clip(v.Text), wantedBool)
			}
		}
		c.realms[name] = r
		if bare := strings.Trim(name, `"'`); bare != name {
			var at Value
			if len(r.kdcs) > 0 {
				at = r.kdcs[0].Value // sections have no lines of their own
			}
			c.warnf(bare, at, "%s in [realms]: the quotes count as part of the name, write %s = {", clip(name), bare)
		}
	}
	for _, name := range c.Profile.Keys("realms") {
		for _, v := range c.Profile.values([]string{"realms", name}) {
			c.warnf(name, v, "%s in [realms] wants { and relations, not a value", clip(name))
		}
	}
	c.domains = make(map[string]string)
	for _, name := range c.Profile.Keys("domain_realm") {
		v, _ := c.Profile.Value("domain_realm", name)
		c.domains[name] = v.Text
		if lower := strings.ToLower(name); lower != name {
			c.warnf("", v, "%s in [domain_realm] matches nothing: host names are looked up in lower case", clip(name))
		}
	}
}

// HasRealm reports whether [realms] has a section for realm. Realms that it
// lacks may still be found in DNS.
func (c *Config) HasRealm(realm string) bool { return c.realms[realm] != nil }

// Realms returns the realms of [realms], sorted.
func (c *Config) Realms() []string {
	names := make([]string, 0, len(c.realms))
	for name := range c.realms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// KDCs returns the KDCs of realm in the order of the files: the first is to be
// asked first. The result is shared and must not be changed.
func (c *Config) KDCs(realm string) []Server {
	if r := c.realms[realm]; r != nil {
		return r.kdcs
	}
	return nil
}

// PrimaryKDCs returns the KDCs that have every change at once (primary_kdc, or
// master_kdc where that is missing): to be asked when another refuses a
// password that may be new. The result is shared and must not be changed.
func (c *Config) PrimaryKDCs(realm string) []Server {
	if r := c.realms[realm]; r != nil {
		return r.primaries
	}
	return nil
}

const noTimestamp = "disable_encrypted_timestamp"

// NoTimestamp reports whether clients of realm are to send no encrypted timestamp
// (disable_encrypted_timestamp).
func (c *Config) NoTimestamp(realm string) bool {
	r := c.realms[realm]
	return r != nil && r.noTimestamp
}

// AdminServers returns the administration servers of realm. The result is
// shared and must not be changed.
func (c *Config) AdminServers(realm string) []Server {
	if r := c.realms[realm]; r != nil {
		return r.admins
	}
	return nil
}

// KpasswdServers returns where passwords of realm are changed (kpasswd_server, or
// port 464 of admin_server where that is missing). The result is shared and must not be
// changed.
func (c *Config) KpasswdServers(realm string) []Server {
	r := c.realms[realm]
	if r == nil {
		return nil
	}
	if len(r.kpasswd) > 0 {
		return r.kpasswd
	}
	out := slices.Clone(r.admins)
	for i := range out {
		out[i].Port = PortKpasswd
	}
	return out
}

// SetKDCs puts servers in the place of the KDCs of realm and makes it a realm
// of the configuration. It must not be called while the Config is in use.
func (c *Config) SetKDCs(name string, servers ...Server) {
	r := realm{}
	if old := c.realms[name]; old != nil {
		r = *old
	}
	r.kdcs = slices.Clone(servers)
	c.realms[name] = &r
}

// RealmValues returns the values of a relation in realm's section of [realms]:
// http_anchors, auth_to_local and others that have no field here.
func (c *Config) RealmValues(realm, key string) []Value {
	return c.Profile.Values("realms", realm, key)
}

// maxHost is the longest name that is looked up, as in MIT krb5.
const maxHost = 1024

// RealmOf returns the realm that [domain_realm] gives a host, which for a.b.c
// is the first found of a.b.c, .b.c, b.c, .c and c. Case and a dot at the end do
// not count; addresses belong to no realm. Without one the KDC of the client's
// realm is to be asked (RFC 6806 section 8), and so if the mapping is to
// nothing.
func (c *Config) RealmOf(host string) (realm string, ok bool) {
	_, realm = c.mapping(host)
	return realm, realm != ""
}

// Mapping returns the name in [domain_realm] by which RealmOf finds a host's realm,
// and where it stands there; "" if there is none.
func (c *Config) Mapping(host string) (name string, at Value) {
	name, realm := c.mapping(host)
	if realm == "" {
		return "", Value{}
	}
	for _, key := range c.Profile.Keys("domain_realm") {
		if v, _ := c.Profile.Value("domain_realm", key); strings.ToLower(key) == name && v.Text == realm {
			at = v
			break
		}
	}
	return name, at
}

// mapping returns the name in [domain_realm] that is for a host, and the realm that it
// is mapped to.
func (c *Config) mapping(host string) (name, realm string) {
	if len(host) > maxHost {
		return "", ""
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return "", ""
	}
	for host != "" {
		if realm, ok := c.domains[host]; ok {
			return host, realm
		}
		i := strings.IndexByte(host, '.')
		switch {
		case i < 0:
			return "", ""
		case i == 0:
			host = host[1:]
		default:
			host = host[i:]
		}
	}
	return "", ""
}

// MapHost maps a host ("www.example.org") or what lies below a domain
// (".example.org") to a realm, as a line in [domain_realm] does. It must not be
// called while the Config is in use.
func (c *Config) MapHost(name, realm string) { c.domains[strings.ToLower(name)] = realm }

// maxPath bounds the realms on the way from one to another.
const maxPath = 64

// Capath returns what [capaths] says is on the way from a client's realm to a
// server's: the realms between, none if the way is direct. It is false when
// nothing is said.
func (c *Config) Capath(client, server string) (between []string, ok bool) {
	values := c.Profile.values([]string{"capaths", client, server})
	for _, v := range values[:min(len(values), maxPath)] {
		// "." is the direct way, which sssd writes as the server's own realm.
		if v.Text != "." && v.Text != client && v.Text != server && !slices.Contains(between, v.Text) {
			between = append(between, v.Text)
		}
	}
	return between, len(values) > 0
}

// RealmPath returns the realms from client to server, both included: by
// [capaths], else up from the client's to the part that both names share and
// down to the server's (RFC 4120 section 1.2), else at once.
func (c *Config) RealmPath(client, server string) []string {
	if client == server {
		return []string{client}
	}
	path := []string{client}
	if between, ok := c.Capath(client, server); ok {
		return append(append(path, between...), server)
	}
	up, down := parents(client), parents(server)
	// The shared part is what both lists have at their ends.
	shared := 0
	for shared < len(up) && shared < len(down) && up[len(up)-1-shared] == down[len(down)-1-shared] {
		shared++
	}
	if shared > 0 && len(up)+len(down) <= maxPath {
		path = append(path[:0], up[:len(up)-shared]...)
		// Where they meet; the names themselves may be the meeting point.
		path = append(path, up[len(up)-shared])
		for _, name := range slices.Backward(down[:len(down)-shared]) {
			path = append(path, name)
		}
		return path
	}
	return append(path, server)
}

// parents returns a realm, what follows its first dot, and so on.
func parents(name string) []string {
	list := []string{name}
	for len(list) <= maxPath {
		_, rest, ok := strings.Cut(name, ".")
		if !ok || rest == "" {
			break
		}
		name = rest
		list = append(list, name)
	}
	return list
}
