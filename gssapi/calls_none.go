//go:build !((linux && !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)) || (darwin && !ios && (amd64 || arm64)) || (freebsd && (amd64 || arm64) && (cgo || gssapi_nocgo)))

package gssapi

import (
	"runtime"

	"github.com/kerbchain/kerbchain/internal/system"
)

// open returns an error that says where there is a library that this package can call.
func open(string) (library, error) {
	return nil, system.Advise("package gssapi does not work on "+runtime.GOOS+"/"+runtime.GOARCH+" as this program is built",
		"it works on Linux, macOS and FreeBSD, on the processors that its documentation lists, on FreeBSD with cgo; use package kerberos here")
}
