// Package hints joins what errors say of what to try.
package hints

import "strings"

// Join returns those hints that are not empty, one after the other.
func Join(all ...string) string {
	var b strings.Builder
	for _, h := range all {
		if h == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(h)
	}
	return b.String()
}
