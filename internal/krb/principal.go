package krb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Principal is a name in a realm.
type Principal struct {
	Type       int32
	Components []string
	Realm      string
}

// NewPrincipal returns the principal of the given components. The name type is
// [NTSrvInst] for krbtgt, [NTSrvHst] for two components, else [NTPrincipal].
func NewPrincipal(realm string, components ...string) Principal {
	p := Principal{Type: NTPrincipal, Components: components, Realm: realm}
	if len(components) == 2 {
		p.Type = NTSrvHst
		if components[0] == "krbtgt" {
			p.Type = NTSrvInst
		}
	}
	return p
}

// TGS returns krbtgt/realm@at, the ticket-granting service of realm as known to
// the realm at (RFC 4120 section 7.3).
func TGS(realm, at string) Principal { return NewPrincipal(at, "krbtgt", realm) }

// maxName bounds a principal's text; MIT's longest names are far shorter.
const maxName = 4096

// ParsePrincipal reads the form comp/comp@REALM, with MIT's backslash escapes.
// A missing realm is left empty. It is an error for the name to be empty.
func ParsePrincipal(s string) (Principal, error) {
	if len(s) > maxName {
		return Principal{}, fmt.Errorf("principal name of %d bytes is longer than %d", len(s), maxName)
	}
	var (
		p       Principal
		b       strings.Builder
		inRealm bool
	)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i == len(s) {
				return Principal{}, fmt.Errorf("principal %q ends in a backslash", s)
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'b':
				b.WriteByte('\b')
			case '0':
				b.WriteByte(0)
			default:
				b.WriteByte(s[i])
			}
		case c == '/' && !inRealm:
			p.Components = append(p.Components, b.String())
			b.Reset()
		case c == '@' && !inRealm:
			p.Components = append(p.Components, b.String())
			b.Reset()
			inRealm = true
		case c == '@':
			return Principal{}, fmt.Errorf("principal %q has two realms: write the first @ as \\@", s)
		default:
			b.WriteByte(c)
		}
	}
	if inRealm {
		p.Realm = b.String()
		if p.Realm == "" {
			return Principal{}, fmt.Errorf("principal %q has an empty realm after @", s)
		}
	} else {
		p.Components = append(p.Components, b.String())
	}
	if len(p.Components) == 1 && p.Components[0] == "" {
		return Principal{}, errors.New("principal name is empty")
	}
	p.Type = NewPrincipal(p.Realm, p.Components...).Type
	return p, nil
}

var (
	escapeComponent = strings.NewReplacer("\\", "\\\\", "/", "\\/", "@", "\\@", "\n", "\\n", "\t", "\\t", "\b", "\\b", "\x00", "\\0")
	escapeRealm     = strings.NewReplacer("\\", "\\\\", "@", "\\@", "\n", "\\n", "\t", "\\t", "\b", "\\b", "\x00", "\\0")
)

// AppendName appends what Name returns.
func (p Principal) AppendName(dst []byte) []byte {
	for i, c := range p.Components {
		if i > 0 {
			dst = append(dst, '/')
		}
		if !unescaped(c) {
			c = escapeComponent.Replace(c)
		}
		dst = append(dst, c...)
	}
	return dst
}

// unescaped reports whether there is nothing to escape, which is so on the path of nearly
// every request.
func unescaped(s string) bool { return !strings.ContainsAny(s, "\\/@\n\t\b\x00") }

// Name returns the principal without its realm, escaped as MIT does.
func (p Principal) Name() string {
	if len(p.Components) == 1 && unescaped(p.Components[0]) {
		return p.Components[0]
	}
	var room [64]byte
	return string(p.AppendName(room[:0]))
}

// AppendTo appends what String returns.
func (p Principal) AppendTo(dst []byte) []byte {
	dst = p.AppendName(dst)
	if p.Realm == "" {
		return dst
	}
	return append(append(dst, '@'), escapeRealm.Replace(p.Realm)...)
}

// String returns name@REALM, or the name alone when there is no realm.
func (p Principal) String() string {
	var room [128]byte
	return string(p.AppendTo(room[:0]))
}

// Equal reports whether the names and realms are the same. Name types are hints
// and do not count (RFC 4120 section 6.2).
func (p Principal) Equal(q Principal) bool { return p.Realm == q.Realm && p.SameName(q) }

// SameName is Equal without the realm.
func (p Principal) SameName(q Principal) bool { return slices.Equal(p.Components, q.Components) }

// IsZero reports whether p is no name at all.
func (p Principal) IsZero() bool { return len(p.Components) == 0 }

// IsTGS reports whether p is the ticket-granting service of some realm.
func (p Principal) IsTGS() bool { return len(p.Components) == 2 && p.Components[0] == "krbtgt" }

// Salt returns the default salt of a password key (RFC 4120 section 4).
func (p Principal) Salt() string { return p.Realm + strings.Join(p.Components, "") }
