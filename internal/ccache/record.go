package ccache

import (
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Caches that are no files keep principals and credentials one by one, each in
// the encoding of the FILE format's version 4.

// ParsePrincipal reads one principal. Errors are of type [*ParseError].
func ParsePrincipal(b []byte) (krb.Principal, error) {
	p := record(b)
	out := p.principal("principal")
	return out, p.done("principal")
}

// MarshalPrincipal returns one principal.
func MarshalPrincipal(p krb.Principal) ([]byte, error) {
	w := &writer{layout: layout{version: 4}}
	w.principal(p)
	if w.err != nil {
		return nil, fmt.Errorf("principal %s: %w", p, w.err)
	}
	return w.b, nil
}

// Append reads one credential or configuration entry and adds it to what the
// cache holds; an entry that is marked as removed is passed over. The cache
// shares memory with b. Errors are of type [*ParseError], and leave the cache as
// it was.
func (c *Cache) Append(b []byte) error {
	p := record(b)
	p.known = c.Client
	p.entry(c, true)
	if p.err != nil {
		return p.err
	}
	return nil
}

// Marshal returns the credential.
func (c *Credential) Marshal() ([]byte, error) {
	w := &writer{layout: layout{version: 4}}
	w.credential(c)
	if w.err != nil {
		return nil, fmt.Errorf("credential for %s: %w", c.Server, w.err)
	}
	return w.b, nil
}

// Entries returns all that a cache holds in the shape that caches keep it in, the
// tickets last.
func (c *Cache) Entries() []Credential {
	out := make([]Credential, 0, len(c.Config)+len(c.Unknown)+len(c.Credentials))
	for _, e := range c.Config {
		out = append(out, e.Credential(c.Client))
	}
	return append(append(out, c.Unknown...), c.Credentials...)
}

// Credential returns the entry in the shape that caches keep it in.
func (e Config) Credential(client krb.Principal) Credential {
	server := krb.Principal{Type: krb.NTPrincipal, Realm: confRealm, Components: []string{confName, e.Key}}
	if e.Principal != "" {
		server.Components = append(server.Components, e.Principal)
	}
	return Credential{Client: client, Server: server, Raw: e.Value}
}

func record(b []byte) *parser {
	p := newParser(b)
	if len(b) > MaxSize {
		p.err, p.off = tooLarge("record"), len(b)
	}
	return p
}

func (p *parser) done(what string) error {
	if p.err == nil && p.off < len(p.b) {
		p.fail(p.off, ErrMalformed, "the end of the "+what)
	}
	if p.err != nil {
		return p.err
	}
	return nil
}

// keep reports whether an entry is a ticket. If it is configuration, it is kept
// as such.
func (c *Cache) keep(cred *Credential) bool {
	name := cred.Server.Components
	switch cred.Server.Realm {
	case confRealm:
		if len(name) < 2 || len(name) > 3 || name[0] != confName {
			c.Unknown = append(c.Unknown, *cred)
			return false
		}
		entry := Config{Key: name[1], Value: cred.Raw}
		if len(name) == 3 {
			entry.Principal = name[2]
		}
		c.Config = append(c.Config, entry)
		return false
	case removedRealm:
		return false
	}
	return true
}
