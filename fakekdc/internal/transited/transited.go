// Package transited reads and writes the lists of realms that tickets passed through, as
// DOMAIN-X500-COMPRESS shortens them (RFC 4120 section 3.3.3.2).
package transited

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	// What a list of realms may hold. They bound a ticket, and what a null
	// subfield can be made to stand for.
	maxTransited      = 64
	maxTransitedBytes = 1 << 14
)

// Expand reads the form of RFC 4120 section 3.3.3.2: names separated by
// commas; one that ends in a dot stands before the name that precedes it, one
// that begins with a slash behind it. A null subfield stands for the hierarchy
// between its neighbours, which are client and server at the ends.
func Expand(s, client, server string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxTransitedBytes {
		return nil, fmt.Errorf("%w: %d bytes of transited realms, want %d at most", krb.ErrMalformed, len(s), maxTransitedBytes)
	}
	fields, err := splitRealms(s)
	if err != nil {
		return nil, err
	}
	var out []string
	before, joined := client, "" // joined is what an abbreviation leans on: names grow to len(s) at most
	gap := false
	add := func(names ...string) error {
		out = append(out, names...)
		if len(out) > maxTransited {
			return fmt.Errorf("%w: more than %d transited realms", krb.ErrMalformed, maxTransited)
		}
		return nil
	}
	for _, f := range fields {
		if f.text == "" {
			gap = true
			continue
		}
		name := f.text
		switch {
		case f.behind:
			name = joined + name
		case f.before:
			name += joined
		}
		if gap {
			if err := add(between(before, name)...); err != nil {
				return nil, err
			}
			gap = false
		}
		if err := add(name); err != nil {
			return nil, err
		}
		before, joined = name, name
	}
	if gap {
		if err := add(between(before, server)...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type subfield struct {
	text   string // without quoting; the dot that marks before is kept
	before bool   // stands before the preceding name
	behind bool
}

func splitRealms(s string) ([]subfield, error) {
	var out []subfield
	var b strings.Builder
	var f subfield
	start := true
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',':
			f.text = b.String()
			out = append(out, f)
			if len(out) > maxTransited {
				return nil, fmt.Errorf("%w: more than %d transited realms", krb.ErrMalformed, maxTransited)
			}
			b.Reset()
			f, start = subfield{}, true
			continue
		case s[i] == ' ' && start: // marks a name that begins with a slash and stands alone
			start = false
			continue
		case s[i] == '\\':
			if i++; i == len(s) {
				return nil, fmt.Errorf("%w: transited realms end in a backslash", krb.ErrMalformed)
			}
			f.before = false
		case s[i] == '/' && start:
			f.behind = true
		case s[i] == '.':
			f.before = true
			b.WriteByte('.')
			start = false
			continue
		default:
			f.before = false
		}
		b.WriteByte(s[i])
		start = false
	}
	return out, nil
}

// between returns the realms of the hierarchy that lie on the way from one to
// another (RFC 4120 section 1.2): up to the ancestor they share, and down. Realms
// that share none meet nobody.
func between(from, to string) []string {
	up, down := ancestors(from), ancestors(to)
	for i, a := range up {
		j := slices.Index(down, a)
		if j < 0 {
			continue
		}
		path := slices.Clone(up[min(i, 1):i])
		if i > 0 && j > 0 {
			path = append(path, a)
		}
		for k := j - 1; k > 0; k-- {
			path = append(path, down[k])
		}
		return path
	}
	return nil
}

// ancestors returns a realm and those above it, nearest first. Names with
// slashes are of X.500, and their root is in front.
func ancestors(realm string) []string {
	out := []string{realm}
	for len(out) <= maxTransited {
		if strings.HasPrefix(realm, "/") {
			i := strings.LastIndexByte(realm, '/')
			if i <= 0 {
				return out
			}
			realm = realm[:i]
		} else {
			_, rest, found := strings.Cut(realm, ".")
			if !found || rest == "" {
				return out
			}
			realm = rest
		}
		out = append(out, realm)
	}
	return out
}

// Compress is the inverse of Expand, without null subfields.
func Compress(realms []string) string {
	var b strings.Builder
	before := ""
	for i, name := range realms {
		if i > 0 {
			b.WriteByte(',')
		}
		switch short, found := strings.CutSuffix(name, "."+before); {
		case found && before != "" && short != "" && !strings.HasPrefix(name, "/"):
			b.WriteString(quoteRealm(short) + ".")
		case strings.HasPrefix(name, "/") && i > 0:
			b.WriteString(" " + quoteRealm(name))
		default:
			b.WriteString(quoteRealm(name))
		}
		before = name
	}
	return b.String()
}

var realmQuoter = strings.NewReplacer(",", "\\,", "\\", "\\\\")

func quoteRealm(s string) string {
	q := realmQuoter.Replace(s)
	if strings.HasPrefix(s, " ") {
		q = "\\" + q
	}
	if strings.HasSuffix(s, ".") {
		q = q[:len(q)-1] + "\\."
	}
	return q
}
