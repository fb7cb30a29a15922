//go:build !linux

package client_test

import "testing"

// keyringLogin returns nil: only Linux has keyrings.
func keyringLogin(*testing.T, func(user string) []byte) *login { return nil }
