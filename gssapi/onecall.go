package gssapi

import (
	"cmp"
	"strings"

	"github.com/kerbchain/kerbchain/internal/system"
)

const theLibrary = "the GSS-API library"

// oneCall is for libraries that have one socket to a daemon in the process, whatever
// the number of initiators.
var oneCall = system.NewCalls(1, theLibrary)

// mayBeKCM reports whether the library may look into a cache of type KCM: where
// krb5.conf names the cache, and where caches are searched for a principal.
func mayBeKCM(o Options, ccname string) bool {
	name := cmp.Or(o.CCache, ccname)
	return o.Principal != "" || name == "" || strings.HasPrefix(name, "KCM:")
}
