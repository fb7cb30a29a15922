package kdcclient

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kerbchain/kerbchain/internal/krb"
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
	return realm != "" && len(realm) <= maxRealm && printable(realm) == realm
}

// printable escapes what a terminal might obey and a log might be split by: krb
// escapes no more than MIT does, and the names of peers may hold anything.
func printable(s string) string {
	fit := true
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			fit = false
			break
		}
	}
	if fit {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(s[i : i+n])
		} else {
			q := strconv.QuoteToASCII(s[i : i+n])
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
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
func show(p krb.Principal) string { return printable(shorten(p.String())) }

// showName is show without the realm.
func showName(p krb.Principal) string { return printable(shorten(p.Name())) }

func showAll(realms []string, between string) string {
	out := make([]string, len(realms))
	for i, r := range realms {
		out[i] = strconv.Quote(shorten(r))
	}
	return strings.Join(out, between)
}
