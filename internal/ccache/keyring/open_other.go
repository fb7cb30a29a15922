//go:build !linux

package keyring

import "github.com/kerbchain/kerbchain/internal/ccache"

// Open returns a [*ccache.UnsupportedTypeError]: only Linux has keyrings.
func Open(n ccache.Name) (ccache.Collection, error) {
	return nil, &ccache.UnsupportedTypeError{Name: n}
}
