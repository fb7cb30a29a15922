// Package interop holds the tests against real peers: the KDCs of MIT krb5,
// Heimdal and Samba's Active Directory, Apache httpd with mod_auth_gssapi, Squid, MIT's
// tools and its GSS-API library, the kcm daemons of Heimdal and sssd, the kernel's keyrings,
// curl, pywinrm. Some run our client against these peers, others real clients
// against fakekdc. Programs for Windows, and the module's tests as built for it, run
// under Wine. They are built with the tag interop alone:
//
//	go test -tags interop ./internal/interop/...
//
// A peer that is missing is a failure. The peers run from a temporary folder,
// on loopback, as child processes that end with their test.
package interop
