package kdcclient

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// maxShown is how many bytes of a name that came over the network a message
// holds.
const maxShown = 256

// maxRealm is the longest name of a realm, in bytes, that we let someone else
// send us to. Domains end at 253; X.500 names may be longer.
const maxRealm = 512

// plausible reports whether a realm may be looked for under the given name (RFC
// 4120 section 6.1).
func plausible(realm string) bool {
	return realm != "" && len(realm) <= maxRealm && printable.Text(realm) == realm
}

// shorten cuts what is too long for a message.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// show is the principal for people, wherever it may come from.
func show(p krb.Principal) string { return printable.Text(shorten(p.String())) }

// showName is show without the realm.
func showName(p krb.Principal) string { return printable.Text(shorten(p.Name())) }

func showAll(realms []string, between string) string {
	out := make([]string, len(realms))
	for i, r := range realms {
		out[i] = strconv.Quote(shorten(r))
	}
	return strings.Join(out, between)
}
