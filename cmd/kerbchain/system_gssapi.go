//go:build !windows && (cgo || darwin || gssapi)

package main

import (
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// Package gssapi makes a program one that is linked dynamically. So the command has it
// where it is that anyway, by cgo or on macOS; without cgo it stays one file that runs
// in any container. The tag gssapi has it all the same.

// bySystem has the GSS-API library sign. It is loaded now, and not before.
func (f *getFlags) bySystem(o client.Options) (client.Options, error) {
	cache := o.CCache
	if o.Keytab != "" {
		cache = "MEMORY:kerbchain" // as without the library, a login leaves the user's cache as it is
	}
	in, err := gssapi.New(gssapi.Options{
		Library: f.library, Principal: o.Principal, CCache: cache, ClientKeytab: o.Keytab,
		Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, PortInSPN: o.PortInSPN,
		Canonicalize: o.Canonicalize == kerberos.CanonicalizeFallback, AllowedHosts: o.AllowedHosts,
		NoMutual: o.Mutual == mutual.Disabled, Bindings: o.Bindings, Delegation: o.Delegation, Sealing: f.winrm,
	})
	if err != nil {
		return o, err
	}
	o.Initiator = in
	o.Principal, o.CCache, o.Keytab, o.Service, o.HostOverride, o.HostOverrides, o.PortInSPN = "", "", "", "", "", nil, false
	o.Canonicalize, o.AllowedHosts, o.Bindings, o.Delegation, o.Getenv = 0, nil, 0, 0, nil
	return o, nil
}
