package gssapi

import (
	"context"
	"runtime"
	"strings"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/internal/turns"
	"github.com/kerbchain/kerbchain/middleware"
)

// An initiator makes contexts with one library.
type initiator struct {
	lib    library
	o      Options
	calls  system.Calls
	firsts turns.Turns // by service: one first token is made at a time
	peers  system.Peers
	told   told
}

// Initiate finds the credentials and the service that a context needs. A KDC may be
// asked, where a client keytab is used; for the ticket it is in the first Step.
func (i *initiator) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	c, err := i.begin(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case i.o.Sealing:
		return &sealer{c, system.NewMessages(&c.Context, c.held)}, nil
	}
	return c, nil
}

// begin returns a context before its first step.
func (i *initiator) begin(ctx context.Context, t middleware.Target) (*securityContext, error) {
	c := &securityContext{in: i}
	fixed, err := i.peers.Begin(&c.Context, stage, t)
	if err != nil {
		return nil, err
	}
	spn := c.Service
	// DNS must not choose the server for an address.
	c.fixed = fixed || strings.Contains(spn, "@") || hostname.IsAddress(t.Host)
	c.asked, c.Client = spn, i.o.Principal
	if err := ended.Because(ctx, "", nil); err != nil {
		return nil, c.Fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	}
	got, err := system.Run(ctx, i.calls, func() prepared { return i.prepare(spn) }, func(p prepared) { p.held.Release() })
	switch {
	case err != nil:
		return nil, c.Fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	case got.err != nil:
		got.held.Release()
		return nil, c.refused(got.err)
	}
	c.held, c.Service = got.held, got.spn
	c.Carry(mechanism{c}, i.o.Sealing)
	// This releases a context that is dropped before its exchange is over.
	runtime.AddCleanup(c, (*held).Release, c.held)
	return c, nil
}

// prepared is what a context begins with: a name and credentials.
type prepared struct {
	held *held
	spn  string
	err  *StatusError
}

// prepare gets the name of a service, and credentials, from the library.
func (i *initiator) prepare(spn string) (p prepared) {
	p.held = newHeld(i.lib)
	if p.spn, p.err = i.inRealm(spn); p.err != nil {
		return p
	}
	if p.held.name, p.err = i.lib.importName(p.spn, false); p.err != nil {
		return p
	}
	p.spn = strings.TrimSuffix(p.spn, "@")
	var client uintptr
	if i.o.Principal != "" {
		if client, p.err = i.lib.importName(i.o.Principal, false); p.err != nil {
			return p
		}
		defer i.lib.releaseName(client)
	}
	p.held.cred, p.err = i.lib.acquire(client, i.stores())
	return p
}

func (i *initiator) stores() []store {
	var out []store
	if i.o.CCache != "" {
		out = append(out, store{"ccache", i.o.CCache})
	}
	if i.o.ClientKeytab != "" {
		out = append(out, store{"client_keytab", i.o.ClientKeytab})
	}
	return out
}

// inRealm returns a service principal with the realm to which the library's configuration
// maps its host. If that maps it to none, the name ends in @: then the KDC of the
// client's realm is asked, which may refer to another (RFC 6806 section 8).
func (i *initiator) inRealm(spn string) (string, *StatusError) {
	if strings.Contains(spn, "@") {
		return spn, nil
	}
	service, host := hostBased(spn)
	name, err := i.lib.canonical(service, host)
	if err != nil {
		return "", err
	}
	return spn + "@" + realmIn(name, service), nil
}

// realmIn returns the realm in the name of a service, "" where there is none. Where
// gssproxy is asked, it is service@host still, until the name is used.
func realmIn(name, service string) string {
	principal, realm, _ := strings.Cut(name, "@")
	if !strings.HasPrefix(principal, service+"/") {
		return ""
	}
	return realm
}

// hostBased splits a service principal without a realm. The host has no port.
func hostBased(spn string) (service, host string) {
	service, host, _ = strings.Cut(spn, "/")
	if name, _, ok := strings.Cut(host, ":"); ok && !strings.Contains(host[len(name)+1:], ":") {
		host = name // so that an IPv6 address stays whole
	}
	return service, host
}
