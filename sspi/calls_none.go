//go:build !windows

package sspi

import (
	"runtime"

	"github.com/kerbchain/kerbchain/internal/system"
)

// open says where there is a secur32.dll.
func open() (*library, error) {
	return nil, system.Advise("package sspi does not work on "+runtime.GOOS,
		"it works on Windows; use package kerberos here, or package gssapi for what only the system's library can use")
}
